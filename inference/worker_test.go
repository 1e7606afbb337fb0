package inference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference/analysis"
	"endogate/inference/jobs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// delivery keeps what a worker hands over.
type delivery struct {
	frames   []FrameAnalysis
	pictures []image.Rectangle
	result   *Result
	aborted  int
	reason   error // of the last Abort
	last     bool  // this is the job's last try

	frameErr, finishErr error
	onFrame             func(FrameAnalysis)
}

func (d *delivery) Frame(_ context.Context, a FrameAnalysis, picture *image.RGBA) error {
	if d.onFrame != nil {
		d.onFrame(a)
		return d.frameErr
	}
	d.frames = append(d.frames, a)
	d.pictures = append(d.pictures, picture.Rect)
	return d.frameErr
}

func (d *delivery) Finish(_ context.Context, r Result) error {
	d.result = &r
	return d.finishErr
}

func (d *delivery) Abort(_ context.Context, err error) error {
	d.aborted++
	d.reason = err
	if d.last && !IsPostponed(err) {
		return Permanent(err)
	}
	return err
}

// seer finds one thing in every frame.
type seer struct {
	infer func(ctx context.Context, f pixeldata.Frame) (FrameAnalysis, error)
}

func (seer) Name() string   { return "seer" }
func (seer) Digest() string { return "0" }
func (s seer) Infer(ctx context.Context, f pixeldata.Frame) (FrameAnalysis, error) {
	if s.infer != nil {
		return s.infer(ctx, f)
	}
	size := f.Image.Rect.Size()
	return FrameAnalysis{
		Result: analysis.Result{
			Span: analysis.Still(f.Number), Rows: size.Y, Columns: size.X,
			Findings: []analysis.Finding{{
				Class: "polyp", Probability: 0.9, Contours: [][][2]float64{{{0, 0}, {1, 0}, {1, 1}, {0, 0}}},
			}},
		},
		Maps: []explain.Map{{Width: size.X, Height: size.Y, Values: make([]float32, size.X*size.Y)}},
	}, nil
}

var testJob = Job{ID: "E1.seer", Entry: "E1", Model: "seer", Instance: dicom.SOPInstance{
	SOPClassUID: "1.2.3", SOPInstanceUID: "1.2.4", SeriesInstanceUID: "1.2.5", StudyInstanceUID: "1.2.6",
}}

// workerOn is a worker on one entry, in Explicit VR Little Endian unless ts says another syntax.
func workerOn(dataset []byte, ts dicom.UID, d *delivery) *Worker {
	return &Worker{
		Models: map[string]Model{"seer": seer{}},
		Open: func(_ context.Context, entry string) (io.ReadCloser, dicom.TransferSyntax, error) {
			if entry != testJob.Entry {
				return nil, dicom.TransferSyntax{}, fmt.Errorf("entry %q was asked for", entry)
			}
			if ts == "" {
				ts = dicom.ExplicitVRLittleEndian
			}
			syntax, _ := dicom.LookupTransferSyntax(ts)
			return io.NopCloser(bytes.NewReader(dataset)), syntax, nil
		},
		Start: func(context.Context, Job) (Delivery, error) { return d, nil },
		Log:   slog.New(slog.DiscardHandler),
	}
}

func temporary(t *testing.T, err error) bool {
	t.Helper()
	require.Error(t, err)
	e, ok := err.(interface{ Temporary() bool }) // the outermost: nothing inside may speak for it
	require.True(t, ok, "%T has no Temporary", err)
	return e.Temporary()
}

func TestDo_everyFrame(t *testing.T) {
	for _, ts := range []dicom.UID{dicom.ExplicitVRLittleEndian, dicom.JPEGBaseline8Bit, dicom.RLELossless, dicom.DeflatedExplicitVRLittleEndian} {
		t.Run(string(ts), func(t *testing.T) {
			dataset, _ := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: ts, Rows: 30, Columns: 40, Frames: 3})
			d := &delivery{}
			w := workerOn(dataset, ts, d)
			var seen []string
			w.Observe = func(model string, took time.Duration) {
				assert.GreaterOrEqual(t, took, time.Duration(0))
				seen = append(seen, model)
			}
			require.NoError(t, w.Do(t.Context(), testJob))
			require.Len(t, d.frames, 3)
			require.NotNil(t, d.result)
			require.Len(t, d.result.Frames, 3)
			assert.Empty(t, d.result.NotAnalysed)
			assert.Equal(t, []string{"seer", "seer", "seer"}, seen)
			assert.Zero(t, d.aborted)
			for i, a := range d.frames {
				assert.Equal(t, analysis.Still(i+1), a.Span)
				assert.Equal(t, image.Rect(0, 0, 40, 30), d.pictures[i])
				assert.Equal(t, 40, a.Maps[0].Width)
				kept := d.result.Frames[i]
				assert.Empty(t, kept.Maps, "maps are not kept")
				assert.Equal(t, a.Findings[0].Contours, kept.Findings[0].Contours)
			}
		})
	}
}

