-- How many orders, messages and decisions there are: counted as they come and go, so that no list has to look at each.

INSERT INTO tally SELECT 'order', '', state, count(*) FROM imaging_order GROUP BY state;
CREATE TRIGGER imaging_order_new AFTER INSERT ON imaging_order BEGIN
	INSERT INTO tally VALUES ('order', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER imaging_order_state AFTER UPDATE OF state ON imaging_order WHEN OLD.state <> NEW.state BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'order' AND name = '' AND state = OLD.state;
	INSERT INTO tally VALUES ('order', '', NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER imaging_order_gone AFTER DELETE ON imaging_order BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'order' AND name = '' AND state = OLD.state;
END;

INSERT INTO tally SELECT 'message', type, code, count(*) FROM message GROUP BY type, code; -- of type and answer
CREATE TRIGGER message_new AFTER INSERT ON message BEGIN
	INSERT INTO tally VALUES ('message', NEW.type, NEW.code, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
	UPDATE tally SET n = n - 1 WHERE kind = 'message' AND name = OLD.type AND state = OLD.code;
END;

-- On how many findings persons decided what at last.
CREATE TABLE agreed (
	model         TEXT NOT NULL,
	model_version TEXT NOT NULL,
	route         TEXT NOT NULL,
	class         TEXT NOT NULL,
	site          TEXT NOT NULL,
	decision      TEXT NOT NULL,
	n             INTEGER NOT NULL,
	PRIMARY KEY (model, model_version, route, class, site, decision)
) WITHOUT ROWID;
INSERT INTO agreed SELECT model, model_version, route, class, site, decision, count(*) FROM agreement a
	WHERE NOT EXISTS (SELECT 1 FROM agreement b WHERE b.study = a.study AND b.finding = a.finding AND b.id > a.id)
	GROUP BY 1, 2, 3, 4, 5, 6;
CREATE TRIGGER agreement_new AFTER INSERT ON agreement BEGIN
	UPDATE agreed SET n = n - 1 WHERE (model, model_version, route, class, site, decision) = (
		SELECT model, model_version, route, class, site, decision FROM agreement
		WHERE study = NEW.study AND finding = NEW.finding AND id < NEW.id ORDER BY id DESC LIMIT 1);
	INSERT INTO agreed VALUES (NEW.model, NEW.model_version, NEW.route, NEW.class, NEW.site, NEW.decision, 1)
		ON CONFLICT DO UPDATE SET n = n + 1;
END;
