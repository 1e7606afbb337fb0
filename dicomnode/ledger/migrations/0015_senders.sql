-- Who told of a patient first: a number without an authority is that sender's own. Of patients of before nobody knows.
ALTER TABLE patient ADD COLUMN sender TEXT NOT NULL DEFAULT '';
