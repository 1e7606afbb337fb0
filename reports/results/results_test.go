package results

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/jobs"
	"endogate/reports"
)

// seer finds a polyp in every frame, or what infer says, and has maps of it.
type seer struct {
	infer func(ctx context.Context) error
	maps  []analysis.Map     // nil: a hot spot
	found []analysis.Finding // nil: a polyp
}

func (seer) Made() analysis.Model { return testModel }
func (s seer) Infer(ctx context.Context, sample analysis.Sample, wishes inference.Wishes) (analysis.Part, error) {
	if s.infer != nil {
		if err := s.infer(ctx); err != nil {
			return analysis.Part{}, err
		}
	}
	maps := s.maps
	if maps == nil {
		maps = []analysis.Map{hot("gradcam")}
		for _, wish := range wishes.Heatmaps {
			maps = append(maps, hot(string(wish.Method)))
			maps[len(maps)-1].Wished = true
		}
	}
	found := s.found
	if found == nil {
		found = []analysis.Finding{{Class: "polyp", Role: analysis.RoleFinding, Probability: 0.9}}
	}
	size := sample.Frames[0].Rect.Size()
	return analysis.Part{
		Geometry: analysis.Geometry{Rows: size.Y, Columns: size.X, Crop: sample.Frames[0].Rect},
		Result: analysis.Result{
			Span: sample.Span, Rows: size.Y, Columns: size.X,
			Findings: slices.Clone(found),
		},
		Maps: maps,
	}, nil
}

var testModel = analysis.Model{Manufacturer: "endogate", Name: "demo", Version: "1"}

// hot is a map of four cells, the lower right one hot.
func hot(method string) analysis.Map {
	return analysis.Map{
		Class: "polyp", Explanation: analysis.Explanation{Method: method, Layer: "last"}, Width: 2, Height: 2, Values: []float32{0, 0, 0, 7},
	}
}

// bench is a workshop with stores of its own and one job in the ledger.
type bench struct {
	t      *testing.T
	dir    string
	ledger *ledger.Ledger
	shop   *Workshop
	model  seer
	other  inference.Model // in place of model
	job    ledger.Job
	log    strings.Builder

	finished int // times
}

const benchAttempts = 3

// newBench has an instance of two frames.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	var err error
	b.ledger, err = ledgertest.Open(filepath.Join(b.dir, "ledger.db"), ledger.Open)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.ledger.Close()) })
	store := b.open(0)

	content, header := dicomtest.Endoscopic(dicomtest.Options{Frames: 2})
	w, err := store.Create()
	require.NoError(t, err)
	_, err = w.Write(content)
	require.NoError(t, err)
	entry, err := w.Commit(spool.Entry{Kind: spool.Received, Header: header, TransferSyntaxUID: dicom.ExplicitVRLittleEndian, At: time.Now()})
	require.NoError(t, err)
	_, err = b.ledger.Receive(t.Context(), []ledger.Receipt{{
		ID: entry.ID, Seq: entry.Seq, Header: header, TransferSyntaxUID: entry.TransferSyntaxUID, At: entry.At,
		Size: entry.Size, Digest: entry.Digest, Models: []string{"demo"},
	}}, entry.Seq)
	require.NoError(t, err)
	open, err := b.ledger.OpenJobs(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, open, 1)
	b.job = open[0]
	b.use(store)
	return b
}

func (b *bench) open(reserve int64) *spool.Spool {
	b.t.Helper()
	store, err := spool.Open(filepath.Join(b.dir, "spool"), spool.Options{Reserve: reserve})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = store.Close() })
	return store
}

