//go:build bench

package bench_test

import (
	"cmp"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // the generator writes rows, not steps

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
)

var history = flag.Int("history", 1_000_000, "instances that the ledger of a gateway with a past has")

const (
	pastFrames = 10     // instances of each examination of the past
	recent     = 10_000 // instances that a gateway soon has: every page of the API is full
)

// TestHistory measures a gateway whose ledger has a past of many instances, analysed and delivered, beside one with few: what is
// done with an instance that comes now must not cost more for it.
func TestHistory(t *testing.T) {
	to := newSink(t)
	bundle := filepath.Join(peers.Root(t), "testdata", "models", "demo")
	tpl := readTemplate(t, filepath.Join(peers.Root(t), "testdata", "instances", "study1-01-polyp-0dad158b.dcm"))
	more := fmt.Sprintf(`models: [{dir: %q}]
routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [sink]}]
destinations: [{name: sink, kind: dicom, ae_title: SINK, address: %q}]
exam: {quiet: 1s}
spool: {retention: 1s}
`, bundle, to.addr)
	dirs := map[string]string{"few": filepath.Join(folder(t), "endogate"), "many": filepath.Join(folder(t), "endogate")}
	known := map[string]dicom.UID{} // a study of each
	for name, dir := range dirs {
		g := endogate(t, dir, more)
		study, objects := tpl.study(pastFrames)
		known[name] = study
		if _, err := send(t.Context(), g, tpl, objects, 1); err != nil {
			t.Fatal(err)
		}
		peers.Wait(t, 2*time.Minute, "the examination to be done and its bytes released", func() bool {
			drain(to)
			var status struct {
				Gauges struct {
					SpoolEntries int `json:"spool_entries"`
				} `json:"gauges"`
			}
			return there(t, g.web+"/api/v1/studies/"+string(study)+"/draft") && getJSON(g.web+"/api/v1/status", &status) == nil && status.Gauges.SpoolEntries == 0
		})
		g.process.Stop()
	}
	for name, instances := range map[string]int{"few": recent, "many": *history} {
		began := time.Now()
		file := filepath.Join(dirs[name], "data", "ledger.db")
		multiply(t, file, instances/pastFrames)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nA ledger of %d instances: %.2f GB, %.1f KB each; made in %v\n", instances, float64(info.Size())/1e9, float64(info.Size())/1e3/float64(instances), time.Since(began).Round(time.Second))
		if out, err := exec.Command(program(t), "ledger", "check", "--config", filepath.Join(dirs[name], "endogate.yaml")).CombinedOutput(); err != nil {
			t.Fatalf("the ledger that was made is not sound: %v\n%s", err, out)
		}
	}

	took := map[string]map[string]series{}
	note := func(what, name string, ms float64) {
		if took[what] == nil {
			took[what] = map[string]series{}
		}
		took[what][name] = append(took[what][name], ms)
	}
	var order []string
	rounds := eachRound(t, func(round int) {
		order = order[:0]
		timed := func(what, name string, ms float64) {
			if !slices.Contains(order, what) {
				order = append(order, what)
			}
			note(what, name, ms)
		}
		names := []string{"few", "many"}
		if round%2 == 1 {
			slices.Reverse(names)
		}
		for _, name := range names {
			start := time.Now()
			g := endogate(t, dirs[name], more)
			timed("start, until ready", name, milliseconds(time.Since(start)))
			timed("an instance taken in, 8 associations", name, perInstance(t, g))
			for range 5 {
				study, objects := tpl.study(1)
				begin := time.Now()
				if _, err := send(t.Context(), g, tpl, objects, 1); err != nil {
					t.Fatal(err)
				}
				arrived, err := to.wait(t.Context(), study)
				if err != nil {
					t.Fatal(err)
				}
				timed("from a frame to its heatmap in the PACS", name, milliseconds(arrived.Sub(begin)))
			}
			for _, path := range []string{
				"/", "/api/v1/studies", "/api/v1/studies?limit=500", "/api/v1/studies?status=done", "/api/v1/studies?status=parked",
				"/api/v1/studies?patient_id=nobody", "/api/v1/studies?accession_number=nothing", "/api/v1/studies/UID",
				"/api/v1/studies/UID/draft", "/api/v1/parked", "/api/v1/orders", "/api/v1/agreement", "/api/v1/destinations",
				"/api/v1/models", "/api/v1/status", "/metrics", "/readyz",
			} {
				timed("GET "+path, name, fetched(t, g.web+strings.ReplaceAll(path, "UID", string(known[name]))))
			}
			g.process.Kill()
			start = time.Now()
			g = endogate(t, dirs[name], more)
			timed("start after kill -9, until ready", name, milliseconds(time.Since(start)))
			g.process.Stop()
		}
	})
	var rows [][]string
	for _, what := range order {
		few, many := took[what]["few"], took[what]["many"]
		rows = append(rows, []string{what, few.String(), many.String(), many.over(few).String()})
	}
	table(fmt.Sprintf("A past of %d instances beside one of %d, %d rounds; milliseconds", *history, recent, rounds), []string{"what", "few", "many", "ratio"}, rows)
}

