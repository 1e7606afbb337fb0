package video

import (
	"bufio"
	"bytes"
	"image"
	"io"
	"os"
	"path/filepath"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is made of planes here has the colours that ffmpeg makes of them, in every picture, whether the matrix is said or not.
func TestClip_planes(t *testing.T) {
	installed.Require(t, "ffmpeg")
	for name, coded := range map[string][]string{
		"BT.709":                {"-vf", "scale=320:242:out_color_matrix=bt709", "-colorspace", "bt709"},
		"BT.601":                {"-vf", "scale=320:242:out_color_matrix=bt601", "-colorspace", "smpte170m"},
		"BT.2020":               {"-vf", "scale=322:240:out_color_matrix=bt2020", "-colorspace", "bt2020nc"},
		"FCC":                   {"-vf", "scale=322:240:out_color_matrix=fcc", "-colorspace", "fcc"},
		"nothing said":          {"-vf", "scale=320:240"},
		"high, nothing said":    {"-vf", "scale=1280:720:out_color_matrix=bt709"},
		"high, BT.470 BG":       {"-vf", "scale=1280:720:out_color_matrix=bt601", "-colorspace", "bt470bg"},
		"an extent of 2 pixels": {"-vf", "scale=48:2"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "clip.mp4")
			arguments := append([]string{"-loop", "1", "-framerate", "25", "-i", filepath.Join("..", "..", "..", "testdata", "frames", "polyp-050ffdb1.jpg")}, coded...)
			require.NoError(t, os.WriteFile(file, dicomtest.Stream(t, "mp4", append(arguments, "-frames:v", "3", "-c:v", "libx264", "-qp", "12")...), 0o600))
			c, err := OpenFile(t.Context(), file, pixeldata.Options{})
			require.NoError(t, err)
			defer c.Close()
			require.True(t, c.index.planar)
			ours, err := c.Frame(t.Context(), 2)
			require.NoError(t, err)
			c.index.planar = false
			theirs, err := c.Frame(t.Context(), 2)
			require.NoError(t, err)
			worst, sum := 0, 0
			for i, v := range ours.Image.Pix {
				d := int(v) - int(theirs.Image.Pix[i])
				worst, sum = max(worst, d, -d), sum+d
			}
			assert.LessOrEqual(t, worst, 4)
			assert.InDelta(t, 0, float64(sum)/float64(len(ours.Image.Pix)), 1)
			t.Logf("at most %d off, %.2f on the average", worst, float64(sum)/float64(len(ours.Image.Pix)))
		})
	}
}

// Whatever a picture begins with, its header ends where it does; what is cut off, or of another size than the video, is told.
func TestClip_pictureOfPlanes(t *testing.T) {
	c := &Clip{spare: spares(), index: index{columns: 2, rows: 2, planar: true}}
	c.options.Bounds.Pixels = 1000
	for _, first := range []byte{0, ' ', '\n', '\r', '\t', 16, 0xc3, 255} {
		two := append([]byte("P5\n2 3\n255\n"), first, 235, 16, 235, 128, 128)
		r := bufio.NewReader(bytes.NewReader(append(two, two...)))
		for range 2 {
			img, err := c.picture(r, make([]uint8, 6))
			require.NoError(t, err)
			require.Equal(t, image.Pt(2, 2), img.Rect.Size())
			assert.Equal(t, uint8(255), img.Pix[4])
			assert.Equal(t, uint8(0), img.Pix[8])
		}
		_, err := c.picture(r, make([]uint8, 6))
		assert.Equal(t, io.EOF, err)
	}
	for text, want := range map[string]error{
		"P5\n2 3\n255\n12345":         io.EOF,
		"P5\n4 3\n255\n123456789012":  pixeldata.ErrCorrupt,
		"P5\n2 4\n255\n12345678":      pixeldata.ErrCorrupt,
		"P5\n2000 3000\n255\n":        pixeldata.ErrTooMuch,
		"P5\n0 3\n255\n":              pixeldata.ErrNoDecoder,
		"P6\n2 2\n255\n123456789012 ": pixeldata.ErrNoDecoder,
	} {
		_, err := c.picture(bufio.NewReader(bytes.NewReader([]byte(text))), make([]uint8, 6))
		assert.ErrorIs(t, err, want, text)
	}
}
