-- Who reported, where the configuration has that kept.

ALTER TABLE report_reading ADD COLUMN reporter TEXT NOT NULL DEFAULT '{}'; -- JSON: id, authority, name
CREATE INDEX report_reading_reporter ON report_reading (id) WHERE reporter <> '{}';
ALTER TABLE review ADD COLUMN reporter TEXT NOT NULL DEFAULT '{}';
CREATE INDEX review_reporter ON review (id) WHERE reporter <> '{}';
ALTER TABLE meta ADD COLUMN unkept INTEGER NOT NULL DEFAULT 0; -- 1: actions in the journal have what the ledger may keep no more
