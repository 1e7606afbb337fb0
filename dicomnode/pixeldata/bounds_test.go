package pixeldata

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
)

// scanBomb is a grey progressive JPEG: one DC scan of zeros, then AC scans that say "end of band" for all blocks.
func scanBomb(width, height, scans int) []byte {
	b := append([]byte("\xff\xd8\xff\xdb\x00\x43\x00"), bytes.Repeat([]byte{1}, 64)...)
	b = append(b, 0xFF, 0xC2, 0, 11, 8)
	b = binary.BigEndian.AppendUint16(b, uint16(height))
	b = binary.BigEndian.AppendUint16(b, uint16(width))
	b = append(b, 1, 1, 0x11, 0)
	for _, table := range []string{"\x00\x01" + strings.Repeat("\x00", 16), "\x10\x01" + strings.Repeat("\x00", 15) + "\xe0"} {
		b = append(append(b, 0xFF, 0xC4, 0, 20), table...)
	}
	blocks := (width + 7) / 8 * ((height + 7) / 8)
	b = append(b, "\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00"...)
	b = append(b, make([]byte, (blocks+7)/8+2)...)
	bits := strings.Repeat("0"+strings.Repeat("1", 14), (blocks+32766)/32767+1)
	var ac []byte
	for bits += strings.Repeat("1", 7-(len(bits)-1)%8); bits != ""; bits = bits[8:] {
		v := byte(0)
		for _, bit := range bits[:8] {
			v = v<<1 | byte(bit-'0')
		}
		if ac = append(ac, v); v == 0xFF {
			ac = append(ac, 0)
		}
	}
	scan := append([]byte("\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"), ac...)
	return append(append(b, bytes.Repeat(scan, scans)...), 0xFF, 0xD9)
}

func grey(columns, rows int, data []byte) instance {
	return instance{
		syntax: "1.2.840.10008.1.2.4.50", rows: rows, columns: columns, samples: 1, photometric: "MONOCHROME2",
		allocated: 8, stored: 8, high: 7, fragments: [][]byte{{}, data},
	}
}

// What a frame costs beyond its bounds is refused, and found out early.
func TestFrames_bounds(t *testing.T) {
	var plain bytes.Buffer
	require.NoError(t, jpeg.Encode(&plain, image.NewGray(image.Rect(0, 0, 640, 480)), nil))
	for _, row := range []struct {
		name   string
		in     instance
		bounds Bounds
		says   string // "": it is decoded
	}{
		{"a plain one", grey(640, 480, plain.Bytes()), Bounds{}, ""},
		{"pixels", grey(640, 480, plain.Bytes()), Bounds{Pixels: 640*480 - 1}, "640 x 480, more than 307199 pixels"},
		{"memory", grey(640, 480, plain.Bytes()), Bounds{Memory: 1 << 20}, "more than 1 MiB of memory"},
		{"a few scans", grey(64, 64, scanBomb(64, 64, 20)), Bounds{}, ""},
		{"scans", grey(8192, 4096, scanBomb(8192, 4096, 60_000)), Bounds{}, "60001 scans, more than 100 scans"},
		{"progressive and large", grey(8192, 8192, scanBomb(8192, 8192, 3)), Bounds{}, "MiB of memory"},
		{"CPU", grey(8192, 4096, scanBomb(8192, 4096, 60_000)), Bounds{Scans: 1 << 20, CPU: 100 * time.Millisecond}, "100ms of CPU time"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := row.in.decode(t, Options{Bounds: row.bounds})
			if row.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrTooMuch)
			assert.NotErrorIs(t, err, ErrCorrupt)
			assert.ErrorContains(t, err, row.says)
			assert.False(t, row.bounds.Other(err.Error()), "by the same bounds")
			assert.True(t, Bounds{Pixels: 7, Scans: 7, CPU: 7, Memory: 7 << 20}.Other(err.Error()), "by other ones")
		})
	}
}

// A decoder in this process ends when it is told to.
func TestFrames_stopsAmidJPEG(t *testing.T) {
	in := grey(8192, 4096, scanBomb(8192, 4096, 60_000))
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	for _, err := range Frames(ctx, bytes.NewReader(in.bytes()), in.transferSyntax(), Options{Bounds: Bounds{Scans: 1 << 20, CPU: time.Hour}}) {
		require.ErrorIs(t, err, stop)
	}
}

