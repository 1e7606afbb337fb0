-- What is kept until a person decides, where results go, and what could not be taken in.

ALTER TABLE instance ADD COLUMN held INTEGER NOT NULL DEFAULT 0; -- 1: not released before it is analysed or discarded
DROP INDEX instance_held;
CREATE INDEX instance_held ON instance (received_at) WHERE released_at IS NULL AND held = 0;
CREATE INDEX instance_kept ON instance (id) WHERE held = 1;
UPDATE instance SET held = 1 WHERE released_at IS NULL AND (state = 'conflict' OR state = 'not-analysed'
	AND NOT EXISTS (SELECT 1 FROM job j WHERE j.instance = instance.id)
	AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.entry = instance.entry));

ALTER TABLE exam ADD COLUMN destinations TEXT NOT NULL DEFAULT ''; -- JSON; '': of before this column, nobody knows

DROP INDEX job_open;
CREATE INDEX job_open ON job (id) WHERE state = 'open';

CREATE TABLE refused (
	entry  TEXT PRIMARY KEY, -- in the spool, and kept there
	at     INTEGER NOT NULL,
	reason TEXT NOT NULL
) WITHOUT ROWID;
