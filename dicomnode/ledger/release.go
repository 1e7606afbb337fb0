package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
)

const releasableInstances = `SELECT i.entry FROM instance i
	WHERE i.released_at IS NULL AND i.held = 0 AND i.received_at < ?
	AND NOT EXISTS (SELECT 1 FROM job j JOIN exam e ON e.id = j.exam WHERE j.instance = i.id
		AND (j.state IN ('open', 'parked') OR e.state <> 'reported' OR e.open_jobs > 0))
	AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.entry = i.entry AND d.state IN ('pending', 'parked'))
	ORDER BY i.received_at LIMIT ?`

const releasableObjects = `SELECT o.entry FROM object o
	WHERE o.released_at IS NULL AND o.made_at < ?
	AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.entry = o.entry AND d.state IN ('pending', 'parked'))
	AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.alternate = o.entry AND d.alternate <> '' AND d.state IN ('pending', 'parked'))
	ORDER BY o.made_at LIMIT ?`

// Release marks at most limit spool entries as released, received or made before the given time, that nothing needs any
// more: their jobs, exams and deliveries have ended. What is parked has not ended. Instances that differ from another
// one of the same UID, and those that no route gave work or destination, are kept until DiscardInstance: nobody else
// has them. The caller releases in the spool what Release returns: from then on no work opens on these bytes.
func (l *Ledger) Release(ctx context.Context, before time.Time, limit int, at time.Time) (ids []string, err error) {
	err = l.write(ctx, func(t *tx) error {
		if ids, err = t.releasable(before, limit); err != nil {
			return err
		}
		for _, id := range ids {
			if err := t.markReleased(id, at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: release: %w", err)
	}
	return ids, nil
}

func (t *tx) releasable(before time.Time, limit int) ([]string, error) {
	ids, err := t.strings(releasableInstances, micros(before), limit)
	if err != nil {
		return nil, err
	}
	more, err := t.strings(releasableObjects, micros(before), limit-len(ids))
	return append(ids, more...), err
}

func (t *tx) markReleased(id string, at time.Time) error {
	for _, table := range []string{"instance", "object"} {
		n, err := t.exec("UPDATE "+table+" SET released_at = ? WHERE entry = ? AND released_at IS NULL", micros(at), id)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		var study int64
		var uid dicom.UID
		if err := t.row("SELECT study, sop_instance_uid FROM "+table+" WHERE entry = ?", []any{id}, &study, &uid); err != nil {
			return err
		}
		return t.event(event{study: study, instance: uid, entry: id, what: EventReleased, at: at})
	}
	return nil
}

const neededEntries = `WITH ids AS (SELECT value AS entry FROM json_each(?))
	SELECT entry FROM ids WHERE entry IN (SELECT entry FROM instance WHERE entry IN ids AND released_at IS NULL)
	OR entry IN (SELECT entry FROM object WHERE entry IN ids AND released_at IS NULL)
	OR entry IN (SELECT entry FROM refused WHERE entry IN ids)`

const knownEntries = `WITH ids AS (SELECT value AS entry FROM json_each(?))
	SELECT entry FROM ids WHERE entry IN (SELECT entry FROM instance WHERE entry IN ids)
	OR entry IN (SELECT entry FROM object WHERE entry IN ids)`

// Known returns which of the spool entries ids have a row of their own, released or not. Of what was received the
// others are duplicates.
func (l *Ledger) Known(ctx context.Context, ids []string) (map[string]bool, error) {
	return l.among(ctx, "known", knownEntries, ids)
}

// Needed returns which of the spool entries ids the ledger still needs. At start, before any
// worker runs and after the ledger has caught up, the others are leftovers of a crash or
// duplicates. Entries above Position are not known yet and must not be asked about.
func (l *Ledger) Needed(ctx context.Context, ids []string) (map[string]bool, error) {
	return l.among(ctx, "needed", neededEntries, ids)
}

func (l *Ledger) among(ctx context.Context, what, picked string, ids []string) (map[string]bool, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", what, err)
	}
	found, err := query(ctx, l.readDB, scanString, picked, string(list))
	if err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", what, err)
	}
	among := make(map[string]bool, len(found))
	for _, id := range found {
		among[id] = true
	}
	return among, nil
}
