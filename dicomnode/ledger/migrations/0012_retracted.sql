-- Why a person took a result back, and when.
ALTER TABLE job ADD COLUMN retracted TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN retracted_at INTEGER;