func (b *bench) use(store *spool.Spool) {
	colours, err := explain.NamedColourMap("jet")
	require.NoError(b.t, err)
	b.shop = &Workshop{
		Ledger: b.ledger, Keeper: &Keeper{Spool: store, Now: time.Now}, Builder: &reports.Builder{
			Location:  time.UTC,
			Equipment: reports.Equipment{Manufacturer: "endogate", ModelName: "endogate", SoftwareVersion: "1", SerialNumber: "1"},
		},
		Algorithms: map[string]reports.Algorithm{"demo": {
			Model: testModel, Number: 1, Classes: []analysis.Class{{Name: "polyp"}},
		}},
		Colours: colours, Opacity: 0.5,
		MaxAttempts: benchAttempts, Now: time.Now, Finished: func(ledger.Job, bool) { b.finished++ }, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
}

// fillDisk has the spool say that its disk is full.
func (b *bench) fillDisk() {
	b.t.Helper()
	require.NoError(b.t, b.shop.Keeper.Spool.Close())
	b.use(b.open(1 << 62))
	require.ErrorIs(b.t, b.shop.Keeper.Spool.Full(), spool.ErrFull)
}

func (b *bench) do(ctx context.Context) error {
	b.shop.Worker = &inference.Worker{Models: b.models(), Log: b.shop.Log}
	return b.shop.Do(ctx, b.job.ID)
}

func (b *bench) models() map[string]inference.Model {
	if b.other != nil {
		return map[string]inference.Model{"demo": b.other}
	}
	return map[string]inference.Model{"demo": b.model}
}

func (b *bench) attempts() int {
	b.t.Helper()
	job, err := b.ledger.Job(b.t.Context(), b.job.ID)
	require.NoError(b.t, err)
	return job.Attempts
}

func TestWorkshop_faultsOfTheJobCount(t *testing.T) {
	b := newBench(t)
	b.model = seer{infer: func(context.Context) error { return errors.New("boom") }}
	for n := 1; n < benchAttempts; n++ {
		assert.Equal(t, jobs.Nak, jobs.DispositionOf(b.do(t.Context())), "attempt %d", n)
		assert.Equal(t, n, b.attempts())
	}
	err := b.do(t.Context())
	assert.Equal(t, jobs.Term, jobs.DispositionOf(err), "the last one")
	assert.ErrorContains(t, err, "boom", "and why it failed")
}

func TestWorkshop_jobThatEndsTheProcess(t *testing.T) {
	b := newBench(t)
	for range benchAttempts {
		_, ok, err := b.shop.Begin(t.Context(), b.job.ID) // and nothing more is heard
		require.NoError(t, err)
		require.True(t, ok)
	}
	err := b.do(t.Context())
	assert.Equal(t, jobs.Term, jobs.DispositionOf(err))
	assert.ErrorContains(t, err, "given up after 3 attempts")
}

func TestWorkshop_fullDiskCostsNoAttempt(t *testing.T) {
	b := newBench(t)
	b.fillDisk()
	for range benchAttempts + 2 {
		err := b.do(t.Context())
		require.ErrorIs(t, err, spool.ErrFull)
		assert.Equal(t, jobs.Postpone, jobs.DispositionOf(err))
		assert.Zero(t, b.attempts())
	}
	require.NoError(t, b.shop.Keeper.Spool.Close())
	b.use(b.open(0))
	require.NoError(t, b.do(t.Context()), "it is done as if nothing had been")
	assert.Equal(t, 1, b.attempts())
}

func TestWorkshop_stopCostsNoAttempt(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
	}{{"cut short", context.Canceled}, {"called corrupt", inference.Permanent(pixeldata.ErrCorrupt)}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			for range benchAttempts + 1 {
				ctx, cancel := context.WithCancel(t.Context())
				b.model = seer{infer: func(context.Context) error { cancel(); return tt.err }}
				assert.Equal(t, jobs.Postpone, jobs.DispositionOf(b.do(ctx)))
				assert.Zero(t, b.attempts())
			}
		})
	}
}

func TestWorkshop_ledgerThatDoesNotAnswer(t *testing.T) {
	b := newBench(t)
	other, err := ledgertest.Open(filepath.Join(b.dir, "closed.db"), ledger.Open)
	require.NoError(t, err)
	require.NoError(t, other.Close())
	b.shop.Ledger = other
	assert.Equal(t, jobs.Postpone, jobs.DispositionOf(b.do(t.Context())))
	assert.Zero(t, b.attempts())
}

