package gateway_test

import (
	"fmt"
	"image"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	films "endogate/dicomnode/pixeldata/video"
	"endogate/reports/results"
)

// unencoding is an ffmpeg that was built without an encoder for H.264.
func unencoding(t *testing.T) string {
	t.Helper()
	real, err := exec.LookPath("ffmpeg")
	require.NoError(t, err)
	script := filepath.Join(t.TempDir(), "ffmpeg")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/bash\ncase \"$*\" in *libx264*) echo \"[fatal] Unknown encoder 'libx264'\" >&2; exit 1;; esac\nexec "+real+" \"$@\"\n"), 0o700))
	return script
}

// Where videos cannot be encoded, a route's clips are made in the form that it has for that case, once for all who get it, and each finding says
// so; with none, no clip is made, and that is said.
func TestGateway_clipElse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, or, says string
		clips          map[string][]dicom.UID
	}{
		{"pictures", ", clip_else: multi-frame", "it is a multi-frame image", map[string][]dicom.UID{
			"pacs": {dicom.MultiFrameTrueColorSecondaryCapture}, "plain": {dicom.MultiFrameTrueColorSecondaryCapture},
		}},
		{"nothing", "", "none was made", map[string][]dicom.UID{"pacs": nil, "plain": {dicom.MultiFrameTrueColorSecondaryCapture}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			archives := map[string]*peers.StoreSCP{"pacs": peers.StartStoreSCP(t), "plain": peers.StartStoreSCP(t)}
			g := newGateway(t, fmt.Sprintf(`ffmpeg: %s
routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs, plain], clip: video-endoscopic%s}]
destinations:
  - {name: pacs, kind: dicom, ae_title: STORESCP, address: %q}
  - {name: plain, kind: dicom, ae_title: STORESCP, address: %q, clip: multi-frame}
exam: {quiet: 1s}
`, unencoding(t), row.or, archives["pacs"].Addr, archives["plain"].Addr))
			g.start()
			moving := video(t, dicomtest.Options{Frames: 24, More: dicom.Dataset{dicom.CineRate: dicom.Ints{4}}}, panned(t, "6", "polyp-0dad158b"))
			storeAll(t, g.scp, moving)
			uid := g.studyOf(moving)
			g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 2 })
			study := g.study(uid)
			made := 0
			for _, o := range study.Objects {
				if o.Purpose == "clip" {
					made++
				}
			}
			assert.Equal(t, 1, made, "one for all who get it")
			for name, archive := range archives {
				var got []dicom.UID
				for _, path := range archive.Files(t) {
					content, err := os.ReadFile(path)
					require.NoError(t, err)
					if strings.Contains(string(content), "AI heatmap clips") {
						got = append(got, dicom.MultiFrameTrueColorSecondaryCapture)
						assertConforms(t, content, name)
						assert.Contains(t, string(content), string(dicom.MultiFrameTrueColorSecondaryCapture))
					}
				}
				assert.Equal(t, row.clips[name], got, name)
			}
			var said []string
			for _, f := range study.Instances[0].Analyses[0].Frames {
				for _, note := range f.Notes {
					if strings.HasPrefix(note, results.NoteNoClip) {
						said = append(said, note)
					}
				}
			}
			require.Len(t, said, 1)
			assert.Contains(t, said[0], "install one that was built with libx264")
			assert.Contains(t, said[0], row.says)
			assert.Empty(t, g.parked())
		})
	}
}

// What is made of a video whose pixels are not square says so in every form that it has, and is shown as wide as it is.
func TestGateway_oblong(t *testing.T) {
	t.Parallel()
	archives := []*peers.StoreSCP{peers.StartStoreSCP(t), peers.StartStoreSCP(t), peers.StartStoreSCP(t)}
	forms := []dicom.UID{dicom.VideoPhotographicImageStorage, dicom.VideoEndoscopicImageStorage, dicom.MultiFrameTrueColorSecondaryCapture}
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [a, b, c], clip: video-photographic}]
destinations:
  - {name: a, kind: dicom, ae_title: STORESCP, address: %q}
  - {name: b, kind: dicom, ae_title: STORESCP, address: %q, clip: video-endoscopic}
  - {name: c, kind: dicom, ae_title: STORESCP, address: %q, clip: multi-frame}
exam: {quiet: 1s}
`, archives[0].Addr, archives[1].Addr, archives[2].Addr))
	g.start()
	stream := dicomtest.Stream(t, "mp4", "-loop", "1", "-framerate", "4", "-t", "6", "-i", filepath.Join(peers.Root(t), "testdata/frames/polyp-0dad158b.jpg"),
		"-vf", "scale=756:605,crop=720:576:n:n/2,setsar=16/15", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "8")
	moving := video(t, dicomtest.Options{Frames: 24, Rows: 576, Columns: 720, More: dicom.Dataset{dicom.CineRate: dicom.Ints{4}}}, stream)
	storeAll(t, g.scp, moving)
	uid := g.studyOf(moving)
	g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 3 && len(g.clips(uid)) == 3 })
	shown := func(instance dicom.UID) image.Point {
		response, err := http.Get("http://" + g.web + "/api/v1/instances/" + string(instance) + "/frames/1.png")
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
		picture, err := png.Decode(response.Body)
		require.NoError(t, err)
		return picture.Bounds().Size()
	}
	assert.Equal(t, image.Pt(768, 576), shown(moving.uid))
	clips := g.clips(uid)
	for i, form := range forms {
		require.Contains(t, clips, form)
		assert.Equal(t, 768, shown(clips[form]).X, "the clip as it is shown")
		g.waitFor("the clip", func() bool { return archives[i].Files(t)[string(clips[form])] != "" })
		heatmaps := 0
		for name, path := range archives[i].Files(t) {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			about := peers.Run(t, "dcmdump", "+P", "PixelAspectRatio", "+P", "SOPClassUID", path)
			switch {
			case name == string(clips[form]):
				assertConforms(t, content, string(form))
			case strings.Contains(about, "=SecondaryCaptureImageStorage"):
				assertConforms(t, content, "heatmap")
				assert.Equal(t, image.Pt(768, 576), shown(dicom.UID(name)))
				heatmaps++
			default:
				continue
			}
			assert.Contains(t, about, `15\16`)
		}
		assert.Positive(t, heatmaps)
		if form == dicom.MultiFrameTrueColorSecondaryCapture {
			continue
		}
		content, err := os.ReadFile(archives[i].Files(t)[string(clips[form])])
		require.NoError(t, err)
		at := strings.Index(string(content), "ftyp") - 4
		require.Positive(t, at)
		file := filepath.Join(t.TempDir(), "clip.mp4")
		require.NoError(t, os.WriteFile(file, content[at:], 0o600))
		c, err := films.OpenFile(t.Context(), file, pixeldata.Options{})
		require.NoError(t, err)
		assert.Equal(t, dicom.Aspect{High: 15, Wide: 16}, c.Aspect(), "as players read it in the stream")
		require.NoError(t, c.Close())
	}
}
