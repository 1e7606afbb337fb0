package inference

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/inference/analysis"
	"endogate/inference/jobs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// taker keeps what a worker hands over.
type taker struct {
	parts    []analysis.Part
	pictures []image.Rectangle

	err    error
	onPart func(analysis.Part)
}

func (k *taker) take(_ context.Context, p analysis.Part, frames []*image.RGBA) error {
	if k.onPart != nil {
		k.onPart(p)
		return k.err
	}
	k.parts = append(k.parts, p)
	k.pictures = append(k.pictures, frames[0].Rect)
	return k.err
}

// seer finds one thing in every frame.
type seer struct {
	infer func(ctx context.Context, s analysis.Sample) (analysis.Part, error)
}

func (seer) Made() analysis.Model { return analysis.Model{Name: "seer", Digest: "0"} }
func (m seer) Infer(ctx context.Context, s analysis.Sample, _ Wishes) (analysis.Part, error) {
	if m.infer != nil {
		return m.infer(ctx, s)
	}
	size := s.Frames[0].Rect.Size()
	return analysis.Part{
		Geometry: analysis.Geometry{Rows: size.Y, Columns: size.X, Crop: s.Frames[0].Rect},
		Result: analysis.Result{
			Span: s.Span, Rows: size.Y, Columns: size.X, Scores: map[string]float64{"polyp": 0.9},
			Findings: []analysis.Finding{{Class: "polyp", Probability: 0.9}},
		},
		Maps: []analysis.Map{{Class: "polyp", Width: 256, Height: 256, Values: make([]float32, 256*256)}},
	}, nil
}

// nothing says that there is nothing in a sample.
func nothing(s analysis.Sample) (analysis.Part, error) {
	return analysis.Part{Result: analysis.Result{Span: s.Span}}, nil
}

// bench is a worker and a task for it.
type bench struct {
	Worker
	Task
}

// workerOn is asked about a data set, in Explicit VR Little Endian unless ts says another syntax.
func workerOn(t testing.TB, dataset []byte, ts dicom.UID) *bench {
	t.Helper()
	if ts == "" {
		ts = dicom.ExplicitVRLittleEndian
	}
	syntax, _ := dicom.LookupTransferSyntax(ts)
	instance, err := pixeldata.Open(bytes.NewReader(dataset), syntax, pixeldata.Options{})
	require.NoError(t, err)
	return &bench{
		Worker{Models: map[string]Model{"seer": seer{}}, Log: slog.New(slog.DiscardHandler)},
		Task{Job: "E1.seer", Model: "seer", Instance: instance},
	}
}

func temporary(t *testing.T, err error) bool {
	t.Helper()
	require.Error(t, err)
	return jobs.DispositionOf(err) != jobs.Term
}

func TestEach_everyFrame(t *testing.T) {
	for _, ts := range []dicom.UID{dicom.ExplicitVRLittleEndian, dicom.JPEGBaseline8Bit, dicom.RLELossless, dicom.DeflatedExplicitVRLittleEndian} {
		t.Run(string(ts), func(t *testing.T) {
			dataset, _ := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: ts, Rows: 30, Columns: 40, Frames: 3})
			w, k := workerOn(t, dataset, ts), &taker{}
			var seen []string
			w.Observe = func(model string, took time.Duration) {
				assert.GreaterOrEqual(t, took, time.Duration(0))
				seen = append(seen, model)
			}
			why, err := w.Each(t.Context(), w.Task, k.take)
			require.NoError(t, err)
			assert.Empty(t, why)
			require.Len(t, k.parts, 3)
			assert.Equal(t, []string{"seer", "seer", "seer"}, seen)
			for i, p := range k.parts {
				assert.Equal(t, analysis.Still(i+1), p.Result.Span)
				assert.Equal(t, image.Rect(0, 0, 40, 30), k.pictures[i])
			}
		})
	}
}

// What a worker says elsewhere comes over the wire as it was said.
func TestAnalyse(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 3})
	w := workerOn(t, dataset, "")
	w.MaxFrames = 2
	a, err := w.Analyse(t.Context(), w.Task)
	require.NoError(t, err)
	assert.Equal(t, "seer", a.Model.Name)
	assert.Len(t, a.Parts, 2)
	assert.Equal(t, "only the first 2 frames are analysed", a.NotAnalysed)
	var sent bytes.Buffer
	require.NoError(t, a.Encode(&sent))
	got, err := analysis.Decode(&sent)
	require.NoError(t, err)
	assert.Equal(t, a, got)
}

