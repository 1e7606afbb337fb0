-- Second looks over a span of time: what was looked at, how far, and the jobs that came of it, which wait behind all others.

CREATE TABLE screening (
	id              INTEGER PRIMARY KEY,
	name            TEXT NOT NULL UNIQUE, -- in all databases
	from_at         INTEGER NOT NULL,     -- studies that came first at or after this
	before_at       INTEGER NOT NULL,     -- and before this
	state           TEXT NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
	author          TEXT NOT NULL,
	unauthenticated INTEGER NOT NULL,
	made_at         INTEGER NOT NULL,
	ended_at        INTEGER,
	at              INTEGER NOT NULL,            -- first_at of the last study looked at
	study           TEXT NOT NULL DEFAULT '',    -- its UID
	studies         INTEGER NOT NULL DEFAULT 0,  -- looked at
	compared        INTEGER NOT NULL DEFAULT 0,  -- of these: whose reports are compared again
	reread          INTEGER NOT NULL DEFAULT 0,  -- reports read anew
	offered         INTEGER NOT NULL DEFAULT 0,  -- jobs
	gone            INTEGER NOT NULL DEFAULT 0   -- instances that a model has not seen, without bytes
);
CREATE INDEX screening_running ON screening (id) WHERE state = 'running';
ALTER TABLE job ADD COLUMN screening TEXT NOT NULL DEFAULT '';
CREATE INDEX job_screening ON job (screening, state) WHERE screening <> '';
CREATE INDEX study_first ON study (first_at, study_instance_uid) WHERE forgotten_at IS NULL;
