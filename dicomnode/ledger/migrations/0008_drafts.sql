-- Drafts of reports, what persons decide about what models say, and deliveries that wait for another one.

-- What a draft of a study is made of, and how far that is done.
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

-- Versions of drafts. None is changed.
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
	basis           TEXT NOT NULL, -- JSON: what it is made of
	UNIQUE (study, number, version)
);

-- What persons decided about what models said. The newest row of a finding counts.
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

ALTER TABLE delivery ADD COLUMN waits_for TEXT NOT NULL DEFAULT ''; -- entry that is to be delivered before; next_at: until when at most
CREATE INDEX delivery_waits ON delivery (waits_for) WHERE waits_for <> '' AND state = 'pending';
