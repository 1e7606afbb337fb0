-- How many studies there are that are not forgotten: counted as they come and go.

ALTER TABLE meta ADD COLUMN studies INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET studies = (SELECT count(*) FROM study WHERE forgotten_at IS NULL);

CREATE TRIGGER study_new AFTER INSERT ON study WHEN NEW.forgotten_at IS NULL BEGIN
	UPDATE meta SET studies = studies + 1;
END;
CREATE TRIGGER study_gone AFTER DELETE ON study WHEN OLD.forgotten_at IS NULL BEGIN
	UPDATE meta SET studies = studies - 1;
END;
CREATE TRIGGER study_forgotten AFTER UPDATE OF forgotten_at ON study WHEN (OLD.forgotten_at IS NULL) <> (NEW.forgotten_at IS NULL) BEGIN
	UPDATE meta SET studies = studies + (NEW.forgotten_at IS NULL) - (OLD.forgotten_at IS NULL);
END;