func TestWorkshop_unknownJob(t *testing.T) {
	b := newBench(t)
	b.job.ID = "gone.demo"
	require.NoError(t, b.do(t.Context()))
	assert.Contains(t, b.log.String(), "job is not in the ledger")
	assert.Contains(t, b.log.String(), "gone.demo")
}

func TestWorkshop_entryIsGone(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.shop.Keeper.Spool.Release(b.job.Entry))
	assert.Equal(t, jobs.Term, jobs.DispositionOf(b.do(t.Context())))
}

func TestWorkshop_whatIsNotFinishedIsReleased(t *testing.T) {
	b := newBench(t)
	before := b.shop.Keeper.Spool.Usage().Entries
	calls := 0
	b.model.infer = func(context.Context) error {
		if calls++; calls == 2 {
			require.Equal(t, before+1, b.shop.Keeper.Spool.Usage().Entries, "the heatmap of the first frame")
			return errors.New("boom")
		}
		return nil
	}
	require.ErrorContains(t, b.do(t.Context()), "boom")
	assert.Equal(t, before, b.shop.Keeper.Spool.Usage().Entries)
}

func TestWorkshop_panic(t *testing.T) {
	b := newBench(t)
	b.model.infer = func(context.Context) error { panic("Secret^Name") }
	err := b.do(t.Context())
	assert.Equal(t, jobs.Term, jobs.DispositionOf(err))
	assert.NotContains(t, err.Error()+b.log.String(), "Secret")
}

// done returns the results of the job and the objects that were made of it.
func (b *bench) done() ([]analysis.Result, []ledger.Object) {
	b.t.Helper()
	d, err := b.ledger.Study(b.t.Context(), b.job.Instance.StudyInstanceUID, ledger.Page{})
	require.NoError(b.t, err)
	var job ledger.JobView
	for _, i := range d.InstanceViews {
		if i.Jobs[0].ID == b.job.ID {
			job = i.Jobs[0]
		}
	}
	require.Equal(b.t, ledger.JobDone, job.State)
	require.Equal(b.t, testModel, job.MadeBy)
	return job.Results, d.Objects
}

func (b *bench) dataset(o ledger.Object) []byte {
	b.t.Helper()
	_, dataset, err := b.shop.Keeper.Spool.Open(o.Entry)
	require.NoError(b.t, err)
	defer dataset.Close()
	content, err := io.ReadAll(dataset)
	require.NoError(b.t, err)
	return content
}

func TestWorkshop_heatmapsAndContours(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.do(t.Context()))
	results, objects := b.done()
	require.Len(t, results, 2)
	require.Len(t, objects, 2)
	for i, r := range results {
		assert.Equal(t, analysis.Still(i+1), r.Span)
		assert.Empty(t, r.Notes)
		f := r.Findings[0]
		assert.Equal(t, objects[i].Instance.SOPInstanceUID, f.Heatmap)
		assert.Equal(t, r.Span, objects[i].Span)
		require.Len(t, f.Contours, 1)
		outline := f.Contours[0]
		assert.Equal(t, outline[0], outline[len(outline)-1], "closed")
		for _, p := range outline {
			assert.True(t, p[0] >= float64(r.Columns)/4 && p[1] >= float64(r.Rows)/4, "%v lies at the hot cell", p)
		}
	}
}

