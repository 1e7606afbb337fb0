package gateway_test

import (
	"fmt"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

// frame is frame n of an instance, as the page shows it.
func (g *testGateway) frame(instance dicom.UID, n int) image.Image {
	g.t.Helper()
	response, err := http.Get("http://" + g.web + fmt.Sprintf("/api/v1/instances/%s/frames/%d.png", instance, n))
	require.NoError(g.t, err)
	defer response.Body.Close()
	picture, err := png.Decode(response.Body)
	require.NoError(g.t, err)
	return picture
}

// TestGateway_videosInOHIF: the viewer has a study from the gateway. It plays heatmap clips of both SOP classes and a long recording, asks for the frames of
// a short one and of what browsers do not play, and opens the report on frames of the short one.
func TestGateway_videosInOHIF(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [a, b], clip: video-photographic}]
destinations:
  - {name: a, kind: dicom, ae_title: STORESCP, address: %[1]q}
  - {name: b, kind: dicom, ae_title: STORESCP, address: %[1]q, clip: video-endoscopic}
exam: {quiet: 1s}
`, scp.Addr))
	g.start()
	var sources []dicomBytes
	source := func(description, modality string, rate, frames int, syntax dicom.UID, stream []byte) dicom.UID {
		n := len(sources) + 1
		sources = append(sources, video(t, dicomtest.Options{Series: description, Instance: n, Frames: frames, TransferSyntax: syntax, More: dicom.Dataset{
			dicom.CineRate: dicom.Ints{rate}, dicom.Modality: dicom.Text{modality}, dicom.SeriesDescription: dicom.Text{description}, dicom.SeriesNumber: dicom.Ints{n},
		}}, stream))
		return sources[n-1].uid
	}
	frames := filepath.Join(peers.Root(t), "testdata/frames")
	still := []string{"-loop", "1", "-framerate", "25", "-i", filepath.Join(frames, "cecum-3.jpg"), "-vf", "scale=480:252,crop=320:240:4*n:n/2,setsar=1", "-frames:v"}
	short := source("Short", "ES", 4, 24, h264, panned(t, "6", "polyp-0dad158b"))
	// Those that no route takes are there to be looked at.
	turns := []string{
		"-loop", "1", "-i", filepath.Join(frames, "cecum-3.jpg"), "-loop", "1", "-i", filepath.Join(frames, "ileum-1.jpg"),
		"-filter_complex", "[0]scale=320:240,setsar=1[a];[1]scale=320:240,setsar=1[b];[a][b]overlay=enable='lt(mod(n,50),25)'", "-frames:v", "260",
	}
	long := source("Long", "OT", 25, 260, h264, dicomtest.Stream(t, "mp4", append(turns, "-c:v", "libx264", "-preset", "ultrafast")...))
	hevc := source("HEVC", "OT", 25, 12, "1.2.840.10008.1.2.4.107", dicomtest.Stream(t, "mp4", append(still, "12", "-c:v", "libx265", "-x265-params", "log-level=none")...))
	old := source("MPEG-2", "OT", 25, 12, "1.2.840.10008.1.2.4.100", dicomtest.Stream(t, "mpg", append(still, "12", "-q:v", "2")...))
	storeAll(t, g.scp, sources...)
	uid := g.studyOf(sources[0])
	g.waitFor("the analysis to begin", func() bool {
		var study admin.Study
		g.get("/api/v1/studies/"+string(uid), &study)
		return len(study.Videos) == 1
	})
	g.waitFor("the clips", func() bool { return len(g.clips(uid)) == 2 })
	g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 2 })

	var all []peers.OHIFSeries
	see := func(modality, description string, instance dicom.UID, next peers.OHIFNext, numbers ...int) {
		s := peers.OHIFSeries{Modality: modality, Description: description, Next: next}
		for _, n := range numbers {
			s.Frames = append(s.Frames, g.frame(instance, n))
		}
		all = append(all, s)
	}
	clips := g.clips(uid)
	see("XC", "AI heatmap clips", clips[dicom.VideoPhotographicImageStorage], peers.OHIFPlay, 1, 6, 12)
	see("ES", "AI heatmap clips", clips[dicom.VideoEndoscopicImageStorage], peers.OHIFPlay, 1, 6, 12)
	see("OT", "Long", long, peers.OHIFPlay, 10, 40)
	see("ES", "Short", short, peers.OHIFScroll, 1, 6, 12)
	see("OT", "HEVC", hevc, peers.OHIFScroll, 1, 6, 12)
	see("OT", "MPEG-2", old, peers.OHIFScroll, 1, 6, 12)
	var study admin.Study
	g.get("/api/v1/studies/"+string(uid), &study)
	var keys []int
	for _, v := range study.Videos {
		for _, k := range v.KeyFrames {
			if v.SOPInstanceUID == short {
				keys = append(keys, k.Frame)
			}
		}
	}
	see("SR", "AI results", short, peers.OHIFStay, keys...)
	for i, picture := range peers.OHIFVideos(t, "http://"+g.web, string(uid), all...) {
		if to := os.Getenv("ENDOGATE_TEST_PICTURES"); to != "" { // to look at
			require.NoError(t, os.WriteFile(filepath.Join(to, fmt.Sprintf("video-in-ohif-%d.png", i)), picture, 0o600))
		}
	}
}
