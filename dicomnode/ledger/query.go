package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// readDatabase is the database as it is read beside the writer. A row that cannot be read has it looked at.
type readDatabase struct {
	*sql.DB
	health *health
}

// query returns the rows of text, each read by scan.
func query[T any](ctx context.Context, db readDatabase, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	all, err := scanAll(rows, scan)
	var unread *unreadable
	if errors.As(err, &unread) {
		db.health.doubts(err)
	}
	return all, err
}

// scanAll reads rows to their end, each by scan.
func scanAll[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, content(err)
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// unreadable is an error of what a row holds, which no write of ours has put there.
type unreadable struct{ err error }

func (e *unreadable) Error() string { return "ledger: a row cannot be read: " + e.err.Error() }

func (e *unreadable) Unwrap() error { return e.err }

// content is err of scanning a row, as unreadable where it is the row's.
func content(err error) error {
	if err == nil || kindOf(err) != ordinary || errors.Is(err, sql.ErrNoRows) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &unreadable{err}
}

// notFound is ErrNotFound where there is no row.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// scanString reads a row of one text column.
func scanString(rows *sql.Rows) (string, error) {
	var s string
	err := rows.Scan(&s)
	return s, err
}

// jsonColumn scans a column of JSON into what it points to.
type jsonColumn struct{ into any }

// Scan takes the column's value.
func (c jsonColumn) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("JSON is %T, not text", v)
	}
	return json.Unmarshal([]byte(text), c.into)
}

// namesText is the column's text for names.
func namesText(names []string) string {
	b, _ := json.Marshal(append([]string{}, names...)) // strings always can
	return string(b)
}