// Each box of a frame has the heatmap of its own map, and keeps its place, which is drawn.
func TestWorkshop_boxes(t *testing.T) {
	b := newBench(t)
	for i, x := range []float64{2, 10} {
		f := analysis.Finding{Class: "polyp", Role: analysis.RoleFinding, Probability: 0.9 - float64(i)/10, Outline: analysis.NetworkBox, Number: i + 1, Share: 0.1}
		f.Contours = [][][2]float64{{{x, 2}, {x + 6, 2}, {x + 6, 8}, {x, 8}, {x, 2}}}
		m := hot("gradcam")
		m.Number = i + 1
		m.Values = make([]float32, 4)
		m.Values[i] = 1
		b.model.found, b.model.maps = append(b.model.found, f), append(b.model.maps, m)
	}
	b.replace(dicomtest.Options{Rows: 32, Columns: 48})
	require.NoError(t, b.do(t.Context()))
	results, objects := b.done()
	require.Len(t, objects, 2)
	for i, f := range results[0].Findings {
		assert.Equal(t, objects[i].Instance.SOPInstanceUID, f.Heatmap)
		assert.Equal(t, b.model.found[i].Contours, f.Contours)
		assert.Equal(t, [3]any{analysis.NetworkBox, i + 1, 0.1}, [3]any{f.Outline, f.Number, f.Share})
		assert.Equal(t, byte(255), f.Drawn.Values[i], "its own map")
		content := b.dataset(objects[i])
		at := content[len(content)-3*32*48:][3*(2*48+int(f.Contours[0][0][0])+3):][:3] // on its upper edge
		assert.Equal(t, []byte{255, 255, 255}, at)
		assert.Contains(t, string(content), fmt.Sprintf("polyp, box %d", i+1))
		assert.Contains(t, string(content), "box by the network, not the border of a lesion")
	}
}

// What a route wishes is shown in place of the model's own map, which still gives the contours.
func TestWorkshop_wishes(t *testing.T) {
	b := newBench(t)
	b.shop.Wishes = map[string]inference.Wishes{b.job.Route: {Heatmaps: []explain.Target{{Method: explain.GuidedGradCAM}, {Method: explain.LRPEpsilon}}}}
	require.NoError(t, b.do(t.Context()))
	results, objects := b.done()
	require.Len(t, objects, 4)
	assert.Equal(t, objects[0].Instance.SOPInstanceUID, results[0].Findings[0].Heatmap, "reports show the first")
	assert.NotEmpty(t, results[0].Findings[0].Contours)
	assert.Contains(t, string(b.dataset(objects[0])), "GUIDED_GRADCAM")
	assert.Contains(t, string(b.dataset(objects[1])), "LRP_EPSILON")
}

// Every note is kept.
func TestWorkshop_mapsThatAreNotShown(t *testing.T) {
	b := newBench(t)
	zero, nan := hot("gradcam"), hot("lrp-epsilon")
	zero.Values, nan.Values, nan.Wished = make([]float32, 4), []float32{1, float32(math.NaN()), 0, 0}, true
	b.model.maps = []analysis.Map{zero, nan}
	require.NoError(t, b.do(t.Context()))
	results, objects := b.done()
	assert.Empty(t, objects)
	for _, r := range results {
		assert.Equal(t, []string{"polyp: " + NoteZero, "polyp: lrp-epsilon: " + NoteNotANumber}, r.Notes)
		assert.Empty(t, r.Findings[0].Contours)
		assert.Empty(t, r.Findings[0].Heatmap)
	}
}

// analysed is what a worker elsewhere says of the job.
func (b *bench) analysed() analysis.Analysis {
	b.t.Helper()
	entry, err := b.shop.Keeper.Open(b.t.Context(), b.job.Entry)
	require.NoError(b.t, err)
	defer entry.Close()
	w := &inference.Worker{Models: b.models()}
	a, err := w.Analyse(b.t.Context(), inference.Task{Model: "demo", Instance: entry.Instance})
	require.NoError(b.t, err)
	var sent bytes.Buffer
	require.NoError(b.t, a.Encode(&sent))
	a, err = analysis.Decode(&sent)
	require.NoError(b.t, err)
	return a
}

