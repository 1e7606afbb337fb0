package peers_test

import (
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
)

// TestOHIFScreenshot checks the viewer and the checks themselves on a Secondary Capture that DCMTK makes.
func TestOHIFScreenshot(t *testing.T) {
	o := peers.StartOrthanc(t)
	sources := samples(t, "study1-0[1-3]*.dcm")
	o.Upload(t, sources...)
	for i, source := range sources[:2] {
		o.Upload(t, secondaryCapture(t, source, i+1))
	}
	picture := peers.OHIFScreenshot(t, o, study1, "AI heatmap")
	require.NotEmpty(t, picture)
}

// secondaryCapture makes an SC of a red and green picture in the study of source.
func secondaryCapture(t *testing.T, source string, number int) string {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for i := range 320 * 240 {
		x, y := i%320, i/320
		picture.Set(x, y, color.RGBA{R: uint8(x / 2 * number), G: uint8(y), A: 255})
	}
	name := filepath.Join(t.TempDir(), "heatmap")
	f, err := os.Create(name + ".jpg")
	require.NoError(t, err)
	require.NoError(t, jpeg.Encode(f, picture, nil))
	require.NoError(t, f.Close())
	peers.Run(t, "img2dcm", "--study-from", source,
		"-k", "Modality=ES", "-k", "SeriesInstanceUID=2.25.9001", "-k", "SeriesNumber=9001",
		"-k", "SeriesDescription=AI heatmap test", "-k", "InstanceNumber="+strconv.Itoa(number),
		name+".jpg", name+".dcm")
	return name + ".dcm"
}
