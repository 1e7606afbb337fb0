package pixeldata

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// frameAlone decodes frame n of in, through a reader that can seek or through one that cannot.
func frameAlone(t testing.TB, in instance, n int, seeking bool, o Options) (Frame, error) {
	t.Helper()
	var i *Instance
	var err error
	if seeking {
		i, err = OpenSeekable(bytes.NewReader(in.bytes()), in.transferSyntax(), o)
	} else {
		i, err = Open(bytes.NewReader(in.bytes()), in.transferSyntax(), o)
	}
	if err != nil {
		return Frame{}, err
	}
	return i.Frame(t.Context(), n)
}

// Frame n is the n-th of Frames, and those before it are not decoded: they may be broken.
func TestFrame_alone(t *testing.T) {
	gray := instance{rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME2", allocated: 8, frames: 3}
	native, odd, words, jpeg, rle := gray, gray, gray, gray, gray
	native.pixels = bytes.Repeat([]byte{7}, 3*256)
	odd.rows, odd.columns, odd.pixels = 3, 3, []byte("aaaaaaaaabbbbbbbbbccccccccc\x00")
	words = odd
	words.syntax, words.pixels = dicom.ExplicitVRBigEndian, swapped(odd.pixels)
	broken := append([]byte("\xff\xd8\xff\xc0"), make([]byte, 400)...)
	second := shade(t, 120)
	half := len(second) / 2 &^ 1
	jpeg.syntax = dicom.JPEGBaseline8Bit
	jpeg.fragments = [][]byte{{}, broken, second[:half], second[half:], shade(t, 230)}
	rle.syntax = dicom.RLELossless
	rle.fragments = [][]byte{{}, make([]byte, 70), encodeRLE(bytes.Repeat([]byte{9}, 256), 1, 1), encodeRLE(make([]byte, 256), 1, 1)}
	table := rle
	offsets := table32(0, 78, 78+16+len(rle.fragments[2]))
	table.fragments = [][]byte{offsets, make([]byte, 70), rle.fragments[2][:32], rle.fragments[2][32:], rle.fragments[3]}
	for _, row := range []struct {
		name  string
		in    instance
		n     int
		level byte
	}{
		{"native", native, 3, 7},
		{"native, odd", odd, 3, 'c'},
		{"native, words", words, 2, 'b'},
		{"JPEG in two fragments", jpeg, 2, 120},
		{"JPEG", jpeg, 3, 230},
		{"RLE", rle, 2, 9},
		{"RLE", rle, 3, 0},
		{"RLE by table", table, 2, 9},
		{"RLE by table", table, 3, 0},
	} {
		for _, seeking := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %d, seeking %v", row.name, row.n, seeking), func(t *testing.T) {
				f, err := frameAlone(t, row.in, row.n, seeking, Options{})
				require.NoError(t, err)
				assert.Equal(t, row.n, f.Number)
				assert.InDelta(t, row.level, f.Image.RGBAAt(2, 2).R, 1)
				for _, n := range []int{0, 4} {
					_, err = frameAlone(t, row.in, n, seeking, Options{})
					assert.ErrorIs(t, err, ErrNoFrame)
				}
			})
		}
	}
	_, err := frameAlone(t, jpeg, 1, true, Options{})
	assert.ErrorIs(t, err, ErrCorrupt, "the first frame is broken")
}

func swapped(b []byte) []byte {
	out := bytes.Clone(b)
	for i := 0; i+1 < len(out); i += 2 {
		out[i], out[i+1] = out[i+1], out[i]
	}
	return out
}

// A decoder that says how often it was called: one frame is one call, wherever it stands.
func TestFrame_decodesOnce(t *testing.T) {
	dir := t.TempDir()
	calls, ffmpeg := filepath.Join(dir, "calls"), filepath.Join(dir, "ffmpeg")
	script := fmt.Sprintf("#!/bin/sh\ncat >/dev/null\necho call >>%s\nhead -c %d /dev/zero\n", calls, 2*16*16)
	require.NoError(t, os.WriteFile(ffmpeg, []byte(script), 0o755))
	stream := "\xff\xd8\xff\xf7\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00\xff\xd9\x00"
	in := instance{
		syntax: "1.2.840.10008.1.2.4.80", rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME2",
		allocated: 8, frames: 50, fragments: [][]byte{{}},
	}
	for range in.frames {
		in.fragments = append(in.fragments, []byte(stream))
	}
	for i, n := range []int{50, 1, 33} {
		_, err := frameAlone(t, in, n, true, Options{FFmpeg: ffmpeg})
		require.NoError(t, err)
		log, err := os.ReadFile(calls)
		require.NoError(t, err)
		assert.Equal(t, i+1, strings.Count(string(log), "call"))
	}
}

// Where the source can seek, frames that nobody asked for are not read.
func TestFrame_readsLittle(t *testing.T) {
	in := instance{rows: 100, columns: 100, samples: 1, photometric: "MONOCHROME2", allocated: 8, frames: 100, pixels: make([]byte, 1e6)}
	jpeg := in
	jpeg.syntax, jpeg.fragments = dicom.JPEGBaseline8Bit, [][]byte{{}}
	for range jpeg.frames - 1 {
		jpeg.fragments = append(jpeg.fragments, append([]byte("\xff\xd8\xff\xe0"), make([]byte, 20_000)...))
	}
	jpeg.fragments = append(jpeg.fragments, shade(t, 1))
	jpeg.rows, jpeg.columns = 16, 16
	for _, row := range []struct {
		in   instance
		most int
	}{{in, 20_000}, {jpeg, 100*4096 + 20_000}} {
		source := &counted{ReadSeeker: bytes.NewReader(row.in.bytes())}
		i, err := OpenSeekable(source, row.in.transferSyntax(), Options{})
		require.NoError(t, err)
		_, err = i.Frame(t.Context(), row.in.frames)
		require.NoError(t, err)
		assert.Less(t, source.n, row.most)
	}
}

type counted struct {
	io.ReadSeeker
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.n += n
	return n, err
}

// A source that ends before the frame is corrupt, though seeking beyond its end is no fault.
func TestFrame_cut(t *testing.T) {
	in := instance{rows: 100, columns: 100, samples: 1, photometric: "MONOCHROME2", allocated: 8, frames: 10, pixels: make([]byte, 1e5)}
	whole := in.bytes()
	for _, left := range []int{95_000, 50_000, 5000} {
		source := bytes.NewReader(whole[:len(whole)-100_000+left])
		i, err := OpenSeekable(source, in.transferSyntax(), Options{})
		require.NoError(t, err)
		_, err = i.Frame(t.Context(), 10)
		require.ErrorIs(t, err, ErrCorrupt)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}