// Results from elsewhere are those from here, to the byte.
func TestTake_sameAsHere(t *testing.T) {
	here, elsewhere := newBench(t), newBench(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, b := range []*bench{here, elsewhere} {
		b.shop.Now = func() time.Time { return at }
	}
	require.NoError(t, here.do(t.Context()))
	_, ok, err := elsewhere.shop.Begin(t.Context(), elsewhere.job.ID)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, elsewhere.shop.Take(t.Context(), elsewhere.job.ID, elsewhere.analysed()))
	want, wantObjects := here.done()
	got, objects := elsewhere.done()
	require.Equal(t, want, got)
	require.Len(t, objects, len(wantObjects))
	for i, o := range objects {
		assert.Equal(t, wantObjects[i].Instance, o.Instance)
		assert.Equal(t, here.dataset(wantObjects[i]), elsewhere.dataset(o))
	}
	require.NoError(t, elsewhere.shop.Take(t.Context(), elsewhere.job.ID, analysis.Analysis{}), "the first result counts")
	again, _ := elsewhere.done()
	require.Equal(t, got, again)
}

// TestWorkshop_twoAtOneJob: whoever comes second leaves nothing behind, and counts for nothing.
func TestWorkshop_twoAtOneJob(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first func(b *bench) error // while the second is at it
		want  ledger.JobState
	}{
		{"done", func(b *bench) error { return b.shop.Take(t.Context(), b.job.ID, b.analysed()) }, ledger.JobDone},
		{"skipped", func(b *bench) error {
			return b.shop.Take(t.Context(), b.job.ID, analysis.Analysis{NotAnalysed: "no decoder"})
		}, ledger.JobSkipped},
		{"parked", func(b *bench) error { return b.ledger.ParkJob(t.Context(), b.job.ID, "no memory", time.Now()) }, ledger.JobParked},
		{"discarded", func(b *bench) error {
			return errors.Join(b.ledger.ParkJob(t.Context(), b.job.ID, "no memory", time.Now()),
				b.ledger.DiscardJob(t.Context(), b.job.ID, time.Now()))
		}, ledger.JobDiscarded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			var entries, finished int
			var events []ledger.Event
			b.model.infer = func(context.Context) error {
				if events != nil {
					return nil // the second frame
				}
				b.model.infer = nil // of whoever is first
				require.NoError(t, tt.first(b))
				entries, finished, events = b.shop.Keeper.Spool.Usage().Entries, b.finished, b.events()
				return nil
			}
			require.NoError(t, b.do(t.Context()))
			job, err := b.ledger.Job(t.Context(), b.job.ID)
			require.NoError(t, err)
			assert.Equal(t, tt.want, job.State)
			assert.Equal(t, entries, b.shop.Keeper.Spool.Usage().Entries)
			assert.Equal(t, finished, b.finished)
			assert.Equal(t, events, b.events())
			assert.LessOrEqual(t, strings.Count(b.log.String(), "instance analysed"), finished)
			assert.Contains(t, b.log.String(), "nobody waits for them")
		})
	}
}

// TestWorkshop_otherContent: what the ledger refuses as its UID has other content leaves nothing behind either.
func TestWorkshop_otherContent(t *testing.T) {
	like, b := newBench(t), newBench(t)
	first := b.job
	like.replace(dicomtest.Options{})
	b.replace(dicomtest.Options{})
	require.NoError(t, like.do(t.Context()))
	d, err := like.ledger.Study(t.Context(), like.job.Instance.StudyInstanceUID, ledger.Page{})
	require.NoError(t, err)
	taken := d.Objects[0]
	taken.Entry, taken.Digest = "earlier", "other"
	require.NoError(t, b.ledger.FinishJob(t.Context(), first.ID, testModel, nil, []ledger.Object{taken}, time.Now()))
	before := b.shop.Keeper.Spool.Usage().Entries
	require.ErrorIs(t, b.do(t.Context()), ledger.ErrOtherContent)
	assert.Equal(t, before, b.shop.Keeper.Spool.Usage().Entries)
}

func (b *bench) events() []ledger.Event {
	b.t.Helper()
	d, err := b.ledger.Study(b.t.Context(), b.job.Instance.StudyInstanceUID, ledger.Page{})
	require.NoError(b.t, err)
	require.NotEmpty(b.t, d.Events)
	return d.Events
}

