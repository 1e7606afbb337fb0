-- The spool that the ledger belongs to, '' until one is known.
ALTER TABLE meta ADD COLUMN store TEXT NOT NULL DEFAULT '';
