-- At which operating point a model was compared with a report.

ALTER TABLE review ADD COLUMN threshold REAL NOT NULL DEFAULT 0;
UPDATE review SET threshold = coalesce(document ->> 'threshold', 0);
