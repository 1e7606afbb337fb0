package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// thoroughness is how much a check looks at.
type thoroughness int

const (
	ends    thoroughness = iota // the schema, and both ends of every table and index
	quick                       // every page of the file, and the schema
	earlier                     // every page and what hangs together, whatever release made it
	full                        // also that references and counters agree with the rows, and that these can be read
)

// notRead are SQLite's words for a page that a check did not get, with the result code where they have one.
var notRead = regexp.MustCompile(`unable to get the page\. error code=(\d+)|btreeInitPage\(\) returns error code (\d+)|[Ff]ailed to (?:get page|read ptrmap)`)

// unread reports whether problem is of what the disk did not give, which says nothing of what is on it.
func unread(problem string) bool {
	return slices.ContainsFunc(notRead.FindAllStringSubmatch(problem, -1), func(found []string) bool {
		code, err := strconv.Atoi(found[1] + found[2])
		return err != nil || slices.Contains(codesOf[hindered], sqlite3.ErrNo(code&0xff)) // the low byte of an extended one
	})
}

// maxProblems is how many problems a check names.
const maxProblems = 20

// checks are run in their order, as long as nothing is found: what follows may not be readable else. No problem that they
// name has patient data.
var checks = map[thoroughness][]string{
	quick:   {fmt.Sprintf("PRAGMA quick_check(%d)", maxProblems)},
	earlier: {fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems)},
	full: {
		fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems),
		`SELECT 'a row of ' || "table" || ' refers to one of ' || parent || ' that is not there' FROM pragma_foreign_key_check LIMIT 20`,
		wrongTally,
		wrongAgreed,
		wrongCounters,
		unreadableRows,
	},
}

const (
	wrongTally = `WITH is_so (kind, name, state, n) AS (
			SELECT 'instance', '', state, count(*) FROM instance GROUP BY state
			UNION ALL SELECT 'job', model, state, count(*) FROM job GROUP BY model, state
			UNION ALL SELECT 'exam', model, state, count(*) FROM exam GROUP BY model, state
			UNION ALL SELECT 'delivery', destination, state, count(*) FROM delivery GROUP BY destination, state
			UNION ALL SELECT 'order', '', state, count(*) FROM imaging_order GROUP BY state
			UNION ALL SELECT 'message', type, code, count(*) FROM message GROUP BY type, code
			UNION ALL SELECT 'study', '', status, count(*) FROM study WHERE forgotten_at IS NULL GROUP BY status
			UNION ALL SELECT 'review', '', state, count(*) FROM review GROUP BY state
			UNION ALL SELECT 'screening', screening, state, count(*) FROM job WHERE screening <> '' GROUP BY screening, state)
		SELECT 'the count of ' || kind || ' rows in state ' || state || ' is wrong' FROM (
			SELECT kind, name, state, sum(n) AS n FROM (
				SELECT kind, name, state, n FROM is_so UNION ALL SELECT kind, name, state, -n FROM tally)
			GROUP BY kind, name, state) WHERE n <> 0 LIMIT 20`
	wrongAgreed = `SELECT 'the count of decisions on findings of model ' || model || ' is wrong' FROM (
			SELECT model, model_version, route, class, site, decision, sum(n) AS n FROM (
				SELECT model, model_version, route, class, site, decision, 1 AS n FROM agreement a WHERE ` + newestDecision + `
				UNION ALL SELECT model, model_version, route, class, site, decision, -n FROM agreed)
			GROUP BY 1, 2, 3, 4, 5, 6) WHERE n <> 0 LIMIT 20`
	wrongCounters = `SELECT 'the counters of study ' || study_instance_uid || ' are wrong' FROM study s
		WHERE (instances, conflicts, unanalysed, frames, flagged) <> (SELECT count(*), coalesce(sum(state = 'conflict'), 0),
			coalesce(sum(state IN ('failed', 'not-analysed')), 0), coalesce(sum(header ->> 'number_of_frames'), 0), coalesce(sum(flagged), 0)
			FROM instance WHERE study = s.id)
		OR (deliveries_pending, deliveries_sent, deliveries_done, deliveries_parked, deliveries_discarded) <> (
			SELECT coalesce(sum(state = 'pending'), 0), coalesce(sum(state = 'sent'), 0), coalesce(sum(state = 'done'), 0),
			coalesce(sum(state = 'parked'), 0), coalesce(sum(state = 'discarded'), 0) FROM delivery WHERE study = s.id)
		OR kept <> (SELECT count(*) FROM instance WHERE study = s.id AND released_at IS NULL)
			+ (SELECT count(*) FROM object WHERE study = s.id AND released_at IS NULL) LIMIT 20`
	unreadableRows = `SELECT DISTINCT 'a row of ' || name || ' holds what cannot be read' FROM (
		SELECT 'instance' AS name FROM instance WHERE NOT json_valid(header)
		UNION ALL SELECT 'exam' FROM exam WHERE NOT json_valid(destinations)
		UNION ALL SELECT 'job' FROM job WHERE NOT json_valid(made_by)
		UNION ALL SELECT 'span' FROM span WHERE NOT (json_valid(scores) AND json_valid(findings) AND json_valid(notes)) OR NOT contours_fit(findings, coalesce(contours, x''))
		UNION ALL SELECT 'draft' FROM draft WHERE NOT (json_valid(document) AND json_valid(basis))
		UNION ALL SELECT 'gate' FROM gate WHERE NOT (json_valid(patient) AND json_valid(mismatches)))`
)

