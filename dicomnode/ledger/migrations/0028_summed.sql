-- What a list of studies says of each stands in its row, and how many are in which status is a tally: no list looks at
-- instances, results or deliveries, nor at studies that it does not show.

ALTER TABLE instance ADD COLUMN flagged INTEGER NOT NULL DEFAULT 0; -- frames with something of role finding, by whatever model
UPDATE instance SET flagged = (SELECT count(DISTINCT r.first) FROM job j JOIN span r ON r.job = j.id, json_each(r.findings)
	WHERE j.instance = instance.id AND j.retracted = '' AND value ->> 'role' = 'finding')
	WHERE EXISTS (SELECT 1 FROM job j JOIN span r ON r.job = j.id WHERE j.instance = instance.id);

ALTER TABLE study ADD COLUMN modality TEXT NOT NULL DEFAULT ''; -- of one of its instances
ALTER TABLE study ADD COLUMN frames INTEGER NOT NULL DEFAULT 0; -- of its instances
ALTER TABLE study ADD COLUMN flagged INTEGER NOT NULL DEFAULT 0; -- of them
ALTER TABLE study ADD COLUMN unanalysed INTEGER NOT NULL DEFAULT 0; -- instances that no model has seen
ALTER TABLE study ADD COLUMN deliveries_pending INTEGER NOT NULL DEFAULT 0;
ALTER TABLE study ADD COLUMN deliveries_sent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE study ADD COLUMN deliveries_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE study ADD COLUMN deliveries_parked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE study ADD COLUMN deliveries_discarded INTEGER NOT NULL DEFAULT 0;
UPDATE study SET (modality, frames, flagged, unanalysed) = (SELECT coalesce(max(header ->> 'modality'), ''),
		coalesce(sum(header ->> 'number_of_frames'), 0), coalesce(sum(flagged), 0), coalesce(sum(state IN ('failed', 'not-analysed')), 0)
		FROM instance WHERE study = study.id),
	(deliveries_pending, deliveries_sent, deliveries_done, deliveries_parked, deliveries_discarded) = (
		SELECT coalesce(sum(state = 'pending'), 0), coalesce(sum(state = 'sent'), 0), coalesce(sum(state = 'done'), 0),
			coalesce(sum(state = 'parked'), 0), coalesce(sum(state = 'discarded'), 0) FROM delivery WHERE study = study.id);

ALTER TABLE study ADD COLUMN status TEXT AS (CASE WHEN parked > 0 THEN 'parked' WHEN open > 0 THEN 'working'
	WHEN unanalysed > 0 AND unanalysed + conflicts >= instances THEN 'not-analysed' WHEN unanalysed > 0 THEN 'partly-analysed'
	ELSE 'done' END) VIRTUAL;
DROP INDEX study_working;
DROP INDEX study_parked;
CREATE INDEX study_status ON study (status, last_at, id) WHERE forgotten_at IS NULL;
INSERT INTO tally SELECT 'study', '', status, count(*) FROM study WHERE forgotten_at IS NULL GROUP BY status;

