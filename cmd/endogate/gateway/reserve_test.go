package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/pdu"
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

// Below the reserve nothing is taken in, and what was taken in before is analysed, delivered and released.
func TestGateway_reserveIsForWork(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.start()
	g.watched()
	const studies, each = 4, 10
	storeAll(t, g.scp, polyps(t, 0, studies, each)...)
	g.Stop()
	requireOpenWork(t, g, studies*each)

	reserve := fmt.Sprintf("reserve: %dMiB", 2*freeDisk(t, g.dir)>>20) // what is free is four times the floor
	g.replace("reserve: 64MiB", reserve)
	g.launch()
	_, err := associationAs("SCOPE1", "ENDOGATE", g.scp)
	assertRejected(t, err, pdu.RejectedTransient, pdu.RejectProviderPresentation, pdu.LocalLimitExceeded)
	g.waitDelivered(studies)
	g.waitFor("what is done to be released", func() bool {
		var answer struct{ Gauges admin.Gauges }
		g.get("/api/v1/status", &answer)
		return answer.Gauges.SpoolEntries == 0
	})
	g.Stop()

	g.replace(reserve, "reserve: 64MiB")
	g.start()
	assertEachOnce(t, g, scp, studies*each)
	installed.Tried(t, installed.Drill{Tried: "a disk that is full up to the reserve while work is open: it is finished, then there is room again", Kept: studies * each, Memory: g.watch.Memory()})
}
