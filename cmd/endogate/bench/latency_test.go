//go:build bench

package bench_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
)

// TestHeatmapLatency sends one frame at a time to a gateway with the demo model and measures until the heatmap
// has arrived at its destination, an SCP in this process that drops what it gets.
func TestHeatmapLatency(t *testing.T) {
	sink := newSink(t)
	gateway := endogate(t, filepath.Join(folder(t), "endogate"), fmt.Sprintf(`models: [{dir: %q}]
routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [sink]}]
destinations: [{name: sink, kind: dicom, ae_title: SINK, address: %q}]
exam: {quiet: 1h}
`, filepath.Join(peers.Root(t), "testdata", "models", "demo"), sink.addr))
	tpl := readTemplate(t, filepath.Join(peers.Root(t), "testdata", "instances", "study1-01-polyp-0dad158b.dcm"))

	var answered, arrived []time.Duration
	for i := range *frames + 1 {
		study, objects := tpl.study(1)
		begin := time.Now()
		if _, err := send(t.Context(), gateway, tpl, objects, 1); err != nil {
			t.Fatal(err)
		}
		response := time.Since(begin)
		arrival, err := sink.wait(t.Context(), study)
		if err != nil {
			t.Fatalf("no heatmap of frame %d came: %v", i, err)
		}
		if i > 0 { // the first run of a network is slower
			answered, arrived = append(answered, response), append(arrived, arrival.Sub(begin))
		}
	}
	table(fmt.Sprintf("From a sent frame to its heatmap in a PACS, one at a time, demo model, %d frames", *frames),
		[]string{"until", "shortest ms", "p50 ms", "p95 ms", "longest ms"},
		[][]string{durations("C-STORE response, association included", answered), durations("heatmap received by the destination", arrived)})
}

func durations(name string, d []time.Duration) []string {
	slices.Sort(d)
	at := func(p int) string { return digits(milliseconds(d[(len(d)-1)*p/100])) }
	return []string{name, at(0), at(50), at(95), at(100)}
}

// sink is a storage SCP that notes when the first heatmap of each study arrived.
type sink struct {
	addr     string
	arrivals chan arrival
}

type arrival struct {
	study dicom.UID
	at    time.Time
}

func newSink(t *testing.T) *sink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: ln.Addr().String(), arrivals: make(chan arrival, 64)}
	server := &dicomnode.Server{
		AETitle: "SINK", Contexts: dicomnode.StorageContexts(dicom.StorageSOPClasses), Handler: s,
		Peers: []dicomnode.Peer{{AETitle: "*", Hosts: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		Log:   slog.New(slog.DiscardHandler),
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // the gateway may keep its association: it is aborted
		if err := <-stopped; !errors.Is(err, dicomnode.ErrServerClosed) {
			t.Errorf("sink: %v", err)
		}
	})
	return s
}

// Store implements [dicomnode.Handler].
func (s *sink) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	ts, _ := dicom.LookupTransferSyntax(req.TransferSyntax)
	attributes, err := dicom.ReadAttributes(req.Dataset, ts)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, req.Dataset); err != nil {
		return err
	}
	if req.SOPClassUID == dicom.SecondaryCaptureImageStorage {
		s.arrivals <- arrival{attributes.Header().StudyInstanceUID, time.Now()}
	}
	return nil
}

// wait returns when the first heatmap of a study arrived.
func (s *sink) wait(ctx context.Context, study dicom.UID) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		select {
		case a := <-s.arrivals:
			if a.study == study {
				return a.at, nil
			}
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}
