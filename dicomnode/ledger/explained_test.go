package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// explained are the tests, after which every statement that any of them has run is looked at: none may look at all rows of a
// table that grows with what was ever received, made or said, but for those that are named here with why they may.
type explained struct{ *testing.M }

// mayScan has the beginnings of statements that may look at every row, with why.
var mayScan = map[string]string{
	"SELECT * FROM ": "tests read all there is", "SELECT count(*) FROM (": "tests", "SELECT name FROM sqlite_master": "tests", "SELECT quote(": "tests",
	"SELECT count(*) FROM exam e WHERE open_jobs <>": "tests", "SELECT count(*) FROM study s WHERE instances <>": "tests",
	"SELECT count(*) FROM delivery": "tests", "SELECT count(*) FROM instance": "tests", "SELECT count(*) FROM job": "tests",
	"UPDATE exam SET destinations = '['": "tests", "UPDATE span SET contours = x'0102'": "tests", "SELECT count(*) = (SELECT position": "tests",
	"SELECT count(*) FROM object": "tests", "SELECT count(*) FROM span": "tests",
	"WITH is_so": "the check of the whole ledger, which reads all of it", "SELECT DISTINCT 'a row of '": "the same",
	"SELECT 'the counters of study": "the same", "SELECT sql": "the schema", "SELECT type, name": "the schema",
	"SELECT abs((SELECT":                       "the check of the whole ledger, which reads all of it",
	"SELECT a.model, a.model_version, a.route": "what persons decided, of all time where no time is asked for", "SELECT count(*) FROM agreement": "the same",
	"SELECT 'an end of ": "one row of it", "SELECT rootpage": "the schema",
	"SELECT 'the count of decisions": "the check of the whole ledger, which reads all of it", "UPDATE agreed SET n = n + 1": "tests",
	"SELECT coalesce(sum(a.n), 0) FROM agreed": "a row for each class of a model and each site",
	"SELECT count(*) FROM screening":           "as many as persons have begun",
	"SELECT count(*) FROM imaging_order":       "orders, which ledger.history ends",

	"INSERT INTO study (":                        "foreign keys, looked at where a row is replaced: none is",
	"SELECT e.id, e.study, s.study_instance_uid": "what a person retracts, seldom and of all time",
}

// pages have the ends of statements that go over rows in the order of the key, the last first, and stop with the page: most rows are of it.
var pages = []string{
	"s.id = d.study ORDER BY d.id DESC LIMIT ? OFFSET ?", "WHERE d.destination = ? ORDER BY d.id DESC LIMIT ? OFFSET ?", "WHERE d.state = 'done' ORDER BY d.id DESC LIMIT ? OFFSET ?",
	"b.id > a.id) ORDER BY a.id DESC LIMIT ? OFFSET ?", "FROM message WHERE TRUE AND type = ? AND code = ? ORDER BY id DESC LIMIT ? OFFSET ?", "FROM message WHERE TRUE ORDER BY id DESC LIMIT ? OFFSET ?", "FROM study WHERE forgotten_at IS NULL ORDER BY stands_at DESC, id DESC LIMIT ? OFFSET ?",
}

// small are what may be gone over: indexes that have work to do only, orders by when they changed, the parts (p) of jobs under way, and what does not grow.
var small = regexp.MustCompile(`^SCAN (\w+ USING (COVERING )?INDEX (exam_open|exam_parked|exam_again|job_open|job_line|job_parked|job_again|delivery_next|delivery_parked|delivery_message|delivery_sent|study_conflict|imaging_order_changed|instance_held|instance_unanalysed|need_refused|need_ended|gate_held|gate_mismatch|desk_due|delivery_stale|desk_parked|object_lost|look_due|study_kept|screening_running|report_reading_reporter|review_reporter)\b|json_each|\w+ VIRTUAL TABLE|meta\b|tally\b|version\b|sqlite_schema\b|CONSTANT ROW|\d+ CONSTANT ROWS?|\(subquery|turn\b|line\b|due\b|ids\b|value\b|p$)`)

var statement = regexp.MustCompile(`(?is)^\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b`)

// Run runs the tests.
func (e explained) Run() int {
	var mu sync.Mutex
	texts := map[string]bool{}
	asked = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		texts[text] = true
	}
	code := e.M.Run()
	asked = nil
	if faults := scans(texts); len(faults) > 0 {
		fmt.Fprintln(os.Stderr, "statements that look at every row of what grows:\n"+strings.Join(faults, "\n"))
		code = max(code, 1)
	}
	return code
}

func scans(texts map[string]bool) (faults []string) {
	dir, err := os.MkdirTemp("", "explained-")
	if err != nil {
		return []string{err.Error()}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := Open(filepath.Join(dir, "ledger.db"))
	if err != nil {
		return []string{err.Error()}
	}
	defer func() { _ = l.Close() }()
	for text := range texts {
		if !statement.MatchString(text) || mayBeScanned(text) {
			continue
		}
		for _, step := range planOf(l.writes.tx.conn, text) {
			if strings.HasPrefix(step, "SCAN") && !small.MatchString(step) {
				faults = append(faults, step+": "+strings.Join(strings.Fields(text), " "))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func mayBeScanned(text string) bool {
	text = strings.Join(strings.Fields(text), " ")
	for prefix := range mayScan {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return slices.ContainsFunc(pages, func(end string) bool { return strings.HasSuffix(text, end) })
}

// planOf is how a statement is done, whatever its values; nothing where it is not one of this schema.
func planOf(conn *sql.Conn, text string) (steps []string) {
	_ = conn.Raw(func(c any) error {
		stmt, err := c.(seenConn).Prepare("EXPLAIN QUERY PLAN " + text)
		if err != nil {
			return err
		}
		defer func() { _ = stmt.Close() }()
		rows, err := stmt.(driver.StmtQueryContext).QueryContext(context.Background(), make([]driver.NamedValue, stmt.NumInput()))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for row := make([]driver.Value, 4); rows.Next(row) == nil; {
			steps = append(steps, row[3].(string))
		}
		return nil
	})
	return steps
}
