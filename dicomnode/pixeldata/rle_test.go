package pixeldata

import (
	"bytes"
	"encoding/binary"
	"testing"

	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// packRLE is an encoder of PS3.5 G.3.1 for the tests: runs of two or more are replicated.
func packRLE(plane []byte) []byte {
	var out []byte
	for len(plane) > 0 {
		run := 1
		for run < len(plane) && run < 128 && plane[run] == plane[0] {
			run++
		}
		if run > 1 {
			out = append(out, byte(1-run), plane[0])
			plane = plane[run:]
			continue
		}
		n := 1
		for n < len(plane) && n < 128 && (n+1 >= len(plane) || plane[n] != plane[n+1]) {
			n++
		}
		out = append(append(out, byte(n-1)), plane[:n]...)
		plane = plane[n:]
	}
	if len(out)%2 == 1 {
		out = append(out, 0)
	}
	return out
}

// encodeRLE is a frame of samples by pixel, Little Endian.
func encodeRLE(raw []byte, segments, bytesPerSample int) []byte {
	header := binary.LittleEndian.AppendUint32(nil, uint32(segments))
	var body []byte
	for s := range segments {
		header = binary.LittleEndian.AppendUint32(header, uint32(rleHeader+len(body)))
		var plane []byte
		for i := s/bytesPerSample*bytesPerSample + bytesPerSample - 1 - s%bytesPerSample; i < len(raw); i += segments {
			plane = append(plane, raw[i])
		}
		body = append(body, packRLE(plane)...)
	}
	return append(append(header, make([]byte, rleHeader-len(header))...), body...)
}

func TestDecodeRLE_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples, size := rapid.SampledFrom([]int{1, 3}).Draw(t, "samples"), rapid.SampledFrom([]int{1, 2}).Draw(t, "bytes")
		n := rapid.IntRange(1, 150).Draw(t, "pixels")
		raw := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 128, 255}), n*samples*size, n*samples*size).Draw(t, "raw")
		got, err := decodeRLE(leisure, encodeRLE(raw, samples*size, size), n, samples, size)
		require.NoError(t, err)
		require.Equal(t, raw, got)
	})
}

func TestUnpackRLE(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"literal", "\x02abc", "abc"},
		{"run", "\xfea", "aaa"},
		{"nothing to do", "\x80\x00a", "a"},
		{"both", "\xffa\x01bc", "aabc"},
		{"run beyond the plane", "\x81a", "aaaaaaaa"},
		{"literal beyond the plane", "\x0fabcdefghijklmnop", "abcdefgh"},
		{"literal cut", "\x05ab", "ab"},
		{"header alone", "\x05", ""},
	} {
		out := make([]byte, 8)
		n, err := unpackRLE(leisure, out, 1, 8, []byte(row.in))
		require.NoError(t, err)
		assert.Equal(t, row.want, string(out[:n]), row.name)
	}
}

func TestDecodeRLE_refused(t *testing.T) {
	good := encodeRLE(bytes.Repeat([]byte{1, 2, 3}, 16), 3, 1)
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, in := range map[string][]byte{
		"short header":          good[:63],
		"no segments":           change(func(b []byte) []byte { b[0] = 0; return b }),
		"too many segments":     change(func(b []byte) []byte { b[0] = 15; return b }),
		"offset in the header":  change(func(b []byte) []byte { b[4] = 8; return b }),
		"offset after the end":  change(func(b []byte) []byte { b[9] = 0xFF; return b }),
		"offsets that go back":  change(func(b []byte) []byte { b[8] = 64; b[12] = 64; b[4] = 80; return b }),
		"segment ends too soon": good[:len(good)-2],
	} {
		_, err := decodeRLE(leisure, in, 16, 3, 1)
		assert.ErrorIs(t, err, ErrCorrupt, name)
	}
}

func TestFrames_rleWithoutTable(t *testing.T) {
	in := instance{syntax: dicom.RLELossless, rows: 1, columns: 2, samples: 3, photometric: "YBR_FULL", allocated: 8, frames: 2}
	in.fragments = [][]byte{{}, encodeRLE([]byte{76, 85, 255, 149, 43, 21}, 3, 1), encodeRLE([]byte{9, 128, 128, 7, 128, 128}, 3, 1)}
	images, err := in.decode(t, Options{})
	require.NoError(t, err)
	require.Len(t, images, 2)
	assert.Equal(t, []byte{254, 0, 0, 0, 255, 0}, colors(images[0]))
	assert.Equal(t, []byte{9, 9, 9, 7, 7, 7}, colors(images[1]))
}