func TestAnalyse_error(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 3})
	w := workerOn(t, amid(dataset), "")
	a, err := w.Analyse(t.Context(), w.Task)
	require.ErrorIs(t, err, pixeldata.ErrCorrupt)
	assert.Zero(t, a, "a part of it is no analysis")
}

func TestEach_notAnalysed(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{})
	w, k := workerOn(t, dataset, "1.2.840.10008.1.2.4.102"), &taker{} // video: no retry will change that
	why, err := w.Each(t.Context(), w.Task, k.take)
	require.NoError(t, err)
	assert.Empty(t, k.parts)
	assert.Contains(t, why, "video")
}

func TestEach_corruptPixelData(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 3})
	w, k := workerOn(t, amid(dataset), ""), &taker{}
	_, err := w.Each(t.Context(), w.Task, k.take)
	assert.False(t, temporary(t, err))
	require.ErrorIs(t, err, pixeldata.ErrCorrupt)
}

func TestEach_frameLimit(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 5})
	for limit, want := range map[int]int{4: 4, 5: 5, 0: 5} {
		w, k := workerOn(t, dataset, ""), &taker{}
		w.MaxFrames = limit
		why, err := w.Each(t.Context(), w.Task, k.take)
		require.NoError(t, err)
		assert.Len(t, k.parts, want)
		if want < 5 {
			assert.Equal(t, "only the first 4 frames are analysed", why)
		} else {
			assert.Empty(t, why)
		}
	}
}

func TestEach_errors(t *testing.T) {
	boom := errors.New("boom")
	fullDisk := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	tests := []struct {
		name   string
		change func(*bench, *taker)
		want   jobs.Disposition
	}{
		{"unknown model", func(w *bench, _ *taker) { w.Models = nil }, jobs.Term},
		{"infer", func(w *bench, _ *taker) {
			w.Models["seer"] = seer{func(context.Context, analysis.Sample) (analysis.Part, error) { return analysis.Part{}, boom }}
		}, jobs.Nak},
		{"take", func(_ *bench, k *taker) { k.err = boom }, jobs.Nak},
		{"take, refused for good", func(_ *bench, k *taker) { k.err = Permanent(boom) }, jobs.Term},
		{"take, disk full", func(_ *bench, k *taker) { k.err = fullDisk }, jobs.Nak},
		{"take, disk full and said so", func(_ *bench, k *taker) { k.err = Postponed(fullDisk) }, jobs.Postpone},
	}
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, k := workerOn(t, dataset, ""), &taker{}
			tt.change(w, k)
			_, err := w.Each(t.Context(), w.Task, k.take)
			require.Error(t, err)
			assert.Equal(t, tt.want, jobs.DispositionOf(err))
		})
	}
	assert.NoError(t, Postponed(nil))
	assert.NoError(t, Permanent(nil))
}

func TestEach_cancelled(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
	}{{"plain", context.Canceled}, {"a decoder cut short", Permanent(pixeldata.ErrCorrupt)}} {
		t.Run(tt.name, func(t *testing.T) {
			dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 3})
			ctx, cancel := context.WithCancel(t.Context())
			w, k := workerOn(t, dataset, ""), &taker{}
			w.Models["seer"] = seer{func(_ context.Context, s analysis.Sample) (analysis.Part, error) {
				if s.Span.First == 2 {
					cancel()
					return analysis.Part{}, tt.err
				}
				return nothing(s)
			}}
			_, err := w.Each(ctx, w.Task, k.take)
			assert.Equal(t, jobs.Postpone, jobs.DispositionOf(err), "the end of the process costs no try")
			require.ErrorIs(t, err, tt.err)
		})
	}
}

// slowly analyses each frame in the time took says.
func slowly(took func(frame int) time.Duration) seer {
	return seer{func(ctx context.Context, s analysis.Sample) (analysis.Part, error) {
		select {
		case <-ctx.Done():
			return analysis.Part{}, ctx.Err()
		case <-time.After(took(s.Span.First)):
			return nothing(s)
		}
	}}
}

