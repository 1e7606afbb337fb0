package trial

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/inference/frames"
)

// Masks of other proportions than their frames are counted, those of the same at another size are not.
func TestTrial_stretchedMasks(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]image.Point{"half": {40, 30}, "square": {40, 40}, "rounded": {41, 31}} {
		mask := image.NewGray(image.Rectangle{Max: size})
		mask.SetGray(5, 5, color.Gray{Y: 255})
		f, err := os.Create(filepath.Join(dir, name+".png"))
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, mask))
		require.NoError(t, f.Close())
	}
	for name, resized := range map[string]int{"half": 0, "square": 1, "rounded": 0} {
		one := Trial{Masks: dir}
		_, found, err := one.mask(frames.Frame{Name: name, Path: name + ".jpg", Number: 1, Image: image.NewRGBA(image.Rect(0, 0, 80, 60))})
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, resized, one.resized, name)
	}
}
