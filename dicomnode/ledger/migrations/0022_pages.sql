-- The PDF of what was signed is kept as it was made.

ALTER TABLE draft ADD COLUMN page TEXT NOT NULL DEFAULT ''; -- entry in the spool
