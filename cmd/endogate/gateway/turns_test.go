package gateway_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
)

// TestGateway_roomsTakeTurns: a room that sends three captures when another has sent sixty waits for a few of those to be
// analysed, and for a few to be delivered, not for all.
func TestGateway_roomsTakeTurns(t *testing.T) {
	t.Parallel()
	pacsAddress, broker := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t)), newBroker(t)
	g := newGateway(t, routeTo("PACS", pacsAddress, ", forward_source: true")+fmt.Sprintf(`jobs: {workers: 1}
nats: {url: "nats://127.0.0.1:%d"}
`, broker.port))
	g.launch()
	image := func(study string, n int) dicomBytes {
		return drawn(dicomtest.Options{Study: study, Series: study, Instance: n, Accession: study, PatientID: study})
	}
	const flood, few = 60, 3
	var first, second []dicomBytes
	for n := range flood {
		first = append(first, image("first", n+1))
	}
	for n := range few {
		second = append(second, image("second", n+1))
	}
	send := func(as dicom.AETitle, all []dicomBytes) {
		assoc := associateAs(t, as, g.scp, all...)
		for _, d := range all {
			status, err := assoc.Store(t.Context(), d.request())
			require.NoError(t, err)
			require.Zero(t, status)
		}
		require.NoError(t, assoc.Release(t.Context()))
	}
	send("ROOM1", first)
	send("ROOM2", second)
	broker.start() // not before: where storing is slow, the worker would have done all by the time the last is there
	g.waitFor("all to be analysed", func() bool { done, all := g.analysed(); return all == flood+few && done == flood+few })
	pacs := &arrivals{}
	serveHandler(t, "PACS", pacsAddress, pacs) // not before either
	g.waitFor("all to be there", func() bool { return pacs.of(first)+pacs.of(second) == flood+few })
	g.Stop()

	l, err := ledger.OpenReadOnly(filepath.Join(g.dir, "data/ledger.db"))
	require.NoError(t, err)
	defer l.Close()
	var last time.Time // of the second room's jobs to begin
	begun := func(d dicomBytes) time.Time {
		entry, err := l.EntryOf(t.Context(), string(d.uid))
		require.NoError(t, err)
		j, err := l.Job(t.Context(), ledger.JobID(entry, "demo-colon"))
		require.NoError(t, err)
		return j.InferredAt
	}
	for _, d := range second {
		if at := begun(d); at.After(last) {
			last = at
		}
	}
	ahead := 0
	for _, d := range first {
		if begun(d).Before(last) {
			ahead++
		}
	}
	assert.Less(t, ahead, flood/2, "of the first room's were analysed before the second room's")
	assert.Less(t, pacs.before(first, second), flood/3, "of the first room's were delivered before the second room's")
}

// arrivals is a PACS that notes what came, in its order.
type arrivals struct {
	mu  sync.Mutex
	all []dicom.UID
}

func (a *arrivals) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	_, err := io.Copy(io.Discard, req.Dataset)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, req.SOPInstanceUID)
	return err
}

// of counts which of some are there.
func (a *arrivals) of(some []dicomBytes) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range some {
		if slices.Contains(a.all, d.uid) {
			n++
		}
	}
	return n
}

// before counts which of some came before the last of others.
func (a *arrivals) before(some, others []dicomBytes) (n int) {
	last := 0
	for _, d := range others {
		last = max(last, slices.Index(a.all, d.uid))
	}
	for _, d := range some {
		if slices.Index(a.all, d.uid) < last {
			n++
		}
	}
	return n
}

// A listed title that calls from an address of no peer is told of to whoever can list it.
func TestGateway_turnedAway(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "")
	g.replace(`{ae_title: "*", hosts: [127.0.0.0/8]}`, "{ae_title: SCOPE1, hosts: [10.1.2.0/24]}")
	g.start()
	for range 2 {
		_, err := tryAssociate(t, "SCOPE1", g.scp, drawn(dicomtest.Options{}))
		require.ErrorAs(t, err, new(*dicomnode.RejectError))
	}
	var status struct{ Gauges admin.Gauges }
	g.get("/api/v1/status", &status)
	require.Len(t, status.Gauges.TurnedAway, 1)
	one := status.Gauges.TurnedAway[0]
	assert.Equal(t, admin.TurnedAway{AETitle: "SCOPE1", Address: "127.0.0.1", Why: admin.NotAddress, Count: 2, FirstAt: one.FirstAt, LastAt: one.LastAt}, one)
	assert.Contains(t, g.text("/metrics"), `endogate_turned_away_total{calling_ae="SCOPE1",not_listed="address"} 2`)
}

// What costs more than it may is parked with its reason while others pass, also beside one that takes its worker for as long as it
// may; and a stop does not wait for that one longer than drain.
func TestGateway_costlyFrames(t *testing.T) {
	t.Parallel()
	busy := filepath.Join(t.TempDir(), "ffmpeg")
	require.NoError(t, os.WriteFile(busy, []byte("#!/bin/sh\n/bin/cat >/dev/null\nwhile :; do :; done\n"), 0o700))
	g := newGateway(t, routeTo("NOBODY", fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t)), "")+
		fmt.Sprintf("jobs: {workers: 2}\nffmpeg: %s\ndecode: {pixels: 400000, cpu: 1h}\ndrain: 6s\n", busy))
	g.start()
	slow := jpeg2000(t)
	storeAll(t, g.scp, slow)
	large := drawn(dicomtest.Options{Study: "large", Series: "large", Instance: 2, Rows: 1000, Columns: 1000})
	segments := append([]byte{15}, make([]byte, 255)...) // an RLE header of fifteen, all of them at the beginning
	rle := drawn(dicomtest.Options{Study: "rle", Series: "rle", Instance: 3, TransferSyntax: dicom.RLELossless, JPEG: [][]byte{segments}})
	storeAll(t, g.scp, large, rle)
	var good []dicomBytes
	for n := range 5 {
		good = append(good, drawn(dicomtest.Options{Study: "good", Series: "good", Instance: n + 1}))
	}
	storeAll(t, g.scp, good...)
	g.waitFor("the good ones to be analysed", func() bool { done, _ := g.analysed(); return done == len(good) })
	g.waitFor("the others to be parked", func() bool { return len(g.parked()) == 2 })
	var why string
	for _, p := range g.parked() {
		why += p.Reason + "\n"
	}
	assert.Contains(t, why, "more than 400000 pixels")
	assert.Contains(t, why, "15 RLE segments")
	began := time.Now()
	g.Stop()
	assert.Less(t, time.Since(began), 30*time.Second)
}
