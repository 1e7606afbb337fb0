package ledger

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// today is what all migrations make of nothing, in the order in which they do; TestSchema_golden writes it and holds it to that.
//
//go:embed schema.sql
var today string

// migrations returns the schema's steps; step i leads from version i to i+1.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var steps []string
	for i, name := range names {
		if number, _, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".sql"), "_"); number != fmt.Sprintf("%04d", i+1) {
			return nil, fmt.Errorf("migration %s: its number is to be %d: databases count the steps", path.Base(name), i+1)
		}
		b, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, string(b))
	}
	return steps, nil
}

// migrate brings the schema up to date: that of a new database at once, which takes a fifth of the time.
func migrate(t *tx) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	switch version, err := t.version(); {
	case err != nil:
		return err
	case version == 0:
		return t.step(today, len(steps))
	}
	return migrateBy(t, steps)
}

func (t *tx) version() (version int, err error) {
	err = t.conn.QueryRowContext(t.ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// migrateBy takes the steps that are not done yet, each in a transaction of its own.
func migrateBy(t *tx, steps []string) error {
	version, err := t.version()
	if err != nil {
		return err
	}
	if version > len(steps) {
		return newerSchema(version, len(steps))
	}
	if 0 < version && version < len(steps) { // what is damaged is not to be made into something else
		var is string
		if err := t.conn.QueryRowContext(t.ctx, "PRAGMA quick_check(1)").Scan(&is); err != nil {
			return err
		}
		if unread(is) {
			return fmt.Errorf("not all of it can be read: %w", sqlite3.Error{Code: sqlite3.ErrIoErr})
		}
		if is != "ok" {
			return &Trouble{Damaged: true, Err: errors.New(is)}
		}
	}
	for ; version < len(steps); version++ {
		if err := t.step(steps[version], version+1); err != nil {
			return err
		}
	}
	return nil
}

// step makes a schema of the version before, or of nothing.
func (t *tx) step(script string, version int) error {
	script = fmt.Sprintf("BEGIN IMMEDIATE;\n%s;\nPRAGMA user_version = %d;\nCOMMIT", script, version)
	if _, err := t.conn.ExecContext(t.ctx, script); err != nil {
		_, _ = t.conn.ExecContext(t.ctx, "ROLLBACK")
		return fmt.Errorf("schema version %d: %w", version, err)
	}
	return nil
}

var errOlder = errors.New("from an older release")

func newerSchema(version, known int) error {
	return fmt.Errorf("schema version %d is from a newer release, this one knows %d: start the newer release", version, known)
}

// checkSchema returns an error for a database of another release.
func (l *Ledger) checkSchema(ctx context.Context) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	var version int
	if err := l.readDB.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version > len(steps):
		return newerSchema(version, len(steps))
	case version < len(steps):
		return fmt.Errorf("schema version %d is %w, this one reads %d: start this release's gateway once", version, errOlder, len(steps))
	}
	return nil
}
