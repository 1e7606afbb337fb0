-- Sources take turns: whose images a job or a delivery is about, while it waits.

ALTER TABLE job ADD COLUMN source TEXT NOT NULL DEFAULT ''; -- calling AE of its instance
UPDATE job SET source = (SELECT calling_ae FROM instance i WHERE i.id = job.instance) WHERE state = 'open';
ALTER TABLE job ADD COLUMN line TEXT AS (model || char(10) || priority || char(10) || source) VIRTUAL; -- where it waits for its turn
CREATE INDEX job_line ON job (line, id) WHERE state = 'open';

ALTER TABLE delivery ADD COLUMN source TEXT NOT NULL DEFAULT ''; -- calling AE of the first instance of its study
UPDATE delivery SET source = coalesce((SELECT calling_ae FROM instance i WHERE i.study = delivery.study LIMIT 1), '') WHERE state IN ('pending', 'sent', 'parked');
DROP INDEX delivery_due;
DROP INDEX delivery_behind;
CREATE INDEX delivery_due ON delivery (destination, source, rank, id, next_at) WHERE state = 'pending' AND held = 0 AND stale = 0 AND behind = 0;
CREATE INDEX delivery_behind ON delivery (destination, source, next_at, id) WHERE state = 'pending' AND held = 0 AND stale = 0 AND behind = 1;
