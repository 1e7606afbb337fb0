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
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/spool"
)

var history = flag.Int("history", 1_000_000, "instances that the ledger of a gateway with a past has")

const (
	pastFrames  = 10               // instances of each examination of the past
	pastNotes   = 2                // records of the spool for each instance of it: what was done with several at once is one
	turns       = 7                // of the gateways, with each thing that is measured
	apartInTime = 30 * time.Second // how much later one examination of the past was than the other
	recent      = 6_000            // instances that a gateway soon has: every page of the API is full
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
		ledgertest.Multiply(t, ledger, instances/pastFrames, apartInTime)
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
	rounds := eachRound(t, func(int) { measurePast(t, to, tpl, dirs, more, known, timed) })
	var rows [][]string
	for _, what := range order {
		beside := "empty"
		if strings.HasPrefix(what, "GET /") { // of a gateway with nothing to show, an answer is shorter
			beside = "few"
		}
		less, many := took[what][beside], took[what]["many"]
		rows = append(rows, []string{what, beside, less.String(), many.String(), many.over(less).String()})
	}
	table(fmt.Sprintf("A past of %d instances beside an empty gateway, and beside one of %d whose pages are full, %d times %d rounds; milliseconds", *history, recent, rounds, turns),
		[]string{"what", "beside", "that", "with the past", "ratio"}, rows)
	forgetting(t, tpl, dirs["many"], more)
}

// measurePast measures all that the gateways do, which run at once and take turns: what else the machine does meets each alike. Of
// what is measured in a turn the least counts.
func measurePast(t *testing.T, to *sink, tpl template, dirs map[string]string, more string, known map[string]dicom.UID, timed func(what, name string, ms float64)) {
	names := []string{"empty", "few", "many"}
	gateways := map[string]receiver{}
	for _, name := range names {
		start := time.Now()
		gateways[name] = endogate(t, dirs[name], more)
		timed("start, until ready", name, milliseconds(time.Since(start)))
		if name != "empty" { // of which the start looks at all
			peers.Wait(t, 2*time.Hour, "the ledger to be looked at", func() bool { return lookedAt(gateways[name]) })
			fmt.Printf("%s: all of the ledger looked at %v after the start\n", name, time.Since(start).Round(10*time.Millisecond))
		}
	}
	inTurns := func(what string, times int, measure func(name string) float64) {
		for range turns {
			least := map[string]float64{}
			for range times {
				for _, name := range names {
					if ms, before := measure(name), least[name]; before == 0 || ms < before {
						least[name] = ms
					}
				}
			}
			for _, name := range names {
				timed(what, name, least[name])
			}
			slices.Reverse(names)
		}
	}
	inTurns("an instance taken in, 8 associations", 3, func(name string) float64 { return perInstance(t, gateways[name]) })
	inTurns("from a frame to its heatmap in the PACS", 3, func(name string) float64 {
		study, objects := tpl.study(1)
		begin := time.Now()
		if _, err := send(t.Context(), gateways[name], tpl, objects, 1); err != nil {
			t.Fatal(err)
		}
		arrived, err := to.wait(t.Context(), study)
		if err != nil {
			t.Fatal(err)
		}
		return milliseconds(arrived.Sub(begin))
	})
	for _, path := range []string{
		"/", "/api/v1/studies", "/api/v1/studies?limit=500", "/api/v1/studies?status=done", "/api/v1/studies?status=parked",
		"/api/v1/studies?patient_id=nobody", "/api/v1/studies?accession=nothing", "/api/v1/studies/UID",
		"/api/v1/studies/UID/draft", "/api/v1/studies/UID/draft/history", "/api/v1/parked", "/api/v1/outbox", "/api/v1/outbox?state=done", "/api/v1/orders", "/api/v1/messages",
		"/api/v1/agreement", "/api/v1/destinations", "/api/v1/models", "/api/v1/status", "/metrics", "/readyz",
	} {
		inTurns("GET "+path, 7, func(name string) float64 {
			return fetched(t, gateways[name].web+strings.ReplaceAll(path, "UID", string(known[name])))
		})
	}
	for range turns {
		for _, name := range names {
			gateways[name].process.Kill()
			start := time.Now()
			gateways[name] = endogate(t, dirs[name], more)
			timed("start after kill -9, until ready", name, milliseconds(time.Since(start)))
		}
	}
	for _, name := range names {
		gateways[name].process.Stop()
	}
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
	_, objects := tpl.study(100)
	s, err := send(t.Context(), g, tpl, objects, 8)
	if err != nil {
		t.Fatal(err)
	}
	return milliseconds(s.wall) / float64(len(objects))
}

// fetched returns the milliseconds that a request takes.
func fetched(t *testing.T, url string) float64 {
	t.Helper()
	begin := time.Now()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := cmp.Or(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return milliseconds(time.Since(begin))
}
