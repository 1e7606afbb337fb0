-- How many studies a second look over a span of time is over, and what became of its jobs: a list of these costs the same for any span.

ALTER TABLE screening ADD COLUMN total INTEGER NOT NULL DEFAULT 0; -- studies of the span, when it began or ended
UPDATE screening SET total = (SELECT count(*) FROM study s WHERE s.first_at >= screening.from_at AND s.first_at < screening.before_at AND s.forgotten_at IS NULL);
DROP INDEX job_screening;
INSERT INTO tally SELECT 'screening', screening, state, count(*) FROM job WHERE screening <> '' GROUP BY screening, state;
CREATE TRIGGER job_screened AFTER INSERT ON job WHEN NEW.screening <> '' BEGIN
	INSERT INTO tally VALUES ('screening', NEW.screening, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER job_screened_on AFTER UPDATE OF state ON job WHEN NEW.screening <> '' AND OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'screening' AND name = OLD.screening AND state = OLD.state;
	INSERT INTO tally VALUES ('screening', NEW.screening, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER job_screened_gone AFTER DELETE ON job WHEN OLD.screening <> '' BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'screening' AND name = OLD.screening AND state = OLD.state;
END;
