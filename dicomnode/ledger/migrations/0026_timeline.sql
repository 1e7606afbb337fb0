-- A timeline is in the order in which things happened, which is that of the rows: the clock may have been set back meanwhile.
DROP INDEX event_study;
CREATE INDEX event_study ON event (study);
