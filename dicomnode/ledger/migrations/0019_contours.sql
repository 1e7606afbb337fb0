-- Contours stand beside their findings, packed: see contours.go.
ALTER TABLE span ADD COLUMN contours BLOB;
UPDATE span SET contours = contours_of_findings(findings), findings = findings_without_contours(findings);
