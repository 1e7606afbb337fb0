-- What is said of a video as a whole, and what was said of its frames while its job is open: whoever goes on with it goes on behind that.

ALTER TABLE job ADD COLUMN moving TEXT NOT NULL DEFAULT 'null'; -- JSON: analysis.Moving
CREATE INDEX job_moving ON job (study) WHERE moving <> 'null';

CREATE TABLE part (
	job   INTEGER NOT NULL REFERENCES job (id) ON UPDATE CASCADE,
	done  INTEGER NOT NULL, -- frames analysed, with these
	total INTEGER NOT NULL, -- frames to be analysed
	body  BLOB NOT NULL,    -- an encoded analysis
	PRIMARY KEY (job, done)
) WITHOUT ROWID;
CREATE TRIGGER part_ended AFTER UPDATE OF state ON job WHEN NEW.state <> 'open' BEGIN
	DELETE FROM part WHERE job = NEW.id;
END;
CREATE TRIGGER part_forgotten BEFORE DELETE ON job BEGIN
	DELETE FROM part WHERE job = OLD.id;
END;