func TestEach_aLongJobThatGetsOn(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 20})
	synctest.Test(t, func(t *testing.T) {
		k := &taker{}
		w := workerOn(t, dataset, "")
		w.Models["seer"], w.PerFrame = slowly(func(int) time.Duration { return 4 * time.Minute }), 4*time.Minute
		begun := time.Now()
		_, err := w.Each(t.Context(), w.Task, k.take)
		require.NoError(t, err)
		assert.Equal(t, 80*time.Minute, time.Since(begun))
		assert.Len(t, k.parts, 20)
	})
}

func TestEach_stalled(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 3})
	synctest.Test(t, func(t *testing.T) {
		k := &taker{}
		w := workerOn(t, dataset, "")
		w.Models["seer"], w.Limit = slowly(func(frame int) time.Duration { return time.Duration(frame*frame) * time.Minute }), time.Hour
		begun := time.Now()
		_, err := w.Each(t.Context(), w.Task, k.take)
		assert.Equal(t, 10*time.Minute, time.Since(begun), "1 and 4 minutes, then no more than 5")
		assert.EqualError(t, err, "no frame was done within 5m0s")
		assert.Equal(t, jobs.Nak, jobs.DispositionOf(err), "the try counts")
	})
}

// Every frame is done in time, and all of them together are not: that is no matter of another try.
func TestEach_tooLongInAll(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Frames: 20})
	synctest.Test(t, func(t *testing.T) {
		k := &taker{}
		w := workerOn(t, dataset, "")
		w.Models["seer"], w.Limit, w.PerFrame = slowly(func(int) time.Duration { return time.Minute }), 2*time.Minute, 15*time.Second
		begun := time.Now()
		_, err := w.Each(t.Context(), w.Task, k.take)
		assert.Equal(t, 7*time.Minute, time.Since(begun))
		assert.ErrorContains(t, err, "not done within 7m0s")
		assert.Equal(t, jobs.Term, jobs.DispositionOf(err))
	})
}

// An instance of which every frame takes all the time that it may take is given up after a few of them.
func TestEach_everyFrameIsTooLong(t *testing.T) {
	frame := []byte("\xff\x4f\xff\x51\x00\x2f\x00\x00" + // the header of JPEG 2000 of 8 x 8 pixels of three samples of 8 bits
		"\x00\x00\x00\x08\x00\x00\x00\x08" + strings.Repeat("\x00", 24) + "\x00\x03\x07\x01\x01\x07\x01\x01\x07\x01\x01" +
		"\xff\x90\x00\x0a" + strings.Repeat("\x00", 1000))
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{
		TransferSyntax: "1.2.840.10008.1.2.4.90", Rows: 8, Columns: 8, Frames: 30, JPEG: slices.Repeat([][]byte{frame}, 30),
		More: dicom.Dataset{dicom.PhotometricInterpretation: dicom.Text{"RGB"}},
	})
	tries := filepath.Join(t.TempDir(), "tries")
	slow := filepath.Join(t.TempDir(), "slow")
	script := "#!/bin/sh\necho try >>" + tries + "\nkill -XCPU $$\n" // as the kernel does with what takes too long
	require.NoError(t, os.WriteFile(slow, []byte(script), 0o700))
	syntax, _ := dicom.LookupTransferSyntax("1.2.840.10008.1.2.4.90")
	w := workerOn(t, dataset, "1.2.840.10008.1.2.4.90")
	var err error
	w.Instance, err = pixeldata.Open(bytes.NewReader(dataset), syntax, pixeldata.Options{FFmpeg: slow})
	require.NoError(t, err)
	_, err = w.Each(t.Context(), w.Task, (&taker{}).take)
	require.ErrorIs(t, err, pixeldata.ErrTooLong)
	assert.False(t, temporary(t, err), "it is parked")
	tried, err := os.ReadFile(tries)
	require.NoError(t, err)
	assert.Equal(t, maxTooLong, strings.Count(string(tried), "try"))
}

func TestEach_panic(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{PatientName: "Secret^Name"})
	for name, value := range map[string]any{
		"text": "Secret^Name", "error": errors.New("Secret^Name"), "attributes": []string{"Secret^Name"},
		"wrapped": fmt.Errorf("decode: %w", Permanent(errors.New("Secret^Name"))),
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			k := &taker{}
			w := workerOn(t, dataset, "")
			w.Log = slog.New(slog.NewTextHandler(&log, nil))
			w.Models["seer"] = seer{func(context.Context, analysis.Sample) (analysis.Part, error) { panic(value) }}
			_, err := w.Each(t.Context(), w.Task, k.take)
			assert.False(t, temporary(t, err))
			assert.Contains(t, log.String(), "worker_test.go", "the stack")
			assert.Equal(t, "panic; its stack is in the log", err.Error(), "the reason of a parked job")
			assert.NotContains(t, log.String()+err.Error(), "Secret", "what was panicked with may be patient data")
		})
	}
}

