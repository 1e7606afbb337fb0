-- What reports of other systems say of findings, and where that and the networks do not agree: for a person to look at.

CREATE TABLE report_reading (
	id                 INTEGER PRIMARY KEY,
	entry              TEXT NOT NULL, -- of the message in the spool
	study_instance_uid TEXT NOT NULL, -- the study in the message's own words
	accession          TEXT NOT NULL,
	patient_id         TEXT NOT NULL,
	document           TEXT NOT NULL -- JSON: status, language, ontology, findings
);
CREATE INDEX report_reading_entry ON report_reading (entry);
CREATE INDEX report_reading_study ON report_reading (study_instance_uid, id);
CREATE INDEX report_reading_accession ON report_reading (accession, id);
CREATE INDEX report_reading_patient ON report_reading (patient_id);

-- Studies that have such a report. version rises with each and with each report of ours; looked is the one that was compared.
CREATE TABLE look (
	study   INTEGER PRIMARY KEY REFERENCES study (id),
	version INTEGER NOT NULL,
	looked  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX look_due ON look (study) WHERE version > looked;
CREATE TRIGGER look_report AFTER INSERT ON event WHEN NEW.what = 'message' AND EXISTS (SELECT 1 FROM report_reading WHERE entry = NEW.entry) BEGIN
	INSERT INTO look (study, version) VALUES (NEW.study, 1) ON CONFLICT DO UPDATE SET version = version + 1;
END;
CREATE TRIGGER look_exam AFTER UPDATE OF revision ON exam WHEN NEW.revision <> OLD.revision BEGIN
	UPDATE look SET version = version + 1 WHERE study = NEW.study;
END;

CREATE TABLE review (
	id            INTEGER PRIMARY KEY,
	name          TEXT NOT NULL UNIQUE, -- in all databases
	study         INTEGER NOT NULL REFERENCES study (id),
	priority      INTEGER NOT NULL, -- 1 first
	state         TEXT NOT NULL CHECK (state IN ('open', 'confirmed', 'rejected', 'withdrawn', 'agreed')),
	kind          TEXT NOT NULL,
	model         TEXT NOT NULL,
	model_version TEXT NOT NULL,
	route         TEXT NOT NULL,
	finding       TEXT NOT NULL,
	site          TEXT NOT NULL, -- JSON
	made_at       INTEGER NOT NULL,
	document      TEXT NOT NULL -- JSON
);
CREATE INDEX review_state ON review (state, priority, id);
CREATE INDEX review_study ON review (study, priority, id);
CREATE INDEX review_made ON review (made_at);
CREATE TRIGGER review_new AFTER INSERT ON review BEGIN
	INSERT INTO tally VALUES ('review', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER review_changed AFTER UPDATE OF state ON review WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'review' AND name = '' AND state = OLD.state;
	INSERT INTO tally VALUES ('review', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