func TestTake_notAnalysed(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.shop.Take(t.Context(), b.job.ID, analysis.Analysis{NotAnalysed: "video"}))
	job, err := b.ledger.Job(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.Equal(t, ledger.JobSkipped, job.State)
	require.NoError(t, b.shop.Take(t.Context(), "gone.demo", analysis.Analysis{}))
}

// What a worker says of frames that the instance does not have is never taken, and nothing of it stays.
func TestTake_doesNotFitTheInstance(t *testing.T) {
	b := newBench(t)
	before := b.shop.Keeper.Spool.Usage().Entries
	for name, change := range map[string]func(*analysis.Analysis){
		"has 64 x 48 pixels, what is said of it is about 3 x 3": func(a *analysis.Analysis) {
			a.Parts[1].Geometry = analysis.Geometry{Rows: 3, Columns: 3, Crop: image.Rect(0, 0, 3, 3)}
		},
		"frame 3, which the instance does not have": func(a *analysis.Analysis) { a.Parts[1].Result.Span.First = 3 },
	} {
		a := b.analysed()
		change(&a)
		err := b.shop.Take(t.Context(), b.job.ID, a)
		require.ErrorContains(t, err, name)
		assert.Equal(t, jobs.Term, jobs.DispositionOf(err))
		assert.Equal(t, before, b.shop.Keeper.Spool.Usage().Entries)
	}
}

// A result that cannot be taken counts as a try, unless the system is at fault.
func TestTake_tries(t *testing.T) {
	b := newBench(t)
	a := b.analysed()
	b.fillDisk()
	err := b.shop.Take(t.Context(), b.job.ID, a)
	assert.Equal(t, jobs.Postpone, jobs.DispositionOf(err))
	assert.Zero(t, b.attempts())
	require.NoError(t, b.shop.Keeper.Spool.Close())
	b.use(b.open(0))
	a.Parts[0].Result.Scores = map[string]float64{"polyp": math.NaN()} // which the ledger refuses
	for n := 1; n <= benchAttempts; n++ {
		err = b.shop.Take(t.Context(), b.job.ID, a)
		assert.Equal(t, n == benchAttempts, jobs.DispositionOf(err) == jobs.Term, "%d: %v", n, err)
		assert.Equal(t, n, b.attempts())
	}
}

func TestFailed(t *testing.T) {
	b := newBench(t)
	for n := 1; n <= benchAttempts; n++ {
		_, ok, err := b.shop.Begin(t.Context(), b.job.ID)
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, jobs.Postpone, jobs.DispositionOf(b.shop.Failed(t.Context(), b.job.ID, inference.Postponed(errors.New("worker stops")))))
		assert.Equal(t, n-1, b.attempts(), "taken back")
		_, _, err = b.shop.Begin(t.Context(), b.job.ID)
		require.NoError(t, err)
		err = b.shop.Failed(t.Context(), b.job.ID, errors.New("boom"))
		require.ErrorContains(t, err, "boom")
		assert.Equal(t, n == benchAttempts, jobs.DispositionOf(err) == jobs.Term)
	}
	assert.NoError(t, b.shop.Failed(t.Context(), "gone.demo", errors.New("boom")))

	done := newBench(t)
	require.NoError(t, done.do(t.Context()))
	assert.NoError(t, done.shop.Failed(t.Context(), done.job.ID, errors.New("boom")), "another worker has done it")
	assert.Equal(t, 1, done.attempts())
}

func TestHindered(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want jobs.Disposition
	}{
		{"nothing", nil, jobs.Ack},
		{"reserve", spool.ErrFull, jobs.Postpone},
		{"disk", &os.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, jobs.Postpone},
		{"open files", &os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, jobs.Postpone},
		{"bad sector", &os.PathError{Op: "read", Path: "x", Err: syscall.EIO}, jobs.Nak},
		{"of another kind", io.ErrUnexpectedEOF, jobs.Nak},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, jobs.DispositionOf(hindered(tt.err))) })
	}
}
