-- A page of a study's instances is found without sorting all of them.
DROP INDEX instance_study;
CREATE INDEX instance_study ON instance (study, instance_number);
