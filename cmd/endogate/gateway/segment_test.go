package gateway_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/spool"
)

// TestGateway_segmentGone loses a segment of the spool that was not taken over: what is behind it goes on, and readiness, page and log say what
// is missing until somebody has seen to it.
func TestGateway_segmentGone(t *testing.T) {
	t.Parallel()
	pacs, address := newMoodyPACS(t)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	g.start()
	instances := polyps(t, 0, 3, 1)
	storeAll(t, g.scp, instances[0])
	g.waitDelivered(1)
	g.Stop()
	lost := g.spooled(instances[1])
	segments, err := filepath.Glob(filepath.Join(g.dir, "data/spool/log/*.log"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(slices.Max(segments)))
	g.spooled(instances[2])

	const check = "all that was received is taken in"
	says := func() (reason string) {
		_, answer := g.ready()
		require.True(t, answer.Ready)
		i := slices.IndexFunc(answer.Checks, func(c admin.CheckResult) bool { return c.Name == check })
		require.GreaterOrEqual(t, i, 0)
		return answer.Checks[i].Reason
	}
	g.start()
	g.waitFor("what is behind it to be delivered", func() bool {
		pacs.mu.Lock()
		defer pacs.mu.Unlock()
		return pacs.stored[instances[2].uid] > 0
	})
	require.Contains(t, says(), "1 entries of the spool cannot be read")
	require.Contains(t, says(), "endogate ledger dismiss")
	require.Contains(t, g.Log(), lost)
	require.Contains(t, g.Log(), "the file is gone")
	require.Contains(t, g.text("/metrics"), "endogate_refused_entries 1\n")

	storeAll(t, g.scp, instances[1])
	g.waitDelivered(3)
	g.Stop()
	require.Contains(t, g.command("ledger", "dismiss"), "1 entries")
	g.start()
	require.Empty(t, says())
	require.Contains(t, g.text("/metrics"), "endogate_refused_entries 0\n")
	_, once := pacs.storedOnce()
	require.True(t, once)
}

// spooled puts an instance into the spool of a gateway that does not run, as one that is killed leaves it, in a segment of its own.
func (g *testGateway) spooled(i dicomBytes) (id string) {
	g.t.Helper()
	s, err := spool.Open(filepath.Join(g.dir, "data/spool"), spool.Options{})
	require.NoError(g.t, err)
	w, err := s.Create()
	require.NoError(g.t, err)
	_, err = w.Write(i.content)
	require.NoError(g.t, err)
	syntax, _ := dicom.LookupTransferSyntax(i.syntax)
	header, err := intake.ReadHeader(bytes.NewReader(i.content), syntax, i.request())
	require.NoError(g.t, err)
	e, err := w.Commit(spool.Entry{Kind: spool.Received, Header: header, TransferSyntaxUID: i.syntax, CallingAE: "SCOPE1", CalledAE: "ENDOGATE", At: time.Now().UTC()})
	require.NoError(g.t, err)
	require.NoError(g.t, s.Close())
	return e.ID
}
