package gateway_test

import (
	"fmt"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/inference/jobs"
	"endogate/reports/draft"
)

const h264 dicom.UID = "1.2.840.10008.1.2.4.102"

// panned is a video of 320 x 240 pixels at 4 frames a second that pans over frames of testdata, so many seconds each.
func panned(t *testing.T, seconds string, frames ...string) []byte {
	var inputs []string
	graph, all := "", ""
	for i, name := range frames {
		inputs = append(inputs, "-loop", "1", "-framerate", "4", "-t", seconds, "-i", filepath.Join(peers.Root(t), "testdata/frames", name+".jpg"))
		label := string(rune('a' + i))
		graph += "[" + string(rune('0'+i)) + ":v]scale=336:252,crop=320:240:n:n/2,setsar=1[" + label + "];"
		all += "[" + label + "]"
	}
	graph += all + "concat=n=" + string(rune('0'+len(frames))) + ":v=1"
	return dicomtest.Stream(t, "mp4", append(inputs, "-filter_complex", graph, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "8")...)
}

func video(t *testing.T, o dicomtest.Options, stream []byte) dicomBytes {
	if o.TransferSyntax == "" {
		o.TransferSyntax = h264
	}
	if o.Rows == 0 {
		o.Rows, o.Columns = 240, 320
	}
	content, header := dicomtest.Video(o, stream, 1)
	return dicomBytes{classUID: header.SOPClassUID, uid: header.SOPInstanceUID, syntax: o.TransferSyntax, content: content}
}

// A video in, and what a model of stills sees in it in time out: segments, heatmaps of key frames with their numbers, a report.
func TestGateway_video(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true, clip: multi-frame"))
	g.start()
	moving := video(t, dicomtest.Options{Frames: 48, More: dicom.Dataset{dicom.CineRate: dicom.Ints{4}, dicom.SeriesDescription: dicom.Text{"Withdrawal"}}}, panned(t, "6", "polyp-0dad158b", "cecum-3"))
	storeAll(t, g.scp, moving)
	uid := g.studyOf(moving)
	g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 1 })
	var study admin.Study
	g.get("/api/v1/studies/"+string(uid), &study)
	require.Len(t, study.Videos, 1)
	v := study.Videos[0]
	assert.Equal(t, []any{"done", 48, 12, 36, 0}, []any{v.State, v.Frames, v.Analysed, v.Skipped, v.Discounted})
	require.NotEmpty(t, study.Segments)
	polyp := study.Segments[0]
	assert.Equal(t, "polyp", polyp.Class)
	assert.Equal(t, moving.uid, polyp.SOPInstanceUID)
	assert.Equal(t, 1, polyp.FirstFrame, "the first second")
	assert.InDelta(t, 21, polyp.LastFrame, 4, "the sixth, before the cecum comes")
	assert.InDelta(t, float64(polyp.LastFrame-1)/4, polyp.End, 1e-9)
	assert.GreaterOrEqual(t, polyp.Probability, 0.5)
	heatmaps := map[int]bool{}
	for _, o := range study.Objects {
		if o.Purpose == "heatmap" {
			heatmaps[o.Frame] = true
		}
	}
	require.NotEmpty(t, v.KeyFrames)
	for _, k := range v.KeyFrames {
		assert.NotEmpty(t, k.Reason)
		if k.Class == "polyp" {
			assert.True(t, heatmaps[k.Frame], "a heatmap of key frame %d", k.Frame)
		}
	}
	assert.True(t, heatmaps[polyp.PeakFrame])
	files := scp.Files(t)
	require.Contains(t, files, string(moving.uid), "it is forwarded, too")
	text := reportText(t, files[string(reportsOf(g.study(uid))[0].SOPInstanceUID)])
	assert.Contains(t, text, "12 of 48 frames analysed (1 per second, at most 2000), 36 skipped, 0 discounted")
	assert.Contains(t, text, "polyp persists from 00:00.0 to")
	assert.Empty(t, g.parked())
	var clips []string
	for _, o := range study.Objects {
		if o.Purpose == "clip" {
			clips = append(clips, string(o.SOPInstanceUID))
			assert.Equal(t, dicom.MultiFrameTrueColorSecondaryCapture, o.SOPClassUID)
			assert.Equal(t, polyp.PeakFrame, o.Frame)
		}
	}
	require.Len(t, clips, 1)
	require.Contains(t, files, clips[0], "it is delivered")
	content, err := os.ReadFile(files[clips[0]])
	require.NoError(t, err)
	assertConforms(t, content, "clip")
	shown, err := http.Get("http://" + g.web + "/api/v1/instances/" + clips[0] + "/frames/2.png")
	require.NoError(t, err)
	defer shown.Body.Close()
	require.Equal(t, http.StatusOK, shown.StatusCode)
	one, err := png.Decode(shown.Body)
	require.NoError(t, err)
	assert.Equal(t, 320, one.Bounds().Dx())
	assert.Greater(t, one.Bounds().Dy(), 240, "the legend stands below the frame")
	require.NotNil(t, v.Course)
	require.NotNil(t, v.Course.Cecum)
	assert.Positive(t, v.Course.Cecum.Frames)
	require.NotNil(t, v.Course.Insertion)
	assert.InDelta(t, 6, v.Course.Insertion.Seconds, 2, "the cecum comes in the seventh second")
	assert.InDelta(t, 11.75, v.Length, 1e-9)
	line, err := http.Get("http://" + g.web + "/api/v1/studies/" + string(uid) + "/instances/" + string(moving.uid) + "/timeline.png?model=demo-colon")
	require.NoError(t, err)
	defer line.Body.Close()
	require.Equal(t, http.StatusOK, line.StatusCode)
	drawn, err := png.Decode(line.Body)
	require.NoError(t, err)
	assert.Equal(t, 1200, drawn.Bounds().Dx())
	var doc draft.Document
	g.get("/api/v1/studies/"+string(uid)+"/draft", &doc)
	require.Len(t, doc.Videos, 1)
	assert.Contains(t, doc.Sections[4].Text, "Insertion time, AI estimate to be confirmed")
	response, err := http.Get("http://" + g.web + "/api/v1/instances/" + string(moving.uid) + "/frames/30.png")
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	frame, err := png.Decode(response.Body)
	require.NoError(t, err)
	assert.Equal(t, 320, frame.Bounds().Dx())
}

