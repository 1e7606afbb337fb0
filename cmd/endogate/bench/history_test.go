//go:build bench

package bench_test

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // the generator writes rows, not steps

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/spool"
)

var history = flag.Int("history", 1_000_000, "instances that the ledger of a gateway with a past has")

const (
	pastFrames = 10    // instances of each examination of the past
	pastNotes  = 2     // records of the spool for each instance of it: what was done with several at once is one
	recent     = 6_000 // instances that a gateway soon has: every page of the API is full
)

// TestHistory measures a gateway whose ledger and spool have a past of many instances, analysed and delivered, beside one that
// has done one examination, and where that has nothing to show, one whose pages are full: what is done with an instance that
// comes now must not cost more for what came before, nor must a start. At last the gateway with the past forgets half of it,
// while instances come in.
func TestHistory(t *testing.T) {
	to := newSink(t)
	bundle := filepath.Join(peers.Root(t), "testdata", "models", "demo")
	tpl := readTemplate(t, filepath.Join(peers.Root(t), "testdata", "instances", "study1-01-polyp-0dad158b.dcm"))
	more := fmt.Sprintf(`models: [{dir: %q}]
routes: [{name: endoscopy, match: {modality: [ES], station_name: [ENDOROOM1]}, models: [demo], destinations: [sink]}]
destinations: [{name: sink, kind: dicom, ae_title: SINK, address: %q}]
exam: {quiet: 1s}
spool: {retention: 1s}
`, bundle, to.addr)
	past := map[string]int{"empty": pastFrames, "few": recent, "many": *history}
	dirs, known := map[string]string{}, map[string]dicom.UID{} // a study of each
	for name, instances := range past {
		dirs[name] = filepath.Join(folder(t), "endogate")
		g := endogate(t, dirs[name], more)
		study, objects := tpl.study(pastFrames)
		known[name] = study
		if _, err := send(t.Context(), g, tpl, objects, 1); err != nil {
			t.Fatal(err)
		}
		peers.Wait(t, 5*time.Minute, "the examination to be done and its bytes released", func() bool {
			drain(to)
			var status struct {
				Gauges struct {
					SpoolEntries int `json:"spool_entries"`
				} `json:"gauges"`
			}
			return there(t, g.web+"/api/v1/studies/"+string(study)+"/draft") && getJSON(g.web+"/api/v1/status", &status) == nil && status.Gauges.SpoolEntries == 0
		})
		g.process.Stop()
		began := time.Now()
		ledger, log := filepath.Join(dirs[name], "data", "ledger.db"), filepath.Join(dirs[name], "data", "spool")
		multiply(t, ledger, instances/pastFrames)
		noted(t, ledger, log, instances*pastNotes)
		fmt.Printf("\nA past of %d instances: ledger %.2f GB, %.1f KB each; spool %.2f GB; made in %v\n", instances,
			onDisk(t, ledger)/1e9, onDisk(t, ledger)/1e3/float64(instances), onDisk(t, log)/1e9, time.Since(began).Round(time.Second))
		if out, err := exec.Command(program(t), "ledger", "check", "--config", filepath.Join(dirs[name], "endogate.yaml")).CombinedOutput(); err != nil {
			t.Fatalf("the ledger that was made is not sound: %v\n%s", err, out)
		}
	}

	took := map[string]map[string]series{}
	var order []string
	timed := func(what, name string, ms float64) {
		if took[what] == nil {
			took[what] = map[string]series{}
			order = append(order, what)
		}
		took[what][name] = append(took[what][name], ms)
	}
	rounds := eachRound(t, func(round int) {
		names := []string{"empty", "few", "many"}
		if round%2 == 1 {
			slices.Reverse(names)
		}
		for _, name := range names {
			measurePast(t, to, tpl, dirs[name], more, known[name], name, timed)
		}
	})
	var rows [][]string
	for _, what := range order {
		beside := "empty"
		if strings.HasPrefix(what, "GET /") { // of a gateway with nothing to show, an answer is shorter
			beside = "few"
		}
		less, many := took[what][beside], took[what]["many"]
		rows = append(rows, []string{what, beside, less.String(), many.String(), many.over(less).String()})
	}
	table(fmt.Sprintf("A past of %d instances beside an empty gateway, and beside one of %d whose pages are full, %d rounds; milliseconds", *history, recent, rounds),
		[]string{"what", "beside", "that", "with the past", "ratio"}, rows)
	forgetting(t, tpl, dirs["many"], more)
}

