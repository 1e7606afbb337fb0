package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"endogate/dicomnode/durable"
)

var (
	// ErrNotFound says that no row has that name.
	ErrNotFound = errors.New("ledger: not found")
	// ErrState says that the row's state does not allow the step.
	ErrState = errors.New("ledger: not possible in this state")
	// ErrClosed says that the ledger was closed.
	ErrClosed = errors.New("ledger: closed")
	// ErrReadOnly says that the ledger was opened to be read only.
	ErrReadOnly = errors.New("ledger: open for reading only")
)

const readers = 4

// Ledger is an open ledger. Its methods may be called from any goroutine.
type Ledger struct {
	path    string
	files   map[string]os.FileInfo // that are open, by what path has behind it
	readDB  readDatabase
	writeDB *sql.DB // nil: read only
	writes  writer

	health  *health
	looking sync.Mutex // held by Suspect

	replaying *writer // what is done is done again, in a transaction of the writer; nil: it is done
}

// Open opens the database file path, makes it where it is not there, and brings its schema up
// to date. The folder must exist.
func Open(path string) (*Ledger, error) {
	l := &Ledger{path: path, health: newHealth()}
	if err := l.open(path); err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: open %s: %w", path, l.orTrouble(err)), l.closeDatabases())
	}
	return l, nil
}

// orTrouble is err, or the damage that it comes of, or the disk that does not give what is on it.
func (l *Ledger) orTrouble(err error) error {
	if kindOf(err) != damaged {
		return err
	}
	problems, unread := l.check(context.Background(), earlier)
	return cmp.Or(unread, l.found(problems), l.Trouble(), err)
}

func (l *Ledger) open(path string) error {
	ctx := context.Background()
	err := makePrivate(path)
	if err != nil {
		return err
	}
	l.writeDB = openDatabase(dsn(path, "_journal_mode", "WAL", "_synchronous", "FULL", "_foreign_keys", "on"), l.health.see)
	l.writeDB.SetMaxOpenConns(1)
	conn, err := l.writeDB.Conn(ctx)
	if err != nil {
		return err
	}
	l.writes.tx = &tx{ctx: ctx, conn: conn, stmts: map[string]*sql.Stmt{}}
	if err := migrate(l.writes.tx); err != nil { // which may write all of it anew: not in memory
		return err
	}
	// What a statement or a caller's part of a transaction may have to undo stays out of files: there are more of these pages
	// than are written in the end, and they have patient data.
	if err := l.writes.tx.keepTemporary("MEMORY"); err != nil {
		return err
	}
	if err := durable.SyncFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if err := l.openReaders(ctx, path); err != nil {
		return err
	}
	l.files = map[string]os.FileInfo{}
	for _, end := range []string{"", "-wal"} {
		if l.files[end], err = os.Stat(path + end); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) openReaders(ctx context.Context, path string, settings ...string) error {
	l.readDB = readDatabase{openDatabase(dsn(path, append(settings, "_query_only", "on", "_stmt_cache_size", "64")...), l.health.see), l.health}
	l.readDB.SetMaxOpenConns(readers)
	l.readDB.SetMaxIdleConns(readers)
	return l.readDB.PingContext(ctx)
}

// OpenReadOnly opens the database file path, which has to be there, to be looked at: also beside a gateway that
// writes it. It changes nothing, not the schema either: one of another release is an error. Methods that write
// return ErrReadOnly.
func OpenReadOnly(path string) (*Ledger, error) {
	l := &Ledger{path: path, health: newHealth()}
	err := l.openReaders(context.Background(), path, "mode", "ro")
	if err == nil {
		err = l.checkSchema(context.Background())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: open %s: %w", path, l.orTrouble(err)), l.closeDatabases())
	}
	return l, nil
}

// dsn returns the data source name of path with settings as pairs.
func dsn(path string, settings ...string) string {
	q := url.Values{"_busy_timeout": {"10000"}}
	for i := 0; i < len(settings); i += 2 {
		q.Set(settings[i], settings[i+1])
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// Close waits for transactions under way, refuses new ones and closes the file.
// Further calls return nil.
func (l *Ledger) Close() error {
	if !l.writes.Stop() {
		return nil
	}
	if err := l.closeDatabases(); err != nil {
		return fmt.Errorf("ledger: close: %w", err)
	}
	return nil
}

func (l *Ledger) closeDatabases() error {
	var errs []error
	if l.readDB.DB != nil {
		errs = append(errs, l.readDB.Close())
	}
	if l.writes.tx != nil {
		errs = append(errs, l.writes.tx.close())
	}
	if l.writeDB != nil {
		errs = append(errs, l.writeDB.Close())
	}
	return errors.Join(errs...)
}

// makePrivate makes the file where it is not there, for its owner only: it has patient data.
// SQLite gives the files that it puts beside it the same permissions.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// micros is the form of a time in the database; it keeps microseconds.
func micros(t time.Time) int64 { return t.UnixMicro() }

// fromMicros is the time of n in UTC, the zero time where n is NULL.
func fromMicros(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

// timeColumn scans microseconds, or NULL, into a time.
type timeColumn struct{ t *time.Time }

// Scan takes the column's value.
func (c timeColumn) Scan(v any) error {
	var n sql.NullInt64
	if err := n.Scan(v); err != nil {
		return err
	}
	*c.t = fromMicros(n)
	return nil
}
