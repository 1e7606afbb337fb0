package gateway_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
)

// Another machine takes over the data folder of a gateway that died, as docs/deploy.md says: it has a copy of the folder,
// other addresses, and everything goes on where it stood.
func TestGateway_takenOver(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	scp.Kill() // so that deliveries are open
	dead := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true"))
	dead.apart = true
	dead.start()
	const studies, each = 2, 5
	storeAll(t, dead.scp, polyps(t, 0, studies, each)...)
	dead.waitFor("work to begin", func() bool { done, _ := dead.analysed(); return done > 0 })
	folder := filepath.Join(dead.dir, "data")

	heir := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true"))
	heirs := filepath.Join(heir.dir, "data")
	heir.replace(heirs, folder)
	out, err := exec.Command(shipped.path(t), "serve", "--config", heir.config).CombinedOutput()
	require.Error(t, err, "two gateways never share a folder")
	require.Contains(t, string(out), folder)
	require.Contains(t, string(out), "in use")

	dead.process.Kill() // fenced
	require.NoError(t, os.CopyFS(heirs, os.DirFS(folder)))
	heir.replace(folder, heirs)
	heir.start()
	scp.Start(t)
	heir.waitDelivered(studies)
	assertEachOnce(t, heir, scp, studies*each)
	was, err := os.ReadFile(filepath.Join(folder, "node-id"))
	require.NoError(t, err)
	is, err := os.ReadFile(filepath.Join(heirs, "node-id"))
	require.NoError(t, err)
	assert.Equal(t, string(was), string(is), "to a broker and its workers it is the same gateway")
}
