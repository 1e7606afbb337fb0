package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"endogate/cmd/endogate/peers"
)

// A full disk is no fault of the jobs that meet it: none is given up, and all are done once there is room.
func TestGateway_fullDiskParksNothing(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, "")+"jobs: {max_deliver: 2, ack_wait: 2s}\n")
	g.start()
	const studies, each = 4, 10
	storeAll(t, g.scp, polyps(t, 0, studies, each)...)
	g.Stop() // with most jobs open, and none begun and not ended: a try that was cut off would count
	requireOpenWork(t, g, studies*each)

	g.replace("reserve: 64MiB", "reserve: 1048576GiB")
	g.launch()
	status, _ := g.ready()
	assert.Equal(t, http.StatusServiceUnavailable, status)
	g.waitFor("the work to meet the full disk", func() bool { return strings.Contains(g.Log(), "less room than the reserve") })
	g.Stop()

	g.replace("reserve: 1048576GiB", "reserve: 64MiB")
	g.start()
	g.waitDelivered(studies)
	assertEachOnce(t, g, scp, studies*each)
}
