package picture_test

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"os/exec"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/explain"
	"endogate/explain/picture"

	"github.com/stretchr/testify/require"
)

func TestWriteNPY_bytes(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, picture.WriteNPY(&b, []int64{2}, []float32{1, -0.5}))
	require.Equal(t, 64*2+8, b.Len())
	require.Equal(t, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b.String()[:68-1])
	require.Equal(t, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf}, b.Bytes()[128:])
	require.Error(t, picture.WriteNPY(&b, []int64{2, 2}, make([]float32, 3)))
}

func TestWriteNPY_readByNumPy(t *testing.T) {
	installed.RequirePython(t, "numpy")
	path := t.TempDir() + "/m.npy"
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, picture.WriteNPY(f, []int64{1, 2, 3}, []float32{0, 1, 2, 3, 4, 5.5}))
	require.NoError(t, f.Close())
	out, err := exec.Command(installed.Python, "-c", "import numpy, sys; a = numpy.load(sys.argv[1]); print(a.shape, a.dtype, a[0, 1, 2])", path).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "(1, 2, 3) float32 5.5\n", string(out))
}

func grey(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Rect, image.NewUniform(color.RGBA{100, 100, 100, 255}), image.Point{}, draw.Src)
	return m
}

func TestSigned(t *testing.T) {
	m := explain.Map{Width: 3, Height: 1, Values: []float32{2, 0, -2}}
	out, err := picture.Signed(grey(3, 1), m, 1)
	require.NoError(t, err)
	require.Equal(t, color.RGBA{255, 40, 40, 255}, out.RGBAAt(0, 0))
	require.Equal(t, color.RGBA{60, 60, 60, 255}, out.RGBAAt(1, 0)) // what has no weight is grey
	require.Equal(t, color.RGBA{40, 80, 255, 255}, out.RGBAAt(2, 0))
	beyond, err := picture.Signed(grey(3, 1), m, 2)
	require.NoError(t, err)
	require.Equal(t, out, beyond)
	_, err = picture.Signed(grey(3, 1), explain.Map{Width: 3, Height: 1, Values: make([]float32, 3)}, 1)
	require.ErrorIs(t, err, explain.ErrZeroMap)
	m.Values[1] = float32(math.NaN())
	_, err = picture.Signed(grey(3, 1), m, 1)
	require.ErrorIs(t, err, explain.ErrNotFinite)
}

func TestClip(t *testing.T) {
	values := make([]float32, 1000)
	for i := range values {
		values[i] = 1
	}
	values[0], values[1] = 100, -100
	got := picture.Clip(explain.Map{Width: 1000, Height: 1, Values: values})
	require.Equal(t, float32(1), got.Values[0])
	require.Equal(t, float32(-1), got.Values[1])
}

func TestGuided(t *testing.T) {
	first := []float32{1, -1, 0, 0, 1, -1, 0, 0, 1, -1, 0, 0} // 3×2×2
	a, err := picture.Guided(first, explain.Layout{Channels: 3, Height: 2, Width: 2})
	require.NoError(t, err)
	require.Equal(t, color.RGBA{128, 128, 128, 255}, a.RGBAAt(0, 1)) // zero is grey
	require.Greater(t, a.RGBAAt(0, 0).R, uint8(150))
	require.Less(t, a.RGBAAt(1, 0).R, uint8(100))
	last := []float32{1, 1, 1, -1, -1, -1, 0, 0, 0, 0, 0, 0}
	b, err := picture.Guided(last, explain.Layout{Channels: 3, Height: 2, Width: 2, ChannelsLast: true})
	require.NoError(t, err)
	require.Equal(t, a.Pix, b.Pix)
}

func TestLegendAndSheet_sizes(t *testing.T) {
	colours, err := explain.NamedColourMap("turbo")
	require.NoError(t, err)
	for _, size := range []image.Point{{64, 64}, {720, 576}, {1280, 1024}} {
		over := picture.Legend(grey(size.X, size.Y), colours, "Grad-CAM for polyp, p = 0.97")
		require.Equal(t, size.X, over.Rect.Dx())
		require.Greater(t, over.Rect.Dy(), size.Y)
		require.Equal(t, color.RGBA{100, 100, 100, 255}, over.RGBAAt(size.X-1, size.Y-1))
		written := false
		for y := size.Y; y < over.Rect.Dy(); y++ {
			for x := range size.X {
				written = written || over.RGBAAt(x, y).R > 200
			}
		}
		require.True(t, written)
	}
	tile := picture.Tile{Title: "a", Caption: "b", Picture: grey(100, 50)}
	one := picture.Sheet("title", []picture.Tile{tile}, 4)
	five := picture.Sheet("title", []picture.Tile{tile, tile, tile, tile, tile}, 4)
	require.Greater(t, five.Rect.Dx(), 3*one.Rect.Dx())
	require.Greater(t, five.Rect.Dy(), one.Rect.Dy())
}
