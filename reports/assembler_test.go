package reports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/inference/analysis"
)

// bench is an assembler on a real ledger, with a store in memory.
type workbench struct {
	*Assembler
	t      *testing.T
	ledger *ledger.Ledger
	log    strings.Builder

	mu      sync.Mutex
	sources map[string]Source
	kept    []Object
	full    bool
	now     time.Time
	seq     uint64

	revision   int // of heatmaps
	heatmapsTo []string
	algorithm  Algorithm // that does the jobs
}

func newWorkbench(t *testing.T, path string) *workbench {
	t.Helper()
	l, err := ledgertest.Open(path, ledger.Open)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	w := &workbench{t: t, ledger: l, sources: map[string]Source{}, now: inferred, revision: 1, algorithm: kvasir()}
	w.Assembler = &Assembler{
		Builder: testBuilder(), Exams: l, Quiet: time.Minute, MaxWait: time.Hour, Poll: time.Millisecond,
		Log:       slog.New(slog.NewTextHandler(&w.log, nil)),
		Now:       w.clock,
		Open:      w.open,
		Keep:      w.keepObject,
		Algorithm: func(model string) (Algorithm, bool) { return kvasir(), model == "kvasir" },
	}
	w.retries = map[int64]clock.Wait{}
	return w
}

func (w *workbench) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *workbench) open(_ context.Context, entry string) (Source, error) {
	s, ok := w.sources[entry]
	if !ok {
		return Source{}, errors.New("no such entry")
	}
	return s, nil
}

func (w *workbench) keepObject(_ context.Context, o Object) (id, digest string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full {
		return "", "", syscall.ENOSPC
	}
	w.kept = append(w.kept, o)
	sum := sha256.Sum256(o.Dataset)
	return "kept-" + string(o.Header.SOPInstanceUID), hex.EncodeToString(sum[:]), nil
}

// receive takes in instance n of the study for model, and analyses it with the given outcome.
func (w *workbench) receive(n, model string, finish func(ledger.Job) error) {
	w.t.Helper()
	ctx := context.Background()
	source := sourceOf(w.t, endoscopic(n))
	entry := "entry-" + n
	w.sources[entry] = source
	w.seq++
	_, err := w.ledger.Receive(ctx, []ledger.Receipt{{
		ID: entry, Seq: w.seq, Header: source.Attributes.Header(), TransferSyntaxUID: source.TransferSyntaxUID,
		At: w.now, Size: source.Size, Digest: strings.Repeat(n, 64)[:64], Route: "endoscopy", Models: []string{model},
		Destinations: []string{"pacs"},
	}}, w.seq)
	require.NoError(w.t, err)
	job, err := w.ledger.StartJob(ctx, ledger.JobID(entry, model), w.now)
	require.NoError(w.t, err)
	require.NoError(w.t, finish(job))
}

// polyp finishes a job with a polyp, its region and its heatmap.
func (w *workbench) polyp(job ledger.Job) error {
	a := w.algorithm
	heatmap := HeatmapInstance(job.Instance, 1, a, "polyps", w.revision)
	scores := map[string]float64{}
	for _, c := range a.Classes {
		scores[c.Name] = 0.01
	}
	return w.ledger.FinishJob(context.Background(), job.ID, a.Model, []analysis.Result{{
		Span: analysis.Still(1), Rows: 529, Columns: 622, Scores: scores,
		Findings: []analysis.Finding{{
			Class: "polyps", Probability: 0.93, Threshold: 0.5, Role: "finding", Heatmap: heatmap.SOPInstanceUID,
			Contours: [][][2]float64{circle(300, 200, 50)},
			Finding:  a.Classes[0].Finding, Site: a.Classes[0].Site,
		}},
	}}, []ledger.Object{{
		Entry: "heatmap-" + string(heatmap.SOPInstanceUID), Instance: heatmap, Purpose: "heatmap", Model: job.Model,
		Source: job.Instance.SOPInstanceUID, Span: analysis.Still(1), Rank: ledger.RankHeatmap,
		Destinations: w.heatmapsTo,
	}}, w.now)
}

func (w *workbench) fail(reason string) func(ledger.Job) error {
	return func(job ledger.Job) error { return w.ledger.ParkJob(context.Background(), job.ID, reason, w.now) }
}

func (w *workbench) deliveries() []ledger.Delivery {
	w.t.Helper()
	ds, err := w.ledger.DueDeliveries(context.Background(), "pacs", w.now.Add(24*time.Hour), 24*time.Hour, 100)
	require.NoError(w.t, err)
	return ds
}

