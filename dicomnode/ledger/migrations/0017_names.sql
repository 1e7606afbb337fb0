-- What an object is about, and what is to be made again because its bytes are lost.

ALTER TABLE object ADD COLUMN name TEXT NOT NULL DEFAULT ''; -- the same of all that stand in for each other; the SOP Instance UID is of one content
UPDATE object SET name = sop_instance_uid;
CREATE INDEX object_name ON object (name);

ALTER TABLE object ADD COLUMN lost INTEGER NOT NULL DEFAULT 0; -- above 0: its bytes are gone; 1: it is to be made again, 2: of what the spool has it cannot be
CREATE INDEX object_lost ON object (study) WHERE lost > 0;
ALTER TABLE job ADD COLUMN again INTEGER NOT NULL DEFAULT 0; -- above 0: it is done once more for pictures that are lost; one more than the attempts
CREATE INDEX job_again ON job (id) WHERE again > 0;
ALTER TABLE exam ADD COLUMN again INTEGER NOT NULL DEFAULT 0; -- 1: its report is made once more, as it is lost
CREATE INDEX exam_again ON exam (id) WHERE again = 1;

CREATE INDEX delivery_message ON delivery (entry) WHERE kind <> 'dicom' AND state = 'pending' AND number > 0;