// A child is ended by the kernel where it takes more than it may.
func TestFrames_childIsConfined(t *testing.T) {
	in := codestream(t, "rgb.htj2k", htj2k, 3, 8)
	drain := "/bin/cat >/dev/null\n"
	busy := program(t, drain+"while :; do :; done")
	busy.Bounds.CPU = time.Second
	_, err := in.decode(t, busy)
	require.ErrorIs(t, err, ErrTooMuch)
	assert.ErrorContains(t, err, "1s of CPU time")

	limits := program(t, drain+"ulimit -a >&2; ulimit -d >&2; exit 1")
	limits.Bounds.Memory = 64 << 20
	_, err = in.decode(t, limits)
	require.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "65536", "KiB of data")
}

// The memory that ffmpeg itself asks for is bounded.
func TestFrames_ffmpegMemory(t *testing.T) {
	installed.Require(t, "ffmpeg")
	large, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=2048x2048", "-frames:v", "1",
		"-c:v", "jpeg2000", "-format", "j2k", "-pix_fmt", "rgb24", "-f", "image2pipe", "pipe:1").Output()
	require.NoError(t, err)
	in := codestream(t, "rgb.htj2k", "1.2.840.10008.1.2.4.90", 3, 8)
	in.rows, in.columns, in.fragments = 2048, 2048, [][]byte{{}, large}
	_, err = in.decode(t, Options{Bounds: Bounds{Memory: 64 << 20}})
	require.ErrorContains(t, err, "more than 64 MiB of memory")
	_, err = in.decode(t, Options{})
	require.NoError(t, err)
}

// leisure is the pace of who has all the time there is.
var leisure = pace{context.Background(), func() time.Duration { return 0 }, time.Hour}

// runs is an RLE segment (PS3.5 G.3) for n bytes in the longest runs that there are, behind as much that says nothing.
func runs(n int) []byte {
	return append(bytes.Repeat([]byte{0x80}, n/64), bytes.Repeat([]byte{0x81, 7}, n/128+1)...)
}

// segmented is an RLE frame of the segments.
func segmented(segments ...[]byte) []byte {
	header := binary.LittleEndian.AppendUint32(nil, uint32(len(segments)))
	at := rleHeader
	for _, s := range segments {
		header = binary.LittleEndian.AppendUint32(header, uint32(at))
		at += len(s)
	}
	return append(append(header, make([]byte, rleHeader-len(header))...), bytes.Join(segments, nil)...)
}

// large are frames of every kind that this process decodes, large and slow for what they are.
func large(pixels int) map[string]instance {
	columns := 1000
	rows := pixels / columns
	of := func(samples, allocated int, photometric string) instance {
		return instance{rows: rows, columns: columns, samples: samples, photometric: photometric, allocated: allocated, stored: allocated, high: allocated - 1}
	}
	native := func(in instance) instance {
		n := rows * columns * in.samples * in.allocated / 8
		if in.photometric == "YBR_FULL_422" {
			n = rows * columns * 2
		}
		in.pixels = make([]byte, n)
		return in
	}
	rle := func(in instance) instance {
		in.syntax = dicom.RLELossless
		var segments [][]byte
		for range in.samples * in.allocated / 8 {
			segments = append(segments, runs(rows*columns))
		}
		in.fragments = [][]byte{{}, segmented(segments...)}
		return in
	}
	palette := of(1, 16, "PALETTE COLOR")
	for _, t := range []dicom.Tag{dicom.RedPaletteColorLookupTableDescriptor, dicom.GreenPaletteColorLookupTableDescriptor, dicom.BluePaletteColorLookupTableDescriptor} {
		palette.extra = append(palette.extra, element{t, "US", palette.us(0, 0, 16)})
	}
	for _, t := range []dicom.Tag{dicom.RedPaletteColorLookupTableData, dicom.GreenPaletteColorLookupTableData, dicom.BluePaletteColorLookupTableData} {
		palette.extra = append(palette.extra, element{t, "OW", make([]byte, 2<<16-2)})
	}
	bigEndian, words := native(of(3, 16, "RGB")), native(of(1, 8, "MONOCHROME2"))
	bigEndian.syntax, words.syntax = dicom.ExplicitVRBigEndian, dicom.ExplicitVRBigEndian
	return map[string]instance{
		"grey": native(of(1, 8, "MONOCHROME2")), "grey of 16 bits": native(of(1, 16, "MONOCHROME1")),
		"colour": native(of(3, 8, "RGB")), "colour of 16 bits": native(of(3, 16, "YBR_FULL")), "shared colour": native(of(3, 8, "YBR_FULL_422")),
		"big endian": bigEndian, "bytes in words": words,
		"RLE": rle(of(1, 8, "MONOCHROME2")), "RLE of six segments": rle(of(3, 16, "RGB")),
	}
}

