package gateway_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/inference"
)

func (g *testGateway) rebuild() {
	g.t.Helper()
	cfg, err := configs.Load(g.config)
	require.NoError(g.t, err)
	done, err := gateway.RebuildLedger(g.t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(g.t, err)
	require.Empty(g.t, done.Damaged)
}

func newMoodyPACS(t *testing.T) (pacs *moodyPACS, address string) {
	pacs = &moodyPACS{stored: map[dicom.UID]int{}, refused: map[dicom.UID]int{}, answers: map[dicom.UID]dimse.Status{}}
	address = fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	return pacs, address
}

// TestGateway_damagedLedgerAtStart zeroes pages of a ledger, one at a time: the gateway does not start, says what is to be
// done, and with that done goes on where it stood. In a drill it is every page.
func TestGateway_damagedLedgerAtStart(t *testing.T) {
	t.Parallel()
	pacs, address := newMoodyPACS(t)
	pacs.answer(dicom.SecondaryCaptureImageStorage, dimse.OutOfResources)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	g.start()
	g.watched()
	storeAll(t, g.scp, polyps(t, 0, 1, 3)...)
	g.waitFor("some to be delivered and some to wait", func() bool {
		c := g.destination("pacs").Counts
		return c.Done >= 3 && c.Pending > 0 && allReported(g)
	})
	g.Stop()
	want := g.books()
	path := filepath.Join(g.dir, "data/ledger.db")
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	pageSize := int(sound[16])<<8 | int(sound[17])
	pages := len(sound) / pageSize
	every := installed.Scaled(pages/2, 1)
	refused := 0
	for page := 2; page < pages; page += every {
		broken := append([]byte(nil), sound...)
		clear(broken[page*pageSize : (page+1)*pageSize])
		require.NoError(t, os.WriteFile(path, broken, 0o600))
		cfg, err := configs.Load(g.config)
		require.NoError(t, err)
		problems, err := gateway.CheckLedger(t.Context(), cfg)
		require.NoError(t, err)
		if len(problems) == 0 {
			continue // a page that nothing is on
		}
		refused++
		out, err := exec.Command(shipped.path(t), "serve", "--config", g.config).CombinedOutput()
		require.Error(t, err, "page %d", page)
		require.Contains(t, string(out), "endogate ledger rebuild")
		out, err = exec.Command(shipped.path(t), "ledger", "check", "--config", g.config).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "endogate ledger rebuild")
		g.rebuild()
		require.Equal(t, want, g.books(), "page %d", page)
	}
	require.NotZero(t, refused)
	out, err := exec.Command(shipped.path(t), "ledger", "check", "--config", g.config).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "sound")
	pacs.answer(dicom.SecondaryCaptureImageStorage, dimse.Success)
	g.start()
	g.waitDelivered(1)
	_, once := pacs.storedOnce()
	assert.True(t, once, "what was delivered before is not delivered again")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("a page of the ledger zeroed while the gateway was down, %d times: it does not start, says what to do, and after that goes on where it stood", refused), Kept: 3, Memory: g.watch.Memory(),
	})
}

func allReported(g *testGateway) bool {
	for _, s := range g.studies() {
		if len(reportsOf(g.study(s.StudyInstanceUID))) == 0 {
			return false
		}
	}
	return true
}