// CheckFile looks at all of the ledger at path, also beside a gateway that uses it, and returns what is wrong with it:
// nothing where it is sound. Of one that an earlier release has left, what it means is not looked at.
func CheckFile(ctx context.Context, path string) (problems []string, err error) {
	l := &Ledger{path: path, health: newHealth()}
	if err = l.openReaders(ctx, path, "mode", "ro"); err == nil {
		err = l.checkSchema(ctx)
	}
	if errors.Is(err, errOlder) {
		problems, err = l.check(ctx, earlier)
	} else if err == nil {
		problems, err = l.check(ctx, full)
	}
	if kindOf(err) == damaged {
		problems, err = l.check(ctx, earlier)
		if err == nil && len(problems) == 0 {
			err = errPassed
		}
	}
	if err = errors.Join(err, l.closeDatabases()); err != nil {
		return nil, fmt.Errorf("ledger: check %s: %w", path, err)
	}
	return problems, nil
}

// CheckQuickly looks at every page of the file, as long as ctx lets it. It returns what is wrong, which is the trouble from
// then on, and ctx's error where it did not come to the end.
func (l *Ledger) CheckQuickly(ctx context.Context) (problems []string, err error) {
	return l.checkAnd(ctx, quick)
}

// Check looks at all of the ledger while it is used, and returns what is wrong, which is the trouble from then on.
func (l *Ledger) Check(ctx context.Context) (problems []string, err error) {
	return l.checkAnd(ctx, full)
}

func (l *Ledger) checkAnd(ctx context.Context, how thoroughness) ([]string, error) {
	began := time.Now()
	problems, err := l.check(ctx, how)
	if err != nil {
		l.health.see(err)
		return nil, fmt.Errorf("ledger: check: %w", err)
	}
	if err := l.found(problems); err == nil && how == full {
		l.health.looked(began)
	}
	return problems, nil
}

// found makes what a check has found the trouble.
func (l *Ledger) found(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	t := &Trouble{Damaged: true, Err: errors.New(strings.Join(problems[:min(3, len(problems))], "; "))}
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	if l.health.trouble == nil || !l.health.trouble.Damaged {
		l.health.trouble = t
		l.health.change()
	}
	return t
}

