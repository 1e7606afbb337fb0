package dicomweb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/jpeg"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
)

// receiveVideo takes a video in whose frames are of [dicomtest.Level].
func (h *hospital) receiveVideo(syntax dicom.UID, instance int, stream []byte) dicom.Header {
	h.t.Helper()
	data, header := dicomtest.Video(dicomtest.Options{Study: "v", Instance: instance, TransferSyntax: syntax, Frames: 20}, stream, 1)
	require.NoError(h.t, h.receiver.Store(h.t.Context(), &dicomnode.StoreRequest{
		SOPClassUID: header.SOPClassUID, SOPInstanceUID: header.SOPInstanceUID, TransferSyntax: syntax, CallingAE: "SCOPE1", Dataset: bytes.NewReader(data),
	}))
	require.NoError(h.t, h.follower.CatchUp(h.t.Context()))
	h.web.Moving = func(ctx context.Context, _ string, i *pixeldata.Instance, do func(*video.Clip) error) error {
		clip, err := video.Open(ctx, i)
		if err != nil {
			return err
		}
		defer func() { _ = clip.Close() }()
		return do(clip)
	}
	return header
}

// Metadata name the transfer syntax of what viewers shall play: of H.264 with more frames than may be asked for, or that says none.
func TestVideo_played(t *testing.T) {
	h := open(t)
	for n, row := range []struct {
		syntax dicom.UID
		frames int
		played bool
	}{
		{h264, 0, true},
		{h264, 1, true},
		{h264, 2, false},
		{h264, 250, false},
		{h264, 251, true},
		{"1.2.840.10008.1.2.4.106.1", 251, true},
		{"1.2.840.10008.1.2.4.107", 251, false},
		{"1.2.840.10008.1.2.4.100", 251, false},
	} {
		data, header := dicomtest.Video(dicomtest.Options{Study: "v", Instance: n + 1, TransferSyntax: row.syntax, Frames: row.frames}, []byte("a stream"), 1)
		require.NoError(t, h.receiver.Store(t.Context(), &dicomnode.StoreRequest{
			SOPClassUID: header.SOPClassUID, SOPInstanceUID: header.SOPInstanceUID, TransferSyntax: row.syntax, CallingAE: "SCOPE1", Dataset: bytes.NewReader(data),
		}))
		require.NoError(t, h.follower.CatchUp(t.Context()))
		var all []map[string]struct{ Value []any }
		require.NoError(t, json.Unmarshal(h.ask("GET", path(header)+"/metadata").Body.Bytes(), &all))
		require.Len(t, all, 1)
		said := []any(nil)
		if row.played {
			said = []any{string(row.syntax)}
		}
		assert.Equal(t, said, all[0]["00083002"].Value, "%s of %d frames", row.syntax, row.frames)
	}
}

func grey(t *testing.T, b []byte) int {
	picture, err := jpeg.Decode(bytes.NewReader(b))
	require.NoError(t, err)
	assert.Equal(t, image.Rect(0, 0, 64, 48), picture.Bounds())
	_, g, _, _ := picture.At(32, 24).RGBA()
	return int(g >> 8)
}

