package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
)

// wholeAtStart is the size of a ledger up to which all of it is looked at at a start, in bytes: some hundred instances. What it
// takes then is not noticed.
const wholeAtStart = 4 << 20

// CheckAtStart looks at as much of the ledger as does not take longer the more it has: all of a small one; of a larger one the
// schema, and in every table and index the pages at both ends and above them, where new rows go and old ones are forgotten. It
// reports whether that was all, and what is wrong, which is the trouble from then on.
func (l *Ledger) CheckAtStart(ctx context.Context) (all bool, problems []string, err error) {
	size, err := l.size()
	if err != nil {
		return false, nil, fmt.Errorf("ledger: check: %w", err)
	}
	if size <= wholeAtStart {
		problems, err = l.Check(ctx)
		return true, problems, err
	}
	problems, err = l.checkAnd(ctx, ends)
	return false, problems, err
}

// size is that of the database and what is not in it yet.
func (l *Ledger) size() (n int64, err error) {
	for _, end := range []string{"", "-wal"} {
		info, err := os.Stat(l.path + end)
		if end == "" && err != nil {
			return 0, err
		}
		if err == nil {
			n += info.Size()
		}
	}
	return n, nil
}

// endsOf are the statements that read both ends of every table and index, of a database with the schema of this release.
func endsOf(ctx context.Context, db readDatabase) ([]string, error) {
	type part struct{ kind, name, table, text string }
	parts, err := query(ctx, db, func(rows *sql.Rows) (p part, err error) {
		return p, rows.Scan(&p.kind, &p.name, &p.table, &p.text)
	}, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE type IN ('table', 'index') AND name NOT LIKE 'sqlite_stat%' ORDER BY type, name")
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, p := range parts {
		where, columns := "", []string{"rowid"}
		from := fmt.Sprintf("%q NOT INDEXED", p.table)
		switch {
		case p.kind == "index":
			from = fmt.Sprintf("%q INDEXED BY %q", p.table, p.name)
			if _, condition, partial := strings.Cut(p.text, " WHERE "); partial {
				where = " WHERE " + condition
			}
			columns, err = query(ctx, db, scanString, "SELECT name FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno", p.name)
		case strings.HasSuffix(strings.TrimSpace(p.text), "WITHOUT ROWID"):
			from = fmt.Sprintf("%q", p.table)
			columns, err = query(ctx, db, scanString, "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", p.table)
		}
		if err != nil {
			return nil, err
		}
		for _, order := range []string{"", " DESC"} {
			texts = append(texts, fmt.Sprintf(`SELECT 'an end of %s', * FROM %s%s ORDER BY "%s"%s LIMIT 1`,
				p.name, from, where, strings.Join(columns, `"`+order+`, "`), order))
		}
	}
	return texts, nil
}

// wrongEnds reads both ends of everything.
func wrongEnds(ctx context.Context, db readDatabase) ([]string, error) {
	texts, err := endsOf(ctx, db)
	for _, text := range texts {
		if err == nil {
			_, err = query(ctx, db, func(*sql.Rows) (struct{}, error) { return struct{}{}, nil }, text)
		}
	}
	if err != nil {
		return soDamaged(err)
	}
	return nil, nil
}
