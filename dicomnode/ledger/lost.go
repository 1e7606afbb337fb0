package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const heldEntries = `SELECT entry FROM instance WHERE entry > ?1 AND released_at IS NULL
	UNION ALL SELECT entry FROM object WHERE entry > ?1 AND released_at IS NULL
	UNION SELECT entry FROM need WHERE entry > ?1 AND by <> 'refused' AND ended_at IS NULL
	UNION SELECT entry FROM delivery WHERE entry > ?1 AND kind <> 'dicom' AND state = 'pending' AND number > 0 ORDER BY entry LIMIT ?2`

// Unreleased returns at most limit spool entries above after that are not released, in order: the spool should have
// their bytes.
func (l *Ledger) Unreleased(ctx context.Context, after string, limit int) ([]string, error) {
	ids, err := query(ctx, l.readDB, scanString, heldEntries, after, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: unreleased: %w", err)
	}
	return ids, nil
}

// lostDeliveries are those that wait for bytes; a message that is stale is made anew before it goes.
const lostDeliveries = `d.entry = ?2 AND d.state = 'pending' AND d.stale = 0`

// ParkLost parks the open jobs and pending deliveries of entries, whose bytes are lost. To receive an instance again
// opens them again. What was made here is made again, as long as somebody waits for it. What is parked already, or was released or restored since Unreleased returned it, stays as it is.
func (l *Ledger) ParkLost(ctx context.Context, entries []string, at time.Time) error {
	err := l.act(ctx, "reclaimer", &action{Name: "park-lost", Entries: entries, At: at}, func(t *tx) error {
		for _, entry := range entries {
			if err := t.parkLost(entry, at); err != nil {
				return fmt.Errorf("entry %s: %w", entry, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: park what is lost: %w", err)
	}
	return nil
}

func (t *tx) parkLost(entry string, at time.Time) error {
	reason := isMadeAgain
	var instance int64
	err := t.row("SELECT id FROM instance WHERE entry = ? AND released_at IS NULL", []any{entry}, &instance)
	switch {
	case err == nil:
		reason = LostBytes
		if err := t.parkLostJobs(instance, at); err != nil {
			return err
		}
	case !errors.Is(err, sql.ErrNoRows):
		return err
	default:
		if err := errors.Join(t.loseObject(entry, at), t.loseMessage(entry, at)); err != nil {
			return err
		}
	}
	_, err = t.stepDeliveries(EventDeliveryParked, lostDeliveries, "'"+reason+"'",
		"state = 'parked', ended_at = ?1, reason = '"+reason+"'", micros(at), entry)
	return err
}

func (t *tx) parkLostJobs(instance int64, at time.Time) error {
	for {
		var name string
		err := t.row("SELECT name FROM job WHERE instance = ? AND state = 'open' LIMIT 1", []any{instance}, &name)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		j, err := t.job(name)
		if err != nil {
			return err
		}
		if err := t.endJob(j, JobParked, LostBytes, at); err != nil {
			return err
		}
		if err := t.event(j.event(EventParked, at, j.model+": "+LostBytes)); err != nil {
			return err
		}
	}
}

// Refuse notes spool entries that cannot be taken in, so that what is left of their bytes is kept until Dismiss, and moves the position
// past them.
func (l *Ledger) Refuse(ctx context.Context, entries []string, reason string, position uint64, at time.Time) error {
	a := &action{Name: "refuse", Entries: entries, Reason: reason, Position: position, At: at}
	err := l.act(ctx, "follower", a, func(t *tx) error {
		for _, entry := range entries {
			if err := t.need(entry, refused, reason, at); err != nil {
				return err
			}
		}
		_, err := t.exec("UPDATE meta SET position = max(position, ?)", int64(position))
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: refuse entries %q: %w", entries, err)
	}
	return nil
}

// Dismiss ends the keeping of an entry that Refuse has noted: it was seen to.
func (l *Ledger) Dismiss(ctx context.Context, entry string, at time.Time) error {
	return l.Unneed(ctx, entry, refused, at)
}

const refusedEntries = "SELECT entry FROM need WHERE by = 'refused' AND ended_at IS NULL ORDER BY entry"

// Refused returns the spool entries that Refuse has noted and Receive has not taken in since.
func (l *Ledger) Refused(ctx context.Context) ([]string, error) {
	ids, err := query(ctx, l.readDB, scanString, refusedEntries)
	if err != nil {
		return nil, fmt.Errorf("ledger: refused: %w", err)
	}
	return ids, nil
}

// DiscardInstance ends the keeping of an instance in conflict, or without work and destination, that a person has
// looked at: its bytes are released like those of any other. One that is not kept so stays as it is.
func (l *Ledger) DiscardInstance(ctx context.Context, entry string, at time.Time) error {
	err := l.act(ctx, "ledger", &action{Name: "discard-instance", Entries: []string{entry}, At: at}, func(t *tx) error {
		e := event{entry: entry, what: EventDiscarded, at: at}
		var held bool
		err := t.row("SELECT study, sop_instance_uid, held FROM instance WHERE entry = ?", []any{entry}, &e.study, &e.instance, &held)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil || !held {
			return err
		}
		if _, err := t.exec("UPDATE instance SET held = 0 WHERE entry = ?", entry); err != nil {
			return err
		}
		return t.event(e)
	})
	if err != nil {
		return fmt.Errorf("ledger: discard instance %s: %w", entry, err)
	}
	return nil
}