func TestAssembler(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	w := newWorkbench(t, path)
	ctx := t.Context()
	w.receive("1", "kvasir", w.polyp)
	w.receive("2", "kvasir", w.fail("decoder gave up"))
	require.NoError(t, w.round(ctx))
	assert.Empty(t, w.kept, "the exam is not quiet yet")

	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(ctx))
	require.Len(t, w.kept, 3)
	ds := w.deliveries()
	require.Len(t, ds, 2)
	assert.Equal(t, w.kept[0].Header.SOPInstance, ds[0].Instance)
	assert.Equal(t, dicom.Comprehensive3DSRStorage, ds[0].Instance.SOPClassUID)
	assert.Equal(t, "kept-"+string(w.kept[1].Header.SOPInstanceUID), ds[0].Alternate)
	assert.Equal(t, "kos", ds[1].Purpose)
	for _, o := range w.kept {
		conforms(t, o)
		assert.Equal(t, "102030", textOf(attributesOf(t, o), tag.ContentTime), "the time of inference, not of the report")
	}
	require.NoError(t, w.round(ctx))
	assert.Len(t, w.kept, 3, "once is enough")

	// A late frame makes a revision that names its predecessor.
	w.receive("3", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(ctx))
	require.Len(t, w.kept, 6)
	first, second := w.kept[0], attributesOf(t, w.kept[3])
	predecessor := second.Item(tagOf(tag.PredecessorDocumentsSequence), 0).
		Item(tagOf(tag.ReferencedSeriesSequence), 0).Item(tagOf(tag.ReferencedSOPSequence), 0)
	assert.Equal(t, string(first.Header.SOPInstanceUID), textOf(predecessor, tag.ReferencedSOPInstanceUID))
	assert.Equal(t, 2, w.kept[3].Header.InstanceNumber)
	assert.Contains(t, w.log.String(), "report made")
	assert.NotContains(t, w.log.String(), "ller", "no names in the log")
	assert.NotContains(t, w.log.String(), "EG0001")
}

// TestAssembler_crash: what was made before a crash is made again, byte for byte.
func TestAssembler_crash(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	finish := w.Exams
	w.Exams = failingFinish{finish}
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 3)
	assert.Empty(t, w.deliveries())

	w.Exams = finish
	w.now = w.now.Add(2 * time.Hour)
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 6)
	assert.Equal(t, w.kept[:3], w.kept[3:])
	assert.Len(t, w.deliveries(), 2)
}

// failingFinish is a ledger that fails as the process would at that point.
type failingFinish struct{ Exams }

func (failingFinish) FinishReport(context.Context, ledger.Exam, []ledger.Object, time.Time) error {
	return errors.New("disk gone")
}

func TestAssembler_fullDisk(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	w.full = true
	require.NoError(t, w.round(t.Context()))
	w.full = false
	require.NoError(t, w.round(t.Context()))
	assert.Empty(t, w.kept, "held back for a while")
	w.now = w.now.Add(firstBackoff)
	require.NoError(t, w.round(t.Context()))
	assert.Len(t, w.kept, 3)
	assert.Empty(t, w.retries)
}

// TestAssembler_parks: an exam that cannot be reported on is parked with its reason and holds up no other.
func TestAssembler_parks(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*workbench)
		model string
		want  string
	}{
		{"model gone", func(*workbench) {}, "gone", `model "gone" is not configured any more`},
		{"bad object", func(w *workbench) { w.Builder.Equipment.SerialNumber = "" }, "kvasir", "DeviceSerialNumber (type 1) has no value"},
		{"panic", func(w *workbench) {
			w.Algorithm = func(string) (Algorithm, bool) { panic("no such patient: Doe^Jane") }
		}, "kvasir", "panic while building; its stack is in the log"},
		{"gone", func(w *workbench) { w.Open = unreadable(fmt.Errorf("spool: no such entry: %w", ErrGone)) }, "kvasir", "none of its 1 instances can be read"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
			w.receive("1", row.model, w.polyp)
			row.spoil(w)
			var ended error
			w.Finished = func(_ ledger.Exam, err error) { ended = err }
			w.now = w.now.Add(2 * time.Minute)
			require.NoError(t, w.round(t.Context()))
			assert.ErrorContains(t, ended, row.want)
			assert.Empty(t, w.kept)
			due, err := w.ledger.DueExams(t.Context(), w.now.Add(24*time.Hour), 0, 0)
			require.NoError(t, err)
			assert.Empty(t, due, "parked")
			assert.NotContains(t, w.log.String(), "Doe")
		})
	}
}

func unreadable(err error) func(context.Context, string) (Source, error) {
	return func(context.Context, string) (Source, error) { return Source{}, err }
}

