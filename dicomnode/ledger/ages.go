package ledger

import (
	"context"
	"database/sql"
	"time"
)

// Ages are since when the oldest of what is to be done waits; the zero time and no key where nothing does.
type Ages struct {
	Jobs       map[string]time.Time // by model: when the instance was received
	Deliveries map[string]time.Time // by destination: what may go; not what is held, or waits for another one
	Exams      time.Time            // of a first image or result that no report has
	Held       time.Time            // of results that wait for a person

	ParkedDrafts int // studies of which no draft can be made until a person does something
}

const (
	oldestJobs = `SELECT j.model, min(i.received_at) FROM job j JOIN instance i ON i.id = j.instance WHERE j.state = 'open' AND j.screening = '' GROUP BY j.model`
	// The condition is that of the index delivery_age.
	oldestDelivery = `SELECT coalesce(min(asked_at), 0) FROM delivery WHERE destination = ? AND state IN ('pending', 'sent') AND held = 0 AND waits_for = ''`
	oldestExam     = `SELECT coalesce(min(since), 0) FROM exam WHERE state = 'open'`
	oldestHeld     = `SELECT coalesce(min(since), 0) FROM gate WHERE held = 1`
)

// Ages returns how old the work is, for these destinations.
func (l *Ledger) Ages(ctx context.Context, destinations []string) (a Ages, err error) {
	type of struct {
		name string
		at   time.Time
	}
	jobs, err := query(ctx, l.readDB, func(rows *sql.Rows) (o of, err error) { return o, rows.Scan(&o.name, timeColumn{&o.at}) }, oldestJobs)
	if err != nil {
		return Ages{}, wrap("ledger: ages", err)
	}
	a.Jobs, a.Deliveries = map[string]time.Time{}, map[string]time.Time{}
	for _, o := range jobs {
		a.Jobs[o.name] = o.at
	}
	for _, d := range destinations {
		at, err := l.moment(ctx, oldestDelivery, d)
		if err != nil {
			return Ages{}, wrap("ledger: ages", err)
		}
		if !at.IsZero() {
			a.Deliveries[d] = at
		}
	}
	if a.Exams, err = l.moment(ctx, oldestExam); err == nil {
		a.Held, err = l.moment(ctx, oldestHeld)
	}
	if err == nil {
		err = l.readDB.QueryRowContext(ctx, "SELECT count(*) FROM desk WHERE reason <> ''").Scan(&a.ParkedDrafts)
	}
	return a, wrap("ledger: ages", err)
}

const waiting = "SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'delivery' AND name = ? AND state IN ('pending', 'sent')"

// Waiting returns how many deliveries are on their way to destination.
func (l *Ledger) Waiting(ctx context.Context, destination string) (n int, err error) {
	return n, wrap("ledger: waiting", l.readDB.QueryRowContext(ctx, waiting, destination).Scan(&n))
}
