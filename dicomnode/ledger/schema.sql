CREATE TABLE meta (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	position INTEGER NOT NULL -- Seq of the last spool entry taken in
, acted INTEGER NOT NULL DEFAULT 0, store TEXT NOT NULL DEFAULT '', clock TEXT NOT NULL DEFAULT '', studies INTEGER NOT NULL DEFAULT 0, notify TEXT NOT NULL DEFAULT '{}', unkept INTEGER NOT NULL DEFAULT 0, models TEXT NOT NULL DEFAULT '{}');
CREATE TABLE study (
	id                 INTEGER PRIMARY KEY,
	study_instance_uid TEXT NOT NULL UNIQUE,
	patient_id         TEXT NOT NULL,
	patient_name       TEXT NOT NULL,
	accession_number   TEXT NOT NULL,
	study_date         TEXT NOT NULL,
	study_time         TEXT NOT NULL,
	study_description  TEXT NOT NULL,
	first_at           INTEGER NOT NULL,
	last_at            INTEGER NOT NULL, -- of the last instance received
	instances          INTEGER NOT NULL DEFAULT 0,
	conflicts          INTEGER NOT NULL DEFAULT 0,
	open               INTEGER NOT NULL DEFAULT 0, -- jobs, exams and deliveries with work to do
	parked             INTEGER NOT NULL DEFAULT 0  -- jobs, exams and deliveries that wait for a person
, forgotten_at INTEGER, modality TEXT NOT NULL DEFAULT '', frames INTEGER NOT NULL DEFAULT 0, flagged INTEGER NOT NULL DEFAULT 0, unanalysed INTEGER NOT NULL DEFAULT 0, deliveries_pending INTEGER NOT NULL DEFAULT 0, deliveries_sent INTEGER NOT NULL DEFAULT 0, deliveries_done INTEGER NOT NULL DEFAULT 0, deliveries_parked INTEGER NOT NULL DEFAULT 0, deliveries_discarded INTEGER NOT NULL DEFAULT 0, status TEXT AS (CASE WHEN parked > 0 THEN 'parked' WHEN open > 0 THEN 'working'
	WHEN unanalysed > 0 AND unanalysed + conflicts >= instances THEN 'not-analysed' WHEN unanalysed > 0 THEN 'partly-analysed'
	ELSE 'done' END) VIRTUAL, urgent INTEGER NOT NULL DEFAULT 0, stands_at INTEGER AS (last_at + urgent * 86400000000) VIRTUAL, kept INTEGER NOT NULL DEFAULT 0);
