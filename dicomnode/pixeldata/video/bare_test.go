package video_test

import (
	"bytes"
	"io"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bare is what a worker elsewhere opens of a video.
func bare(t testing.TB, c *video.Clip, i *pixeldata.Instance) *video.Clip {
	var ds bytes.Buffer
	require.NoError(t, c.Bare(t.Context(), i, &ds))
	return open(t, opened(t, string(i.TransferSyntax().UID), ds.Bytes()))
}

// No word in the data set, the container or the stream goes along, whatever the container, and every picture does.
func TestClip_bare(t *testing.T) {
	installed.Require(t, "ffmpeg")
	const secret = "Yamada^Tarou"
	words := []string{"-metadata", "title=" + secret, "-metadata", "comment=" + secret, "-metadata:s:v:0", "handler_name=" + secret, "-metadata", "service_name=" + secret}
	unit := "sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+" + secret
	open265 := "log-level=none:keyint=10:open-gop=1:bframes=3"
	for _, row := range []struct {
		name, syntax, ending string
		codec                []string
		said                 int // times, at least
	}{
		{"H.264, MP4", h264, "mp4", []string{"-c:v", "libx264", "-x264-params", "open-gop=1:bframes=3:keyint=10", "-bsf:v", "h264_metadata=" + unit}, 3},
		{"H.264, transport stream", h264, "ts", []string{"-c:v", "libx264", "-bsf:v", "h264_metadata=" + unit}, 2},
		{"H.264, no container", h264, "h264", []string{"-c:v", "libx264", "-bsf:v", "h264_metadata=" + unit}, 1},
		{"HEVC, MP4, words beside the stream", hevc, "mp4", []string{"-c:v", "libx265", "-x265-params", open265}, 2},
		{"HEVC, transport stream", hevc, "ts", []string{"-c:v", "libx265", "-x265-params", open265}, 1},
		{"MPEG-2, transport stream", mpeg2, "ts", []string{"-c:v", "mpeg2video", "-bf", "2", "-g", "12"}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			stream := dicomtest.Stream(t, row.ending, append(append(dicomtest.Levels(25), "-t", "1.6"), append(row.codec, words...)...)...)
			require.GreaterOrEqual(t, bytes.Count(stream, []byte(secret)), row.said-1)
			i := instance(t, row.syntax, dicomtest.Options{Frames: 40, PatientName: secret}, stream, 2)
			c := open(t, i)
			var ds bytes.Buffer
			require.NoError(t, c.Bare(t.Context(), i, &ds))
			for _, word := range []string{secret, "x264 - core", "x265 (build", "1.2.826", "endogate"} {
				assert.NotContains(t, ds.String(), word)
			}
			there := open(t, opened(t, row.syntax, ds.Bytes()))
			require.Equal(t, c.Count(), there.Count())
			var numbers []int
			for n := 1; n <= c.Count(); n += 3 {
				numbers = append(numbers, n)
			}
			here := map[int][]byte{}
			for f, err := range c.Frames(t.Context(), numbers) {
				require.NoError(t, err)
				here[f.Number] = f.Image.Pix
			}
			require.Len(t, here, len(numbers))
			for f, err := range there.Frames(t.Context(), numbers) {
				require.NoError(t, err)
				require.Equal(t, here[f.Number], f.Image.Pix, "frame %d", f.Number)
				delete(here, f.Number)
			}
			assert.Empty(t, here)
		})
	}
}

// A stream of which words cannot be told from pixels stays.
func TestClip_bareNot(t *testing.T) {
	installed.Require(t, "ffmpeg")
	stream := dicomtest.Stream(t, "mpg", append(dicomtest.Levels(25), "-t", "1", "-c:v", "mpeg1video")...)
	i := instance(t, mpeg2, dicomtest.Options{Frames: 25}, stream, 1)
	require.ErrorIs(t, open(t, i).Bare(t.Context(), i, io.Discard), pixeldata.ErrWords)
}

// Numbers of the data set that are words do not go along.
func TestClip_bareNumbers(t *testing.T) {
	installed.Require(t, "ffmpeg")
	stream := dicomtest.Stream(t, "mp4", append(dicomtest.Levels(25), "-t", "1", "-c:v", "libx264")...)
	more := dicom.Dataset{dicom.FrameTimeVector: dicom.As{Verbatim: true, Value: dicom.Text{"40", "Yamada"}}}
	i := instance(t, h264, dicomtest.Options{Frames: 25, More: more}, stream, 1)
	var ds bytes.Buffer
	require.NoError(t, open(t, i).Bare(t.Context(), i, &ds))
	assert.NotContains(t, ds.String(), "Yamada")
}
