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

	"endogate/cmd/endogate/installed"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		{"pixels", grey(640, 480, plain.Bytes()), Bounds{Pixels: 640*480 - 1}, "640 x 480 pixels"},
		{"memory", grey(640, 480, plain.Bytes()), Bounds{Memory: 1 << 20}, "1 MiB of memory"},
		{"a few scans", grey(64, 64, scanBomb(64, 64, 20)), Bounds{}, ""},
		{"scans", grey(8192, 4096, scanBomb(8192, 4096, 60_000)), Bounds{}, "60001 scans"},
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
