package pixeldata

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
)

// A PNG or a JPEG is decoded as it is; what is larger than the bounds, broken, made to be slow or something else is not.
func TestDecodePicture(t *testing.T) {
	picture := image.NewRGBA(image.Rect(0, 0, 24, 16))
	picture.Set(3, 5, color.RGBA{200, 10, 10, 255})
	var asPNG, asJPEG bytes.Buffer
	require.NoError(t, png.Encode(&asPNG, picture))
	require.NoError(t, jpeg.Encode(&asJPEG, picture, nil))
	f, err := DecodePicture(t.Context(), asPNG.Bytes(), Options{})
	require.NoError(t, err)
	require.Equal(t, color.RGBA{200, 10, 10, 255}, f.Image.RGBAAt(3, 5))
	f, err = DecodePicture(t.Context(), asJPEG.Bytes(), Options{})
	require.NoError(t, err)
	require.Equal(t, image.Pt(24, 16), f.Image.Rect.Size())

	slow := append(bytes.Clone(asJPEG.Bytes()), bytes.Repeat([]byte{0xff, 0xda}, 200)...)
	for name, row := range map[string]struct {
		data   []byte
		bounds Bounds
		want   error
	}{
		"too many pixels": {asPNG.Bytes(), Bounds{Pixels: 24*16 - 1}, ErrTooMuch},
		"too much memory": {asPNG.Bytes(), Bounds{Memory: 1000}, ErrTooMuch},
		"too many scans":  {slow, Bounds{}, ErrTooMuch},
		"half a PNG":      {asPNG.Bytes()[:asPNG.Len()/2], Bounds{}, ErrCorrupt},
		"half a JPEG":     {asJPEG.Bytes()[:asJPEG.Len()-20], Bounds{}, ErrCorrupt},
		"a text":          {[]byte("GIF89a is another"), Bounds{}, ErrUnsupported},
		"nothing":         {nil, Bounds{}, ErrUnsupported},
	} {
		_, err := DecodePicture(t.Context(), row.data, Options{Bounds: row.bounds})
		require.ErrorIs(t, err, row.want, name)
	}
}
