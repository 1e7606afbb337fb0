-- How urgent the order of a job's study is.

ALTER TABLE job ADD COLUMN priority TEXT NOT NULL DEFAULT 'ROUTINE' CHECK (priority IN ('STAT', 'HIGH', 'MEDIUM', 'ROUTINE'));