func TestEach_memoryIsThatOfOneFrame(t *testing.T) {
	// 100 frames of 256x256, each with a picture and a map of 256 KiB: kept together they would be 50 MiB.
	const frames = 100
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Rows: 256, Columns: 256, Frames: frames})
	k := &taker{}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	k.onPart = func(p analysis.Part) {
		if p.Result.Span.First%25 != 0 {
			return
		}
		var now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
	}
	w := workerOn(t, dataset, "")
	_, err := w.Each(t.Context(), w.Task, k.take)
	require.NoError(t, err)
	assert.Less(t, most, uint64(8<<20), "bytes live during the job")
}

// BenchmarkJob is a whole job, but for storing its results: decode, prepare, classify, explain.
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
			k := &taker{onPart: func(analysis.Part) {}}
			b.ReportAllocs()
			for b.Loop() {
				w := workerOn(b, dataset, dicom.JPEGBaseline8Bit)
				w.Models = map[string]Model{"seer": m}
				if _, err := w.Each(b.Context(), w.Task, k.take); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A frame that its owner has prepared is seen as one that the worker prepares itself.
func TestFill_prepared(t *testing.T) {
	m := demoModel(t)
	stream, err := os.ReadFile("../testdata/frames/polyp-1.jpg")
	require.NoError(t, err)
	img := readJPEG(t, "../testdata/frames/polyp-1.jpg")
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{
		TransferSyntax: dicom.JPEGBaseline8Bit, Rows: img.Rect.Dy(), Columns: img.Rect.Dx(), JPEG: [][]byte{stream},
	})
	w := &Worker{Models: map[string]Model{"demo": m}}
	fill := func(o Order, input []byte) (string, error) {
		order, err := o.Encode()
		require.NoError(t, err)
		var result bytes.Buffer
		err = w.Fill(t.Context(), "job", "demo", order, bytes.NewReader(input), nil, &result, pixeldata.Options{})
		return result.String(), err
	}
	want, err := fill(Order{TransferSyntaxUID: dicom.JPEGBaseline8Bit}, dataset)
	require.NoError(t, err)
	p, err := demoBundle(t).Reduce(img, analysis.Pose{})
	require.NoError(t, err)
	got, err := fill(Order{Prepared: &p.Geometry}, p.Pixels)
	require.NoError(t, err)
	require.NotEmpty(t, want)
	require.Equal(t, want, got)
	for _, pixels := range [][]byte{nil, p.Pixels[1:], append(p.Pixels, 0), make([]byte, MaxPrepared+10)} {
		_, err = fill(Order{Prepared: &p.Geometry}, pixels)
		require.ErrorContains(t, err, "samples of a prepared frame")
		assert.False(t, temporary(t, err))
	}
	_, err = fill(Order{Prepared: &analysis.Geometry{Rows: 10, Columns: 10, Crop: image.Rect(0, 0, 20, 20)}}, p.Pixels)
	require.Error(t, err, "a crop beyond the frame")
}

// What cannot be decoded on one machine another may be able to: elsewhere it is left to that one, here it is said.
func TestWorker_noDecoder(t *testing.T) {
	var picture bytes.Buffer
	require.NoError(t, jpeg.Encode(&picture, dicomtest.Picture(64, 48, 1), nil))
	const lossless = "1.2.840.10008.1.2.4.70"
	if picture.Len()%2 == 1 {
		picture.WriteByte(0)
	}
	picture.Bytes()[bytes.Index(picture.Bytes(), []byte{0xFF, 0xC0})+1] = 0xC3 // it begins as lossless, which needs ffmpeg
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: lossless, JPEG: [][]byte{picture.Bytes()}})
	none := pixeldata.Options{FFmpeg: "/nonexistent/ffmpeg"}
	w := workerOn(t, dataset, "")

	order, err := Order{TransferSyntaxUID: lossless}.Encode()
	require.NoError(t, err)
	var result bytes.Buffer
	err = w.Fill(t.Context(), "job", w.Task.Model, order, bytes.NewReader(dataset), nil, &result, none)
	require.ErrorIs(t, err, pixeldata.ErrNoDecoder)
	assert.True(t, IsPostponed(err))
	assert.Zero(t, result.Len())

	ts, _ := dicom.LookupTransferSyntax(lossless)
	w.Task.Instance, err = pixeldata.Open(bytes.NewReader(dataset), ts, none)
	require.NoError(t, err)
	a, err := w.Analyse(t.Context(), w.Task)
	require.NoError(t, err)
	assert.Contains(t, a.NotAnalysed, "needs ffmpeg, which is not installed")
}