CREATE TABLE instance (
	id                  INTEGER PRIMARY KEY,
	entry               TEXT NOT NULL UNIQUE, -- in the spool
	seq                 INTEGER NOT NULL,
	study               INTEGER NOT NULL REFERENCES study (id),
	series_instance_uid TEXT NOT NULL,
	sop_class_uid       TEXT NOT NULL,
	sop_instance_uid    TEXT NOT NULL,
	transfer_syntax_uid TEXT NOT NULL,
	calling_ae          TEXT NOT NULL,
	called_ae           TEXT NOT NULL,
	received_at         INTEGER NOT NULL,
	size                INTEGER NOT NULL,
	digest              TEXT NOT NULL,
	route               TEXT NOT NULL,
	instance_number     INTEGER NOT NULL,
	header              TEXT NOT NULL, -- JSON
	state               TEXT NOT NULL CHECK (state IN ('queued', 'analysed', 'failed', 'not-analysed', 'conflict')),
	reason              TEXT NOT NULL DEFAULT '',
	held                INTEGER NOT NULL, -- 1: not released before it is analysed or discarded
	released_at         INTEGER
, flagged INTEGER NOT NULL DEFAULT 0);
CREATE INDEX instance_sop ON instance (sop_instance_uid);
CREATE INDEX instance_unreleased ON instance (received_at) WHERE released_at IS NULL AND held = 0;
CREATE INDEX instance_held ON instance (id) WHERE held = 1;
CREATE TABLE exam (
	id           INTEGER PRIMARY KEY,
	study        INTEGER NOT NULL REFERENCES study (id),
	route        TEXT NOT NULL,
	model        TEXT NOT NULL,
	state        TEXT NOT NULL CHECK (state IN ('open', 'reported', 'parked')),
	reason       TEXT NOT NULL DEFAULT '',
	first_at     INTEGER NOT NULL,
	last_at      INTEGER NOT NULL, -- of the last arrival
	since        INTEGER NOT NULL, -- of the first arrival or result that no report has
	version      INTEGER NOT NULL, -- rises with every arrival and result
	covered      INTEGER NOT NULL DEFAULT 0, -- version that the last report has
	results      INTEGER NOT NULL DEFAULT 0, -- version of the newest result
	revision     INTEGER NOT NULL DEFAULT 0, -- reports made
	reported_at  INTEGER,
	open_jobs    INTEGER NOT NULL DEFAULT 0,
	destinations TEXT NOT NULL, over_at INTEGER, again INTEGER NOT NULL DEFAULT 0, quiet_at INTEGER NOT NULL DEFAULT 0, -- JSON: where its results go, as the last arrival named them
	UNIQUE (study, route, model)
);
CREATE INDEX exam_open ON exam (id) WHERE state = 'open';
CREATE INDEX exam_parked ON exam (id) WHERE state = 'parked';
CREATE TABLE job (
	id          INTEGER PRIMARY KEY,
	name        TEXT NOT NULL UNIQUE, -- entry.model
	instance    INTEGER NOT NULL REFERENCES instance (id),
	study       INTEGER NOT NULL REFERENCES study (id),
	exam        INTEGER NOT NULL REFERENCES exam (id),
	model       TEXT NOT NULL,
	state       TEXT NOT NULL CHECK (state IN ('open', 'done', 'parked', 'discarded', 'skipped')),
	attempts    INTEGER NOT NULL DEFAULT 0,
	retries     INTEGER NOT NULL DEFAULT 0,
	inferred_at INTEGER, -- start of the first attempt
	ended_at    INTEGER,
	version     INTEGER NOT NULL DEFAULT 0, -- of the exam when the job ended
	reason      TEXT NOT NULL DEFAULT ''
, made_by TEXT NOT NULL DEFAULT '{}', priority TEXT NOT NULL DEFAULT 'ROUTINE' CHECK (priority IN ('STAT', 'HIGH', 'MEDIUM', 'ROUTINE')), retracted TEXT NOT NULL DEFAULT '', retracted_at INTEGER, again INTEGER NOT NULL DEFAULT 0, source TEXT NOT NULL DEFAULT '', line TEXT AS (model || char(10) || priority || char(10) || source) VIRTUAL, screening TEXT NOT NULL DEFAULT '', moving TEXT NOT NULL DEFAULT 'null');
CREATE INDEX job_open ON job (id) WHERE state = 'open';
CREATE INDEX job_parked ON job (id) WHERE state = 'parked';
CREATE INDEX job_instance ON job (instance);
CREATE INDEX job_exam ON job (exam);
CREATE TABLE object (
	id                  INTEGER PRIMARY KEY,
	entry               TEXT NOT NULL UNIQUE,
	study               INTEGER NOT NULL REFERENCES study (id),
	series_instance_uid TEXT NOT NULL,
	sop_class_uid       TEXT NOT NULL,
	sop_instance_uid    TEXT NOT NULL,
	transfer_syntax_uid TEXT NOT NULL,
	purpose             TEXT NOT NULL,
	model               TEXT NOT NULL,
	source              TEXT NOT NULL, -- SOP Instance UID it was made from, or ''
	first               INTEGER NOT NULL,
	revision            INTEGER NOT NULL,
	twin_of             INTEGER REFERENCES object (id), -- sent in its place where the peer refuses it
	made_at             INTEGER NOT NULL,
	released_at         INTEGER
, count INTEGER NOT NULL DEFAULT 0, digest TEXT NOT NULL DEFAULT '', name TEXT NOT NULL DEFAULT '', lost INTEGER NOT NULL DEFAULT 0);
CREATE INDEX object_sop ON object (sop_instance_uid);
CREATE INDEX object_study ON object (study);
CREATE INDEX object_held ON object (made_at) WHERE released_at IS NULL;
CREATE TABLE event (
	id               INTEGER PRIMARY KEY,
	study            INTEGER NOT NULL REFERENCES study (id),
	sop_instance_uid TEXT NOT NULL, -- '' for the exam as a whole
	entry            TEXT NOT NULL,
	what             TEXT NOT NULL,
	at               INTEGER NOT NULL,
	last_at          INTEGER NOT NULL,
	count            INTEGER NOT NULL DEFAULT 1, -- how often it happened between at and last_at
	destination      TEXT NOT NULL,
	code           TEXT NOT NULL,
	detail           TEXT NOT NULL,
	merge            TEXT UNIQUE -- events of the same key are one row
, protocol TEXT NOT NULL DEFAULT '', text TEXT NOT NULL DEFAULT '', actor_kind TEXT NOT NULL DEFAULT '', actor TEXT NOT NULL DEFAULT '');
CREATE TABLE tally (
	kind  TEXT NOT NULL, -- instance, job, exam, delivery
	name  TEXT NOT NULL, -- model or destination, '' for instances
	state TEXT NOT NULL,
	n     INTEGER NOT NULL,
	PRIMARY KEY (kind, name, state)
) WITHOUT ROWID;
CREATE TRIGGER exam_new AFTER INSERT ON exam BEGIN
	INSERT INTO tally VALUES ('exam', NEW.model, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state = 'open'), parked = parked + (NEW.state = 'parked') WHERE id = NEW.study;
