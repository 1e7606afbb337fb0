package ledger

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestSchema_golden shows in review what a change does to hospitals' databases, and holds what a new one is made of to what the
// migrations make of none: alike in every object and row, and in their order, in which triggers go.
func TestSchema_golden(t *testing.T) {
	const path = "schema.sql"
	migrated := schemaMade(t, func(t *tx) error {
		steps, err := migrations()
		return errors.Join(err, migrateBy(t, steps))
	})
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(migrated), 0o644))
		return
	}
	require.Equal(t, today, migrated, "go test ./dicomnode/ledger -run TestSchema_golden -update")
	require.Equal(t, migrated, schemaMade(t, migrate))
}

// schemaMade writes down all that migrate makes of nothing.
func schemaMade(t *testing.T, migrate func(*tx) error) string {
	t.Helper()
	db := openDatabase(dsn(filepath.Join(t.TempDir(), "ledger.db")), func(error) {})
	defer func() { require.NoError(t, db.Close()) }()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	require.NoError(t, migrate(&tx{ctx: t.Context(), conn: conn}))
	texts := func(query string, args ...any) []string {
		t.Helper()
		rows, err := conn.QueryContext(t.Context(), query, args...)
		require.NoError(t, err)
		all, err := scanAll(rows, scanString)
		require.NoError(t, err)
		return all
	}
	all := texts("SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
	for _, table := range texts("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid") {
		var values []string
		for _, column := range texts("SELECT name FROM pragma_table_info(?)", table) {
			values = append(values, fmt.Sprintf(`quote("%s")`, column))
		}
		for _, row := range texts(fmt.Sprintf(`SELECT %s FROM "%s"`, strings.Join(values, " || ', ' || "), table)) {
			all = append(all, fmt.Sprintf("INSERT INTO %s VALUES (%s);", table, row))
		}
	}
	return strings.Join(all, "\n") + "\n"
}

func TestOpen_filesArePrivate(t *testing.T) {
	dir := t.TempDir()
	receive(t, reopen(t, filepath.Join(dir, "ledger.db")), receipt(1))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 3, "the database, its log and its index")
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm(), f.Name())
	}
}

func TestOpen_settings(t *testing.T) {
	l := openLedger(t)
	steps, err := migrations()
	require.NoError(t, err)
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "user_version": strconv.Itoa(len(steps)),
	} {
		var got string
		require.NoError(t, l.writes.tx.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got))
		require.Equal(t, want, got, pragma)
	}
	_, err = l.readDB.ExecContext(t.Context(), "DELETE FROM meta")
	require.Error(t, err, "readers cannot write")
}

func TestOpen_keepsWhatIsThere(t *testing.T) {
	for _, name := range []string{"ledger.db", "with space?#%41.db"} {
		path := filepath.Join(t.TempDir(), name)
		l := reopen(t, path)
		receive(t, l, receipt(1))
		before := study(t, l)
		require.NoError(t, l.Close())
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm(), "it has patient data")
		require.Equal(t, before, study(t, reopen(t, path)))
	}
}

func TestOpen_errors(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "missing", "ledger.db"))
	require.ErrorContains(t, err, "ledger: open")

	path := filepath.Join(t.TempDir(), "ledger.db")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600))
	_, err = Open(path)
	require.ErrorContains(t, err, "not a database")
}

func TestMigrate_newerRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := reopen(t, path)
	_, err := l.writes.tx.exec("PRAGMA user_version = 1000")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = Open(path)
	require.ErrorContains(t, err, "schema version 1000 is from a newer release")
}

func TestMigrate_steps(t *testing.T) {
	db, err := sql.Open("sqlite3", dsn(filepath.Join(t.TempDir(), "ledger.db")))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	x := &tx{ctx: context.Background(), conn: conn}
	value := func(query string) (n int) {
		require.NoError(t, conn.QueryRowContext(t.Context(), query).Scan(&n))
		return n
	}
	one, broken, two := "CREATE TABLE a (x); INSERT INTO a VALUES (1)", "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1)", "UPDATE a SET x = x + 1"

	require.NoError(t, migrateBy(x, []string{one}))
	require.ErrorContains(t, migrateBy(x, []string{one, broken}), "schema version 2")
	require.Equal(t, 1, value("PRAGMA user_version"))
	require.Zero(t, value("SELECT count(*) FROM sqlite_master WHERE name = 'b'"), "a step is done in full or not at all")
	for range 2 {
		require.NoError(t, migrateBy(x, []string{one, two}))
		require.Equal(t, 2, value("PRAGMA user_version"))
		require.Equal(t, 2, value("SELECT x FROM a"), "each step is done once")
	}
}

func TestOpenReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	_, err := OpenReadOnly(path)
	require.ErrorContains(t, err, "ledger: open")
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist, "it makes none")

	l := reopen(t, path)
	receive(t, l, receipt(1))
	for _, closed := range []bool{false, true} {
		if closed {
			require.NoError(t, l.Close())
		}
		r, err := OpenReadOnly(path)
		require.NoError(t, err)
		require.Equal(t, "1.2", string(study(t, r).StudyInstanceUID))
		_, err = r.Receive(t.Context(), nil, 9)
		require.ErrorIs(t, err, ErrReadOnly)
		require.NoError(t, r.Close())
		require.NoError(t, r.Close())
	}
	for version, want := range map[int]string{0: "older release", 1000: "newer release"} {
		db, err := sql.Open("sqlite3", dsn(path))
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version = %d", version))
		require.NoError(t, errors.Join(err, db.Close()))
		_, err = OpenReadOnly(path)
		require.ErrorContains(t, err, want)
	}
}

// TestMigrate_next brings a database with work in it from this schema to one more.
func TestMigrate_next(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := reopen(t, path)
	receive(t, l, receipt(1))
	before := study(t, l)
	steps, err := migrations()
	require.NoError(t, err)
	next := append(steps, "ALTER TABLE instance ADD COLUMN extra TEXT NOT NULL DEFAULT 'x'; UPDATE instance SET extra = entry")
	require.NoError(t, migrateBy(l.writes.tx, next))
	var extra string
	require.NoError(t, l.readDB.QueryRowContext(t.Context(), "SELECT extra FROM instance").Scan(&extra))
	require.Equal(t, receipt(1).ID, extra)
	require.Equal(t, before, study(t, l), "what was there stays")
	require.NoError(t, l.Close())
	_, err = Open(path)
	require.ErrorContains(t, err, fmt.Sprintf("schema version %d is from a newer release, this one knows %d", len(next), len(steps)))
}

// TestOpenReadOnly_afterCrash opens what a process that was killed leaves: a log, and no index of it.
func TestOpenReadOnly_afterCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	receive(t, reopen(t, path), receipt(1))
	left := filepath.Join(t.TempDir(), "ledger.db")
	for _, end := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + end)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(left+end, content, 0o600))
	}
	r, err := OpenReadOnly(left)
	require.NoError(t, err)
	require.Len(t, study(t, r).InstanceViews, 1)
	require.NoError(t, r.Close())
}