// One bad frame does not cost the others: it is named, with its reason, and the numbers of those behind it stay right.
func TestEach_badFrames(t *testing.T) {
	good := dicomtest.Options{TransferSyntax: dicom.JPEGBaseline8Bit, Rows: 32, Columns: 32, Frames: 6}
	dataset, _ := dicomtest.Endoscopic(good)
	jpegs := fragmentsOf(t, dataset)
	require.Len(t, jpegs, 6)
	cut := jpegs[2][:(len(jpegs[2])-24)&^1]
	spoilt := slices.Concat(make([]byte, 64), jpegs[2][64:])
	noEnd := slices.Clone(jpegs[2])
	noEnd = noEnd[:bytes.LastIndex(noEnd, []byte("\xff\xd9"))]
	with := func(third []byte) dicom.Fragments {
		frames := slices.Clone(jpegs)
		frames[2] = third
		return dicom.Encapsulate(frames...)
	}
	without := func(f dicom.Fragments) dicom.Fragments { return append(dicom.Fragments{nil}, f[1:]...) }
	wrong := with(jpegs[2])
	wrong[0] = slices.Concat(wrong[0][:8], []byte{1, 0, 0, 0}, wrong[0][12:])
	halves := func(f dicom.Fragments) (out dicom.Fragments) { // each frame in two fragments
		var table []byte
		at := 0
		for _, frame := range f[1:] {
			table = binary.LittleEndian.AppendUint32(table, uint32(at))
			half := len(frame) / 2 &^ 1
			out = append(out, frame[:half], frame[half:])
			at += 16 + half + (len(frame)-half+1)&^1
		}
		return append(dicom.Fragments{table}, out...)
	}
	for _, row := range []struct {
		name   string
		pixels dicom.Fragments
		bad    []int
		why    string
		note   bool
	}{
		{name: "nothing wrong", pixels: with(jpegs[2])},
		{name: "one cut", pixels: with(cut), bad: []int{3}, why: "frame 3 of 6 not analysed: corrupt: JPEG: "},
		{name: "one cut, no offset table", pixels: without(with(cut)), bad: []int{3}, why: "frame 3 of 6 not analysed: "},
		{name: "its beginning spoilt", pixels: with(spoilt), bad: []int{3}, why: "frame 3 of 6 not analysed: "},
		{name: "its beginning spoilt, no offset table", pixels: without(with(spoilt)), bad: []int{3}, why: "frame 3 of 6 not analysed: "},
		{name: "its beginning spoilt, in two fragments each", pixels: halves(with(spoilt)), bad: []int{3}, why: "frame 3 of 6 not analysed: "},
		{name: "in two fragments each, no offset table", pixels: without(halves(with(jpegs[2])))},
		{name: "a wrong offset table", pixels: wrong},
		{name: "an empty fragment in front", pixels: slices.Insert(without(with(jpegs[2])), 1, []byte{})},
		{name: "a second offset table in front", pixels: slices.Insert(with(jpegs[2]), 1, with(jpegs[2])[0])},
		{name: "an empty one", pixels: with([]byte{}), bad: []int{3}, why: "frame 3 of 6 not analysed: "},
		{name: "one too large", pixels: with(make([]byte, 4<<20)), bad: []int{3}, why: "frame 3 of 6 not analysed: "},
		{name: "two missing", pixels: dicom.Encapsulate(jpegs[:4]...), bad: []int{5, 6}, why: "frames 5-6 of 6 not analysed: corrupt: Pixel Data hold fewer frames than Number of Frames says"},
		{name: "without end of image", pixels: with(noEnd), note: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := good
			o.More = dicom.Dataset{dicom.PixelData: row.pixels}
			dataset, _ := dicomtest.Endoscopic(o)
			w, k := workerOn(t, dataset, good.TransferSyntax), &taker{}
			ts, _ := dicom.LookupTransferSyntax(good.TransferSyntax)
			survey, err := pixeldata.Look(bytes.NewReader(dataset), ts)
			require.NoError(t, err)
			w.Task.Instance.Surveyed(survey)
			why, err := w.Each(t.Context(), w.Task, k.take)
			require.NoError(t, err)
			if row.why == "" {
				assert.Empty(t, why)
			} else {
				assert.Contains(t, why, row.why)
			}
			var got, want []int
			noted := false
			for _, p := range k.parts {
				got = append(got, p.Result.Span.First)
				noted = noted || p.Result.Span.First == 3 && slices.Contains(p.Result.Notes, pixeldata.NoteNoEnd)
			}
			for n := 1; n <= 6; n++ {
				if !slices.Contains(row.bad, n) {
					want = append(want, n)
				}
			}
			assert.Equal(t, want, got)
			assert.Equal(t, row.note, noted)

			// Elsewhere the same frames are seen under the same numbers.
			instance, err := pixeldata.Open(bytes.NewReader(dataset), ts, pixeldata.Options{})
			require.NoError(t, err)
			instance.Surveyed(survey)
			extract, err := instance.Extract()
			require.NoError(t, err)
			var sent bytes.Buffer
			_, err = extract.WriteTo(&sent)
			require.NoError(t, err)
			w, k = workerOn(t, sent.Bytes(), extract.TransferSyntax.UID), &taker{}
			_, err = w.Each(t.Context(), w.Task, k.take)
			require.NoError(t, err)
			if row.note {
				want = slices.DeleteFunc(want, func(n int) bool { return n == 3 }) // words behind it could not be told from it
			}
			got = nil
			for _, p := range k.parts {
				got = append(got, p.Result.Span.First)
			}
			assert.Equal(t, want, got)
		})
	}
}

