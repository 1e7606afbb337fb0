-- Each wait knows when it began, so that a clock that is set back can hold nothing for longer than that wait is meant to be.
ALTER TABLE delivery ADD COLUMN asked_at INTEGER NOT NULL DEFAULT 0; -- since when it is to be delivered: made, put back, or no more to wait for another one
ALTER TABLE delivery ADD COLUMN since INTEGER NOT NULL DEFAULT 0; -- when the wait until next_at began
UPDATE delivery SET since = next_at, asked_at = min(next_at, coalesce((SELECT max(e.last_at) FROM event e WHERE e.study = delivery.study AND e.entry = delivery.entry), next_at))
	WHERE state IN ('pending', 'sent', 'parked');
CREATE INDEX delivery_age ON delivery (destination, asked_at) WHERE state IN ('pending', 'sent') AND held = 0 AND waits_for = '';
ALTER TABLE exam ADD COLUMN quiet_at INTEGER NOT NULL DEFAULT 0; -- since when nothing arrives
UPDATE exam SET quiet_at = last_at;
ALTER TABLE meta ADD COLUMN clock TEXT NOT NULL DEFAULT ''; -- JSON: what was known of the clock when it was last looked at
