-- Messages of other protocols, in and out, and the orders that those that came in say.

CREATE TABLE message (
	id          INTEGER PRIMARY KEY,
	entry       TEXT NOT NULL UNIQUE, -- in the spool
	direction   TEXT NOT NULL CHECK (direction IN ('in', 'out')),
	application TEXT NOT NULL, -- of the sender
	facility    TEXT NOT NULL,
	control_id  TEXT NOT NULL,
	digest      TEXT NOT NULL, -- SHA-256 of the bytes, hex
	size        INTEGER NOT NULL,
	type        TEXT NOT NULL,
	note        TEXT NOT NULL, -- what it was about, without patient data
	protocol    TEXT NOT NULL, -- of the answer
	code        TEXT NOT NULL,
	text        TEXT NOT NULL,
	at          INTEGER NOT NULL,
	last_at     INTEGER NOT NULL,
	count       INTEGER NOT NULL DEFAULT 1, -- how often it came between at and last_at
	released_at INTEGER
);
CREATE INDEX message_again ON message (application, facility, control_id);
CREATE INDEX message_held ON message (at) WHERE released_at IS NULL;
CREATE INDEX message_at ON message (at);

-- The studies that a message is about, in its own words: they may be received later, or never.
CREATE TABLE subject (
	message            INTEGER NOT NULL REFERENCES message (id),
	study_instance_uid TEXT NOT NULL,
	accession          TEXT NOT NULL
);
CREATE INDEX subject_message ON subject (message);
CREATE INDEX subject_study ON subject (study_instance_uid) WHERE study_instance_uid <> '';
CREATE INDEX subject_accession ON subject (accession) WHERE accession <> '';

CREATE TABLE imaging_order (
	id                 INTEGER PRIMARY KEY,
	accession          TEXT NOT NULL,
	study_instance_uid TEXT NOT NULL,
	placer             TEXT NOT NULL,
	placer_authority   TEXT NOT NULL,
	filler             TEXT NOT NULL,
	filler_authority   TEXT NOT NULL,
	patient_id         TEXT NOT NULL,
	patient_authority  TEXT NOT NULL,
	patient            TEXT NOT NULL, -- JSON
	state              TEXT NOT NULL CHECK (state IN ('open', 'in-progress', 'completed', 'cancelled')),
	document           TEXT NOT NULL, -- JSON: all of it but the patient
	made_at            INTEGER NOT NULL,
	changed_at         INTEGER NOT NULL
);
CREATE INDEX imaging_order_accession ON imaging_order (accession);
CREATE INDEX imaging_order_study ON imaging_order (study_instance_uid) WHERE study_instance_uid <> '';
CREATE INDEX imaging_order_placer ON imaging_order (placer) WHERE placer <> '';
CREATE INDEX imaging_order_filler ON imaging_order (filler) WHERE filler <> '';
CREATE INDEX imaging_order_patient ON imaging_order (patient_id, patient_authority);
CREATE INDEX imaging_order_changed ON imaging_order (changed_at, id);