// A video as players have it, whole and in part, and its frames as pictures and samples.
func TestVideo(t *testing.T) {
	installed.Require(t, "ffmpeg", "ffprobe")
	h := open(t)
	encode := []string{"-frames:v", "20", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "1", "-g", "8", "-bf", "2"}
	stream := dicomtest.Stream(t, "mp4", append(dicomtest.Levels(25), encode...)...)
	v := h.receiveVideo(h264, 1, stream)

	film := h.ask("GET", path(v)+"/rendered")
	require.Equal(t, http.StatusOK, film.Code, "%s", film.Body)
	assert.Equal(t, "video/mp4", film.Header().Get("Content-Type"))
	assert.True(t, bytes.HasPrefix(film.Body.Bytes(), stream), "as it is stored")
	part := h.ask("GET", path(v)+"/rendered", "Range", "bytes=100-199", "Accept", "video/webm,video/*;q=0.9,*/*;q=0.5")
	assert.Equal(t, http.StatusPartialContent, part.Code)
	assert.Equal(t, stream[100:200], part.Body.Bytes())
	assert.Contains(t, part.Header().Get("Content-Range"), "bytes 100-199/")
	assert.Equal(t, http.StatusRequestedRangeNotSatisfiable, h.ask("GET", path(v)+"/rendered", "Range", "bytes=99999999-").Code)
	assert.Equal(t, http.StatusNotModified, h.ask("GET", path(v)+"/rendered", "If-None-Match", film.Header().Get("ETag")).Code)
	assert.Equal(t, http.StatusOK, h.ask("GET", path(v)+"/rendered", "Range", "bytes=0-1", "If-Range", `"another"`).Code)
	head := h.ask("HEAD", path(v)+"/rendered")
	assert.Equal(t, strconv.Itoa(film.Body.Len()), head.Header().Get("Content-Length"))
	assert.Zero(t, head.Body.Len())
	assert.Contains(t, h.ask("GET", path(v)+"/rendered?viewport=10,10").Header().Get("Warning"), "299")
	bodies, _ := parts(t, h.ask("GET", path(v)+"/bulkdata/7FE00010", "Accept", `multipart/related; type="video/mp4"`), "video/mp4")
	require.Len(t, bodies, 1)
	assert.True(t, bytes.HasPrefix(bodies[0], stream))
	assert.Equal(t, "video/mp4", h.ask("GET", path(v)+"/bulkdata/7FE00010?accept=video/mp4").Header().Get("Content-Type"))
	raw, _ := parts(t, h.ask("GET", path(v)+"/bulkdata/7FE00010"), "application/octet-stream")
	assert.True(t, bytes.HasPrefix(raw[0], stream), "fragments where no film is asked for")

	for _, n := range []int{1, 7, 20} {
		at := path(v) + "/frames/" + strconv.Itoa(n)
		assert.InDelta(t, dicomtest.Level(n), grey(t, h.ask("GET", at+"/rendered").Body.Bytes()), 2)
		frame := h.ask("GET", at, "Accept", "image/jpeg")
		assert.InDelta(t, dicomtest.Level(n), grey(t, frame.Body.Bytes()), 2)
		assert.Equal(t, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", frame.Header().Get("Content-Type"))
	}
	bodies, types := parts(t, h.ask("GET", path(v)+"/frames/3,2", "Accept", `multipart/related; type=application/octet-stream; transfer-syntax=*`), "application/octet-stream")
	require.Len(t, bodies, 2)
	assert.InDelta(t, dicomtest.Level(3), grey(t, bodies[0]), 2)
	assert.Equal(t, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50", types[0])
	bodies, _ = parts(t, h.ask("GET", path(v)+"/frames/5", "Accept", `multipart/related; type="application/octet-stream"`), "application/octet-stream")
	require.Len(t, bodies[0], 64*48*3)
	assert.InDelta(t, dicomtest.Level(5), bodies[0][64*24*3], 2)
	bodies, _ = parts(t, h.ask("GET", path(v)+"/frames/1,9/rendered", "Accept", `multipart/related; type="image/jpeg"`), "image/jpeg")
	assert.InDelta(t, dicomtest.Level(9), grey(t, bodies[1]), 2)
	small, err := jpeg.Decode(h.ask("GET", path(v)+"/thumbnail").Body)
	require.NoError(t, err)
	_, g, _, _ := small.At(100, 100).RGBA()
	assert.InDelta(t, dicomtest.Level(10), int(g>>8), 2, "the middle")

	// A transport stream is put into an MP4 file, and so is what has no container where its order is the one that is shown.
	for n, made := range map[int]struct {
		stream []byte
		syntax dicom.UID
		code   int
	}{
		2: {dicomtest.Stream(t, "ts", append(dicomtest.Levels(25), encode...)...), h264, 200},
		3: {dicomtest.Stream(t, "h264", append(dicomtest.Levels(25), "-frames:v", "20", "-c:v", "libx264", "-bf", "0")...), h264, 200},
		4: {dicomtest.Stream(t, "h264", append(dicomtest.Levels(25), encode[:len(encode)-2]...)...), h264, 200},
		5: {dicomtest.Stream(t, "h264", append(dicomtest.Levels(25), "-frames:v", "20", "-c:v", "libx264", "-bf", "2", "-b_strategy", "0", "-sc_threshold", "0")...), h264, 406},
	} {
		v := h.receiveVideo(made.syntax, n, made.stream)
		film := h.ask("GET", path(v)+"/rendered")
		require.Equal(t, made.code, film.Code, "%d: %s", n, film.Body)
		if made.code != http.StatusOK {
			assert.Contains(t, film.Body.String(), "one by one")
			continue
		}
		assert.Equal(t, "video/mp4", film.Header().Get("Content-Type"))
		file := filepath.Join(t.TempDir(), "film.mp4")
		require.NoError(t, os.WriteFile(file, film.Body.Bytes(), 0o600))
		said, err := exec.Command("ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets", "-of", "csv=p=0", file).CombinedOutput()
		require.NoError(t, err)
		assert.Equal(t, "h264,20", strings.TrimSpace(string(said)))
	}
	old := h.receiveVideo("1.2.840.10008.1.2.4.100", 6, dicomtest.Stream(t, "m2v", append(dicomtest.Levels(25), "-frames:v", "20")...))
	assert.Equal(t, "video/mpeg", h.ask("GET", path(old)+"/rendered").Header().Get("Content-Type"))

	for target, code := range map[string]int{
		path(v) + "/frames/21": 404, path(v) + "/frames/21/rendered": 404, path(old) + "/rendered?accept=video/mp4": 406, path(v) + "/rendered?accept=image/jpeg": 406,
		path(v) + "/frames/1?accept=image/png": 406, path(v) + "/frames/1/rendered?window=1,2,linear": 400, "/studies/" + string(v.StudyInstanceUID) + "/rendered": 406,
	} {
		w := h.ask("GET", target)
		assert.Equal(t, code, w.Code, "%s: %s", target, w.Body)
	}
	broken := h.receiveVideo(h264, 7, []byte("no video at all!"))
	assert.Equal(t, http.StatusNotAcceptable, h.ask("GET", path(broken)+"/rendered").Code)
	assert.Equal(t, http.StatusNotAcceptable, h.ask("GET", path(broken)+"/frames/1").Code)
}

const h264 dicom.UID = "1.2.840.10008.1.2.4.102"