func TestDo_nothingLeftToDo(t *testing.T) {
	w := workerOn(nil, "", nil)
	w.Start = func(context.Context, Job) (Delivery, error) { return nil, nil }
	require.NoError(t, w.Do(t.Context(), testJob))
}

func TestDo_notAnalysed(t *testing.T) {
	d := &delivery{}
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{})
	require.NoError(t, workerOn(dataset, "1.2.840.10008.1.2.4.102", d).Do(t.Context(), testJob)) // video: no retry will change that
	require.NotNil(t, d.result)
	assert.Empty(t, d.result.Frames)
	assert.Contains(t, d.result.NotAnalysed, "video")
	assert.Zero(t, d.aborted)
}

func TestDo_corruptPixelData(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 3})
	d := &delivery{}
	err := workerOn(dataset[:len(dataset)-100], "", d).Do(t.Context(), testJob)
	assert.False(t, temporary(t, err))
	require.ErrorIs(t, err, pixeldata.ErrCorrupt)
	assert.Nil(t, d.result)
	assert.Equal(t, 1, d.aborted)
}

func TestDo_frameLimit(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 5})
	for limit, want := range map[int]int{4: 4, 5: 5, 0: 5} {
		d := &delivery{}
		w := workerOn(dataset, "", d)
		w.MaxFrames = limit
		require.NoError(t, w.Do(t.Context(), testJob))
		assert.Len(t, d.result.Frames, want)
		if want < 5 {
			assert.Equal(t, "only the first 4 frames are analysed", d.result.NotAnalysed)
		} else {
			assert.Empty(t, d.result.NotAnalysed)
		}
	}
}

func TestDo_errors(t *testing.T) {
	boom := errors.New("boom")
	fullDisk := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	tests := []struct {
		name      string
		change    func(*Worker, *delivery)
		temporary bool
		aborted   int
	}{
		{"unknown model", func(w *Worker, _ *delivery) { w.Models = nil }, false, 0},
		{"start", func(w *Worker, _ *delivery) {
			w.Start = func(context.Context, Job) (Delivery, error) { return nil, boom }
		}, true, 0},
		{"open", func(w *Worker, _ *delivery) {
			w.Open = func(context.Context, string) (io.ReadCloser, dicom.TransferSyntax, error) {
				return nil, dicom.TransferSyntax{}, boom
			}
		}, true, 1},
		{"entry is gone", func(w *Worker, _ *delivery) {
			w.Open = func(context.Context, string) (io.ReadCloser, dicom.TransferSyntax, error) {
				return nil, dicom.TransferSyntax{}, Permanent(boom)
			}
		}, false, 1},
		{"infer", func(w *Worker, _ *delivery) {
			w.Models["seer"] = seer{func(context.Context, pixeldata.Frame) (FrameAnalysis, error) { return FrameAnalysis{}, boom }}
		}, true, 1},
		{"frame", func(_ *Worker, d *delivery) { d.frameErr = boom }, true, 1},
		{"frame, refused for good", func(_ *Worker, d *delivery) { d.frameErr = Permanent(boom) }, false, 1},
		{"frame, disk full", func(_ *Worker, d *delivery) { d.frameErr = fullDisk }, true, 1},
		{"finish", func(_ *Worker, d *delivery) { d.finishErr = boom }, true, 1},
		{"finish, disk full", func(_ *Worker, d *delivery) { d.finishErr = fullDisk }, true, 1},
	}
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &delivery{}
			w := workerOn(dataset, "", d)
			tt.change(w, d)
			err := w.Do(t.Context(), testJob)
			assert.Equal(t, tt.temporary, temporary(t, err))
			assert.ErrorContains(t, err, "inference: job E1.seer: ")
			assert.Equal(t, tt.aborted, d.aborted)
			want := jobs.Term
			if tt.temporary {
				want = jobs.Nak
			}
			assert.Equal(t, want, jobs.DispositionOf(err))
		})
	}
}

func TestDo_cancelled(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
	}{{"plain", context.Canceled}, {"a decoder cut short", Permanent(pixeldata.ErrCorrupt)}} {
		t.Run(tt.name, func(t *testing.T) {
			dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 3})
			ctx, cancel := context.WithCancel(t.Context())
			d := &delivery{last: true}
			w := workerOn(dataset, "", d)
			w.Models["seer"] = seer{func(_ context.Context, f pixeldata.Frame) (FrameAnalysis, error) {
				if f.Number == 2 {
					cancel()
					return FrameAnalysis{}, tt.err
				}
				return FrameAnalysis{Result: analysis.Result{Span: analysis.Still(f.Number)}}, nil
			}}
			err := w.Do(ctx, testJob)
			assert.True(t, temporary(t, err))
			assert.Equal(t, jobs.Postpone, jobs.DispositionOf(err), "the end of the process costs no try")
			require.ErrorIs(t, err, tt.err)
			assert.Equal(t, 1, d.aborted)
			assert.True(t, IsPostponed(d.reason))
		})
	}
}

