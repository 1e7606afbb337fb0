-- The pages of what waits, was sent or discarded are found by the state, in order: among millions of deliveries that are done, the few that are
-- not were looked for one by one.
CREATE INDEX delivery_undone ON delivery (state, id) WHERE state <> 'done';
