-- Actions are in a journal before they are rows, and every step says who did it.

ALTER TABLE meta ADD COLUMN acted INTEGER NOT NULL DEFAULT 0; -- where the last actions taken from the journal stand
ALTER TABLE event ADD COLUMN actor_kind TEXT NOT NULL DEFAULT ''; -- system, route, peer, person or token; '' before it was kept
ALTER TABLE event ADD COLUMN actor TEXT NOT NULL DEFAULT '';
