-- What ended lately, and whose study is meant by the beginning of a name.
CREATE INDEX job_done ON job (ended_at) WHERE state = 'done';
CREATE INDEX study_name ON study (patient_name COLLATE NOCASE) WHERE forgotten_at IS NULL;
