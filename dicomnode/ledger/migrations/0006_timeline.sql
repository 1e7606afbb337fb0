-- The steps of a study are read in the order of their times.

DROP INDEX event_study;
CREATE INDEX event_study ON event (study, at);
