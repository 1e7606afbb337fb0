package dicomnode_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
)

// discard takes instances and keeps nothing: what is measured is the protocol.
var discard = handlerFunc(func(_ context.Context, req *dicomnode.StoreRequest) error {
	_, err := io.Copy(io.Discard, req.Dataset)
	return err
})

// BenchmarkStore sends instances from Client to Server over loopback, one operation an instance.
func BenchmarkStore(b *testing.B) {
	for _, size := range []int{92 << 10, 4 << 20} {
		for _, pduLength := range []uint32{16 << 10, 128 << 10} {
			for _, associations := range []int{1, 8, 32} {
				b.Run(fmt.Sprintf("%dKB/pdu=%dK/associations=%d", size>>10, pduLength>>10, associations), func(b *testing.B) {
					benchmarkStore(b, size, pduLength, associations)
				})
			}
		}
	}
}

func benchmarkStore(b *testing.B, size int, pduLength uint32, associations int) {
	s := newServer(discard)
	s.MaxPDULength, s.MaxPerPeer = pduLength, 64
	addr := serve(b, s)
	_, req := instance(dicomtest.Options{})
	ds := make([]byte, size)
	var open []*dicomnode.Association
	for range associations {
		open = append(open, associate(b, addr, contextsFor(req)))
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	share(b.N, open, func(a *dicomnode.Association) {
		send := *req
		send.Dataset = bytes.NewReader(ds)
		if status, err := a.Store(context.Background(), &send); err != nil || status != dimse.Success {
			b.Errorf("%v %v", status, err)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// share calls f n times over the associations, each in a goroutine of its own.
func share(n int, open []*dicomnode.Association, f func(*dicomnode.Association)) {
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	var wg sync.WaitGroup
	for _, a := range open {
		wg.Go(func() {
			for range work {
				f(a)
			}
		})
	}
	wg.Wait()
}

// BenchmarkStore_toStorescp sends 92 KB stills to a storescp as Debian ships it, which has Nagle's algorithm on.
func BenchmarkStore_toStorescp(b *testing.B) {
	addr, _ := storescp(b, "--ignore")
	_, req := instance(dicomtest.Options{})
	ds, _ := instance(dicomtest.Options{Rows: 150, Columns: 209})
	client := &dicomnode.Client{AETitle: "ENDOGATE"}
	a, err := client.Associate(b.Context(), addr, "ANY-SCP", contextsFor(req))
	require.NoError(b, err)
	defer a.Abort()
	var took []time.Duration
	for b.Loop() {
		send := *req
		send.Dataset = bytes.NewReader(ds)
		start := time.Now()
		status, err := a.Store(context.Background(), &send)
		took = append(took, time.Since(start))
		if err != nil || status != dimse.Success {
			b.Fatal(status, err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkStore_fromStorescu receives 500 stills of 92 KB from a storescu as Debian ships it; one operation is all of
// them, with the start of the process and its parsing.
func BenchmarkStore_fromStorescu(b *testing.B) {
	installed.Require(b, "storescu")
	const n = 500
	dir := b.TempDir()
	for i := range n {
		ds, req := instance(dicomtest.Options{Rows: 150, Columns: 209, Instance: i + 1})
		writePart10(b, filepath.Join(dir, fmt.Sprintf("%04d.dcm", i)), ds, req)
	}
	for _, pduLength := range []uint32{16 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("pdu=%dK", pduLength>>10), func(b *testing.B) {
			s := newServer(discard)
			s.MaxPDULength = pduLength
			addr := serve(b, s)
			for b.Loop() {
				run(b, "storescu", append([]string{"+sd"}, aet(addr, dir)...)...)
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}
