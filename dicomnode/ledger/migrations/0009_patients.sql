-- Patients, who was merged into whom, and whether images, order and patient of a study agree.

-- One row per identifier that anybody has told of. They stay, and so do aliases, until a person has a patient erased.
CREATE TABLE patient (
	id         INTEGER PRIMARY KEY,
	identifier TEXT NOT NULL,
	authority  TEXT NOT NULL, -- that assigned it; '' where nobody says
	current    INTEGER NOT NULL REFERENCES patient (id), -- itself, or whom it was merged into, however many merges away
	others     TEXT NOT NULL DEFAULT '[]', -- JSON: further identifiers
	name       TEXT NOT NULL DEFAULT '',
	birth_date TEXT NOT NULL DEFAULT '',
	sex        TEXT NOT NULL DEFAULT '',
	changed_at INTEGER NOT NULL,
	merged_at  INTEGER,
	UNIQUE (identifier, authority)
);
CREATE INDEX patient_current ON patient (current);

-- What the images of a study say of themselves, each once.
CREATE TABLE claim (
	study      INTEGER NOT NULL REFERENCES study (id),
	patient_id TEXT NOT NULL,
	issuer     TEXT NOT NULL,
	accession  TEXT NOT NULL,
	PRIMARY KEY (study, patient_id, issuer, accession)
) WITHOUT ROWID;
CREATE INDEX claim_patient ON claim (patient_id);

-- One row per study: whose it is, and whether its results may leave.
CREATE TABLE gate (
	study             INTEGER PRIMARY KEY REFERENCES study (id),
	policy            TEXT NOT NULL CHECK (policy IN ('off', 'warn', 'hold')), -- the strictest of its routes
	patient_id        TEXT NOT NULL DEFAULT '',
	patient           TEXT NOT NULL DEFAULT '{}', -- JSON: whom it is on
	other             INTEGER NOT NULL DEFAULT 0, -- 1: its images name another one: they were merged since, or a person has said so
	mismatches        TEXT NOT NULL DEFAULT '[]', -- JSON
	evidence          TEXT NOT NULL DEFAULT '', -- digest of what they rest on; '' for none
	released          TEXT NOT NULL DEFAULT '', -- evidence that a person has seen
	held              INTEGER NOT NULL DEFAULT 0, -- 1: its results wait for a person
	since             INTEGER,
	correct_id        TEXT NOT NULL DEFAULT '', -- whom a person says that it is on
	correct_authority TEXT NOT NULL DEFAULT '',
	correct_order     INTEGER REFERENCES imaging_order (id) -- that a person says it belongs to
);
CREATE INDEX gate_held ON gate (since) WHERE held = 1;
CREATE INDEX gate_mismatch ON gate (study) WHERE evidence <> '';
CREATE INDEX gate_patient ON gate (patient_id);
CREATE INDEX gate_correct ON gate (correct_id) WHERE correct_id <> '';
CREATE INDEX gate_order ON gate (correct_order) WHERE correct_order IS NOT NULL;

INSERT INTO claim SELECT DISTINCT study, coalesce(header ->> 'patient_id', ''), '', coalesce(header ->> 'accession_number', '') FROM instance;
INSERT INTO gate (study, policy, patient_id, patient) SELECT id, 'warn', patient_id,
	json_object('identifier', json_object('id', patient_id), 'name', patient_name,
		'birth_date', coalesce((SELECT header ->> 'patient_birth_date' FROM instance i WHERE i.study = s.id AND coalesce(header ->> 'patient_id', '') = s.patient_id ORDER BY i.id LIMIT 1), ''),
		'sex', coalesce((SELECT header ->> 'patient_sex' FROM instance i WHERE i.study = s.id AND coalesce(header ->> 'patient_id', '') = s.patient_id ORDER BY i.id LIMIT 1), '')) FROM study s;

ALTER TABLE delivery ADD COLUMN held INTEGER NOT NULL DEFAULT 0; -- 1: of a result of a study that is held
DROP INDEX delivery_due;
DROP INDEX delivery_next;
CREATE INDEX delivery_due ON delivery (destination, behind, rank, id, next_at) WHERE state = 'pending' AND held = 0;
CREATE INDEX delivery_next ON delivery (destination, held, next_at) WHERE state = 'pending';

CREATE TRIGGER delivery_held AFTER INSERT ON delivery
	WHEN NEW.purpose <> 'source' AND EXISTS (SELECT 1 FROM gate WHERE study = NEW.study AND held = 1) BEGIN
	UPDATE delivery SET held = 1 WHERE id = NEW.id;
END;
CREATE TRIGGER gate_held AFTER UPDATE OF held ON gate WHEN OLD.held <> NEW.held BEGIN
	UPDATE study SET parked = parked + NEW.held - OLD.held WHERE id = NEW.study;
	UPDATE delivery SET held = NEW.held WHERE study = NEW.study AND purpose <> 'source' AND state IN ('pending', 'sent', 'parked');
END;