func TestDo_postponed(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{})
	d := &delivery{last: true, frameErr: Postponed(syscall.ENOSPC)}
	err := workerOn(dataset, "", d).Do(t.Context(), testJob)
	assert.Equal(t, jobs.Postpone, jobs.DispositionOf(err))
	require.ErrorIs(t, err, syscall.ENOSPC)
	assert.True(t, temporary(t, err))
	assert.NoError(t, Postponed(nil))
	assert.NoError(t, Permanent(nil))
}

func TestDo_lastTry(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{})
	d := &delivery{last: true, frameErr: errors.New("boom")}
	err := workerOn(dataset, "", d).Do(t.Context(), testJob)
	assert.Equal(t, jobs.Term, jobs.DispositionOf(err), "what Abort says holds")
	assert.EqualError(t, err, "inference: job E1.seer: frame 1: boom")
}

// slowly analyses each frame in the time took says.
func slowly(took func(frame int) time.Duration) seer {
	return seer{func(ctx context.Context, f pixeldata.Frame) (FrameAnalysis, error) {
		select {
		case <-ctx.Done():
			return FrameAnalysis{}, ctx.Err()
		case <-time.After(took(f.Number)):
			return FrameAnalysis{Result: analysis.Result{Span: analysis.Still(f.Number)}}, nil
		}
	}}
}

func TestDo_aLongJobThatGetsOn(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 20})
	synctest.Test(t, func(t *testing.T) {
		d := &delivery{}
		w := workerOn(dataset, "", d)
		w.Models["seer"] = slowly(func(int) time.Duration { return 4 * time.Minute })
		begun := time.Now()
		require.NoError(t, w.Do(t.Context(), testJob))
		assert.Equal(t, 80*time.Minute, time.Since(begun))
		assert.Len(t, d.frames, 20)
	})
}

func TestDo_stalled(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 3})
	synctest.Test(t, func(t *testing.T) {
		d := &delivery{}
		w := workerOn(dataset, "", d)
		w.Models["seer"] = slowly(func(frame int) time.Duration { return time.Duration(frame*frame) * time.Minute })
		begun := time.Now()
		err := w.Do(t.Context(), testJob)
		assert.Equal(t, 10*time.Minute, time.Since(begun), "1 and 4 minutes, then no more than 5")
		assert.EqualError(t, err, "inference: job E1.seer: no frame was done within 5m0s")
		assert.Equal(t, jobs.Nak, jobs.DispositionOf(err), "the try counts")
		assert.Equal(t, 1, d.aborted)
	})
}

func TestDo_panic(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{PatientName: "Secret^Name"})
	for name, value := range map[string]any{
		"text": "Secret^Name", "error": errors.New("Secret^Name"), "attributes": []string{"Secret^Name"},
		"wrapped": fmt.Errorf("decode: %w", Permanent(errors.New("Secret^Name"))),
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			d := &delivery{}
			w := workerOn(dataset, "", d)
			w.Log = slog.New(slog.NewTextHandler(&log, nil))
			w.Models["seer"] = seer{func(context.Context, pixeldata.Frame) (FrameAnalysis, error) { panic(value) }}
			err := w.Do(t.Context(), testJob)
			assert.False(t, temporary(t, err))
			assert.Equal(t, 1, d.aborted)
			assert.Contains(t, log.String(), "worker_test.go", "the stack")
			assert.Equal(t, "inference: job E1.seer: panic; its stack is in the log", err.Error(), "the reason of a parked job")
			assert.NotContains(t, log.String()+d.reason.Error(), "Secret", "what was panicked with may be patient data")
		})
	}
}

func TestDo_memoryIsThatOfOneFrame(t *testing.T) {
	// 100 frames of 256x256, each with a picture and a map of 256 KiB: kept together they would be 50 MiB.
	const frames = 100
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Rows: 256, Columns: 256, Frames: frames})
	d := &delivery{}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	d.onFrame = func(a FrameAnalysis) {
		if a.Span.First%25 != 0 {
			return
		}
		var now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
	}
	require.NoError(t, workerOn(dataset, "", d).Do(t.Context(), testJob))
	require.Len(t, d.result.Frames, frames)
	assert.Less(t, most, uint64(8<<20), "bytes live during the job")
}

// BenchmarkJob is a whole job, but for storing its results: decode, prepare, classify, explain, outline.
func BenchmarkJob(b *testing.B) {
	m := demoModel(b)
	for _, name := range []string{"polyp-1.jpg", "cecum-1.jpg"} {
		stream, err := os.ReadFile(filepath.Join("../testdata/frames", name))
		require.NoError(b, err)
		size := readJPEG(b, filepath.Join("../testdata/frames", name)).Rect.Size()
		dataset, _ := dicomtest.Endoscopic(dicomtest.Options{
			TransferSyntax: dicom.JPEGBaseline8Bit, Rows: size.Y, Columns: size.X, JPEG: [][]byte{stream},
		})
		b.Run(fmt.Sprintf("%s %dx%d", name, size.X, size.Y), func(b *testing.B) {
			w := workerOn(dataset, dicom.JPEGBaseline8Bit, &delivery{onFrame: func(FrameAnalysis) {}})
			w.Models = map[string]Model{"seer": m}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Do(b.Context(), testJob); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
