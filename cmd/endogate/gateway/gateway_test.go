package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

func TestMain(m *testing.M) {
	code := m.Run()
	shipped.remove()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// testGateway is a gateway with a data folder that outlives it.
type testGateway struct {
	t        *testing.T
	dir      string
	scp, web string
	config   string
	apart    bool             // it runs as a process of its own, to be killed or measured
	process  *peers.Process   // of a gateway apart
	watch    *installed.Watch // over its memory, if somebody watches
	clock    func() *clock.Clock
	running
}

// running is a gateway that was started.
type running interface {
	Log() string
	Exited() bool
	Stop()
}

// inProcess is a gateway that runs in the process of the tests.
type inProcess struct {
	log   syncBuffer
	again chan os.Signal // has the configuration read again
	stop  context.CancelFunc
	ended chan struct{}
	err   error // once it has ended
}

// startHere starts a gateway that is stopped with the test, and has to end without an error then.
func startHere(t *testing.T, config string, by *clock.Clock) *inProcess {
	t.Helper()
	cfg, err := configs.Load(config)
	require.NoError(t, err)
	var level slog.Level
	require.NoError(t, level.UnmarshalText([]byte(cfg.Log.Level)))
	p := &inProcess{ended: make(chan struct{}), again: make(chan os.Signal, 1)}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	log := slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{Level: level}))
	go func() {
		defer close(p.ended)
		p.err = gateway.RunBy(ctx, cfg, gateway.Build{Version: "test", Config: config, Reload: p.again}, by, log)
	}()
	t.Cleanup(func() {
		p.Stop()
		assert.NoError(t, p.err, "the gateway ends")
		if t.Failed() {
			log := p.Log()
			t.Logf("the gateway's log:\n%s", log[max(0, len(log)-64<<10):])
		}
	})
	return p
}

func (p *inProcess) Log() string { return p.log.String() }

// Stop asks the gateway to stop and waits for its end.
func (p *inProcess) Stop() {
	p.stop()
	<-p.ended
}

func (p *inProcess) Exited() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// syncBuffer is a log that is written and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// executable is endogate as it is shipped, built once: without the race detector, which would take minutes where it is used.
type executable struct {
	once sync.Once
	dir  string
}

var shipped executable

func (e *executable) path(t *testing.T) string {
	t.Helper()
	e.once.Do(func() {
		dir, err := os.MkdirTemp("", "endogate-")
		require.NoError(t, err)
		e.dir = dir
		build := exec.Command("go", "build", "-o", dir, "endogate/cmd/endogate")
		build.Env = append(os.Environ(), peers.CompiledSo)
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
		require.NoError(t, os.Symlink(filepath.Join(peers.Root(t), "bin/lib"), filepath.Join(dir, "lib")))
	})
	return filepath.Join(e.dir, "endogate")
}

func (e *executable) remove() {
	if e.dir != "" {
		_ = os.RemoveAll(e.dir)
	}
}

// newGateway writes a configuration; extra is YAML that is put below it.
func newGateway(t *testing.T, extra string) *testGateway {
	t.Helper()
	g := &testGateway{t: t, dir: t.TempDir(), clock: clock.System}
	g.scp = fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g.web = fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g.config = filepath.Join(g.dir, "endogate.yaml")
	text := fmt.Sprintf(`data_dir: %q
dicom: {listen: %q, max_per_peer: 64, peers: [{ae_title: "*", hosts: [127.0.0.0/8]}]}
http: {listen: %q}
spool: {reserve: 64MiB, segment_size: 8MiB}
models: [{dir: %q}]
delivery: {min_backoff: 200ms, max_backoff: 1s}
%s`, filepath.Join(g.dir, "data"), g.scp, g.web, filepath.Join(peers.Root(t), "testdata/models/demo"), extra)
	require.NoError(t, os.WriteFile(g.config, []byte(text), 0o600))
	return g
}

// launch starts the gateway and waits until it answers, ready or not.
func (g *testGateway) launch() {
	g.t.Helper()
	if g.apart {
		g.process = peers.Start(g.t, exec.Command(shipped.path(g.t), "serve", "--config", g.config))
		g.running = g.process
		if g.watch != nil {
			g.watch.Over(g.process.PID())
		}
	} else {
		g.running = startHere(g.t, g.config, g.clock())
	}
	g.waitAnswer("/healthz")
}

// start starts the gateway and waits until it is ready.
func (g *testGateway) start() {
	g.t.Helper()
	g.launch()
	g.waitAnswer("/readyz")
}

func (g *testGateway) waitAnswer(path string) {
	g.t.Helper()
	g.waitFor("the gateway to answer on "+path, func() bool {
		require.False(g.t, g.Exited(), "the gateway ended: %s", g.Log())
		response, err := http.Get("http://" + g.web + path)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (g *testGateway) waitFor(what string, done func() bool) {
	g.t.Helper()
	peers.Wait(g.t, 2*time.Minute, what, done)
}

func (g *testGateway) get(path string, into any) {
	g.t.Helper()
	response, err := http.Get("http://" + g.web + path)
	require.NoError(g.t, err)
	defer response.Body.Close()
	require.Equal(g.t, http.StatusOK, response.StatusCode, path)
	require.NoError(g.t, json.NewDecoder(response.Body).Decode(into))
}

func (g *testGateway) studies() []admin.StudySummary {
	var answer struct{ Studies []admin.StudySummary }
	g.get("/api/v1/studies?limit=500", &answer)
	return answer.Studies
}

func (g *testGateway) study(uid dicom.UID) admin.Study {
	var study admin.Study
	g.get("/api/v1/studies/"+string(uid), &study)
	return study
}

// waitDelivered waits until n studies are there and each is delivered in full.
func (g *testGateway) waitDelivered(n int) {
	g.t.Helper()
	g.waitFor(fmt.Sprintf("%d studies to be delivered", n), func() bool {
		studies := g.studies()
		for _, s := range studies {
			if s.Status != ledger.StudyDone {
				return false
			}
		}
		return len(studies) == n
	})
}

// send sends files over one association.
func (g *testGateway) send(files ...string) {
	g.t.Helper()
	var instances []dicomBytes
	for _, path := range files {
		instances = append(instances, readPart10(g.t, path))
	}
	storeAll(g.t, g.scp, instances...)
}

// routeTo is the configuration of one route to one DICOM destination.
func routeTo(aeTitle, address string, more string) string {
	return fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs]%s}]
destinations: [{name: pacs, kind: dicom, ae_title: %s, address: %q}]
exam: {quiet: 1s}
`, more, aeTitle, address)
}
