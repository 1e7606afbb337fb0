package gateway_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// pickyPACS gives what answer says to some objects, and success to the others, of which it notes how often they came.
type pickyPACS struct {
	answer func(ctx context.Context, req *dicomnode.StoreRequest) error

	mu     sync.Mutex
	stored map[dicom.UID]int
}

func (p *pickyPACS) Store(ctx context.Context, req *dicomnode.StoreRequest) error {
	if _, err := io.Copy(io.Discard, req.Dataset); err != nil {
		return err
	}
	if err := p.answer(ctx, req); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stored[req.SOPInstanceUID]++
	return nil
}

func (p *pickyPACS) has(uids ...dicom.UID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, uid := range uids {
		if p.stored[uid] != 1 {
			return false
		}
	}
	return true
}

func startPicky(t *testing.T, answer func(context.Context, *dicomnode.StoreRequest) error) (p *pickyPACS, address string) {
	t.Helper()
	p, address = &pickyPACS{answer: answer, stored: map[dicom.UID]int{}}, fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, p)
	return p, address
}

// TestGateway_pacsIsPicky: a PACS that does one thing to some objects gets the others, says on the page why it did not take
// these, and gets them too once it takes them.
func TestGateway_pacsIsPicky(t *testing.T) {
	comment := func(status dimse.Status, text string) func(context.Context) error {
		return func(context.Context) error { return &dimse.Error{Status: status, Comment: text} }
	}
	kinds := []struct {
		name   string
		answer func(context.Context) error
		parks  string // with this reason; "": they are tried again by themselves
	}{
		{"silent", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, ""},
		{"no patient ID", comment(0xA777, "No Patient ID"), "No Patient ID"},
		{"does not understand", comment(dimse.CannotUnderstand, ""), "C000"},
		{"too large", comment(0xA902, "exceeds 10 MB"), "exceeds"},
		{"full", comment(dimse.OutOfResources, "disk full"), ""},
		{"processing failure", comment(dimse.ProcessingFailure, ""), ""},
		{"status of its own", comment(0xD123, ""), "D123"},
	}
	t.Parallel()
	watch := installed.Watched(t)
	kinds = kinds[:installed.Scaled(3, len(kinds))]
	var kept atomic.Int64
	t.Run("kinds", func(t *testing.T) {
		for _, kind := range kinds {
			t.Run(kind.name, func(t *testing.T) {
				t.Parallel()
				instances := polyps(t, 0, 1, 6)
				bad := map[dicom.UID]bool{instances[0].uid: true, instances[1].uid: true, instances[2].uid: true}
				var mended atomic.Bool
				pacs, address := startPicky(t, func(ctx context.Context, req *dicomnode.StoreRequest) error {
					if bad[req.SOPInstanceUID] && !mended.Load() {
						return kind.answer(ctx)
					}
					return nil
				})
				g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
				g.replace("max_backoff: 1s", "max_backoff: 1s, timeout: 2s")
				g.start()
				storeAll(t, g.scp, instances...)
				good := []dicom.UID{instances[3].uid, instances[4].uid, instances[5].uid}
				g.waitFor("the good ones to be there", func() bool { return pacs.has(good...) })
				g.waitFor("all that is made to be there", func() bool {
					study := onlyStudy(g)
					if study == nil || len(reportsOf(*study)) == 0 {
						return false
					}
					open := 0
					for _, d := range study.Deliveries {
						if d.State != ledger.DeliveryDone {
							open++
						}
					}
					return open == len(bad)
				})
				if kind.parks != "" {
					g.waitFor("the bad ones to be parked", func() bool { return len(g.parked()) == len(bad) })
					assert.Contains(t, g.text("/api/v1/parked"), kind.parks)
				} else {
					assert.Empty(t, g.parked())
				}
				mended.Store(true)
				for _, p := range g.parked() {
					g.post("/api/v1/parked/" + p.ID + "/retry")
				}
				g.waitDelivered(1)
				assert.True(t, pacs.has(instances[0].uid, instances[1].uid, instances[2].uid))
				kept.Add(int64(len(onlyStudy(g).Deliveries)))
			})
		}
	})
	installed.Tried(t, installed.Drill{Tried: fmt.Sprintf("a PACS that does one of %d things to some objects: no answer, and statuses of each class", len(kinds)), Kept: int(kept.Load()), Memory: watch.Memory()})
}

// TestGateway_pacsRefusesComprehensive3D: the PACS accepts the context and refuses the object: it gets a Comprehensive SR.
func TestGateway_pacsRefusesComprehensive3D(t *testing.T) {
	t.Parallel()
	classes := make(chan dicom.UID, 100)
	_, address := startPicky(t, func(_ context.Context, req *dicomnode.StoreRequest) error {
		classes <- req.SOPClassUID
		if req.SOPClassUID == dicom.Comprehensive3DSRStorage {
			return &dimse.Error{Status: dimse.CannotUnderstand}
		}
		return nil
	})
	g := newGateway(t, routeTo("PACS", address, ""))
	g.start()
	storeAll(t, g.scp, polyps(t, 0, 1, 1)...)
	g.waitDelivered(1)
	got := map[dicom.UID]int{}
	for len(classes) > 0 {
		got[<-classes]++
	}
	assert.Positive(t, got[dicom.Comprehensive3DSRStorage])
	assert.Positive(t, got[dicom.ComprehensiveSRStorage])
}

// TestGateway_pacsAnswersMessageZero: an answer to message 0 is the answer to the one request there is.
func TestGateway_pacsAnswersMessageZero(t *testing.T) {
	t.Parallel()
	address := dicomtest.Listen(t, func(p *dicomtest.Peer) {
		p.Accept()
		for range 3 { // heatmap, report, key objects
			p.ReceiveCommand()
			p.ReceiveDataset()
			p.Send(dicomtest.Command(1, &dimse.Response{CommandField: dimse.CStoreRQ | dimse.ResponseBit, Status: dimse.Success}))
		}
		p.Rest()
	})
	g := newGateway(t, routeTo("PACS", address, ""))
	g.start()
	storeAll(t, g.scp, polyps(t, 0, 1, 1)...)
	g.waitDelivered(1)
	require.Empty(t, g.parked())
}
