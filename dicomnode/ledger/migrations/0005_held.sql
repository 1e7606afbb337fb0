-- What is held waits for a person as what is parked does: it counts among what of its study is parked.

UPDATE study SET parked = parked + (SELECT count(*) FROM instance WHERE study = study.id AND held = 1);

CREATE TRIGGER instance_held_new AFTER INSERT ON instance WHEN NEW.held = 1 BEGIN
	UPDATE study SET parked = parked + 1 WHERE id = NEW.study;
END;
CREATE TRIGGER instance_held AFTER UPDATE OF held ON instance WHEN OLD.held <> NEW.held BEGIN
	UPDATE study SET parked = parked + NEW.held - OLD.held WHERE id = NEW.study;
END;
