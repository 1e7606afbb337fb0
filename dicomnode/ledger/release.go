package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What keeps the bytes of an entry: a delivery that has not ended, as itself or as the alternate, and a need.
const (
	delivering = `EXISTS (SELECT 1 FROM delivery d WHERE d.entry = %[1]s.entry AND d.state IN ('pending', 'sent', 'parked'))
	OR EXISTS (SELECT 1 FROM delivery d WHERE d.alternate = %[1]s.entry AND d.alternate <> '' AND d.state IN ('pending', 'sent', 'parked'))`
	needed = `EXISTS (SELECT 1 FROM need x WHERE x.entry = %[1]s.entry AND x.ended_at IS NULL)`
)

// nothingNeeds is the condition that neither of them keeps the entry of a row of table.
func nothingNeeds(table string) string {
	return fmt.Sprintf("AND NOT ("+delivering+" OR "+needed+")", table)
}

var (
	releasableInstances = `SELECT i.entry FROM instance i
	WHERE i.released_at IS NULL AND i.held = 0 AND i.received_at < ?
	AND NOT EXISTS (SELECT 1 FROM job j JOIN exam e ON e.id = j.exam WHERE j.instance = i.id
		AND (j.state IN ('open', 'parked') OR e.state <> 'reported' OR e.open_jobs > 0))
	` + nothingNeeds("i") + ` ORDER BY i.received_at LIMIT ?`

	releasableObjects = `SELECT o.entry FROM object o
	WHERE o.released_at IS NULL AND o.made_at < ? ` + nothingNeeds("o") + ` ORDER BY o.made_at LIMIT ?`

	// Entries of other kinds have no row but their needs.
	releasableOthers = `SELECT DISTINCT n.entry FROM need n WHERE n.ended_at IS NOT NULL AND n.ended_at < ? ` + nothingNeeds("n") + `
	AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.entry = n.entry AND i.released_at IS NULL)
	AND NOT EXISTS (SELECT 1 FROM object o WHERE o.entry = n.entry AND o.released_at IS NULL)
	ORDER BY n.ended_at LIMIT ?`

	releasableTexts = []string{releasableInstances, releasableObjects, releasableOthers}
)

// Release marks at most limit spool entries as released, received, made or ended before the given time, that nothing
// needs any more: their jobs, exams, deliveries and needs have ended. What is parked has not ended. Instances that
// differ from another one of the same UID, and those that no route gave work or destination, are kept until
// DiscardInstance: nobody else has them. The caller releases in the spool what Release returns: from then on no work
// opens on these bytes.
func (l *Ledger) Release(ctx context.Context, before time.Time, limit int, at time.Time) (ids []string, err error) {
	some := l.replaying != nil
	for _, text := range releasableTexts {
		if some || err != nil {
			break
		}
		ids, err = query(ctx, l.readDB, scanString, text, micros(before), 1)
		some = len(ids) > 0
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: release: %w", err)
	}
	if !some {
		return nil, nil // nothing that the journal need know
	}
	err = l.act(ctx, "reclaimer", &action{Name: "release", Until: before, Limit: limit, At: at}, func(t *tx) error {
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

func (t *tx) releasable(before time.Time, limit int) (ids []string, err error) {
	for _, text := range releasableTexts {
		more, err := t.strings(text, micros(before), limit-len(ids))
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	return ids, nil
}

func (t *tx) markReleased(id string, at time.Time) error {
	if _, err := t.exec("DELETE FROM need WHERE entry = ?", id); err != nil {
		return err
	}
	for _, table := range []string{"instance", "object"} {
		e := event{entry: id, what: EventReleased, at: at}
		err := t.row("UPDATE "+table+" SET released_at = ? WHERE entry = ? AND released_at IS NULL RETURNING study, sop_instance_uid",
			[]any{micros(at), id}, &e.study, &e.instance)
		switch {
		case err == nil:
			return t.event(e)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
	}
	return nil
}

const neededEntries = `WITH ids AS (SELECT value AS entry FROM json_each(?))
	SELECT entry FROM ids WHERE entry IN (SELECT entry FROM instance WHERE entry IN ids AND released_at IS NULL)
	OR entry IN (SELECT entry FROM object WHERE entry IN ids AND released_at IS NULL)
	OR entry IN (SELECT entry FROM message WHERE entry IN ids AND released_at IS NULL)
	OR entry IN (SELECT entry FROM need WHERE entry IN ids)
	OR entry IN (SELECT entry FROM delivery WHERE entry IN ids AND state IN ('pending', 'sent', 'parked'))`

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
