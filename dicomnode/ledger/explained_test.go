package ledger

import (
	"context"
	"database/sql"
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
	"SELECT * FROM ": "tests read all there is", "SELECT count(*) FROM (": "tests", "SELECT name FROM sqlite_master": "tests",
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
}

// small are what may be gone over: indexes that have work to do only, and what does not grow.
var small = regexp.MustCompile(`^SCAN (\w+ USING (COVERING )?INDEX (exam_open|exam_parked|exam_again|job_open|job_line|job_parked|job_again|delivery_next|delivery_parked|delivery_message|study_conflict|instance_held|instance_unanalysed|need_refused|need_ended|gate_held|gate_mismatch|desk_due|delivery_stale|desk_parked|object_lost|look_due|study_kept|screening_running|report_reading_reporter|review_reporter)\b|json_each|\w+ VIRTUAL TABLE|meta\b|tally\b|CONSTANT ROW|\d+ CONSTANT ROWS?|\(subquery|turn\b|line\b|due\b|ids\b|value\b)`)

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
	for prefix := range mayScan {
		if strings.HasPrefix(strings.Join(strings.Fields(text), " "), prefix) {
			return true
		}
	}
	return false
}

// planOf is how a statement is done; nothing where it is not one of this schema.
func planOf(conn *sql.Conn, text string) (steps []string) {
	rows, err := conn.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+text)
	if err != nil {
		return nil
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if rows.Scan(&id, &parent, &unused, &step) == nil {
			steps = append(steps, step)
		}
	}
	return steps
}