// TestAssembler_someGone: one instance that can be read is enough; one that may be readable again is waited for.
func TestAssembler_someGone(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.polyp)
	w.receive("2", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	second := errors.New("input/output error")
	w.Open = func(ctx context.Context, entry string) (Source, error) {
		if entry == "entry-1" {
			return Source{}, fmt.Errorf("spool: bytes differ: %w", ErrGone)
		}
		if second != nil {
			return Source{}, second
		}
		return w.open(ctx, entry)
	}
	require.NoError(t, w.round(t.Context()))
	assert.Empty(t, w.kept)
	assert.Len(t, w.retries, 1)
	second = nil
	w.now = w.now.Add(firstBackoff)
	require.NoError(t, w.round(t.Context()))
	assert.Len(t, w.kept, 3)
}

// TestAssembler_manyRetries: a heatmap that was made anew often is found as well.
func TestAssembler_manyRetries(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.revision = 40
	w.receive("1", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 3)
	heatmap := HeatmapInstance(w.sources["entry-1"].instance(), 1, kvasir(), "polyps", 40)
	assert.Contains(t, string(w.kept[0].Dataset), string(heatmap.SOPInstanceUID))
	assert.Contains(t, string(w.kept[0].Dataset), string(heatmap.SeriesInstanceUID))
}

func TestAssembler_oneFailsOthersGo(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "gone", w.polyp)
	w.receive("2", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(t.Context()))
	assert.Len(t, w.kept, 3)
}

func TestAssembler_nothingAnalysed(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.fail("decoder gave up"))
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 2, "a report and its twin, no key frames")
	conforms(t, w.kept[0])
	assert.Contains(t, string(w.kept[0].Dataset), "Analysis failed: no frame was analysed.")
}

// An exam that is open while its model is replaced is reported under the version that made each result.
func TestAssembler_modelReplaced(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.polyp)
	old, updated := kvasir(), kvasir()
	updated.Version, updated.Digest = "1.0.1", strings.Repeat("cd", 32)
	updated.Classes = append(updated.Classes, analysis.Class{Name: "new", Role: analysis.RoleFinding})
	w.Algorithm = func(string) (Algorithm, bool) { return updated, true }
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 3)
	first := w.kept[0]
	report := string(first.Dataset)
	heatmap := HeatmapInstance(w.sources["entry-1"].instance(), 1, old, "polyps", 1)
	assert.Contains(t, report, string(heatmap.SOPInstanceUID))
	assert.Contains(t, report, string(heatmap.SeriesInstanceUID))
	assert.Contains(t, report, "AI results kvasir-v2-cls 1.0.0")
	assert.NotContains(t, report, "1.0.1")
	conforms(t, first)

	w.algorithm = updated
	w.receive("2", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 6)
	second := w.kept[3]
	report = string(second.Dataset)
	assert.Equal(t, first.Header.SeriesInstanceUID, second.Header.SeriesInstanceUID)
	assert.Contains(t, report, string(first.Header.SOPInstanceUID), "its predecessor")
	assert.Contains(t, report, "Versions of kvasir-v2-cls: 1.0.0 (1 frames), 1.0.1 (1 frames).")
	assert.Contains(t, report, "AI flagged polyps in 2 of the 2 analysed frames.")
	assert.Contains(t, report, "AI did not flag new in the 1 analysed frames.", "the older version does not know it")
	for _, a := range []Algorithm{old, updated} {
		assert.Contains(t, report, string(deviceUIDOf(a.Model)))
	}
	conforms(t, second)
}

// A heatmap whose series nobody knows is not referred to.
func TestAssembler_heatmapUnknown(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.polyp)
	w.Exams = withoutObjects{w.Exams}
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(t.Context()))
	heatmap := HeatmapInstance(w.sources["entry-1"].instance(), 1, kvasir(), "polyps", 1)
	assert.NotContains(t, string(w.kept[0].Dataset), string(heatmap.SOPInstanceUID))
	conforms(t, w.kept[0])
}

// withoutObjects is a ledger that does not know the heatmaps.
type withoutObjects struct{ Exams }

func (w withoutObjects) ExamResults(ctx context.Context, e ledger.Exam) ([]ledger.ExamResult, error) {
	results, err := w.Exams.ExamResults(ctx, e)
	for i := range results {
		results[i].Heatmaps = nil
	}
	return results, err
}

func TestAssembler_run(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	w.Poll = time.Hour
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	made := make(chan error, 2)
	w.Finished = func(_ ledger.Exam, err error) { made <- err }
	go func() { done <- w.Run(ctx) }()
	require.NoError(t, <-made, "due at the start")

	w.receive("2", "kvasir", w.polyp)
	w.mu.Lock()
	w.now = w.now.Add(2 * time.Minute)
	w.mu.Unlock()
	w.Wake()
	require.NoError(t, <-made, "woken")
	cancel()
	assert.ErrorIs(t, <-done, context.Canceled)
}
