package gateway_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/ledger"
)

// TestGateway_ledgerCompacted: the ledger's file gets as small as what is in it, with everything that was in it, however often a compaction
// is killed; beside a gateway that runs it is refused, and what a killed one has left goes at the next start.
func TestGateway_ledgerCompacted(t *testing.T) {
	t.Parallel()
	_, address := newMoodyPACS(t)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	g.start()
	storeAll(t, g.scp, polyps(t, 0, 1, 2)...)
	g.waitDelivered(1)
	g.waitDrafted()
	require.Contains(t, g.commandFails("ledger", "compact"), "in use by another process")
	g.Stop()

	file := filepath.Join(g.dir, "data", "ledger.db")
	l, err := ledger.Open(file)
	require.NoError(t, err)
	secret := strings.Repeat("deleted words ", 1<<19)
	require.NoError(t, l.SetNotify(t.Context(), ledger.Notify{Rules: []ledger.NotifyRule{{Name: secret}}}, time.Now()))
	require.NoError(t, l.SetNotify(t.Context(), ledger.Notify{}, time.Now()))
	require.NoError(t, l.Close())
	size := func() int64 {
		info, err := os.Stat(file)
		require.NoError(t, err)
		return info.Size()
	}
	require.Greater(t, size(), int64(7<<20))
	want := g.books()
	random := rand.New(rand.NewPCG(3, 4))
	for range installed.Scaled(5, 50) {
		p := peers.Start(t, exec.Command(shipped.path(t), "ledger", "compact", "--config", g.config))
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		p.Kill()
		problems, err := ledger.CheckFile(t.Context(), file)
		require.NoError(t, err)
		require.Empty(t, problems)
		require.Equal(t, want, g.books())
	}
	require.Contains(t, g.command("ledger", "compact"), "MiB now")
	require.Less(t, size(), int64(2<<20))
	assert.Empty(t, g.having("deleted words"))
	require.Equal(t, want, g.books())

	left := file + ".compact"
	require.NoError(t, os.WriteFile(left, []byte("half of a ledger"), 0o600))
	g.start()
	require.NoFileExists(t, left)
	storeAll(t, g.scp, polyps(t, 2, 1, 2)...)
	g.waitDelivered(2)
}