// fragmentsOf returns the frames of an instance that has a fragment for each.
func fragmentsOf(t *testing.T, dataset []byte) (out [][]byte) {
	ts, _ := dicom.LookupTransferSyntax(dicom.JPEGBaseline8Bit)
	r := dicom.NewReader(bytes.NewReader(dataset), ts)
	_, _, err := r.Attributes()
	require.NoError(t, err)
	for i := 0; ; i++ {
		token, err := r.Next()
		require.NoError(t, err)
		if token.Kind != dicom.Fragment {
			return out
		}
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		if i > 0 {
			out = append(out, b)
		}
	}
}

// An instance without a good frame is no analysis, and says why.
func TestEach_noGoodFrame(t *testing.T) {
	dataset, _ := dicomtest.Endoscopic(dicomtest.Options{
		TransferSyntax: dicom.JPEGBaseline8Bit, Frames: 3, More: dicom.Dataset{dicom.PixelData: dicom.Encapsulate([]byte("\xff\xd8\xff\xd9"), []byte("\xff\xd8\xff\xd9"))},
	})
	w, k := workerOn(t, dataset, dicom.JPEGBaseline8Bit), &taker{}
	_, err := w.Each(t.Context(), w.Task, k.take)
	assert.False(t, temporary(t, err))
	require.ErrorIs(t, err, pixeldata.ErrCorrupt)
	assert.Contains(t, err.Error(), "frame 1 of 3")
}

func TestLacks(t *testing.T) {
	var l lacks
	add := func(first, last int, why string) {
		l.add(&pixeldata.FrameError{First: first, Last: last, Of: 100, Err: errors.New(why)})
	}
	add(1, 1, "cut")
	add(2, 2, "cut")
	add(5, 5, "bomb")
	for n := 10; n < 90; n += 2 {
		add(n, n, "cut")
	}
	add(91, 91, "a")
	add(92, 92, "b")
	add(93, 93, "c")
	assert.Equal(t, "frames 1-2, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30 and 29 more of 100 not analysed: cut; "+
		"frame 5 of 100 not analysed: bomb; frame 91 of 100 not analysed: a; frames 92-93 of 100 not analysed: other reasons", l.String())
}

// amid cuts three native frames amid the first.
func amid(dataset []byte) []byte { return dataset[:len(dataset)-3*48*64*3+100] }
