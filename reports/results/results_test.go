package results

import (
	"context"
	"errors"
	"image"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/jobs"
	"endogate/reports"
)

// seer finds a polyp in every frame, or what infer says.
type seer struct {
	infer func(ctx context.Context) error
}

func (seer) Name() string   { return "demo" }
func (seer) Digest() string { return "0" }
func (s seer) Infer(ctx context.Context, f pixeldata.Frame) (inference.FrameAnalysis, error) {
	if s.infer != nil {
		if err := s.infer(ctx); err != nil {
			return inference.FrameAnalysis{}, err
		}
	}
	size := f.Image.Rect.Size()
	return inference.FrameAnalysis{
		Result: analysis.Result{
			Span: analysis.Still(f.Number), Rows: size.Y, Columns: size.X,
			Findings: []analysis.Finding{{Class: "polyp", Probability: 0.9}},
		},
		Maps: []explain.Map{{Width: size.X, Height: size.Y, Values: make([]float32, size.X*size.Y)}},
	}, nil
}

// bench is a workshop with stores of its own and one job in the ledger.
type bench struct {
	t      *testing.T
	dir    string
	ledger *ledger.Ledger
	shop   *Workshop
	model  seer
	job    inference.Job
	log    strings.Builder
}

const benchAttempts = 3

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	var err error
	b.ledger, err = ledger.Open(filepath.Join(b.dir, "ledger.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.ledger.Close()) })
	store := b.open(0)

	content, header := dicomtest.Endoscopic(dicomtest.Options{})
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
	b.job = inference.Job{ID: open[0].ID, Entry: entry.ID, Model: "demo", Instance: open[0].Instance}
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
			Model: analysis.Model{Manufacturer: "endogate", Name: "demo", Version: "1"}, Number: 1,
			Classes: []analysis.Class{{Name: "polyp"}},
		}},
		Colours: colours, Opacity: 0.5,
		MaxAttempts: benchAttempts, Now: time.Now, Finished: func() {}, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
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
	w := &inference.Worker{
		Models: map[string]inference.Model{"demo": b.model}, Open: b.shop.Keeper.Dataset, Start: b.shop.Start,
		Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	return w.Do(ctx, b.job)
}

func (b *bench) attempts() int {
	b.t.Helper()
	job, err := b.ledger.Job(b.t.Context(), b.job.ID)
	require.NoError(b.t, err)
	return job.Attempts
}

func TestWorkshop_faultsOfTheJobCount(t *testing.T) {
	b := newBench(t)
	b.model = seer{func(context.Context) error { return errors.New("boom") }}
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
		d, err := b.shop.Start(t.Context(), b.job) // and nothing more is heard
		require.NoError(t, err)
		require.NotNil(t, d)
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
				b.model = seer{func(context.Context) error { cancel(); return tt.err }}
				assert.Equal(t, jobs.Postpone, jobs.DispositionOf(b.do(ctx)))
				assert.Zero(t, b.attempts())
			}
		})
	}
}

func TestWorkshop_ledgerThatDoesNotAnswer(t *testing.T) {
	b := newBench(t)
	other, err := ledger.Open(filepath.Join(b.dir, "closed.db"))
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

func TestWorkshop_abortReleasesWhatWasMade(t *testing.T) {
	b := newBench(t)
	store := b.shop.Keeper.Spool
	before := store.Usage().Entries
	d, err := b.shop.Start(t.Context(), b.job)
	require.NoError(t, err)
	a, err := seer{}.Infer(t.Context(), pixeldata.Frame{Number: 1, Image: image.NewRGBA(image.Rect(0, 0, 64, 64))})
	require.NoError(t, err)
	require.NoError(t, d.Frame(t.Context(), a, image.NewRGBA(image.Rect(0, 0, 64, 64))))
	require.Equal(t, before+1, store.Usage().Entries)
	boom := errors.New("boom")
	assert.Equal(t, boom, d.Abort(t.Context(), boom))
	assert.Equal(t, before, store.Usage().Entries)
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
