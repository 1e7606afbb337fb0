package ledger

import (
	"context"
	"fmt"
	"time"
)

// refused is the need of an entry that could not be taken in: what is left of it is kept.
const refused = "refused"

func (t *tx) need(entry, by, reason string, at time.Time) error {
	_, err := t.exec(`INSERT INTO need (entry, by, reason, at) VALUES (?, ?, ?, ?)
		ON CONFLICT (entry, by) DO UPDATE SET reason = excluded.reason, ended_at = NULL`, entry, by, reason, micros(at))
	return err
}

// Need says that by needs the spool entry, beside what instances, objects and deliveries do: its bytes are kept until
// Unneed.
func (l *Ledger) Need(ctx context.Context, entry, by string, at time.Time) error {
	a := &action{Name: "need", Entries: []string{entry}, Reason: by, At: at}
	if err := l.act(ctx, by, a, func(t *tx) error { return t.need(entry, by, "", at) }); err != nil {
		return fmt.Errorf("ledger: need entry %s: %w", entry, err)
	}
	return nil
}

// Unneed ends a Need. When nothing else needs the entry, Release returns it.
func (l *Ledger) Unneed(ctx context.Context, entry, by string, at time.Time) error {
	err := l.act(ctx, by, &action{Name: "unneed", Entries: []string{entry}, Reason: by, At: at}, func(t *tx) error {
		_, err := t.exec("UPDATE need SET ended_at = ? WHERE entry = ? AND by = ? AND ended_at IS NULL", micros(at), entry, by)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: no more need of entry %s: %w", entry, err)
	}
	return nil
}
