package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Store returns the identity of the spool that the ledger belongs to, "" where none was given yet.
func (l *Ledger) Store(ctx context.Context) (id string, err error) {
	if err := l.readDB.QueryRowContext(ctx, "SELECT store FROM meta").Scan(&id); err != nil {
		return "", fmt.Errorf("ledger: store: %w", err)
	}
	return id, nil
}

// SetStore says which spool the ledger belongs to.
func (l *Ledger) SetStore(ctx context.Context, id string) error {
	return l.write(ctx, func(t *tx) error {
		_, err := t.exec("UPDATE meta SET store = ?", id)
		return err
	})
}

// Acted returns where in the journal the last action stands that the ledger has done.
func (l *Ledger) Acted(ctx context.Context) (uint64, error) {
	var n int64
	if err := l.readDB.QueryRowContext(ctx, "SELECT acted FROM meta").Scan(&n); err != nil {
		return 0, fmt.Errorf("ledger: acted: %w", err)
	}
	return uint64(n), nil
}

// ActedIn is Acted of the database at path, whatever release it is of.
func ActedIn(ctx context.Context, path string) (acted uint64, err error) {
	db, err := sql.Open("sqlite3", dsn(path, "mode", "ro"))
	if err != nil {
		return 0, err
	}
	var n int64
	err = db.QueryRowContext(ctx, "SELECT acted FROM meta").Scan(&n)
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, fmt.Errorf("ledger: %s: %w", path, err)
	}
	return uint64(n), nil
}

// Beyond is what the ledger knows and a spool lacks that ends before.
type Beyond struct {
	Newest      uint64 // Seq of the spool's entry that the ledger has come to
	Instances   int    // received, and the spool was the one to have them
	First, Last time.Time
}

// Beyond returns what the ledger knows of what came after the entry of a Seq.
func (l *Ledger) Beyond(ctx context.Context, seq uint64) (b Beyond, err error) {
	if b.Newest, err = l.Newest(ctx); err != nil {
		return b, err
	}
	err = l.readDB.QueryRowContext(ctx, "SELECT count(*), min(received_at), max(received_at) FROM instance WHERE seq > ?", int64(seq)).
		Scan(&b.Instances, timeColumn{&b.First}, timeColumn{&b.Last})
	if err != nil {
		return b, fmt.Errorf("ledger: beyond: %w", err)
	}
	return b, nil
}
