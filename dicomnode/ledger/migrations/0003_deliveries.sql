-- Deliveries of anything to anyone, what else needs a spool entry, and how old history is forgotten.

ALTER TABLE delivery RENAME TO delivery_old;
CREATE TABLE delivery (
	id                  INTEGER PRIMARY KEY,
	kind                TEXT NOT NULL, -- of what is handed over: dicom
	destination         TEXT NOT NULL,
	entry               TEXT NOT NULL, -- what is handed over, in the spool
	alternate           TEXT NOT NULL DEFAULT '', -- entry of the twin
	study               INTEGER NOT NULL REFERENCES study (id), -- which it is about
	series_instance_uid TEXT NOT NULL DEFAULT '', -- these four of a SOP Instance only
	sop_class_uid       TEXT NOT NULL DEFAULT '',
	sop_instance_uid    TEXT NOT NULL DEFAULT '',
	transfer_syntax_uid TEXT NOT NULL DEFAULT '',
	purpose             TEXT NOT NULL,
	rank                INTEGER NOT NULL,
	behind              INTEGER NOT NULL DEFAULT 0, -- 1: others go first, as the peer gave no answer to this one
	state               TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'done', 'parked', 'discarded')),
	attempts            INTEGER NOT NULL DEFAULT 0,
	next_at             INTEGER NOT NULL, -- when it is tried; of one that is sent, until when it is to be committed
	ended_at            INTEGER,
	used                TEXT NOT NULL DEFAULT '', -- entry that the peer took
	protocol            TEXT NOT NULL DEFAULT '', -- of the last answer, '' before there was one
	code                TEXT NOT NULL DEFAULT '', -- of it, as the protocol writes it
	text                TEXT NOT NULL DEFAULT '', -- what the peer said with it; may quote what was sent
	reason              TEXT NOT NULL DEFAULT '',
	UNIQUE (entry, destination)
);
INSERT INTO delivery (id, kind, destination, entry, alternate, study, series_instance_uid, sop_class_uid, sop_instance_uid,
	transfer_syntax_uid, purpose, rank, state, attempts, next_at, ended_at, used, protocol, code, reason)
	SELECT id, 'dicom', destination, entry, alternate, study, series_instance_uid, sop_class_uid, sop_instance_uid,
		transfer_syntax_uid, purpose, rank, state, attempts, next_at, ended_at, used, iif(status = '', '', 'dicom'), status, reason
	FROM delivery_old;
DROP TABLE delivery_old;
CREATE INDEX delivery_due ON delivery (destination, behind, rank, id, next_at) WHERE state = 'pending';
CREATE INDEX delivery_next ON delivery (destination, next_at) WHERE state = 'pending';
CREATE INDEX delivery_sent ON delivery (destination, next_at) WHERE state = 'sent';
CREATE INDEX delivery_done ON delivery (destination, ended_at) WHERE state = 'done';
CREATE INDEX delivery_parked ON delivery (id) WHERE state = 'parked';
CREATE INDEX delivery_alternate ON delivery (alternate) WHERE alternate <> '';
CREATE INDEX delivery_study ON delivery (study);
CREATE TRIGGER delivery_new AFTER INSERT ON delivery BEGIN
	INSERT INTO tally VALUES ('delivery', NEW.destination, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state IN ('pending', 'sent')), parked = parked + (NEW.state = 'parked') WHERE id = NEW.study;
END;
CREATE TRIGGER delivery_state AFTER UPDATE OF state ON delivery WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'delivery' AND name = OLD.destination AND state = OLD.state;
	INSERT INTO tally VALUES ('delivery', NEW.destination, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state IN ('pending', 'sent')) - (OLD.state IN ('pending', 'sent')),
		parked = parked + (NEW.state = 'parked') - (OLD.state = 'parked') WHERE id = NEW.study;
END;

ALTER TABLE event RENAME COLUMN status TO code;
ALTER TABLE event ADD COLUMN protocol TEXT NOT NULL DEFAULT '';
ALTER TABLE event ADD COLUMN text TEXT NOT NULL DEFAULT '';
UPDATE event SET protocol = 'dicom' WHERE code <> '';

-- What needs a spool entry beside instances, objects and deliveries.
CREATE TABLE need (
	entry    TEXT NOT NULL,
	by       TEXT NOT NULL, -- refused: it could not be taken in
	reason   TEXT NOT NULL,
	at       INTEGER NOT NULL,
	ended_at INTEGER,
	PRIMARY KEY (entry, by)
) WITHOUT ROWID;
CREATE INDEX need_ended ON need (ended_at) WHERE ended_at IS NOT NULL;
INSERT INTO need (entry, by, reason, at) SELECT entry, 'refused', reason, at FROM refused;
DROP TABLE refused;
CREATE INDEX need_refused ON need (entry) WHERE by = 'refused';

-- A study whose history is past its retention keeps its UID, its exams with their revisions and what persons did.
ALTER TABLE study ADD COLUMN forgotten_at INTEGER;
DROP INDEX study_last;
CREATE INDEX study_last ON study (last_at, id) WHERE forgotten_at IS NULL;

-- What was received or made, and is forgotten otherwise.
CREATE TABLE known (
	sop_instance_uid TEXT NOT NULL,
	made             INTEGER NOT NULL, -- 1: here
	digest           TEXT NOT NULL, -- SHA-256 of the data set, hex; '' of objects made before digests were kept
	PRIMARY KEY (sop_instance_uid, made, digest)
) WITHOUT ROWID;

ALTER TABLE object ADD COLUMN digest TEXT NOT NULL DEFAULT '';
CREATE INDEX object_twin ON object (twin_of) WHERE twin_of IS NOT NULL;

CREATE TRIGGER instance_gone AFTER DELETE ON instance BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'instance' AND name = '' AND state = OLD.state;
	UPDATE study SET instances = instances - 1, conflicts = conflicts - (OLD.state = 'conflict') WHERE id = OLD.study;
END;
CREATE TRIGGER job_gone AFTER DELETE ON job BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'job' AND name = OLD.model AND state = OLD.state;
END;
CREATE TRIGGER delivery_gone AFTER DELETE ON delivery BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'delivery' AND name = OLD.destination AND state = OLD.state;
END;
