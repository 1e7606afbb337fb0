package results

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
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
func (b *bench) video(frames int) {
	b.t.Helper()
	const h264 dicom.UID = "1.2.840.10008.1.2.4.102"
	stream := dicomtest.Stream(b.t, "mp4", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=4", "-frames:v", "8", "-c:v", "libx264")
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
	parcel, err := b.shop.Pack(t.Context(), b.job.ID, "")
	require.Nil(t, parcel)
	require.True(t, inference.IsPostponed(err), err)
	<-begun
	for range 5 {
		_, err = b.shop.Pack(t.Context(), b.job.ID, "")
		require.True(t, inference.IsPostponed(err), err)
		require.True(t, inference.IsPostponed(b.shop.Do(t.Context(), b.job.ID)))
	}
	require.Equal(t, 1, b.attempts())
	close(goOn)
	b.shop.Wait()
	require.NoError(t, b.shop.Do(t.Context(), b.job.ID))
	parcel, err = b.shop.Pack(t.Context(), b.job.ID, "")
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
	_, err := b.shop.Pack(t.Context(), b.job.ID, "")
	require.True(t, inference.IsPostponed(err), err)
	b.shop.Wait()
	_, err = b.shop.Pack(t.Context(), b.job.ID, "")
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
