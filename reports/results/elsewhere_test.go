package results

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

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

// elsewhere does a job as a worker on another machine does that takes no prepared input.
func (b *bench) elsewhere() (sent, answer string, err error) { return b.elsewhereAs("") }

func (b *bench) elsewhereAs(prepares string) (sent, answer string, err error) {
	b.t.Helper()
	parcel, err := b.shop.Pack(b.t.Context(), b.job.ID, prepares, true)
	require.NoError(b.t, err)
	require.NotNil(b.t, parcel)
	pixels, err := io.ReadAll(parcel.Bytes)
	require.NoError(b.t, err)
	require.NoError(b.t, parcel.Bytes.Close())
	w := &inference.Worker{Models: b.models(), Log: b.shop.Log}
	var result bytes.Buffer
	err = w.Fill(b.t.Context(), b.job.ID, "demo", parcel.Order, bytes.NewReader(pixels), nil, &result, pixeldata.Options{})
	return string(parcel.Order) + string(pixels), result.String(), err
}

func TestPack_sameAsHere(t *testing.T) {
	here, there := newBench(t), newBench(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, b := range []*bench{here, there} {
		b.shop.Now = func() time.Time { return at }
		b.shop.Wishes = map[string]inference.Wishes{b.job.Route: {Heatmaps: []explain.Target{{Method: "guided-gradcam", Layer: "last"}}}}
	}
	require.NoError(t, here.do(t.Context()))
	sent, answer, err := there.elsewhere()
	require.NoError(t, err)
	assert.Equal(t, 1, there.attempts(), "counted where it began")
	require.NoError(t, there.shop.Unpack(t.Context(), there.job.ID, testModel, strings.NewReader(answer)))
	want, wantObjects := here.done()
	got, objects := there.done()
	require.Equal(t, want, got)
	require.Len(t, objects, len(wantObjects))
	for i, o := range objects {
		assert.Equal(t, here.dataset(wantObjects[i]), there.dataset(o))
	}
	_, header := dicomtest.Endoscopic(dicomtest.Options{Frames: 2})
	for _, secret := range []string{
		header.PatientID, header.PatientName, header.AccessionNumber, string(header.StudyInstanceUID), string(header.SeriesInstanceUID),
		string(header.SOPInstanceUID), there.job.Entry,
	} {
		require.NotEmpty(t, secret)
		assert.NotContains(t, sent+answer, secret)
	}
	parcel, err := there.shop.Pack(t.Context(), there.job.ID, "", true)
	require.NoError(t, err)
	assert.Nil(t, parcel, "it is done")
}

// looker is a network that sees what its input is made of.
type looker struct{}

func (looker) Explain(_ context.Context, input []float32, _ []int64, seeds [][]float32) ([]explain.Tensor, []explain.Map, error) {
	logits := make([]float32, 3)
	for i, v := range input {
		logits[i%3] += v / float32(len(input))
	}
	maps := make([]explain.Map, len(seeds))
	for i := range maps {
		maps[i] = explain.Map{Width: 40, Height: 20, Values: slices.Clone(input[:800])}
	}
	return []explain.Tensor{{Shape: []int64{1, 3}, Values: logits}}, maps, nil
}

// lookingBench has an instance of some frames, and a model whose preparation crops and masks.
func lookingBench(t *testing.T, o dicomtest.Options) *bench {
	t.Helper()
	b := newBench(t)
	bundle := &inference.Bundle{
		Name: testModel.Name, Version: testModel.Version, Manufacturer: testModel.Manufacturer, Digest: testModel.Digest, Kind: inference.Still,
		Input:      inference.Input{Name: "in", Layout: inference.NCHW, Rows: 20, Columns: 40, Channels: inference.BGR, Resize: inference.BicubicAntialias, Scale: 1, Std: [3]float64{3, 4, 5}},
		Preprocess: []inference.Step{{MaskBox: &inference.Box{Right: 0.3, Bottom: 0.3}}, {CropBorder: &inference.CropBorder{Threshold: 90, MinFraction: 0.1, MinSize: 4}}},
		Output:     inference.Output{Name: "out", Activation: inference.Softmax},
	}
	for _, class := range []string{"polyp", "ulcer", "other"} {
		bundle.Classes = append(bundle.Classes, analysis.Class{Name: class, Role: analysis.RoleFinding, Threshold: 0.1})
	}
	reading, err := bundle.Reading(explain.Linear)
	require.NoError(t, err)
	model, err := inference.NewModel(t.Context(), bundle, inference.Opened{Network: looker{}, Reading: reading}, nil)
	require.NoError(t, err)
	b.other = model
	b.shop.Algorithms = map[string]reports.Algorithm{"demo": {Model: bundle.Made(), Number: 1, Classes: bundle.Classes}}
	b.shop.Prepare, b.shop.Pictures = map[string]*inference.Bundle{"demo": bundle}, NewPictures(1<<20)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	b.shop.Now = func() time.Time { return at }
	b.replace(o)
	return b
}

// Whether the gateway prepares a still for a worker, and what has become of the picture when the result is there, makes no
// difference to what comes of the job, to the byte. No word of whose it is travels, and a frame of another kind is the
// worker's to decode.
func TestPack_prepared(t *testing.T) {
	none := func(*bench, string) string { return "" }
	alike := func(_ *bench, prepares string) string { return prepares }
	kept := dicomtest.Options{TransferSyntax: dicom.JPEGBaseline8Bit, Rows: 60, Columns: 80}
	for name, tt := range map[string]struct {
		of       dicomtest.Options
		prepares func(b *bench, ours string) string // as the worker says
		prepared bool                               // it travels so
	}{
		"kept": {kept, alike, true},
		"decoded again": {kept, func(b *bench, ours string) string {
			b.shop.Pictures = NewPictures(100)
			return ours
		}, true},
		"native":         {dicomtest.Options{Rows: 60, Columns: 80}, alike, true},
		"older worker":   {kept, none, false},
		"another worker": {kept, func(*bench, string) string { return strings.Repeat("0", 64) }, false},
		"several frames": {dicomtest.Options{Rows: 60, Columns: 80, Frames: 2}, alike, false},
		"without bundle": {kept, func(b *bench, ours string) string { b.shop.Prepare = nil; return ours }, false},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := lookingBench(t, tt.of), lookingBench(t, tt.of)
			require.NoError(t, here.do(t.Context()))
			sent, answer, err := there.elsewhereAs(tt.prepares(there, there.shop.Prepare["demo"].Preparation()))
			require.NoError(t, err)
			assert.Equal(t, tt.prepared, strings.Contains(sent, `"prepared"`))
			require.NoError(t, there.shop.Unpack(t.Context(), there.job.ID, testModel, strings.NewReader(answer)))
			assert.Nil(t, there.shop.Pictures.take(there.job.ID), "it is not needed any more")
			want, wantObjects := here.done()
			got, objects := there.done()
			require.Equal(t, want, got)
			require.NotEmpty(t, objects)
			require.Len(t, objects, len(wantObjects))
			for i, o := range objects {
				assert.Equal(t, here.dataset(wantObjects[i]), there.dataset(o))
			}
			_, header := dicomtest.Endoscopic(tt.of)
			for _, secret := range []string{
				header.PatientID, header.PatientName, header.AccessionNumber, string(header.StudyInstanceUID), string(header.SOPInstanceUID),
			} {
				require.NotEmpty(t, secret)
				assert.NotContains(t, sent+answer, secret)
			}
		})
	}
}

