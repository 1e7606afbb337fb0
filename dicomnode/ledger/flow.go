package ledger

import (
	"context"
	"time"
)

// Flow is what went through in a span of time.
type Flow struct {
	Received  int `json:"received"`  // instances
	Analysed  int `json:"analysed"`  // instances by a model; by two models it is two
	Delivered int `json:"delivered"` // objects and messages that a destination has confirmed
}

const (
	// An instance that came since is of a study whose last one did.
	receivedSince  = `SELECT count(*) FROM study s INDEXED BY study_last JOIN instance i ON i.study = s.id WHERE s.forgotten_at IS NULL AND s.last_at >= ?1 AND i.received_at >= ?1`
	analysedSince  = `SELECT count(*) FROM job WHERE state = 'done' AND ended_at >= ?`
	deliveredSince = `SELECT count(*) FROM delivery WHERE destination = ? AND state = 'done' AND ended_at >= ?`
)

// Since counts what went through since then, to these destinations.
func (l *Ledger) Since(ctx context.Context, then time.Time, destinations []string) (f Flow, err error) {
	err = l.readDB.QueryRowContext(ctx, receivedSince, micros(then)).Scan(&f.Received)
	if err == nil {
		err = l.readDB.QueryRowContext(ctx, analysedSince, micros(then)).Scan(&f.Analysed)
	}
	for _, d := range destinations {
		if err != nil {
			break
		}
		n := 0
		err = l.readDB.QueryRowContext(ctx, deliveredSince, d, micros(then)).Scan(&n)
		f.Delivered += n
	}
	return f, wrap("ledger: flow", err)
}
