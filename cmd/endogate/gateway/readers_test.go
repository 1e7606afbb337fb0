package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/inference/analysis"
)

// studiesOf are the studies of a ledger as the API sees them.
type studiesOf struct{ *ledger.Ledger }

func (s studiesOf) Studies(context.Context, admin.StudyFilter) ([]admin.StudySummary, int, error) {
	return nil, 0, errors.ErrUnsupported
}

func (s studiesOf) Study(ctx context.Context, uid dicom.UID, p admin.Page) (admin.Study, error) {
	d, err := s.StudyBare(ctx, uid, ledger.Page(p))
	return gateway.StudyView(d), err
}

func (s studiesOf) Instances(ctx context.Context, uid dicom.UID, p admin.Page) ([]admin.Instance, error) {
	views, err := s.Ledger.Instances(ctx, uid, ledger.Page(p))
	return gateway.StudyView(ledger.StudyDetail{InstanceViews: views}).Instances, err
}

// TestStudy_readers: eight clients that read all of a large study at once, each with the longest pages that there are, take
// little memory: what is in it is streamed.
func TestStudy_readers(t *testing.T) {
	instances, points := installed.Scaled(300, 20_000), installed.Scaled(1000, 100)
	l, err := ledgertest.Open(filepath.Join(t.TempDir(), "ledger.db"), ledger.Open)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	largeStudy(t, l, instances, points)
	log := slog.New(slog.DiscardHandler)
	s := &admin.Server{Studies: studiesOf{l}, Metrics: admin.NewMetrics(admin.Version{}, func(context.Context) (admin.Gauges, error) { return admin.Gauges{}, nil }), Settings: func() admin.Settings { return admin.Settings{} }, Log: log}
	defer func() { require.NoError(t, s.Shutdown(context.Background())) }()
	web := httptest.NewServer(s.Handler())
	defer web.Close()

	read := func() (n int64) {
		for offset := 0; offset < instances; offset += 5000 {
			response, err := http.Get(fmt.Sprintf("%s/api/v1/studies/1.2?limit=5000&offset=%d", web.URL, offset))
			if !assert.NoError(t, err) {
				return 0
			}
			some, err := io.Copy(io.Discard, response.Body)
			assert.NoError(t, errors.Join(err, response.Body.Close()))
			assert.Equal(t, http.StatusOK, response.StatusCode)
			n += some
		}
		return n
	}
	size := read()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	runtime.GC()
	before, peak, done := heap(), uint64(0), make(chan struct{})
	var clients, watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
				peak = max(peak, heap())
			}
		}
	})
	for range 8 {
		clients.Go(func() { assert.Equal(t, size, read()) })
	}
	clients.Wait()
	close(done)
	watch.Wait()
	above := max(0, int64(peak)-int64(before)) >> 20
	t.Logf("%d instances, %d MiB in pages of 5000, eight readers at once: %d MiB above the %d MiB before", instances, size>>20, above, before>>20)
	require.Less(t, above, installed.Scaled[int64](100, 250), "MiB above what there was before; all at once would be some thirty times the answer")
}

// largeStudy has a finding with a contour in each of its instances.
func largeStudy(t *testing.T, l *ledger.Ledger, instances, points int) {
	t.Helper()
	var contour [][2]float64
	for i := range points {
		contour = append(contour, [2]float64{300 + 200*math.Sin(float64(i)/159), 300 + 200*math.Cos(float64(i)/159)})
	}
	at := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	var receipts []ledger.Receipt
	for i := range instances {
		receipts = append(receipts, ledger.Receipt{
			ID: fmt.Sprintf("e%d", i), Seq: uint64(i + 1), At: at, Digest: fmt.Sprintf("%064x", i), Route: "endoscopy", Models: []string{"demo"}, CallingAE: "SCOPE1", CalledAE: "ENDOGATE",
			Header: dicom.Header{SOPInstance: dicom.SOPInstance{StudyInstanceUID: "1.2", SeriesInstanceUID: "1.2.1", SOPInstanceUID: dicom.UID(fmt.Sprintf("1.2.1.%d", i))}},
		})
	}
	_, err := l.Receive(t.Context(), receipts, uint64(instances))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < instances; i += 8 {
				f := analysis.Finding{Class: "polyp", Role: "finding", Probability: 0.9, Threshold: 0.5, Contours: [][][2]float64{contour}}
				r := analysis.Result{Span: analysis.Still(1), Rows: 576, Columns: 720, Scores: map[string]float64{"polyp": 0.9}, Findings: []analysis.Finding{f}}
				assert.NoError(t, l.FinishJob(t.Context(), ledger.JobID(fmt.Sprintf("e%d", i), "demo"), analysis.Model{Name: "demo"}, []analysis.Result{r}, nil, at))
			}
		})
	}
	wg.Wait()
}
