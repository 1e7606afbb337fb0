package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
)

// query returns the rows of text, each read by scan.
func query[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// scanString reads a row of one text column.
func scanString(rows *sql.Rows) (string, error) {
	var s string
	err := rows.Scan(&s)
	return s, err
}

// namesColumn scans a JSON list of names, or ” for one that is not known.
type namesColumn struct{ names *[]string }

// Scan takes the column's value.
func (c namesColumn) Scan(v any) error {
	var s sql.NullString
	if err := s.Scan(v); err != nil || s.String == "" {
		return err
	}
	return json.Unmarshal([]byte(s.String), c.names)
}

// namesText is the column's text for names; nil is not known.
func namesText(names []string) string {
	if names == nil {
		return ""
	}
	b, _ := json.Marshal(names) // strings always can
	return string(b)
}
