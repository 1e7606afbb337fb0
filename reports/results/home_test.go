package results

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/inference"
	"endogate/inference/analysis"
)

// watcher is a seer of videos.
type watcher struct{ seer }

func (w watcher) Classify(ctx context.Context, s analysis.Sample) (analysis.Part, error) {
	part, err := w.Infer(ctx, s, inference.Wishes{})
	part.Maps, part.Result.Scores = nil, map[string]float64{"polyp": 0.9}
	return part, err
}

func (watcher) Watching() (inference.Temporal, []analysis.Class) {
	t := inference.DefaultTemporal()
	t.Select = inference.Select{Every: 1, Most: 100}
	return t, []analysis.Class{{Name: "polyp", Role: analysis.RoleFinding, Threshold: 0.5}}
}

// video has the bench's instance be a video.
func (b *bench) video(frames int) { b.t.Helper(); b.videoOf(8, frames) }

// videoOf is video of so many frames, which says that it has others.
func (b *bench) videoOf(has, frames int) {
	b.t.Helper()
	const h264 dicom.UID = "1.2.840.10008.1.2.4.102"
	stream := dicomtest.Stream(b.t, "mp4", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=4", "-frames:v", strconv.Itoa(has), "-c:v", "libx264")
	content, header := dicomtest.Video(dicomtest.Options{TransferSyntax: h264, Frames: frames, Rows: 240, Columns: 320, Series: "video"}, stream, 1)
	w, err := b.shop.Keeper.Spool.Create()
	require.NoError(b.t, err)
	_, err = w.Write(content)
	require.NoError(b.t, err)
	entry, err := w.Commit(spool.Entry{Kind: spool.Received, Header: header, TransferSyntaxUID: h264, At: time.Now()})
	require.NoError(b.t, err)
	_, err = b.ledger.Receive(b.t.Context(), []ledger.Receipt{{
		ID: entry.ID, Seq: entry.Seq, Header: header, TransferSyntaxUID: h264, At: entry.At,
		Size: entry.Size, Digest: entry.Digest, Models: []string{"demo"},
	}}, entry.Seq)
	require.NoError(b.t, err)
	open, err := b.ledger.OpenJobs(b.t.Context(), b.job.ID, 10)
	require.NoError(b.t, err)
	require.Len(b.t, open, 1)
	b.job = open[0]
}

// A worker elsewhere that draws a video is told at once to go on; the video is done once here, with one try counted, whoever else asks for it.
func TestPack_video(t *testing.T) {
	installed.Require(t, "ffmpeg")
	b := newBench(t)
	b.video(8)
	begun, goOn := make(chan struct{}, 100), make(chan struct{})
	b.other = watcher{seer{infer: func(context.Context) error {
		begun <- struct{}{}
		<-goOn
		return nil
	}}}
	b.shop.Worker = &inference.Worker{Models: b.models(), Log: b.shop.Log}
	parcel, err := b.shop.Pack(t.Context(), b.job.ID, "", false)
	require.Nil(t, parcel)
	require.True(t, inference.IsPostponed(err), err)
	<-begun
	for range 5 {
		_, err = b.shop.Pack(t.Context(), b.job.ID, "", false)
		require.True(t, inference.IsPostponed(err), err)
		require.True(t, inference.IsPostponed(b.shop.Do(t.Context(), b.job.ID)))
	}
	require.Equal(t, 1, b.attempts())
	close(goOn)
	b.shop.Wait()
	require.NoError(t, b.shop.Do(t.Context(), b.job.ID))
	parcel, err = b.shop.Pack(t.Context(), b.job.ID, "", false)
	require.NoError(t, err)
	require.Nil(t, parcel)
	job, err := b.ledger.Job(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.Equal(t, ledger.JobDone, job.State)
	assert.Equal(t, 1, b.finished)
}

// What came of a video that was begun for a worker elsewhere is said when its message comes round again.
func TestPack_videoInVain(t *testing.T) {
	installed.Require(t, "ffmpeg")
	b := newBench(t)
	b.video(8)
	b.other = watcher{seer{infer: func(context.Context) error { panic("in vain") }}}
	b.shop.Worker = &inference.Worker{Models: b.models(), Log: b.shop.Log}
	_, err := b.shop.Pack(t.Context(), b.job.ID, "", false)
	require.True(t, inference.IsPostponed(err), err)
	b.shop.Wait()
	_, err = b.shop.Pack(t.Context(), b.job.ID, "", false)
	require.ErrorContains(t, err, "panic")
	require.False(t, inference.IsPostponed(err))
}

// A video that does not say how many frames it has, or that it has one, is referred to by frame all the same.
func TestWorkshop_videoOfNoNumber(t *testing.T) {
	installed.Require(t, "ffmpeg")
	for _, says := range []int{0, 1} {
		b := newBench(t)
		b.video(says)
		b.other = watcher{}
		b.shop.Worker = &inference.Worker{Models: b.models(), Log: b.shop.Log}
		require.NoError(t, b.shop.Do(t.Context(), b.job.ID))
		_, objects := b.done()
		require.NotEmpty(t, objects)
		for _, o := range objects {
			require.Contains(t, string(b.dataset(o)), "\x08\x00\x60\x11IS", "its Referenced Frame Number")
		}
	}
}

// A video that a worker elsewhere is given is what it would have been here, to the byte, where the worker is lost half-way and another one
// goes on: no frame of what was kept is seen again, and nothing travels but pictures.
func TestPack_videoElsewhere(t *testing.T) {
	installed.Require(t, "ffmpeg")
	here, there := newBench(t), newBench(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, b := range []*bench{here, there} {
		b.videoOf(80, 82)
		b.shop.Now = func() time.Time { return at }
		b.shop.Clips = map[string]Clips{b.job.Route: {Form: dicom.MultiFrameTrueColorSecondaryCapture}}
	}
	there.shop.Worker = &inference.Worker{Models: map[string]inference.Model{"demo": watcher{}}, Log: there.shop.Log} // which makes the clips
	here.other = watcher{}
	require.NoError(t, here.do(t.Context()), here.log.String())
	want, wantObjects := here.done()
	require.True(t, slices.ContainsFunc(wantObjects, func(o ledger.Object) bool { return o.Purpose == "clip" }))

	seen, dies := 0, 70
	there.other = watcher{seer{infer: func(context.Context) error {
		if seen++; seen == dies {
			return errors.New("the worker is gone")
		}
		return nil
	}}}
	try := func() (sent, answer string, err error) {
		parcel, err := there.shop.Pack(t.Context(), there.job.ID, "", true)
		require.NoError(t, err)
		require.NotNil(t, parcel)
		input, err := io.ReadAll(parcel.Bytes)
		require.NoError(t, err)
		require.NoError(t, parcel.Bytes.Close())
		w := &inference.Worker{Models: there.models(), Log: there.shop.Log}
		var result bytes.Buffer
		err = w.Fill(t.Context(), there.job.ID, "demo", parcel.Order, bytes.NewReader(input), func(ctx context.Context, part []byte) error {
			return there.shop.Keep(ctx, there.job.ID, bytes.NewReader(part))
		}, &result, pixeldata.Options{Scratch: t.TempDir()})
		return string(parcel.Order) + string(input), result.String(), err
	}
	_, _, err := try()
	require.ErrorContains(t, err, "the worker is gone")
	videos, err := there.ledger.Videos(t.Context(), there.job.Instance.StudyInstanceUID)
	require.NoError(t, err)
	require.Len(t, videos, 1)
	require.Equal(t, []int{64, 80}, []int{videos[0].Done, videos[0].Of}, "progress has come back")
	seen, dies = 0, 0
	sent, answer, err := try()
	require.NoError(t, err, there.log.String())
	require.GreaterOrEqual(t, 80-64+len(wantObjects), seen, "and those to explain")
	there.shop.clipping.Lock()
	require.True(t, inference.IsPostponed(there.shop.Unpack(t.Context(), there.job.ID, testModel, strings.NewReader(answer))), "clips of another video are made")
	there.shop.clipping.Unlock()
	require.NoError(t, there.shop.Unpack(t.Context(), there.job.ID, testModel, strings.NewReader(answer)), there.log.String())
	got, objects := there.done()
	require.Equal(t, want, got)
	require.Len(t, objects, len(wantObjects))
	require.NotEmpty(t, objects)
	for i, o := range objects {
		require.Equal(t, here.dataset(wantObjects[i]), there.dataset(o))
	}
	for _, secret := range []string{"x264", string(there.job.Instance.StudyInstanceUID), string(there.job.Instance.SOPInstanceUID), there.job.Entry, "DOE"} {
		require.NotContains(t, sent+answer, secret)
	}
	require.ErrorContains(t, there.shop.Keep(t.Context(), there.job.ID, strings.NewReader("\x01")), "EOF")
	var late bytes.Buffer
	late.WriteString("\x00\x00\x00\x00\x50\x00\x00\x00")
	require.NoError(t, analysis.Analysis{}.Encode(&late))
	require.ErrorContains(t, there.shop.Keep(t.Context(), there.job.ID, &late), "nobody waits")
}

// What a worker elsewhere says of frames that a video does not have is not taken, nor kept.
func TestUnpack_videoBeyondItsEnd(t *testing.T) {
	installed.Require(t, "ffmpeg")
	b := newBench(t)
	b.video(8)
	b.other = watcher{}
	_, ok, err := b.shop.Begin(t.Context(), b.job.ID)
	require.NoError(t, err)
	require.True(t, ok)
	part := func(frame int) analysis.Part {
		g := analysis.Geometry{Columns: 320, Rows: 240, Crop: image.Rect(0, 0, 320, 240)}
		return analysis.Part{
			Result:   analysis.Result{Span: analysis.Still(frame), Columns: 320, Rows: 240, Scores: map[string]float64{"polyp": 0.9}, Findings: []analysis.Finding{{Class: "polyp", Probability: 0.9}}},
			Geometry: g, Maps: []analysis.Map{{Class: "polyp", Width: 1, Height: 1, Values: []float32{1}}},
		}
	}
	unpack := func(a analysis.Analysis) error {
		a.Model = testModel
		var said bytes.Buffer
		require.NoError(t, a.Encode(&said))
		return b.shop.Unpack(t.Context(), b.job.ID, testModel, &said)
	}
	require.ErrorContains(t, unpack(analysis.Analysis{Parts: []analysis.Part{part(900)}, Moving: &analysis.Moving{Frames: 1000, Analysed: 1}}), "it speaks of 1000 frames of a video of 8")
	require.ErrorContains(t, unpack(analysis.Analysis{Parts: []analysis.Part{part(3)}}), "it does not speak of a video")
	open, err := b.shop.Open(t.Context(), b.job.ID)
	require.NoError(t, err)
	require.True(t, open)
	assert.NotContains(t, b.log.String(), "panic")

	for _, p := range []inference.Progress{{Done: 1, Of: 8}, {Done: 1, Of: 1 << 20}} {
		for name, change := range map[string]func(*analysis.Part){
			"explained": func(p *analysis.Part) { p.Quality = &analysis.Quality{} }, "of no quality": func(p *analysis.Part) { p.Maps = nil },
			"as it is kept": func(p *analysis.Part) { p.Maps, p.Quality = nil, &analysis.Quality{} },
		} {
			kept := part(1)
			change(&kept)
			said := bytes.NewBuffer(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(p.Done)), uint32(p.Of)))
			require.NoError(t, analysis.Analysis{Parts: []analysis.Part{kept}}.Encode(said))
			err := b.shop.Keep(t.Context(), b.job.ID, said)
			if name == "as it is kept" && p.Of == 8 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, analysis.ErrFormat, name)
			}
		}
	}
}

// A video that cannot be freed of what is not pixels is done here, whoever draws it.
func TestFailed_videoStays(t *testing.T) {
	installed.Require(t, "ffmpeg")
	b := newBench(t)
	b.video(8)
	b.other = watcher{}
	b.shop.Worker = &inference.Worker{Models: b.models(), Log: b.shop.Log}
	_, ok, err := b.shop.Begin(t.Context(), b.job.ID)
	require.NoError(t, err)
	require.True(t, ok)
	err = b.shop.Failed(t.Context(), b.job.ID, errors.Join(errVideo, pixeldata.ErrWords))
	require.True(t, inference.IsPostponed(err), err)
	b.shop.Wait()
	b.done()
	require.Equal(t, 1, b.attempts())
}
