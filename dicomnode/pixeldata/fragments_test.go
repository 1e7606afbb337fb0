package pixeldata

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"io"
	"testing"

	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shade is a JPEG of 16 x 16 equal pixels.
func shade(t testing.TB, level uint8) []byte {
	img := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range img.Pix {
		img.Pix[i] = level
	}
	return encodeJPEG(t, img)
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}))
	if b.Len()%2 == 1 {
		b.WriteByte(0)
	}
	return b.Bytes()
}

func table32(offsets ...int) []byte {
	var b []byte
	for _, o := range offsets {
		b = binary.LittleEndian.AppendUint32(b, uint32(o))
	}
	return b
}

func TestFrames_fragments(t *testing.T) {
	a, b, c := shade(t, 10), shade(t, 120), shade(t, 230)
	half := len(b) / 2 &^ 1
	b1, b2 := b[:half], b[half:]
	extended := func(offsets ...int) []element {
		var v []byte
		for _, o := range offsets {
			v = binary.LittleEndian.AppendUint64(v, uint64(o))
		}
		return []element{{dicom.ExtendedOffsetTable, "OV", v}}
	}
	second, third := len(a)+8, len(a)+len(b)+24 // b is in two fragments
	for _, row := range []struct {
		name      string
		extra     []element
		fragments [][]byte
	}{
		{"no table, a fragment each", nil, [][]byte{{}, a, b, c}},
		{"no table, one frame in two", nil, [][]byte{{}, a, b1, b2, c}},
		{"basic table", nil, [][]byte{table32(0, second, third), a, b1, b2, c}},
		{"extended table", extended(0, second, third), [][]byte{{}, a, b1, b2, c}},
		{"table that points between fragments", nil, [][]byte{table32(0, second+2, third), a, b1, b2, c}},
		{"table of another count", nil, [][]byte{table32(0, second), a, b1, b2, c}},
		{"table that goes backwards", nil, [][]byte{table32(0, third, second), a, b1, b2, c}},
		{"table off by the item headers", nil, [][]byte{table32(0, len(a), len(a)+len(b)), a, b1, b2, c}},
		{"an empty fragment", nil, [][]byte{{}, a, b1, {}, b2, c}},
		{"more than was said", nil, [][]byte{{}, a, b, c, a}},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := instance{
				syntax: dicom.JPEGBaseline8Bit, rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME2",
				allocated: 8, frames: 3, extra: row.extra, fragments: row.fragments,
			}
			images, err := in.decode(t, Options{})
			require.NoError(t, err)
			require.Len(t, images, 3)
			for i, level := range []int{10, 120, 230} {
				assert.InDelta(t, level, int(images[i].RGBAAt(8, 8).R), 1)
			}
		})
	}
	single := instance{
		syntax: dicom.JPEGBaseline8Bit, rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME2", allocated: 8,
		fragments: [][]byte{{}, b1, b2[:4], b2[4:]},
	}
	images, err := single.decode(t, Options{})
	require.NoError(t, err)
	assert.Len(t, images, 1)
}

func TestFrames_fragmentsRefused(t *testing.T) {
	a := shade(t, 10)
	in := instance{syntax: dicom.JPEGBaseline8Bit, rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME2", allocated: 8, frames: 2}
	in.fragments = [][]byte{{}, a}
	images, err := in.decode(t, Options{})
	assert.Len(t, images, 1, "what came before the error is good")
	require.ErrorIs(t, err, ErrCorrupt)
	assert.Contains(t, err.Error(), "frame 2 of 2")

	in.fragments = [][]byte{}
	_, err = in.decode(t, Options{})
	assert.ErrorIs(t, err, ErrCorrupt, "no offset table")

	in.frames, in.fragments = 1, [][]byte{{}, make([]byte, 2<<20)}
	_, err = in.decode(t, Options{})
	require.ErrorIs(t, err, ErrCorrupt)
	assert.Contains(t, err.Error(), "a compressed frame of more than")

	in.fragments = [][]byte{{}, a}
	whole := in.bytes()
	images, err = decodeAll(t, bytes.NewReader(whole[:len(whole)-8]), in.transferSyntax(), Options{})
	require.NoError(t, err, "only the delimiter is missing")
	assert.Len(t, images, 1)
	for _, n := range []int{len(whole) - 6, len(whole) - 20, len(whole) - len(a)} {
		_, err = decodeAll(t, bytes.NewReader(whole[:n]), in.transferSyntax(), Options{})
		require.ErrorIs(t, err, ErrCorrupt, "cut at %d", n)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

// Where codestreams do not show, the table says which fragments are a frame.
func TestFragments_tableOfUnknownStreams(t *testing.T) {
	for _, row := range []struct {
		name  string
		table []byte
		want  []string
	}{
		{"table", table32(0, 20), []string{"aabb", "cc"}},
		{"no table", nil, []string{"aa", "bb", "cc"}},
	} {
		in := instance{syntax: dicom.RLELossless, fragments: [][]byte{row.table, []byte("aa"), []byte("bb"), []byte("cc")}}
		reader := dicom.NewReader(bytes.NewReader(in.bytes()), in.transferSyntax())
		attributes, _, err := reader.Attributes()
		require.NoError(t, err)
		f, err := newFragments(reader, attributes, pixels{rows: 1, columns: 1, samples: 1, allocated: 8, frames: len(row.want)}, dicom.TransferSyntax{}, Survey{})
		require.NoError(t, err)
		for _, want := range row.want {
			got, err := f.next()
			require.NoError(t, err)
			assert.Equal(t, want, string(got), row.name)
		}
		_, err = f.next()
		assert.ErrorIs(t, err, ErrCorrupt)
	}
}
