-- How many entries of a study the spool still has, so that what is still there is found without looking at all that ever was.
ALTER TABLE study ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
UPDATE study SET kept = (SELECT count(*) FROM instance WHERE study = study.id AND released_at IS NULL)
	+ (SELECT count(*) FROM object WHERE study = study.id AND released_at IS NULL);
CREATE INDEX study_kept ON study (last_at, id) WHERE kept > 0;

DROP TRIGGER instance_new;
CREATE TRIGGER instance_new AFTER INSERT ON instance BEGIN
	INSERT INTO tally VALUES ('instance', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET instances = instances + 1, conflicts = conflicts + (NEW.state = 'conflict'), kept = kept + (NEW.released_at IS NULL),
		modality = max(modality, coalesce(NEW.header ->> 'modality', '')), frames = frames + coalesce(NEW.header ->> 'number_of_frames', 0),
		unanalysed = unanalysed + (NEW.state IN ('failed', 'not-analysed')) WHERE id = NEW.study;
END;
DROP TRIGGER instance_gone;
CREATE TRIGGER instance_gone AFTER DELETE ON instance BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'instance' AND name = '' AND state = OLD.state;
	UPDATE study SET instances = instances - 1, conflicts = conflicts - (OLD.state = 'conflict'), kept = kept - (OLD.released_at IS NULL),
		frames = frames - coalesce(OLD.header ->> 'number_of_frames', 0), flagged = flagged - OLD.flagged,
		unanalysed = unanalysed - (OLD.state IN ('failed', 'not-analysed')) WHERE id = OLD.study;
END;
CREATE TRIGGER instance_kept AFTER UPDATE OF released_at ON instance WHEN (OLD.released_at IS NULL) <> (NEW.released_at IS NULL) BEGIN
	UPDATE study SET kept = kept + (NEW.released_at IS NULL) - (OLD.released_at IS NULL) WHERE id = NEW.study;
END;
CREATE TRIGGER object_new AFTER INSERT ON object WHEN NEW.released_at IS NULL BEGIN
	UPDATE study SET kept = kept + 1 WHERE id = NEW.study;
END;
CREATE TRIGGER object_gone AFTER DELETE ON object WHEN OLD.released_at IS NULL BEGIN
	UPDATE study SET kept = kept - 1 WHERE id = OLD.study;
END;
CREATE TRIGGER object_kept AFTER UPDATE OF released_at ON object WHEN (OLD.released_at IS NULL) <> (NEW.released_at IS NULL) BEGIN
	UPDATE study SET kept = kept + (NEW.released_at IS NULL) - (OLD.released_at IS NULL) WHERE id = NEW.study;
END;
