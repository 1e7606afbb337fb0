package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"endogate/dicomnode/clock"
)

// BringBack has the waits that began ahead of now begin anew, each as long as it was meant to be, and says so in the timeline of
// their studies: they began under a clock that has been set back since. It reports whether there were any. (A clock that
// is set forward ends waits early, which holds up nothing.) What was said, such as when something was received or made, stays.
func (l *Ledger) BringBack(ctx context.Context, now time.Time) (some bool, err error) {
	return l.bringBack(ctx, "bring-back", someWaitsAhead, append([]string{sayClockBack}, waitsBack...), now)
}

// BringBackAges has what was received, made or changed ahead of now be of now: else it stood before all else in each list, and
// was kept for longer than it is to be. It is for a clock that is known to be right: under one that is years behind, and
// set right later, everything would look old. It reports whether there was any.
func (l *Ledger) BringBackAges(ctx context.Context, now time.Time) (some bool, err error) {
	return l.bringBack(ctx, "bring-back-ages", someAgesAhead, agesBack, now)
}

var (
	waitsBack = []string{
		`UPDATE delivery SET next_at = ?1 + max(0, next_at - since), since = ?1, asked_at = min(asked_at, ?1) WHERE id IN (` + deliveriesAhead + `)`,
		`UPDATE exam SET quiet_at = min(quiet_at, ?1), since = min(since, ?1), over_at = min(over_at, ?1) WHERE id IN (` + examsAhead + `)`,
		`UPDATE gate SET since = ?1 WHERE held = 1 AND since > ?1`,
	}
	agesBack = []string{
		`UPDATE study SET last_at = ?1, first_at = min(first_at, ?1) WHERE forgotten_at IS NULL AND last_at > ?1`,
		`UPDATE instance SET received_at = ?1 WHERE released_at IS NULL AND held = 0 AND received_at > ?1`,
		`UPDATE object SET made_at = ?1 WHERE released_at IS NULL AND made_at > ?1`,
		`UPDATE need SET ended_at = ?1 WHERE ended_at IS NOT NULL AND ended_at > ?1`,
		`UPDATE message SET last_at = ?1, at = ?1 WHERE at > ?1`,
		`UPDATE imaging_order SET changed_at = ?1, made_at = min(made_at, ?1) WHERE changed_at > ?1`,
	}
)

const (
	deliveriesAhead = `SELECT id FROM delivery WHERE state = 'pending' AND since > ?1 UNION ALL SELECT id FROM delivery WHERE state = 'sent' AND since > ?1`
	examsAhead      = `SELECT id FROM exam WHERE state = 'open' AND (quiet_at > ?1 OR since > ?1 OR over_at > ?1)`

	someWaitsAhead = `SELECT EXISTS (` + deliveriesAhead + `) OR EXISTS (` + examsAhead + `) OR EXISTS (SELECT 1 FROM gate WHERE held = 1 AND since > ?1)`
	someAgesAhead  = `SELECT EXISTS (SELECT 1 FROM study WHERE forgotten_at IS NULL AND last_at > ?1)
		OR EXISTS (SELECT 1 FROM instance WHERE released_at IS NULL AND held = 0 AND received_at > ?1)
		OR EXISTS (SELECT 1 FROM object WHERE released_at IS NULL AND made_at > ?1)
		OR EXISTS (SELECT 1 FROM need WHERE ended_at IS NOT NULL AND ended_at > ?1)
		OR EXISTS (SELECT 1 FROM message WHERE at > ?1)
		OR EXISTS (SELECT 1 FROM imaging_order WHERE changed_at > ?1)`

	sayClockBack = `INSERT INTO event (study, sop_instance_uid, entry, what, at, last_at, destination, code, detail, actor_kind, actor)
		SELECT study, '', '', '` + string(EventClockBack) + `', ?1, ?1, '', '', 'what waits has begun to wait anew', ?2, ?3 FROM (
			SELECT study FROM exam WHERE id IN (` + examsAhead + `) UNION SELECT study FROM delivery WHERE id IN (` + deliveriesAhead + `))`
)

func (l *Ledger) bringBack(ctx context.Context, name, someAhead string, texts []string, now time.Time) (some bool, err error) {
	if some = l.replaying != nil; !some {
		if err := l.readDB.QueryRowContext(ctx, someAhead, micros(now)).Scan(&some); err != nil || !some {
			return false, wrap("ledger: times ahead of the clock", err)
		}
	}
	err = l.act(ctx, "clock", &action{Name: name, At: now}, func(t *tx) error {
		for _, text := range texts {
			args := []any{micros(now)}
			if text == sayClockBack {
				args = append(args, t.by.Kind, t.by.Name)
			}
			if _, err := t.exec(text, args...); err != nil {
				return err
			}
		}
		return nil
	})
	return some, wrap("ledger: times ahead of the clock", err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Clock returns what KeepClock kept last; the zero value where it never did.
func (l *Ledger) Clock(ctx context.Context) (m clock.Mark, err error) {
	var text string
	if err = l.readDB.QueryRowContext(ctx, "SELECT clock FROM meta").Scan(&text); err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &m)
	}
	return m, wrap("ledger: clock", err)
}

// KeepClock keeps what is known of the clock. It is the smallest write there is: one that fails says that none works.
func (l *Ledger) KeepClock(ctx context.Context, m clock.Mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return wrap("ledger: clock", l.writeAs(ctx, batched, func(t *tx) error {
		_, err := t.exec("UPDATE meta SET clock = ?", string(text))
		return err
	}))
}