// measurePast measures all that a gateway does.
func measurePast(t *testing.T, to *sink, tpl template, dir, more string, known dicom.UID, name string, timed func(what, name string, ms float64)) {
	start := time.Now()
	g := endogate(t, dir, more)
	timed("start, until ready", name, milliseconds(time.Since(start)))
	if name != "empty" { // of which the start looks at all
		peers.Wait(t, 2*time.Hour, "the ledger to be looked at", func() bool { return lookedAt(g) })
		fmt.Printf("%s: all of the ledger looked at %v after the start\n", name, time.Since(start).Round(10*time.Millisecond))
	}
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
		"/api/v1/studies?patient_id=nobody", "/api/v1/studies?accession=nothing", "/api/v1/studies/UID",
		"/api/v1/studies/UID/draft", "/api/v1/studies/UID/draft/history", "/api/v1/parked", "/api/v1/outbox", "/api/v1/outbox?state=done", "/api/v1/orders", "/api/v1/messages",
		"/api/v1/agreement", "/api/v1/destinations", "/api/v1/models", "/api/v1/status", "/metrics", "/readyz",
	} {
		timed("GET "+path, name, fetched(t, g.web+strings.ReplaceAll(path, "UID", string(known))))
	}
	g.process.Kill()
	start = time.Now()
	g = endogate(t, dir, more)
	timed("start after kill -9, until ready", name, milliseconds(time.Since(start)))
	g.process.Stop()
}

// lookedAt says whether all of a ledger of some size was looked at after a start: until then that takes a processor.
func lookedAt(g receiver) bool {
	return strings.Contains(g.process.Log(), "the ledger was checked and is sound")
}

// forgetting has the gateway forget half of its past, for a minute or until that is done, while instances come in.
func forgetting(t *testing.T, tpl template, dir, more string) {
	file := filepath.Join(dir, "data", "ledger.db")
	half := time.Duration(*history/pastFrames/2) * apartInTime
	rows := func(query string) (n int) {
		db, err := sql.Open("sqlite3", "file:"+file+"?mode=ro")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const remembered = "SELECT studies FROM meta"
	before, size := rows(remembered), onDisk(t, file)
	g := endogate(t, dir, more+fmt.Sprintf("hl7: {retention: 1s}\nledger: {history: %ds}\n", int(half.Seconds())))
	defer g.process.Stop()
	peers.Wait(t, 2*time.Hour, "the ledger to be looked at", func() bool { return lookedAt(g) })
	began := time.Now()
	var each series
	for time.Since(began) < time.Minute {
		_, objects := tpl.study(1)
		begin := time.Now()
		if _, err := send(t.Context(), g, tpl, objects, 1); err != nil {
			t.Fatal(err)
		}
		each = append(each, milliseconds(time.Since(begin)))
		time.Sleep(20 * time.Millisecond)
	}
	forgotten := before - rows(remembered) + len(each)
	slices.Sort(each)
	fmt.Printf("\nForgetting: %d studies in %v, %d instances taken in meanwhile in p50 %.1f ms, p99 %.1f ms, at most %.1f ms; the ledger went from %.2f to %.2f GB, of which %.2f GB are free for what comes\n",
		forgotten, time.Since(began).Round(time.Second), len(each), each[len(each)/2], each[len(each)*99/100], each[len(each)-1],
		size/1e9, onDisk(t, file)/1e9, float64(rows("SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"))/1e9)
}

// onDisk returns the bytes of a file, or of the files in a folder.
func onDisk(t *testing.T, path string) (n float64) {
	t.Helper()
	err := filepath.WalkDir(path, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += float64(info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// noted gives a spool records of what was done long ago, and has the ledger know them.
func noted(t *testing.T, ledger, dir string, notes int) {
	t.Helper()
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for e, err := range s.Entries(0) {
		if err == nil && e.Kind == spool.Action && e.Size < 4000 {
			r, err := s.Read(e)
			if err != nil {
				t.Fatal(err)
			}
			text, err = io.ReadAll(r)
			if err := cmp.Or(err, r.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	const writers = 64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range notes / writers {
				e := spool.Entry{Kind: spool.Action, Record: json.RawMessage(`{"journal":"ledger"}`), MediaType: "application/x-ndjson", At: time.Now().Add(-time.Minute)}
				if _, err := s.Append(e, text); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	last := s.Last()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE meta SET acted = ?, position = ?", last, last); err != nil {
		t.Fatal(err)
	}
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

// apartInTime is how much later one examination of the past was than the other.
const apartInTime = 30 * time.Second

// multiply gives a ledger of one examination so many more, each half a minute older than the one before.
func multiply(t *testing.T, path string, times int) {
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
	const besides = "FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type"
	again := column("SELECT sql " + besides)
	for _, drop := range column("SELECT 'DROP ' || type || ' ' || name " + besides) {
		must(drop)
	}
	for _, table := range column("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT IN ('meta', 'tally', 'agreed')") {
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
				v = fmt.Sprintf("CASE WHEN %[1]s > 0 THEN %[1]s - k.n * %[2]d ELSE %[1]s END", v, apartInTime.Microseconds())
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
