-- What a message was made of, and messages of signed reports that wait under an identity that the patient no longer has.

ALTER TABLE delivery ADD COLUMN number INTEGER NOT NULL DEFAULT 0; -- of the draft that it was made of; 0: of none
ALTER TABLE delivery ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN stale INTEGER NOT NULL DEFAULT 0; -- 1: it is not sent; another one takes its place
CREATE INDEX delivery_stale ON delivery (id) WHERE stale = 1 AND state = 'pending';

UPDATE delivery SET (number, version) = (SELECT d.number, d.version FROM need n JOIN draft d ON d.at = n.at
	WHERE n.entry = delivery.entry AND n.by = 'draft' AND d.study = delivery.study AND d.event NOT IN ('edited', 'amending')
	ORDER BY d.number DESC, d.version DESC LIMIT 1)
WHERE state IN ('pending', 'parked') AND kind <> 'dicom' AND EXISTS (SELECT 1 FROM need n JOIN draft d ON d.at = n.at
	WHERE n.entry = delivery.entry AND n.by = 'draft' AND d.study = delivery.study AND d.event NOT IN ('edited', 'amending'));
