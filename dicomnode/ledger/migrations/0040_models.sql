-- Which version of each model the last start had: what an earlier one gave up is offered to a later one.

ALTER TABLE meta ADD COLUMN models TEXT NOT NULL DEFAULT '{}'; -- JSON: version and digest by name
