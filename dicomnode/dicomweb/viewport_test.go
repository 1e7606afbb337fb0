package dicomweb

import (
	"image"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a viewport takes is little more than the picture that it shows, however large the frame.
func TestViewport_memory(t *testing.T) {
	frame := image.NewRGBA(image.Rect(0, 0, 2100, 4200))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	shown, err := viewport{width: maxViewport, height: maxViewport}.of(frame)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 2048, 4096), shown.Bounds())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*len(shown.Pix)))
}