// TestGateway_damagedFilesAtStart damages the configuration and the files of a model bundle that states its network's digest: serve and
// doctor say the same of them, by their names, no store is touched, and with the file put right the gateway goes on where it stood.
func TestGateway_damagedFilesAtStart(t *testing.T) {
	t.Parallel()
	pacs, address := newMoodyPACS(t)
	pacs.answer(dicom.SecondaryCaptureImageStorage, dimse.OutOfResources)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	demo, bundle := filepath.Join(peers.Root(t), "testdata/models/demo"), filepath.Join(g.dir, "demo")
	require.NoError(t, os.CopyFS(bundle, os.DirFS(demo)))
	g.replace(demo, bundle)
	whole, err := inference.LoadBundle(bundle)
	require.NoError(t, err)
	manifest := filepath.Join(bundle, inference.ManifestFile)
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(manifest, append(text, "digest: "+whole.Digest+"\n"...), 0o600))
	g.start()
	g.watched()
	storeAll(t, g.scp, polyps(t, 0, 1, 3)...)
	g.waitFor("some to be delivered and some to wait", func() bool {
		c := g.destination("pacs").Counts
		return c.Done >= 3 && c.Pending > 0 && allReported(g)
	})
	g.Stop()
	want := g.books()

	says := map[string]string{g.config: filepath.Base(g.config), manifest: inference.ManifestFile, filepath.Join(bundle, inference.NetworkFile): inference.NetworkFile}
	refused, passed, started := 0, 0, 0
	for path, name := range says {
		sound, err := os.ReadFile(path)
		require.NoError(t, err)
		every := len(sound) / installed.Scaled(3, 60)
		for n := range len(sound) / every {
			at := n * every
			flipped := append([]byte(nil), sound...)
			flipped[at] ^= 0x10
			for how, broken := range map[string][]byte{
				"flipped": flipped,
				"cut":     sound[:at],
				"zeroed":  append(sound[:at:at], make([]byte, len(sound)-at)...),
			} {
				require.NoError(t, os.WriteFile(path, broken, 0o600))
				cfg, err := configs.Load(g.config)
				if err == nil {
					err = configs.Locate(g.config, gateway.CheckRoutes(cfg)) // as serve and doctor say it
				}
				if err == nil {
					require.NotEqual(t, inference.NetworkFile, name, "%s at %d: the digest tells", how, at)
					passed++ // it says something else, or the same, and nothing can tell
					continue
				}
				refused++
				require.ErrorContains(t, err, name, "%s at %d", how, at)
				if n%installed.Scaled(2, 6) != 1 || how == "cut" {
					continue
				}
				started++
				require.Contains(t, g.serveFails(), name, "%s at %d", how, at)
				require.Contains(t, g.commandFails("doctor"), name, "%s at %d", how, at)
				require.Equal(t, want, g.books(), "%s at %d", how, at)
			}
		}
		require.NoError(t, os.WriteFile(path, sound, 0o600))
	}
	require.NotZero(t, started)
	pacs.answer(dicom.SecondaryCaptureImageStorage, dimse.Success)
	g.start()
	g.waitDelivered(1)
	_, once := pacs.storedOnce()
	assert.True(t, once, "what was delivered before is not delivered again")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("configuration, manifest and network of a gateway that is down flipped, cut and zeroed, %d ways: refused by name %d times (every one of the network, whose digest is stated), else a text that can be read so; %d starts refused in the same words as by doctor, then on where it stood", refused+passed, refused, started),
		Kept:  3, Memory: g.watch.Memory(),
	})
}

// TestGateway_damagedLedgerWhileRunning zeroes the ledger's file under a gateway: it takes nothing over any more, says why, and
// what it had taken over is delivered once the ledger is made anew.
func TestGateway_damagedLedgerWhileRunning(t *testing.T) {
	t.Parallel()
	pacs, address := newMoodyPACS(t)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	g.start()
	instances := polyps(t, 0, 2, 3)
	storeAll(t, g.scp, instances[:3]...)
	g.waitDelivered(1)
	before, _ := pacs.storedOnce()

	path := filepath.Join(g.dir, "data/ledger.db")
	for _, end := range []string{"", "-wal"} {
		info, err := os.Stat(path + end)
		require.NoError(t, err)
		from := int64(100) // the header of a file, that of a log too
		f, err := os.OpenFile(path+end, os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteAt(make([]byte, max(0, info.Size()-from)), from)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	taken := 0
	g.waitFor("the gateway to notice", func() bool {
		if taken < 3 && store(t, g.scp, instances[3+taken]) == dimse.Success {
			taken++
		}
		code, answer := g.ready()
		if code == http.StatusOK {
			return false
		}
		for _, c := range answer.Checks {
			if c.Name == "ledger sound" && strings.Contains(c.Reason, "endogate ledger rebuild") {
				return true // before, that all of it is being looked at
			}
		}
		return false
	})
	assert.NotEqual(t, dimse.Success, store(t, g.scp, instances[5]))
	var status struct {
		Checks []struct{ Name, Reason string }
	}
	g.get("/api/v1/status", &status)
	assert.NotEmpty(t, status.Checks, "the page can say why")
	g.waitFor("the log to say so", func() bool { return strings.Contains(g.Log(), "nothing is taken over, analysed or delivered") })
	assert.Equal(t, 1, strings.Count(g.Log(), "nothing is taken over, analysed or delivered"))
	g.Stop()
	g.rebuild()
	g.start()
	storeAll(t, g.scp, instances[3:]...)
	g.waitDelivered(2)
	after, once := pacs.storedOnce()
	assert.True(t, once, "nothing is sent twice")
	assert.GreaterOrEqual(t, after, before*2, "more where a report was made before the last instance came again")
}

// store sends an instance over an association of its own; a status of failure where there is none.
func store(t *testing.T, address string, i dicomBytes) dimse.Status {
	t.Helper()
	assoc, err := tryAssociate(t, "SCOPE1", address, i)
	if err != nil {
		return dimse.ProcessingFailure
	}
	defer func() { _ = assoc.Abort() }()
	status, err := assoc.Store(t.Context(), i.request())
	require.NoError(t, err)
	return status
}
