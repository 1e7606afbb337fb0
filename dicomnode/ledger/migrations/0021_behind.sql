-- What was deferred behind others is looked up by how long it has waited: none of it is to be forgotten behind the oldest.
CREATE INDEX delivery_behind ON delivery (destination, next_at, id) WHERE state = 'pending' AND held = 0 AND stale = 0 AND behind = 1;
