package dicomweb

import (
	"image"
	"runtime"
	"testing"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"

	"github.com/stretchr/testify/require"
)

// What a viewport takes is little more than the picture that it shows, however large the frame.
func TestViewport_memory(t *testing.T) {
	frame := image.NewRGBA(image.Rect(0, 0, 2100, 4200))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	shown, err := viewport{width: maxViewport, height: maxViewport}.of(pixeldata.Frame{Image: frame})
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 2048, 4096), shown.Bounds())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*len(shown.Pix)))
}

// A picture is of square pixels, whatever those of its frame are, and a region is in the frame's own.
func TestViewport_oblong(t *testing.T) {
	f := pixeldata.Frame{Image: image.NewRGBA(image.Rect(0, 0, 720, 576)), Aspect: dicom.NewAspect(15, 16)}
	for _, row := range []struct {
		v    viewport
		want image.Point
	}{
		{viewport{}, image.Pt(768, 576)},
		{viewport{width: 384, height: 400}, image.Pt(384, 288)},
		{viewport{width: 320, height: 400, across: 360, down: 288}, image.Pt(320, 240)},
	} {
		shown, err := row.v.of(f)
		require.NoError(t, err)
		require.Equal(t, row.want, shown.Bounds().Size(), row.v)
	}
}