// TestFrames_pace: whatever this process decodes asks whether it may go on, as often as it has work: a frame ends amid its
// pixels, its segments and its colours, with the stop's reason or as one that is beyond its bounds.
func TestFrames_pace(t *testing.T) {
	pixels := 20 * band
	for name, in := range large(pixels) {
		t.Run(name, func(t *testing.T) {
			content := in.bytes()
			stop := errors.New("stop")
			// next decodes the frame; at its last-th question it is told no, by the time that it has used or by ctx.
			next := func(last int, byTime bool) (asked int, err error) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				i, err := Open(bytes.NewReader(content), in.transferSyntax(), Options{})
				require.NoError(t, err)
				d, err := i.decoder()
				require.NoError(t, err)
				_, err = d.next(pace{ctx, func() time.Duration {
					asked++
					switch {
					case asked == last && byTime:
						return time.Hour
					case asked == last:
						cancel(stop) // it is seen at the next question
					}
					return 0
				}, time.Minute})
				return asked, err
			}
			all, err := next(0, false)
			require.NoError(t, err)
			work := pixels + len(in.pixels)
			if in.pixels == nil {
				work += pixels * in.samples * in.allocated / 8
			}
			if in.samples == 3 && in.allocated == 16 {
				work += 3 * pixels
			}
			require.GreaterOrEqual(t, all, work/band*9/10, "questions")
			for _, last := range []int{1, all / 3, all / 2, all - 1} {
				asked, err := next(last, true)
				require.ErrorIs(t, err, ErrTooMuch)
				require.NotErrorIs(t, err, ErrCorrupt)
				require.Equal(t, last, asked)
				asked, err = next(last, false)
				require.ErrorIs(t, err, stop)
				require.Equal(t, last, asked)
			}
		})
	}
}

// A frame of the most pixels that are allowed, of every kind, is decoded within its time or refused, and a stop amid it is taken.
func TestFrames_largest(t *testing.T) {
	for name, in := range large(installed.Scaled(4_000_000, 100_000_000)) {
		content := in.bytes()
		for _, stopped := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			if stopped {
				time.AfterFunc(time.Millisecond, cancel)
			}
			for _, err := range Frames(ctx, bytes.NewReader(content), in.transferSyntax(), Options{}) {
				if err != nil && !errors.Is(err, context.Canceled) {
					require.ErrorIs(t, err, ErrTooMuch, name)
				}
			}
			cancel()
		}
	}
}

// Segments that hold too little or more than a frame can have are refused; those that say nothing for long end.
func TestFrames_rleBombs(t *testing.T) {
	in := large(1_000_000)["RLE"]
	nothing := bytes.Repeat([]byte{0x80}, 2<<20)
	for name, frame := range map[string][]byte{
		"fifteen segments": segmented(bytes.Split(bytes.Repeat(append(runs(1<<16), '|'), 15)[:15*(len(runs(1<<16))+1)-1], []byte("|"))...),
		"nothing":          segmented(nothing),
		"the same bytes for all segments": func() []byte {
			b := segmented(runs(1000), runs(1000), runs(1000))
			copy(b[8:], b[4:8])
			return b
		}(),
	} {
		in.fragments = [][]byte{{}, frame}
		_, err := in.decode(t, Options{})
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
	asked := 0
	_, err := decodeRLE(pace{t.Context(), func() time.Duration { asked++; return time.Duration(asked) }, 3}, segmented(nothing), 1_000_000, 1, 1)
	require.ErrorIs(t, err, ErrTooLong)
	require.Equal(t, 4, asked)
}
