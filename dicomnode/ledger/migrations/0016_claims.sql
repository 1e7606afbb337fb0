-- Names, birth dates and sexes that images name are held against the order's, too.

ALTER TABLE claim RENAME TO claim_before;
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
INSERT INTO claim SELECT DISTINCT c.study, c.patient_id, c.issuer, c.accession,
	coalesce(i.header ->> 'patient_name', ''), coalesce(i.header ->> 'patient_birth_date', ''), coalesce(i.header ->> 'patient_sex', '')
	FROM claim_before c LEFT JOIN instance i ON i.study = c.study AND coalesce(i.header ->> 'patient_id', '') = c.patient_id
		AND coalesce(i.header ->> 'accession_number', '') = c.accession;
DROP TABLE claim_before;
CREATE INDEX claim_patient ON claim (patient_id);