// What the worker would meet is met before: it is parked, skipped, or left to a worker that has the decoder.
func TestPack_preparedFaults(t *testing.T) {
	var picture bytes.Buffer
	require.NoError(t, jpeg.Encode(&picture, dicomtest.Picture(64, 48, 1), nil))
	picture.Write(make([]byte, picture.Len()%2))
	picture.Bytes()[bytes.Index(picture.Bytes(), []byte{0xFF, 0xC0})+1] = 0xC3 // it begins as lossless, which needs ffmpeg
	lossless := dicomtest.Options{TransferSyntax: "1.2.840.10008.1.2.4.70", JPEG: [][]byte{picture.Bytes()}}
	for name, tt := range map[string]struct {
		of   dicomtest.Options
		want error
	}{
		"corrupt":    {dicomtest.Options{TransferSyntax: dicom.JPEGBaseline8Bit, JPEG: [][]byte{[]byte("no JPEG.")}}, pixeldata.ErrCorrupt},
		"too much":   {dicomtest.Options{More: dicom.Dataset{dicom.Rows: dicom.Ints{20_000}, dicom.Columns: dicom.Ints{20_000}}}, pixeldata.ErrTooMuch},
		"no decoder": {lossless, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := lookingBench(t, tt.of)
			b.shop.Keeper.Decode.FFmpeg = "/nonexistent/ffmpeg"
			parcel, err := b.shop.Pack(t.Context(), b.job.ID, b.shop.Prepare["demo"].Preparation(), true)
			assert.Nil(t, b.shop.Pictures.take(b.job.ID))
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
				assert.Equal(t, jobs.Term, jobs.DispositionOf(err))
				return
			}
			require.NoError(t, err)
			require.NotContains(t, string(parcel.Order), `"prepared"`)
			require.NoError(t, parcel.Bytes.Close())
		})
	}
	b := lookingBench(t, dicomtest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.shop.Pack(ctx, b.job.ID, b.shop.Prepare["demo"].Preparation(), true)
	assert.Equal(t, jobs.Postpone, jobs.DispositionOf(err), "a stop is no fault of the job")
}

