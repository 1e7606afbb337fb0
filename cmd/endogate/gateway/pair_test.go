package gateway_test

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/spool"
)

// keepAside copies what of the data folder has a name that begins like this, and returns what puts it back in the place of what is there.
func (g *testGateway) keepAside(name string) (putBack func()) {
	g.t.Helper()
	data, aside := filepath.Join(g.dir, "data"), g.t.TempDir()
	each := func(from, to string) {
		found, err := filepath.Glob(filepath.Join(from, name+"*"))
		require.NoError(g.t, err)
		for _, path := range found {
			is, err := os.Stat(path)
			require.NoError(g.t, err)
			if is.IsDir() {
				require.NoError(g.t, os.CopyFS(filepath.Join(to, filepath.Base(path)), os.DirFS(path)))
			} else {
				copyFile(g.t, path, filepath.Join(to, filepath.Base(path)))
			}
		}
	}
	each(data, aside)
	return func() {
		found, err := filepath.Glob(filepath.Join(data, name+"*"))
		require.NoError(g.t, err)
		for _, path := range found {
			require.NoError(g.t, os.RemoveAll(path))
		}
		each(aside, data)
	}
}

// serveFails starts a gateway that must not start, and returns what it says.
func (g *testGateway) serveFails() string {
	g.t.Helper()
	out, err := exec.Command(shipped.path(g.t), "serve", "--config", g.config).CombinedOutput()
	require.Error(g.t, err)
	return string(out)
}

func (g *testGateway) command(args ...string) string {
	g.t.Helper()
	out, err := exec.Command(shipped.path(g.t), append(args, "--config", g.config)...).CombinedOutput()
	require.NoError(g.t, err, string(out))
	return string(out)
}

// TestGateway_olderLedger puts an older ledger beside a newer spool: it catches up, and nothing is sent a second time.
func TestGateway_olderLedger(t *testing.T) {
	t.Parallel()
	for _, checkpoint := range []bool{false, true} {
		pacs, address := newMoodyPACS(t)
		g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
		g.start()
		instances := polyps(t, 0, 2, 3)
		storeAll(t, g.scp, instances[:2]...)
		g.waitDelivered(1)
		g.Stop()
		putBack := g.keepAside("ledger.db")
		g.start()
		storeAll(t, g.scp, instances[2:]...)
		g.waitDelivered(2)
		g.waitDrafted()
		g.Stop()
		if checkpoint {
			g.checkpoint()
		}
		want := g.books()
		stored, once := pacs.storedOnce()
		require.True(t, once)
		putBack()
		g.start()
		g.waitDelivered(2)
		if checkpoint {
			assert.Contains(t, g.Log(), "begins with the spool's last checkpoint")
		} else {
			assert.Contains(t, g.Log(), "ledger has caught up")
		}
		g.Stop()
		require.Equal(t, want, g.books())
		after, once := pacs.storedOnce()
		assert.True(t, once, "what the PACS has is not sent again")
		assert.Equal(t, stored, after)
	}
}

// checkpoint puts the ledger into the spool, in place of the actions that led to it.
func (g *testGateway) checkpoint() {
	g.t.Helper()
	cfg, err := configs.Load(g.config)
	require.NoError(g.t, err)
	store, err := spool.Open(cfg.SpoolDir(), spool.Options{})
	require.NoError(g.t, err)
	l, err := ledgertest.Open(cfg.LedgerFile(), ledger.Open)
	require.NoError(g.t, err)
	j := intake.Journal{Spool: store, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	_, err = l.Keep(g.t.Context(), j)
	require.NoError(g.t, err)
	store.BeginSegment()
	require.NoError(g.t, j.Checkpoint(g.t.Context(), l))
	require.NoError(g.t, l.Close())
	_, err = store.Purge(g.t.Context())
	require.NoError(g.t, err)
	require.NoError(g.t, store.Close())
}

// TestGateway_olderSpool puts an older spool beside a newer ledger: the gateway says what is missing and what to do, and goes on
// with the ledger when it is told to; what is missing is parked until it is sent again.
func TestGateway_olderSpool(t *testing.T) {
	t.Parallel()
	pacs, address := newMoodyPACS(t)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	g.start()
	instances := polyps(t, 0, 2, 3)
	storeAll(t, g.scp, instances[:3]...)
	g.waitDelivered(1)
	g.Stop()
	putBack := g.keepAside("spool")
	g.start()
	storeAll(t, g.scp, instances[3:]...)
	g.waitDelivered(2)
	g.Stop()
	before, _ := pacs.storedOnce()
	putBack()
	out := g.serveFails()
	for _, said := range []string{"older than its ledger", "3 instances", "ledger rejoin", "ledger rebuild"} {
		require.Contains(t, out, said)
	}
	require.Contains(t, g.command("ledger", "rejoin"), "send those instances again")
	out = strings.TrimSpace(g.commandFails("ledger", "rejoin"))
	require.Contains(t, out, "start the gateway")
	g.start()
	require.Contains(t, g.Log(), "the spool has lost the bytes of entries")
	storeAll(t, g.scp, instances[3:]...)
	more := polyps(t, 2, 1, 2)
	storeAll(t, g.scp, more...)
	g.waitFor("the new study to be delivered", func() bool {
		all := g.studies() // once: it may come in meanwhile
		return len(all) == 3 && !slices.ContainsFunc(all, func(s admin.StudySummary) bool { return s.Status != ledger.StudyDone })
	})
	after, once := pacs.storedOnce()
	assert.True(t, once, "the ledger knows what was delivered")
	assert.Greater(t, after, before)
	g.Stop()
	g.start() // ledger and spool agree again
}

func (g *testGateway) commandFails(args ...string) string {
	g.t.Helper()
	out, err := exec.Command(shipped.path(g.t), append(args, "--config", g.config)...).CombinedOutput()
	require.Error(g.t, err, string(out))
	return string(out)
}

// TestGateway_anothersSpool puts the spool of another gateway beside a ledger: neither is touched, until a ledger is made of it.
func TestGateway_anothersSpool(t *testing.T) {
	t.Parallel()
	pacs, address := newMoodyPACS(t)
	var gs [2]*testGateway
	for i := range gs {
		gs[i] = newGateway(t, routeTo("PACS", address, ", forward_source: true"))
		gs[i].start()
		storeAll(t, gs[i].scp, polyps(t, i, 1, 2+i)...)
		gs[i].waitDelivered(1)
		gs[i].waitDrafted()
		gs[i].Stop()
	}
	stored, _ := pacs.storedOnce()
	here, there := filepath.Join(gs[0].dir, "data/spool"), filepath.Join(gs[1].dir, "data/spool")
	require.NoError(t, os.RemoveAll(here))
	require.NoError(t, os.CopyFS(here, os.DirFS(there)))
	require.Contains(t, gs[0].serveFails(), "of different gateways")
	require.Contains(t, gs[0].commandFails("ledger", "rejoin"), "of different gateways")
	gs[0].rebuild()
	gs[0].start()
	gs[0].waitDelivered(1)
	after, once := pacs.storedOnce()
	assert.True(t, once)
	assert.Equal(t, stored, after)
	gs[0].Stop()
	require.Equal(t, gs[1].books(), gs[0].books())
	cfg, err := configs.Load(gs[0].config)
	require.NoError(t, err)
	problems, err := gateway.CheckLedger(t.Context(), cfg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
