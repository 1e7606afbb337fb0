// Package ledgertest makes ledgers with a long past. Only tests import it; they have the driver of SQLite with the ledger.
package ledgertest

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// unlike are the columns that name something, which is another thing in each copy.
var unlike = []string{"entry", "alternate", "name", "sop_instance_uid", "study_instance_uid", "series_instance_uid", "source", "merge", "accession_number", "accession", "patient_id", "identifier", "finding", "used"}

// Multiply gives the ledger at path, which nobody has open, so many times the studies that it has: the first copy is apart older
// than they are, the next one twice that, and so on. Its rows are copied, so that a past of years is there within minutes; versions of models,
// which do not come with studies, stay as many.
func Multiply(t testing.TB, path string, times int, apart time.Duration) {
	t.Helper()
	if times < 2 {
		return
	}
	// What is not finished is made anew: no journal, and indexes are made of all their rows at once.
	db, err := sql.Open("sqlite3", "file:"+path+"?_foreign_keys=off&_synchronous=off&_cache_size=-200000&_journal_mode=off")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	must := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	column := func(query string, args ...any) (values []string) {
		t.Helper()
		rows, err := db.Query(query, args...)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		return values
	}
	var step int64 // more than any table has rows
	for _, table := range column("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%id %INTEGER PRIMARY KEY%'") {
		var last int64
		if err := db.QueryRow(fmt.Sprintf(`SELECT coalesce(max(id), 0) FROM "%s"`, table)).Scan(&last); err != nil {
			t.Fatal(err)
		}
		step = max(step, last)
	}
	const besides = "FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type"
	again := column("SELECT sql " + besides)
	for _, drop := range column("SELECT 'DROP ' || type || ' ' || name " + besides) {
		must(drop)
	}
	for _, table := range column("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT IN ('meta', 'tally', 'agreed', 'version')") {
		references := column("SELECT \"from\" FROM pragma_foreign_key_list(?)", table)
		var columns, values []string
		for _, c := range column("SELECT name FROM pragma_table_info(?)", table) {
			columns = append(columns, `"`+c+`"`)
			v := `t."` + c + `"`
			switch {
			case c == "id" || slices.Contains(references, c):
				v = fmt.Sprintf("%s + k.n * %d", v, step)
			case c == "name" && table == "patient" || c == "patient_name" || c == "name" && table == "claim":
			case slices.Contains(unlike, c):
				v = fmt.Sprintf("CASE WHEN %[1]s = '' OR %[1]s IS NULL THEN %[1]s ELSE substr(%[1]s, 1, 55) || '.' || k.n END", v)
			case strings.HasSuffix(c, "_at") || c == "at" || c == "since":
				v = fmt.Sprintf("CASE WHEN %[1]s > 0 THEN %[1]s - k.n * %[2]d ELSE %[1]s END", v, apart.Microseconds())
			}
			values = append(values, v)
		}
		must(fmt.Sprintf(`CREATE TEMP TABLE t AS SELECT * FROM "%s"`, table))
		must(fmt.Sprintf(`WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < ?)
			INSERT INTO "%s" (%s) SELECT %s FROM k CROSS JOIN temp.t`, table, strings.Join(columns, ", "), strings.Join(values, ", ")), times-1)
		must("DROP TABLE temp.t")
	}
	must("UPDATE tally SET n = n * ?", times)
	must("UPDATE meta SET studies = studies * ?", times)
	for _, text := range again {
		must(text)
	}
	must("PRAGMA journal_mode = WAL")
}