// A worker that gives a job up leaves no picture behind.
func TestFailed_picture(t *testing.T) {
	b := lookingBench(t, dicomtest.Options{})
	_, err := b.shop.Pack(t.Context(), b.job.ID, b.shop.Prepare["demo"].Preparation(), true)
	require.NoError(t, err)
	require.NotZero(t, b.shop.Pictures.held)
	require.Error(t, b.shop.Failed(t.Context(), b.job.ID, errors.New("boom")))
	require.Zero(t, b.shop.Pictures.held)
}

func TestPictures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(0, 400).Draw(t, "most")
		p := NewPictures(most)
		type picture struct {
			job string
			img *image.RGBA
		}
		var want []picture // oldest first
		held := func() (n int) {
			for _, w := range want {
				n += len(w.img.Pix)
			}
			return n
		}
		forget := func(job string) {
			want = slices.DeleteFunc(want, func(w picture) bool { return w.job == job })
		}
		job := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		t.Repeat(map[string]func(*rapid.T){
			"keep": func(t *rapid.T) {
				w := picture{job.Draw(t, "job"), image.NewRGBA(image.Rect(0, 0, rapid.IntRange(1, 40).Draw(t, "pixels"), 1))}
				p.keep(w.job, w.img)
				forget(w.job)
				if len(w.img.Pix) > most {
					return
				}
				for want = append(want, w); held() > most; {
					want = want[1:]
				}
			},
			"take": func(t *rapid.T) {
				job := job.Draw(t, "job")
				var img *image.RGBA
				for _, w := range want {
					if w.job == job {
						img = w.img
					}
				}
				if p.take(job) != img {
					t.Fatalf("another picture of %s", job)
				}
				forget(job)
			},
			"": func(t *rapid.T) {
				if p.held != held() || p.held > most || len(p.kept) != len(want) || len(p.order) != len(want) {
					t.Fatalf("%d bytes of %d pictures in the order %v, want %d of %d", p.held, len(p.kept), p.order, held(), len(want))
				}
			},
		})
	})
}

func TestPack_givenUpHalfWay(t *testing.T) {
	b := newBench(t)
	parcel, err := b.shop.Pack(t.Context(), b.job.ID, "", true)
	require.NoError(t, err)
	_, err = io.ReadFull(parcel.Bytes, make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, parcel.Bytes.Close(), "whoever reads no further leaves nothing behind")
}