// drain forgets heatmaps that nobody waits for.
func drain(s *sink) {
	for {
		select {
		case <-s.arrivals:
		default:
			return
		}
	}
}

// perInstance returns the milliseconds an instance that no route takes costs.
func perInstance(t *testing.T, g receiver) float64 {
	t.Helper()
	tpl := smallTemplate(t)
	_, objects := tpl.study(400)
	s, err := send(t.Context(), g, tpl, objects, 8)
	if err != nil {
		t.Fatal(err)
	}
	return milliseconds(s.wall) / float64(len(objects))
}

// fetched returns the milliseconds that the least of some requests takes.
func fetched(t *testing.T, url string) float64 {
	t.Helper()
	least := time.Hour
	for range 5 {
		begin := time.Now()
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := cmp.Or(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(begin))
	}
	return milliseconds(least)
}

// unlike are the columns that name something, which is another thing in each copy.
var unlike = []string{"entry", "alternate", "name", "sop_instance_uid", "study_instance_uid", "series_instance_uid", "source", "merge", "accession_number", "accession", "patient_id", "identifier", "finding", "used"}

// multiply gives a ledger of one examination so many more, each half a minute older than the one before.
func multiply(t *testing.T, path string, times int) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_foreign_keys=off&_synchronous=off&_cache_size=-200000")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
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
		defer rows.Close()
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		return values
	}
	const apart = 1000 // more than any table has rows of one examination
	triggers := column("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")
	for _, name := range column("SELECT name FROM sqlite_schema WHERE type = 'trigger'") {
		must("DROP TRIGGER " + name)
	}
	for _, table := range column("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT IN ('meta', 'tally')") {
		references := column("SELECT \"from\" FROM pragma_foreign_key_list(?)", table)
		var columns, values []string
		for _, c := range column("SELECT name FROM pragma_table_info(?)", table) {
			columns = append(columns, `"`+c+`"`)
			v := `t."` + c + `"`
			switch {
			case c == "id" || slices.Contains(references, c):
				v = fmt.Sprintf("%s + k.n * %d", v, apart)
			case c == "name" && table == "patient" || c == "patient_name" || c == "name" && table == "claim":
			case slices.Contains(unlike, c):
				v = fmt.Sprintf("CASE WHEN %[1]s = '' OR %[1]s IS NULL THEN %[1]s ELSE substr(%[1]s, 1, 55) || '.' || k.n END", v)
			case strings.HasSuffix(c, "_at") || c == "at" || c == "since":
				v = fmt.Sprintf("CASE WHEN %[1]s > 0 THEN %[1]s - k.n * 30000000 ELSE %[1]s END", v)
			}
			values = append(values, v)
		}
		must(fmt.Sprintf(`WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < ?)
			INSERT INTO "%[1]s" (%[2]s) SELECT %[3]s FROM (SELECT * FROM "%[1]s") t, k`, table, strings.Join(columns, ", "), strings.Join(values, ", ")), times-1)
	}
	must("UPDATE tally SET n = n * ?", times)
	for _, text := range triggers {
		must(text)
	}
	must("PRAGMA wal_checkpoint(TRUNCATE)")
}