// check looks, and where it finds something looks whether the disk gives all of it, and again: what it does not give looks like damage,
// and says nothing of what is on it.
func (l *Ledger) check(ctx context.Context, how thoroughness) (problems []string, err error) {
	if problems, err = l.look(ctx, how); err != nil || len(problems) == 0 {
		return problems, err
	}
	if err := l.readable(ctx); err != nil {
		return nil, err
	}
	if problems, err = l.look(ctx, how); err == nil && len(problems) == 0 {
		err = errPassed
	}
	return problems, err
}

var errPassed = fmt.Errorf("%w: what looked damaged a moment ago is not", sqlite3.Error{Code: sqlite3.ErrIoErr})

// readable is an error of the disk where it does not give all of the files.
func (l *Ledger) readable(ctx context.Context) error {
	for _, end := range []string{"", "-wal"} {
		f, err := os.Open(l.path + end)
		if end != "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for block := make([]byte, 1<<20); err == nil; err = cmp.Or(err, ctx.Err()) {
			_, err = f.Read(block)
		}
		if f != nil {
			_ = f.Close()
		}
		switch {
		case errors.Is(err, io.EOF):
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			return fmt.Errorf("%w: %w", sqlite3.Error{Code: sqlite3.ErrIoErr}, err)
		}
	}
	return nil
}

// look has a connection of its own, which keeps none of what was read before: it looks at the disk.
func (l *Ledger) look(ctx context.Context, how thoroughness) (problems []string, err error) {
	db := readDatabase{openDatabase(dsn(l.path, "mode", "ro", "_query_only", "on"), func(error) {}), newHealth()}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if how != earlier {
		if problems, err = wrongSchema(ctx, db); err != nil || len(problems) > 0 {
			return problems, err
		}
	}
	if how == ends {
		return wrongEnds(ctx, db)
	}
	for _, text := range checks[how] {
		found, err := query(ctx, db, scanString, text)
		if err != nil {
			return soDamaged(err)
		}
		for _, p := range found {
			if unread(p) { // what else was found may come of that
				return nil, fmt.Errorf("not all of it can be read: %w", sqlite3.Error{Code: sqlite3.ErrIoErr})
			}
			if p != "ok" {
				problems = append(problems, strings.TrimPrefix(p, "*** in database main ***\n"))
			}
		}
		if len(problems) > 0 {
			return problems, nil
		}
	}
	return nil, nil
}

// soDamaged is an error of a check: of a file that is so damaged that it cannot even be said, or of something else.
func soDamaged(err error) ([]string, error) {
	if kindOf(err) == damaged {
		return []string{err.Error()}, nil
	}
	return nil, err
}

// wrongSchema holds the schema against that of a new database: SQLite believes whatever it reads there.
func wrongSchema(ctx context.Context, db readDatabase) ([]string, error) {
	want, err := newSchema()
	if err != nil {
		return nil, err
	}
	is, err := schemaOf(ctx, db)
	if err != nil {
		if kindOf(err) == suspicious { // "malformed database schema"
			return []string{err.Error()}, nil
		}
		return soDamaged(err)
	}
	if !slices.Equal(is, want) {
		return []string{"the schema is not the one that this release has made"}, nil
	}
	return nil, nil
}

// newSchema is the schema of a database that is made now.
var newSchema = sync.OnceValues(func() (schema []string, err error) {
	ctx := context.Background()
	db := readDatabase{openDatabase(":memory:", func(error) {}), newHealth()}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(migrate(&tx{ctx: ctx, conn: conn}), conn.Close()); err != nil {
		return nil, err
	}
	return schemaOf(ctx, db)
})

// schemaOf returns what a database has of tables, indexes and triggers. How SQLite has written it is not looked at.
func schemaOf(ctx context.Context, db readDatabase) ([]string, error) {
	return query(ctx, db, func(rows *sql.Rows) (string, error) {
		var kind, name, table, text string
		err := rows.Scan(&kind, &name, &table, &text)
		return kind + " " + name + " " + table + " " + strings.Join(strings.Fields(strings.ReplaceAll(text, `"`, "")), " "), err
	}, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name")
}