// What cannot be decoded needs no worker.
func TestPack_unsupported(t *testing.T) {
	b := newBench(t)
	b.replace(dicomtest.Options{Frames: 2, More: dicom.Dataset{dicom.BitsAllocated: dicom.Ints{32}}})
	parcel, err := b.shop.Pack(t.Context(), b.job.ID, "", true)
	require.NoError(t, err)
	assert.Nil(t, parcel)
	job, err := b.ledger.Job(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.Equal(t, ledger.JobSkipped, job.State)
}

// What no try makes better is not tried again.
func TestPack_forGood(t *testing.T) {
	for want, more := range map[error]dicom.Dataset{
		pixeldata.ErrCorrupt: {dicom.SamplesPerPixel: dicom.Ints{2}},
		pixeldata.ErrTooMuch: {dicom.Rows: dicom.Ints{20_000}, dicom.Columns: dicom.Ints{20_000}},
	} {
		b := newBench(t)
		b.replace(dicomtest.Options{Frames: 2, More: more})
		parcel, err := b.shop.Pack(t.Context(), b.job.ID, "", true)
		assert.Nil(t, parcel)
		require.ErrorIs(t, err, want)
		assert.Equal(t, jobs.Term, jobs.DispositionOf(err), want)
	}
}

// Frames in which words cannot be told from pixels stay where the instance is: here they are done, or nowhere.
func TestFailed_wordsAmongPixels(t *testing.T) {
	overshooting := "\x81\x00" // 128 pixels where there are 6
	segment := strings.Repeat("\x00", 52) + strings.Repeat(overshooting, 3)
	rle := "\x03\x00\x00\x00\x40\x00\x00\x00\x42\x00\x00\x00\x44\x00\x00\x00" + segment[4:]
	for _, here := range []bool{true, false} {
		b := newBench(t)
		b.replace(dicomtest.Options{TransferSyntax: dicom.RLELossless, Rows: 2, Columns: 3, More: dicom.Dataset{
			dicom.PixelData: dicom.Fragments{nil, []byte(rle)},
		}})
		if here {
			b.shop.Worker = &inference.Worker{Models: b.models(), Log: b.shop.Log}
		}
		parcel, err := b.shop.Pack(t.Context(), b.job.ID, "", true)
		require.NoError(t, err)
		_, why := io.ReadAll(parcel.Bytes)
		require.ErrorIs(t, why, pixeldata.ErrWords)
		require.NoError(t, parcel.Bytes.Close())
		require.NoError(t, b.shop.Failed(t.Context(), b.job.ID, fmt.Errorf("put: %w", why)))
		job, err := b.ledger.Job(t.Context(), b.job.ID)
		require.NoError(t, err)
		assert.Equal(t, map[bool]ledger.JobState{true: ledger.JobDone, false: ledger.JobSkipped}[here], job.State)
		assert.Equal(t, here, !strings.Contains(b.log.String(), "this gateway has none"), b.log.String())
	}
}

// replace has another instance in place of the bench's.
func (b *bench) replace(o dicomtest.Options) {
	b.t.Helper()
	o.Series = "another"
	content, header := dicomtest.Endoscopic(o)
	w, err := b.shop.Keeper.Spool.Create()
	require.NoError(b.t, err)
	_, err = w.Write(content)
	require.NoError(b.t, err)
	syntax := cmp.Or(o.TransferSyntax, dicom.ExplicitVRLittleEndian)
	entry, err := w.Commit(spool.Entry{Kind: spool.Received, Header: header, TransferSyntaxUID: syntax, At: time.Now()})
	require.NoError(b.t, err)
	_, err = b.ledger.Receive(b.t.Context(), []ledger.Receipt{{
		ID: entry.ID, Seq: entry.Seq, Header: header, TransferSyntaxUID: entry.TransferSyntaxUID, At: entry.At,
		Size: entry.Size, Digest: entry.Digest, Models: []string{"demo"},
	}}, entry.Seq)
	require.NoError(b.t, err)
	open, err := b.ledger.OpenJobs(b.t.Context(), b.job.ID, 10)
	require.NoError(b.t, err)
	require.Len(b.t, open, 1)
	b.job = open[0]
}

func TestUnpack_anotherRelease(t *testing.T) {
	b := newBench(t)
	for n := 1; n <= benchAttempts; n++ {
		_, _, err := b.elsewhere()
		require.NoError(t, err)
		err = b.shop.Unpack(t.Context(), b.job.ID, testModel, strings.NewReader("endoan9\n"))
		require.ErrorContains(t, err, "result")
		assert.Equal(t, n == benchAttempts, jobs.DispositionOf(err) == jobs.Term)
	}
	err := b.shop.Unpack(t.Context(), b.job.ID, testModel, io.MultiReader(strings.NewReader("endoan1\n"), errReader{}))
	assert.Equal(t, jobs.Postpone, jobs.DispositionOf(err), "the store is at fault")
}

// A worker says of itself which model it has: neither report nor ledger name another than the job was for.
func TestUnpack_anotherModel(t *testing.T) {
	for _, other := range []analysis.Model{
		{Name: "demo", Version: "2", Digest: testModel.Digest}, {Name: "demo", Version: testModel.Version, Digest: "other"}, {Name: "other", Version: testModel.Version},
	} {
		b := newBench(t)
		_, answer, err := b.elsewhere()
		require.NoError(t, err)
		err = b.shop.Unpack(t.Context(), b.job.ID, other, strings.NewReader(answer))
		require.ErrorContains(t, err, "another model than the job is for")
		var refused interface{ Refused() bool }
		require.True(t, errors.As(err, &refused) && refused.Refused())
		job, err := b.ledger.Job(t.Context(), b.job.ID)
		require.NoError(t, err)
		assert.Equal(t, ledger.JobOpen, job.State)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("no server") }

func TestOpen(t *testing.T) {
	b := newBench(t)
	open, err := b.shop.Open(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.True(t, open)
	require.NoError(t, b.do(t.Context()))
	open, err = b.shop.Open(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.False(t, open)
	open, err = b.shop.Open(t.Context(), "gone.demo")
	require.NoError(t, err)
	assert.False(t, open)
}

// Of what was said of a video as much goes along as one analysis can say.
func TestTogether(t *testing.T) {
	half := make([]byte, analysis.MaxText/2)
	for n, want := range []int{0, 1, 2, 2} {
		require.Len(t, together(slices.Repeat([][]byte{half}, n)), want)
	}
}