DROP TRIGGER instance_new;
CREATE TRIGGER instance_new AFTER INSERT ON instance BEGIN
	INSERT INTO tally VALUES ('instance', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET instances = instances + 1, conflicts = conflicts + (NEW.state = 'conflict'),
		modality = max(modality, coalesce(NEW.header ->> 'modality', '')), frames = frames + coalesce(NEW.header ->> 'number_of_frames', 0),
		unanalysed = unanalysed + (NEW.state IN ('failed', 'not-analysed')) WHERE id = NEW.study;
END;
DROP TRIGGER instance_state;
CREATE TRIGGER instance_state AFTER UPDATE OF state ON instance WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'instance' AND name = '' AND state = OLD.state;
	INSERT INTO tally VALUES ('instance', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET unanalysed = unanalysed + (NEW.state IN ('failed', 'not-analysed')) - (OLD.state IN ('failed', 'not-analysed'))
		WHERE id = NEW.study;
END;
CREATE TRIGGER instance_flagged AFTER UPDATE OF flagged ON instance WHEN OLD.flagged <> NEW.flagged BEGIN
	UPDATE study SET flagged = flagged + NEW.flagged - OLD.flagged WHERE id = NEW.study;
END;
DROP TRIGGER instance_gone;
CREATE TRIGGER instance_gone AFTER DELETE ON instance BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'instance' AND name = '' AND state = OLD.state;
	UPDATE study SET instances = instances - 1, conflicts = conflicts - (OLD.state = 'conflict'),
		frames = frames - coalesce(OLD.header ->> 'number_of_frames', 0), flagged = flagged - OLD.flagged,
		unanalysed = unanalysed - (OLD.state IN ('failed', 'not-analysed')) WHERE id = OLD.study;
END;
CREATE TRIGGER job_flagged AFTER UPDATE OF state, retracted ON job
	WHEN (OLD.state <> NEW.state OR OLD.retracted <> NEW.retracted) AND EXISTS (SELECT 1 FROM span WHERE job = NEW.id) BEGIN
	UPDATE instance SET flagged = (SELECT count(DISTINCT r.first) FROM job j JOIN span r ON r.job = j.id, json_each(r.findings)
		WHERE j.instance = NEW.instance AND j.retracted = '' AND value ->> 'role' = 'finding') WHERE id = NEW.instance;
END;

DROP TRIGGER delivery_new;
CREATE TRIGGER delivery_new AFTER INSERT ON delivery BEGIN
	INSERT INTO tally VALUES ('delivery', NEW.destination, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state IN ('pending', 'sent')), parked = parked + (NEW.state = 'parked'),
		deliveries_pending = deliveries_pending + (NEW.state = 'pending'), deliveries_sent = deliveries_sent + (NEW.state = 'sent'),
		deliveries_done = deliveries_done + (NEW.state = 'done'), deliveries_parked = deliveries_parked + (NEW.state = 'parked'),
		deliveries_discarded = deliveries_discarded + (NEW.state = 'discarded') WHERE id = NEW.study;
END;
DROP TRIGGER delivery_state;
CREATE TRIGGER delivery_state AFTER UPDATE OF state ON delivery WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'delivery' AND name = OLD.destination AND state = OLD.state;
	INSERT INTO tally VALUES ('delivery', NEW.destination, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state IN ('pending', 'sent')) - (OLD.state IN ('pending', 'sent')),
		parked = parked + (NEW.state = 'parked') - (OLD.state = 'parked'),
		deliveries_pending = deliveries_pending + (NEW.state = 'pending') - (OLD.state = 'pending'),
		deliveries_sent = deliveries_sent + (NEW.state = 'sent') - (OLD.state = 'sent'),
		deliveries_done = deliveries_done + (NEW.state = 'done') - (OLD.state = 'done'),
		deliveries_parked = deliveries_parked + (NEW.state = 'parked') - (OLD.state = 'parked'),
		deliveries_discarded = deliveries_discarded + (NEW.state = 'discarded') - (OLD.state = 'discarded') WHERE id = NEW.study;
END;
DROP TRIGGER delivery_gone;
CREATE TRIGGER delivery_gone AFTER DELETE ON delivery BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'delivery' AND name = OLD.destination AND state = OLD.state;
	UPDATE study SET deliveries_pending = deliveries_pending - (OLD.state = 'pending'), deliveries_sent = deliveries_sent - (OLD.state = 'sent'),
		deliveries_done = deliveries_done - (OLD.state = 'done'), deliveries_parked = deliveries_parked - (OLD.state = 'parked'),
		deliveries_discarded = deliveries_discarded - (OLD.state = 'discarded') WHERE id = OLD.study;
END;

DROP TRIGGER study_new;
CREATE TRIGGER study_new AFTER INSERT ON study WHEN NEW.forgotten_at IS NULL BEGIN
	UPDATE meta SET studies = studies + 1;
	INSERT INTO tally VALUES ('study', '', NEW.status, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
DROP TRIGGER study_gone;
CREATE TRIGGER study_gone AFTER DELETE ON study WHEN OLD.forgotten_at IS NULL BEGIN
	UPDATE meta SET studies = studies - 1;
	UPDATE tally SET n = n - 1 WHERE kind = 'study' AND name = '' AND state = OLD.status;
END;
DROP TRIGGER study_forgotten;
CREATE TRIGGER study_forgotten AFTER UPDATE ON study WHEN OLD.forgotten_at IS NULL AND (NEW.forgotten_at IS NOT NULL OR OLD.status <> NEW.status) BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'study' AND name = '' AND state = OLD.status;
	UPDATE meta SET studies = studies - 1 WHERE NEW.forgotten_at IS NOT NULL;
END;
CREATE TRIGGER study_status AFTER UPDATE ON study WHEN NEW.forgotten_at IS NULL AND (OLD.forgotten_at IS NOT NULL OR OLD.status <> NEW.status) BEGIN
	INSERT INTO tally VALUES ('study', '', NEW.status, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE meta SET studies = studies + 1 WHERE OLD.forgotten_at IS NOT NULL;
END;
