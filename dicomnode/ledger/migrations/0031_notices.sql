-- Examinations that are urgent for what a model found in them, and what persons are told.

-- What makes an examination urgent and who is told of what, as JSON: decided with the result, and so as it was then.
ALTER TABLE meta ADD COLUMN notify TEXT NOT NULL DEFAULT '{}';

CREATE TABLE urgent (
	study    INTEGER NOT NULL REFERENCES study (id),
	class    TEXT NOT NULL, -- of the model
	model    TEXT NOT NULL,
	at       INTEGER NOT NULL,
	PRIMARY KEY (study, class)
) WITHOUT ROWID;
ALTER TABLE study ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0; -- 1: it has a finding that is
CREATE INDEX study_urgent ON study (urgent DESC, last_at DESC, id DESC) WHERE forgotten_at IS NULL;

CREATE TABLE notice (
	id       INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE, -- in all databases; the entry of its deliveries
	study    INTEGER NOT NULL REFERENCES study (id),
	model    TEXT NOT NULL,
	review   TEXT NOT NULL, -- that it is about; '': what a model found
	made_at  INTEGER NOT NULL,
	document TEXT NOT NULL -- JSON: what is told, without patient data
);
CREATE INDEX notice_study ON notice (study, id);

-- A notice says nothing of whose the study is: it does not wait at the gate.
DROP TRIGGER delivery_held;
CREATE TRIGGER delivery_held AFTER INSERT ON delivery
	WHEN NEW.purpose NOT IN ('source', 'notice') AND EXISTS (SELECT 1 FROM gate WHERE study = NEW.study AND held = 1) BEGIN
	UPDATE delivery SET held = 1 WHERE id = NEW.id;
END;
DROP TRIGGER gate_held;
CREATE TRIGGER gate_held AFTER UPDATE OF held ON gate WHEN OLD.held <> NEW.held BEGIN
	UPDATE study SET parked = parked + NEW.held - OLD.held WHERE id = NEW.study;
	UPDATE delivery SET held = NEW.held WHERE study = NEW.study AND purpose NOT IN ('source', 'notice') AND state IN ('pending', 'sent', 'parked');
END;
