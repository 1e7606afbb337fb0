package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
)

// A test that needs a whole process starts this test binary again as endogate itself.
const asEndogate = "ENDOGATE_TEST_AS_ENDOGATE"

func TestMain(m *testing.M) {
	if os.Getenv(asEndogate) != "" {
		main()
	}
	os.Exit(m.Run())
}

// endogate returns a command line of the binary under test, with its own child processes alike.
func endogate(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	command := exec.Command(self, args...)
	command.Env = append(os.Environ(), asEndogate+"=1")
	command.Dir = peers.Root(t)
	return command
}

// testGateway is endogate serve as a process of its own, with a data folder that outlives it.
type testGateway struct {
	t        *testing.T
	dir      string
	scp, web string
	config   string
	binary   string // empty: this test binary
	process  *peers.Process
}

// newGateway writes a configuration; extra is YAML that is put below it.
func newGateway(t *testing.T, extra string) *testGateway {
	t.Helper()
	g := &testGateway{t: t, dir: t.TempDir()}
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

func (g *testGateway) start() {
	g.t.Helper()
	serve := endogate(g.t, "serve", "--config", g.config)
	if g.binary != "" {
		serve = exec.Command(g.binary, "serve", "--config", g.config)
	}
	g.process = peers.Start(g.t, serve)
	g.waitFor("the gateway to be ready", func() bool {
		require.False(g.t, g.process.Exited(), "the gateway ended: %s", g.process.Log())
		response, err := http.Get("http://" + g.web + "/readyz")
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
			if s.Status != admin.StatusDone {
				return false
			}
		}
		return len(studies) == n
	})
}

// send sends files with our own SCU.
func (g *testGateway) send(files ...string) error {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errors strings.Builder
	args := append([]string{"send", "--to", g.scp, "--called", "ENDOGATE", "--calling", "SCOPE1", "--quiet"}, files...)
	if code := execute(ctx, args, console{&out, &errors}); code != 0 {
		return fmt.Errorf("send ended with %d: %s", code, errors.String())
	}
	return nil
}

// routeTo is the configuration of one route to one DICOM destination.
func routeTo(aeTitle, address string, more string) string {
	return fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs]%s}]
destinations: [{name: pacs, kind: dicom, ae_title: %s, address: %q}]
exam: {quiet: 1s}
`, more, aeTitle, address)
}

func samples(t *testing.T) string { return filepath.Join(peers.Root(t), "testdata/instances") }
