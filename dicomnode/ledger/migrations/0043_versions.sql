-- Which version of each model is in force, since when and by whom, and which were before.

CREATE TABLE version (
	name         TEXT    NOT NULL,
	version      TEXT    NOT NULL,
	digest       TEXT    NOT NULL, -- of the network
	dir          TEXT    NOT NULL, -- of the bundle
	in_force     INTEGER NOT NULL,
	since        INTEGER NOT NULL, -- when it came in force last,
	actor_kind   TEXT    NOT NULL, -- and by whom
	actor        TEXT    NOT NULL,
	over_version TEXT    NOT NULL, -- the configured bundle in whose place a person has put it; empty: it was the configured one
	over_digest  TEXT    NOT NULL,
	PRIMARY KEY (name, version, digest)
) WITHOUT ROWID;
