-- Comparisons of which nobody is told: those that a second look over what is here already asks for, and nothing that came.

ALTER TABLE look ADD COLUMN quiet INTEGER NOT NULL DEFAULT 0; -- 1: it is due for such a one, or was last
DROP TRIGGER look_report;
CREATE TRIGGER look_report AFTER INSERT ON event WHEN NEW.what = 'message' AND EXISTS (SELECT 1 FROM report_reading WHERE entry = NEW.entry) BEGIN
	INSERT INTO look (study, version) VALUES (NEW.study, 1) ON CONFLICT DO UPDATE SET version = version + 1, quiet = 0;
END;
DROP TRIGGER look_exam;
CREATE TRIGGER look_exam AFTER UPDATE OF revision ON exam WHEN NEW.revision <> OLD.revision BEGIN
	UPDATE look SET version = version + 1, quiet = (version = looked OR quiet) AND EXISTS (SELECT 1 FROM job WHERE exam = NEW.id)
		AND NOT EXISTS (SELECT 1 FROM job WHERE exam = NEW.id AND screening = '') WHERE study = NEW.study;
END;