END;
CREATE TRIGGER exam_state AFTER UPDATE OF state ON exam WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'exam' AND name = OLD.model AND state = OLD.state;
	INSERT INTO tally VALUES ('exam', NEW.model, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state = 'open') - (OLD.state = 'open'),
		parked = parked + (NEW.state = 'parked') - (OLD.state = 'parked') WHERE id = NEW.study;
END;
CREATE TRIGGER job_new AFTER INSERT ON job BEGIN
	INSERT INTO tally VALUES ('job', NEW.model, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state = 'open'), parked = parked + (NEW.state = 'parked') WHERE id = NEW.study;
	UPDATE exam SET open_jobs = open_jobs + (NEW.state = 'open') WHERE id = NEW.exam;
END;
CREATE TRIGGER job_state AFTER UPDATE OF state ON job WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'job' AND name = OLD.model AND state = OLD.state;
	INSERT INTO tally VALUES ('job', NEW.model, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state = 'open') - (OLD.state = 'open'),
		parked = parked + (NEW.state = 'parked') - (OLD.state = 'parked') WHERE id = NEW.study;
	UPDATE exam SET open_jobs = open_jobs + (NEW.state = 'open') - (OLD.state = 'open') WHERE id = NEW.exam;
	UPDATE instance SET state = CASE
		WHEN EXISTS (SELECT 1 FROM job WHERE instance = NEW.instance AND state = 'open') THEN 'queued'
		WHEN EXISTS (SELECT 1 FROM job WHERE instance = NEW.instance AND state IN ('parked', 'discarded')) THEN 'failed'
		WHEN EXISTS (SELECT 1 FROM job WHERE instance = NEW.instance AND state = 'done') THEN 'analysed'
		ELSE 'not-analysed' END
	WHERE id = NEW.instance;
