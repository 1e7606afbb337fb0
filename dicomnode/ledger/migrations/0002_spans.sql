-- What a model says is about a span of frames: a still is a span of one. Notes are a list.

CREATE TABLE span (
	job      INTEGER NOT NULL REFERENCES job (id),
	first    INTEGER NOT NULL, -- frame, from 1
	count    INTEGER NOT NULL, -- frames
	start    INTEGER NOT NULL, -- microseconds since the first frame of the instance; 0 where frames have no time
	duration INTEGER NOT NULL, -- microseconds
	rows     INTEGER NOT NULL,
	columns  INTEGER NOT NULL,
	scores   TEXT NOT NULL, -- JSON: class to probability
	findings TEXT NOT NULL, -- JSON
	notes    TEXT NOT NULL, -- JSON
	PRIMARY KEY (job, first, count)
) WITHOUT ROWID;
INSERT INTO span SELECT job, frame, 1, 0, 0, rows, columns, scores, findings, iif(note = '', '[]', json_array(note)) FROM frame;
DROP TABLE frame;

ALTER TABLE object RENAME COLUMN frame TO first;
ALTER TABLE object ADD COLUMN count INTEGER NOT NULL DEFAULT 0; -- frames of the source, from first; 0: it is about none
UPDATE object SET count = 1 WHERE first > 0;

-- The model that an analysis was made by, which may have changed before its exam is reported.
ALTER TABLE job ADD COLUMN made_by TEXT NOT NULL DEFAULT '{}'; -- JSON
