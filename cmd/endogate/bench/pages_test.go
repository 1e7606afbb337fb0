//go:build bench

package bench_test

import (
	"flag"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/ledger/ledgertest"
)

var (
	studies = flag.Int("studies", 100_000, "studies that the ledger of TestPages has")
	users   = flag.Int("users", 20, "people who look at pages at once")
	looking = flag.Duration("looking", 30*time.Second, "for how long they do")
)

// TestPages measures what the page asks of a gateway with many studies (of an instance each, analysed and delivered) while as many people
// look at it at once: each asks for one answer after the other, as pages do, without a pause. Aim: 95 of 100 answers within 100 ms.
func TestPages(t *testing.T) {
	to := newSink(t)
	tpl := readTemplate(t, filepath.Join(peers.Root(t), "testdata", "instances", "study1-01-polyp-0dad158b.dcm"))
	more := fmt.Sprintf(`models: [{dir: %q}]
routes: [{name: endoscopy, match: {modality: [ES], station_name: [ENDOROOM1]}, models: [demo], destinations: [sink]}]
destinations: [{name: sink, kind: dicom, ae_title: SINK, address: %q}]
exam: {quiet: 1s}
spool: {retention: 1s}
`, filepath.Join(peers.Root(t), "testdata", "models", "demo"), to.addr)
	dir := filepath.Join(folder(t), "endogate")
	g := endogate(t, dir, more)
	study, objects := tpl.study(1)
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
	ledger := filepath.Join(dir, "data", "ledger.db")
	ledgertest.Multiply(t, ledger, *studies, apartInTime)
	noted(t, ledger, filepath.Join(dir, "data", "spool"), *studies*pastNotes)
	if out, err := exec.Command(program(t), "ledger", "check", "--config", filepath.Join(dir, "endogate.yaml")).CombinedOutput(); err != nil {
		t.Fatalf("the ledger that was made is not sound: %v\n%s", err, out)
	}
	fmt.Printf("\nA past of %d studies: ledger %.2f GB\n", *studies, onDisk(t, ledger)/1e9)
	g = endogate(t, dir, more)
	peers.Wait(t, 2*time.Hour, "the ledger to be looked at", func() bool { return lookedAt(g) })

	paths := []string{
		"/", "/api/v1/status", "/api/v1/dashboard", "/api/v1/destinations", "/api/v1/models", "/api/v1/studies?limit=50&offset=0", "/api/v1/studies?search=A20260001",
		"/api/v1/studies?search=" + string(study), "/api/v1/studies/" + string(study), "/api/v1/studies?status=parked", "/api/v1/outbox?state=pending&limit=100", "/api/v1/parked?limit=100", "/api/v1/reviews",
		"/api/v1/associations", "/api/v1/configuration",
	}
	took := make([]map[string][]float64, *users)
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = *users
	var wg sync.WaitGroup
	for user := range took {
		took[user] = map[string][]float64{}
		wg.Go(func() {
			for n, end := user, time.Now().Add(*looking); time.Now().Before(end); n++ {
				path := paths[n%len(paths)]
				took[user][path] = append(took[user][path], fetched(t, g.web+path))
			}
		})
	}
	wg.Wait()
	var rows [][]string
	for _, path := range paths {
		var all []float64
		for _, user := range took {
			all = append(all, user[path]...)
		}
		slices.Sort(all)
		at := func(part float64) string { return fmt.Sprintf("%.1f", all[int(part*float64(len(all)-1))]) }
		rows = append(rows, []string{path, fmt.Sprint(len(all)), at(0.5), at(0.95), at(1)})
	}
	table(fmt.Sprintf("%d people at a gateway of %d studies for %v; milliseconds", *users, *studies, *looking), []string{"GET", "answers", "p50", "p95", "most"}, rows)
}