// A video that cannot be decoded says why, is passed on, and keeps nobody up.
func TestGateway_videoThatIsNone(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true"))
	g.start()
	sound := drawn(dicomtest.Options{Instance: 1})
	broken := video(t, dicomtest.Options{Instance: 2, Frames: 2}, make([]byte, 256))
	storeAll(t, g.scp, sound, broken)
	uid := g.studyOf(sound)
	g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 1 })
	assert.Equal(t, map[dicom.UID]ledger.InstanceState{
		sound.uid: ledger.InstanceAnalysed, broken.uid: ledger.InstanceFailed,
	}, statesOf(g.study(uid)))
	parked := g.parked()
	require.Len(t, parked, 1)
	assert.Contains(t, parked[0].Reason, "do not begin as a video does")
	files := scp.Files(t)
	require.Contains(t, files, string(broken.uid), "it is forwarded all the same")
	text := reportText(t, files[string(reportsOf(g.study(uid))[0].SOPInstanceUID)])
	assert.Contains(t, text, "Instances analysed: 1 (1 frames); skipped: 0; failed: 1.")
}

// everyFrame is a bundle named so that has every frame of videos analysed.
func everyFrame(t *testing.T, name string) string {
	t.Helper()
	dir := otherModel(t, name)
	manifest := filepath.Join(dir, "model.yaml")
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(manifest, append(text, "\nselect: {every: 1}\n"...), 0o600))
	return dir
}