END;
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
	notes    TEXT NOT NULL, contours BLOB, -- JSON
	PRIMARY KEY (job, first, count)
) WITHOUT ROWID;
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
	reason              TEXT NOT NULL DEFAULT '', waits_for TEXT NOT NULL DEFAULT '', held INTEGER NOT NULL DEFAULT 0, number INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 0, stale INTEGER NOT NULL DEFAULT 0, asked_at INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL DEFAULT 0, source TEXT NOT NULL DEFAULT '',
	UNIQUE (entry, destination)
);
CREATE INDEX delivery_sent ON delivery (destination, next_at) WHERE state = 'sent';
CREATE INDEX delivery_done ON delivery (destination, ended_at) WHERE state = 'done';
CREATE INDEX delivery_parked ON delivery (id) WHERE state = 'parked';
CREATE INDEX delivery_alternate ON delivery (alternate) WHERE alternate <> '';
CREATE INDEX delivery_study ON delivery (study);
CREATE TABLE need (
	entry    TEXT NOT NULL,
	by       TEXT NOT NULL, -- refused: it could not be taken in
	reason   TEXT NOT NULL,
	at       INTEGER NOT NULL,
	ended_at INTEGER,
	PRIMARY KEY (entry, by)
) WITHOUT ROWID;
CREATE INDEX need_ended ON need (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX need_refused ON need (entry) WHERE by = 'refused';
CREATE INDEX study_last ON study (last_at, id) WHERE forgotten_at IS NULL;
CREATE TABLE known (
	sop_instance_uid TEXT NOT NULL,
	made             INTEGER NOT NULL, -- 1: here
	digest           TEXT NOT NULL, -- SHA-256 of the data set, hex; '' of objects made before digests were kept
	PRIMARY KEY (sop_instance_uid, made, digest)
) WITHOUT ROWID;
CREATE INDEX object_twin ON object (twin_of) WHERE twin_of IS NOT NULL;
CREATE TRIGGER job_gone AFTER DELETE ON job BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'job' AND name = OLD.model AND state = OLD.state;
END;
CREATE TRIGGER instance_held_new AFTER INSERT ON instance WHEN NEW.held = 1 BEGIN
	UPDATE study SET parked = parked + 1 WHERE id = NEW.study;
END;
CREATE TRIGGER instance_held AFTER UPDATE OF held ON instance WHEN OLD.held <> NEW.held BEGIN
	UPDATE study SET parked = parked + NEW.held - OLD.held WHERE id = NEW.study;
END;
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
CREATE TABLE desk (
	study   INTEGER PRIMARY KEY REFERENCES study (id),
	version INTEGER NOT NULL, -- rises with every report of an exam, and every change of order or patient
	covered INTEGER NOT NULL DEFAULT 0, -- version that the last draft is made of
	number  INTEGER NOT NULL DEFAULT 0, -- of the last draft: never given twice, also when the drafts are forgotten
	reason  TEXT NOT NULL DEFAULT '' -- why no draft can be made of version covered
);
CREATE INDEX desk_due ON desk (study) WHERE version > covered;
CREATE TRIGGER exam_settled AFTER UPDATE OF state, revision ON exam
	WHEN NEW.state IN ('reported', 'parked') AND (OLD.state <> NEW.state OR OLD.revision <> NEW.revision) BEGIN
	INSERT INTO desk (study, version) VALUES (NEW.study, 1) ON CONFLICT DO UPDATE SET version = version + 1;
END;
CREATE TABLE draft (
	id              INTEGER PRIMARY KEY,
	study           INTEGER NOT NULL REFERENCES study (id),
	number          INTEGER NOT NULL, -- of the draft among those of its study, from 1
	version         INTEGER NOT NULL, -- of this draft, from 1
	event           TEXT NOT NULL, -- what made it
	standing        TEXT NOT NULL,
	author          TEXT NOT NULL,
	unauthenticated INTEGER NOT NULL, -- 1: named by the client, checked by nobody
	system          INTEGER NOT NULL, -- 1: the gateway
	at              INTEGER NOT NULL,
	document        TEXT NOT NULL, -- JSON
	edit            TEXT NOT NULL, -- JSON, as it was given; '' of those that nobody edited
	basis           TEXT NOT NULL, page TEXT NOT NULL DEFAULT '', -- JSON: what it is made of
	UNIQUE (study, number, version)
);
CREATE TABLE agreement (
	id              INTEGER PRIMARY KEY,
	study           INTEGER NOT NULL REFERENCES study (id),
	finding         TEXT NOT NULL, -- its UID
	number          INTEGER NOT NULL, -- of the draft
	version         INTEGER NOT NULL,
	model           TEXT NOT NULL,
	model_version   TEXT NOT NULL,
	route           TEXT NOT NULL,
	class           TEXT NOT NULL,
	site            TEXT NOT NULL, -- JSON: code of where the model saw it
	decision        TEXT NOT NULL, -- accept, reject, modify; '' where a decision was taken back
	author          TEXT NOT NULL,
	unauthenticated INTEGER NOT NULL,
	at              INTEGER NOT NULL
);
CREATE INDEX agreement_finding ON agreement (study, finding, id);
CREATE INDEX agreement_at ON agreement (at);
CREATE INDEX delivery_waits ON delivery (waits_for) WHERE waits_for <> '' AND state = 'pending';
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
	merged_at  INTEGER, sender TEXT NOT NULL DEFAULT '',
	UNIQUE (identifier, authority)
);
CREATE INDEX patient_current ON patient (current);
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
CREATE INDEX delivery_next ON delivery (destination, held, next_at) WHERE state = 'pending';
CREATE INDEX desk_parked ON desk (study) WHERE reason <> '';
CREATE INDEX delivery_stale ON delivery (id) WHERE stale = 1 AND state = 'pending';
CREATE TABLE claim (
	study      INTEGER NOT NULL REFERENCES study (id),
	patient_id TEXT NOT NULL,
	issuer     TEXT NOT NULL,
	accession  TEXT NOT NULL,
	name       TEXT NOT NULL,
	birth_date TEXT NOT NULL,
	sex        TEXT NOT NULL,
	PRIMARY KEY (study, patient_id, issuer, accession, name, birth_date, sex)
) WITHOUT ROWID;
CREATE INDEX claim_patient ON claim (patient_id);
CREATE INDEX object_name ON object (name);
CREATE INDEX object_lost ON object (study) WHERE lost > 0;
CREATE INDEX job_again ON job (id) WHERE again > 0;
CREATE INDEX exam_again ON exam (id) WHERE again = 1;
CREATE INDEX delivery_message ON delivery (entry) WHERE kind <> 'dicom' AND state = 'pending' AND number > 0;
CREATE INDEX delivery_age ON delivery (destination, asked_at) WHERE state IN ('pending', 'sent') AND held = 0 AND waits_for = '';
CREATE INDEX instance_unanalysed ON instance (study) WHERE state IN ('failed', 'not-analysed');
CREATE INDEX job_line ON job (line, id) WHERE state = 'open';
CREATE INDEX delivery_due ON delivery (destination, source, rank, id, next_at) WHERE state = 'pending' AND held = 0 AND stale = 0 AND behind = 0;
CREATE INDEX delivery_behind ON delivery (destination, source, next_at, id) WHERE state = 'pending' AND held = 0 AND stale = 0 AND behind = 1;
CREATE INDEX event_study ON event (study);
CREATE TRIGGER imaging_order_new AFTER INSERT ON imaging_order BEGIN
	INSERT INTO tally VALUES ('order', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER imaging_order_state AFTER UPDATE OF state ON imaging_order WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'order' AND name = '' AND state = OLD.state;
	INSERT INTO tally VALUES ('order', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER imaging_order_gone AFTER DELETE ON imaging_order BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'order' AND name = '' AND state = OLD.state;
END;
CREATE TRIGGER message_new AFTER INSERT ON message BEGIN
	INSERT INTO tally VALUES ('message', NEW.type, NEW.code, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'message' AND name = OLD.type AND state = OLD.code;
END;
CREATE TABLE agreed (
	model         TEXT NOT NULL,
	model_version TEXT NOT NULL,
	route         TEXT NOT NULL,
	class         TEXT NOT NULL,
	site          TEXT NOT NULL,
	decision      TEXT NOT NULL,
	n             INTEGER NOT NULL,
	PRIMARY KEY (model, model_version, route, class, site, decision)
) WITHOUT ROWID;
CREATE TRIGGER agreement_new AFTER INSERT ON agreement BEGIN
	UPDATE agreed SET n = n - 1 WHERE (model, model_version, route, class, site, decision) = (
		SELECT model, model_version, route, class, site, decision FROM agreement
		WHERE study = NEW.study AND finding = NEW.finding AND id < NEW.id ORDER BY id DESC LIMIT 1);
	INSERT INTO agreed VALUES (NEW.model, NEW.model_version, NEW.route, NEW.class, NEW.site, NEW.decision, 1)
		ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER instance_state AFTER UPDATE OF state ON instance WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'instance' AND name = '' AND state = OLD.state;
	INSERT INTO tally VALUES ('instance', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET unanalysed = unanalysed + (NEW.state IN ('failed', 'not-analysed')) - (OLD.state IN ('failed', 'not-analysed'))
		WHERE id = NEW.study;
END;
CREATE TRIGGER instance_flagged AFTER UPDATE OF flagged ON instance WHEN OLD.flagged <> NEW.flagged BEGIN
	UPDATE study SET flagged = flagged + NEW.flagged - OLD.flagged WHERE id = NEW.study;
END;
CREATE TRIGGER job_flagged AFTER UPDATE OF state, retracted ON job
	WHEN (OLD.state <> NEW.state OR OLD.retracted <> NEW.retracted) AND EXISTS (SELECT 1 FROM span WHERE job = NEW.id) BEGIN
	UPDATE instance SET flagged = (SELECT count(DISTINCT r.first) FROM job j JOIN span r ON r.job = j.id, json_each(r.findings)
		WHERE j.instance = NEW.instance AND j.retracted = '' AND value ->> 'role' = 'finding') WHERE id = NEW.instance;
END;
CREATE TRIGGER delivery_new AFTER INSERT ON delivery BEGIN
	INSERT INTO tally VALUES ('delivery', NEW.destination, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state IN ('pending', 'sent')), parked = parked + (NEW.state = 'parked'),
		deliveries_pending = deliveries_pending + (NEW.state = 'pending'), deliveries_sent = deliveries_sent + (NEW.state = 'sent'),
		deliveries_done = deliveries_done + (NEW.state = 'done'), deliveries_parked = deliveries_parked + (NEW.state = 'parked'),
		deliveries_discarded = deliveries_discarded + (NEW.state = 'discarded') WHERE id = NEW.study;
END;
CREATE TRIGGER delivery_state AFTER UPDATE OF state ON delivery WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'delivery' AND name = OLD.destination AND state = OLD.state;
	INSERT INTO tally VALUES ('delivery', NEW.destination, NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET open = open + (NEW.state IN ('pending', 'sent')) - (OLD.state IN ('pending', 'sent')),
		parked = parked + (NEW.state = 'parked') - (OLD.state = 'parked'),
		deliveries_pending = deliveries_pending + (NEW.state = 'pending') - (OLD.state = 'pending'),
		deliveries_sent = deliveries_sent + (NEW.state = 'sent') - (OLD.state = 'sent'),
		deliveries_done = deliveries_done + (NEW.state = 'done') - (OLD.state = 'done'),
		deliveries_parked = deliveries_parked + (NEW.state = 'parked') - (OLD.state = 'parked'),
		deliveries_discarded = deliveries_discarded + (NEW.state = 'discarded') - (OLD.state = 'discarded') WHERE id = NEW.study;
END;
CREATE TRIGGER delivery_gone AFTER DELETE ON delivery BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'delivery' AND name = OLD.destination AND state = OLD.state;
	UPDATE study SET deliveries_pending = deliveries_pending - (OLD.state = 'pending'), deliveries_sent = deliveries_sent - (OLD.state = 'sent'),
		deliveries_done = deliveries_done - (OLD.state = 'done'), deliveries_parked = deliveries_parked - (OLD.state = 'parked'),
		deliveries_discarded = deliveries_discarded - (OLD.state = 'discarded') WHERE id = OLD.study;
END;
CREATE TRIGGER study_new AFTER INSERT ON study WHEN NEW.forgotten_at IS NULL BEGIN
	UPDATE meta SET studies = studies + 1;
	INSERT INTO tally VALUES ('study', '', NEW.status, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER study_gone AFTER DELETE ON study WHEN OLD.forgotten_at IS NULL BEGIN
	UPDATE meta SET studies = studies - 1;
	UPDATE tally SET n = n - 1 WHERE kind = 'study' AND name = '' AND state = OLD.status;
END;
CREATE TRIGGER study_forgotten AFTER UPDATE ON study WHEN OLD.forgotten_at IS NULL AND (NEW.forgotten_at IS NOT NULL OR OLD.status <> NEW.status) BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'study' AND name = '' AND state = OLD.status;
	UPDATE meta SET studies = studies - 1 WHERE NEW.forgotten_at IS NOT NULL;
END;
CREATE TRIGGER study_status AFTER UPDATE ON study WHEN NEW.forgotten_at IS NULL AND (OLD.forgotten_at IS NOT NULL OR OLD.status <> NEW.status) BEGIN
	INSERT INTO tally VALUES ('study', '', NEW.status, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE meta SET studies = studies + 1 WHERE OLD.forgotten_at IS NOT NULL;
END;
CREATE INDEX instance_study ON instance (study, instance_number);
CREATE TABLE report_reading (
	id                 INTEGER PRIMARY KEY,
	entry              TEXT NOT NULL, -- of the message in the spool
	study_instance_uid TEXT NOT NULL, -- the study in the message's own words
	accession          TEXT NOT NULL,
	patient_id         TEXT NOT NULL,
	document           TEXT NOT NULL -- JSON: status, language, ontology, findings
, reporter TEXT NOT NULL DEFAULT '{}');
CREATE INDEX report_reading_entry ON report_reading (entry);
CREATE INDEX report_reading_study ON report_reading (study_instance_uid, id);
CREATE INDEX report_reading_accession ON report_reading (accession, id);
CREATE INDEX report_reading_patient ON report_reading (patient_id);
CREATE TABLE look (
	study   INTEGER PRIMARY KEY REFERENCES study (id),
	version INTEGER NOT NULL,
	looked  INTEGER NOT NULL DEFAULT 0
, quiet INTEGER NOT NULL DEFAULT 0);
CREATE INDEX look_due ON look (study) WHERE version > looked;
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
, threshold REAL NOT NULL DEFAULT 0, reporter TEXT NOT NULL DEFAULT '{}');
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
CREATE TABLE urgent (
	study    INTEGER NOT NULL REFERENCES study (id),
	class    TEXT NOT NULL, -- of the model
	model    TEXT NOT NULL,
	at       INTEGER NOT NULL,
	PRIMARY KEY (study, class)
) WITHOUT ROWID;
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
CREATE TRIGGER delivery_held AFTER INSERT ON delivery
	WHEN NEW.purpose NOT IN ('source', 'notice') AND EXISTS (SELECT 1 FROM gate WHERE study = NEW.study AND held = 1) BEGIN
	UPDATE delivery SET held = 1 WHERE id = NEW.id;
END;
CREATE TRIGGER gate_held AFTER UPDATE OF held ON gate WHEN OLD.held <> NEW.held BEGIN
	UPDATE study SET parked = parked + NEW.held - OLD.held WHERE id = NEW.study;
	UPDATE delivery SET held = NEW.held WHERE study = NEW.study AND purpose NOT IN ('source', 'notice') AND state IN ('pending', 'sent', 'parked');
END;
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
, total INTEGER NOT NULL DEFAULT 0);
CREATE INDEX screening_running ON screening (id) WHERE state = 'running';
CREATE INDEX study_first ON study (first_at, study_instance_uid) WHERE forgotten_at IS NULL;
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
CREATE INDEX study_stands ON study (stands_at, id) WHERE forgotten_at IS NULL;
CREATE INDEX study_patient ON study (patient_id, stands_at);
CREATE INDEX study_accession ON study (accession_number, stands_at);
CREATE INDEX study_conflict ON study (stands_at, id) WHERE conflicts > 0;
CREATE INDEX study_status ON study (status, stands_at, id) WHERE forgotten_at IS NULL;
CREATE INDEX study_kept ON study (last_at, id) WHERE kept > 0;
CREATE TRIGGER instance_new AFTER INSERT ON instance BEGIN
	INSERT INTO tally VALUES ('instance', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
	UPDATE study SET instances = instances + 1, conflicts = conflicts + (NEW.state = 'conflict'), kept = kept + (NEW.released_at IS NULL),
		modality = max(modality, coalesce(NEW.header ->> 'modality', '')), frames = frames + coalesce(NEW.header ->> 'number_of_frames', 0),
		unanalysed = unanalysed + (NEW.state IN ('failed', 'not-analysed')) WHERE id = NEW.study;
END;
CREATE TRIGGER instance_gone AFTER DELETE ON instance BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'instance' AND name = '' AND state = OLD.state;
	UPDATE study SET instances = instances - 1, conflicts = conflicts - (OLD.state = 'conflict'), kept = kept - (OLD.released_at IS NULL),
		frames = frames - coalesce(OLD.header ->> 'number_of_frames', 0), flagged = flagged - OLD.flagged,
		unanalysed = unanalysed - (OLD.state IN ('failed', 'not-analysed')) WHERE id = OLD.study;
END;
CREATE TRIGGER instance_kept AFTER UPDATE OF released_at ON instance WHEN (OLD.released_at IS NULL) <> (NEW.released_at IS NULL) BEGIN
	UPDATE study SET kept = kept + (NEW.released_at IS NULL) - (OLD.released_at IS NULL) WHERE id = NEW.study;
END;
CREATE TRIGGER object_new AFTER INSERT ON object WHEN NEW.released_at IS NULL BEGIN
	UPDATE study SET kept = kept + 1 WHERE id = NEW.study;
END;
CREATE TRIGGER object_gone AFTER DELETE ON object WHEN OLD.released_at IS NULL BEGIN
	UPDATE study SET kept = kept - 1 WHERE id = OLD.study;
END;
CREATE TRIGGER object_kept AFTER UPDATE OF released_at ON object WHEN (OLD.released_at IS NULL) <> (NEW.released_at IS NULL) BEGIN
	UPDATE study SET kept = kept + (NEW.released_at IS NULL) - (OLD.released_at IS NULL) WHERE id = NEW.study;
END;
CREATE TRIGGER look_report AFTER INSERT ON event WHEN NEW.what = 'message' AND EXISTS (SELECT 1 FROM report_reading WHERE entry = NEW.entry) BEGIN
	INSERT INTO look (study, version) VALUES (NEW.study, 1) ON CONFLICT DO UPDATE SET version = version + 1, quiet = 0;
END;
CREATE TRIGGER look_exam AFTER UPDATE OF revision ON exam WHEN NEW.revision <> OLD.revision BEGIN
	UPDATE look SET version = version + 1, quiet = (version = looked OR quiet) AND EXISTS (SELECT 1 FROM job WHERE exam = NEW.id)
		AND NOT EXISTS (SELECT 1 FROM job WHERE exam = NEW.id AND screening = '') WHERE study = NEW.study;
END;
CREATE INDEX report_reading_reporter ON report_reading (id) WHERE reporter <> '{}';
CREATE INDEX review_reporter ON review (id) WHERE reporter <> '{}';
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
CREATE INDEX job_done ON job (ended_at) WHERE state = 'done';
CREATE INDEX study_name ON study (patient_name COLLATE NOCASE) WHERE forgotten_at IS NULL;
CREATE INDEX delivery_undone ON delivery (state, id) WHERE state <> 'done';
CREATE TABLE version (
	name         TEXT    NOT NULL,
	version      TEXT    NOT NULL,
	digest       TEXT    NOT NULL, -- of the network
	dir          TEXT    NOT NULL, -- of the bundle
	in_force     INTEGER NOT NULL,
	since        INTEGER NOT NULL, -- when it came in force last,
	actor_kind   TEXT    NOT NULL, -- and by whom
	actor        TEXT    NOT NULL,
	over_version TEXT    NOT NULL, -- the configured bundle in whose place a person has put it; empty: it was the configured one
	over_digest  TEXT    NOT NULL,
	PRIMARY KEY (name, version, digest)
) WITHOUT ROWID;
INSERT INTO meta VALUES (1, 0, 0, '', '', 0, '{}', 0, '{}');
