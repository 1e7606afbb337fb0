-- Where a study stands in lists: one with an urgent finding as if it had come a day later, so that it is first and does not stay so for ever.

DROP INDEX study_urgent;
ALTER TABLE study ADD COLUMN stands_at INTEGER AS (last_at + urgent * 86400000000) VIRTUAL;
CREATE INDEX study_stands ON study (stands_at, id) WHERE forgotten_at IS NULL;
DROP INDEX study_patient;
CREATE INDEX study_patient ON study (patient_id, stands_at);
DROP INDEX study_accession;
CREATE INDEX study_accession ON study (accession_number, stands_at);
DROP INDEX study_conflict;
CREATE INDEX study_conflict ON study (stands_at, id) WHERE conflicts > 0;
DROP INDEX study_status;
CREATE INDEX study_status ON study (status, stands_at, id) WHERE forgotten_at IS NULL;