// A video is analysed by workers elsewhere: its pictures travel and no word does, progress comes back, another worker goes on with it behind
// what was kept when the one at it is killed, and nothing of it stays on the broker.
func TestGateway_videoElsewhere(t *testing.T) {
	t.Parallel()
	dir := everyFrame(t, "all-frames")
	scp, brokers := peers.StartStoreSCP(t), peers.StartNATSCluster(t, 1)
	g := newGateway(t, strings.Replace(routeTo(scp.AETitle, scp.Addr, ""), "models: [demo]", "models: [all-frames]", 1)+
		fmt.Sprintf("nats: {url: %q}\njobs: {workers: 0, ack_wait: 2s}\n", brokers.URL()))
	g.replace(filepath.Join(peers.Root(t), "testdata/models/demo"), dir)
	g.start()
	c := &cluster{t: t, brokers: brokers}
	first := c.work(brokers.URL(), dir)
	const secret = "Yamada seen by Dr. Who"
	stream := panned(t, "24", "polyp-0dad158b", "cecum-1")
	moving := video(t, dicomtest.Options{Frames: 192}, append(stream, "\x00\x00\x00\x1efree"+secret...))
	storeAll(t, g.scp, moving)
	var study admin.Study
	far := func(frames int) func() bool {
		return func() bool {
			study = admin.Study{}
			g.get("/api/v1/studies/"+string(g.studyOf(moving)), &study)
			return len(study.Videos) == 1 && study.Videos[0].Analysed >= frames
		}
	}
	g.waitFor("some of it to be kept", far(64))
	first.Kill()
	require.Equal(t, []any{"working", 192}, []any{study.Videos[0].State, study.Videos[0].ToAnalyse})
	words := []string{secret, "x264 - core", string(moving.uid), "DOE"}
	requireNowhere(t, brokers.Dirs, words)
	c.work(brokers.URL(), dir)
	g.waitFor("the rest", func() bool { return far(192)() && study.Videos[0].State == "done" })
	requireNowhere(t, brokers.Dirs, words)
	assert.Regexp(t, `a video is gone on with.*frames=(64|128|192)`, g.Log())
	require.Len(t, study.Instances, 1)
	require.Len(t, study.Instances[0].Analyses[0].Frames, 192)
	for i, f := range study.Instances[0].Analyses[0].Frames {
		require.Equal(t, i+1, f.Frame)
	}
	require.NotEmpty(t, study.Segments)
	require.NotEmpty(t, study.Objects)
	nc, err := nats.Connect(brokers.URL())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	g.waitFor("its bytes to leave the broker", func() bool {
		for _, name := range []string{jobs.Stream, jobs.Results, "OBJ_" + jobs.Bucket} {
			s, err := js.Stream(t.Context(), name)
			if err != nil || s.CachedInfo().State.Msgs > 0 {
				return false
			}
		}
		return true
	})
	assert.Empty(t, g.parked())
}

// A video whose gateway is killed is gone on with behind what was kept: no frame of that is seen again.
func TestGateway_videoKilled(t *testing.T) {
	t.Parallel()
	dir := everyFrame(t, "all-frames")
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, strings.Replace(routeTo(scp.AETitle, scp.Addr, ""), "models: [demo]", "models: [all-frames]", 1)+"jobs: {ack_wait: 3s}\n")
	g.replace(filepath.Join(peers.Root(t), "testdata/models/demo"), dir)
	g.apart = true
	g.start()
	moving := video(t, dicomtest.Options{Frames: 192}, panned(t, "24", "polyp-0dad158b", "cecum-1"))
	storeAll(t, g.scp, moving)
	var study admin.Study
	far := func(frames int) func() bool {
		return func() bool {
			study = admin.Study{}
			g.get("/api/v1/studies/"+string(g.studyOf(moving)), &study)
			return len(study.Videos) == 1 && study.Videos[0].Analysed >= frames
		}
	}
	g.waitFor("some of it to be kept", far(64))
	kept := study.Videos[0]
	require.Equal(t, []any{"working", 192}, []any{kept.State, kept.ToAnalyse})
	g.process.Kill()
	g.start()
	g.waitFor("the rest", func() bool { return far(192)() && study.Videos[0].State == "done" })
	_, counted, _ := strings.Cut(g.text("/metrics"), `endogate_inference_seconds_count{model="all-frames"} `)
	var since int
	_, err := fmt.Sscan(counted, &since)
	require.NoError(t, err)
	assert.Positive(t, since)
	assert.LessOrEqual(t, since, 192-kept.Analysed, "more may have been kept before the kill")
	require.Len(t, study.Instances, 1)
	require.Len(t, study.Instances[0].Analyses[0].Frames, 192)
	for i, f := range study.Instances[0].Analyses[0].Frames {
		require.Equal(t, i+1, f.Frame)
	}
}
