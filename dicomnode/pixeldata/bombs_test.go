package pixeldata

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
)

// TestFrames_bombs: codestreams that are made to cost: each is decoded or refused, for a reason that stays, within what a frame may
// take, and none costs the next one.
func TestFrames_bombs(t *testing.T) {
	installed.Require(t, "ffmpeg")
	var plain bytes.Buffer
	gray := image.NewGray(image.Rect(0, 0, 256, 256))
	for i := range gray.Pix {
		gray.Pix[i] = byte(i * 7)
	}
	require.NoError(t, jpeg.Encode(&plain, gray, nil))
	encoded := func(args ...string) []byte {
		command := append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc=size=256x256", "-frames:v", "1"}, args...)
		out, err := exec.Command("ffmpeg", append(command, "-f", "image2pipe", "pipe:1")...).Output()
		require.NoError(t, err)
		return out
	}
	j2k := encoded("-c:v", "jpeg2000", "-format", "j2k", "-pix_fmt", "gray", "-tile_width", "8", "-tile_height", "8", "-layer_rates", "50,40,30,20,10,5,2,1")
	ls := encoded("-c:v", "jpegls", "-pix_fmt", "gray")
	// segment puts a marker segment behind the start of image.
	segment := func(data []byte, marker byte, body string) []byte {
		head := binary.BigEndian.AppendUint16([]byte{0xFF, marker}, uint16(len(body)+2))
		return bytes.Join([][]byte{data[:2], head, []byte(body), data[2:]}, nil)
	}
	sof := func(marker byte) []byte {
		return bytes.Replace(plain.Bytes(), []byte("\xff\xc0"), []byte{0xFF, marker}, 1)
	}
	// siz changes the 32-bit words of a JPEG 2000 image size (T.800 A.5.1): 0 and 1 the image, 4 and 5 a tile.
	siz := func(words map[int]uint32) []byte {
		b := bytes.Clone(j2k)
		at := bytes.Index(b, []byte("\xff\x51")) + 6
		for i, v := range words {
			binary.BigEndian.PutUint32(b[at+4*i:], v)
		}
		return b
	}
	const baseline, lossless, jpegLS, jpeg2000, highThroughput = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"
	for _, row := range []struct {
		name         string
		syntax       dicom.UID
		rows, column int
		data         []byte
	}{
		{"arithmetic coding", baseline, 256, 256, sof(0xC9)},
		{"progressive with arithmetic coding", baseline, 256, 256, sof(0xCA)},
		{"arithmetic coding, called lossless", lossless, 256, 256, sof(0xCB)},
		{"hierarchical", baseline, 256, 256, sof(0xC5)},
		{"a restart in every block", baseline, 256, 256, segment(plain.Bytes(), 0xDD, "\x00\x01")},
		{"nothing but restarts", baseline, 256, 256, append(segment(plain.Bytes()[:len(plain.Bytes())-2], 0xDD, "\x00\x01"), bytes.Repeat([]byte("\xff\xd0"), 1<<20)...)},
		{"fill bytes", baseline, 256, 256, append([]byte("\xff\xd8"), append(bytes.Repeat([]byte{0xFF}, 2<<20), plain.Bytes()[2:]...)...)},
		{"a thousand profiles and words", baseline, 256, 256, func() []byte {
			b := plain.Bytes()
			for range 20 {
				b = segment(segment(b, 0xE2, "ICC_PROFILE\x00"+string(make([]byte, 60_000))), 0xE1, "Exif\x00\x00"+string(make([]byte, 60_000)))
			}
			return b
		}()},
		{"a video's bytes", baseline, 256, 256, append([]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), make([]byte, 1<<20)...)},
		{"a list of files", lossless, 256, 256, []byte("\xff\xd8concat:file:///etc/passwd|file:///etc/passwd\n#EXTM3U\n/etc/passwd\n")},
		{"tiles and layers", jpeg2000, 256, 256, j2k},
		{"a tile for every pixel", jpeg2000, 256, 256, siz(map[int]uint32{4: 1, 5: 1})},
		{"a tile for each of 67 million pixels", jpeg2000, 8192, 8192, siz(map[int]uint32{0: 8192, 1: 8192, 4: 1, 5: 1})},
		{"no tile", jpeg2000, 256, 256, siz(map[int]uint32{4: 0, 5: 0})},
		{"a tile of four thousand million", jpeg2000, 256, 256, siz(map[int]uint32{4: 1<<32 - 1, 5: 1<<32 - 1})},
		{"JPEG 2000 that says it is HTJ2K", highThroughput, 256, 256, j2k},
		{"JPEG-LS", jpegLS, 256, 256, ls},
		{"JPEG-LS of runs without end", jpegLS, 8192, 8192, func() []byte {
			b := bytes.Clone(ls)
			at := bytes.Index(b, []byte("\xff\xf7")) + 5
			binary.BigEndian.PutUint16(b[at:], 8192)
			binary.BigEndian.PutUint16(b[at+2:], 8192)
			return append(b[:len(b)-2], bytes.Repeat([]byte{0x7F}, 1<<20)...)
		}()},
		{"JPEG-LS with a near of all", jpegLS, 256, 256, bytes.Replace(ls, []byte("\xff\xda\x00\x08\x01\x01\x00\x00"), []byte("\xff\xda\x00\x08\x01\x01\x00\xff"), 1)},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := grey(row.column, row.rows, row.data)
			in.syntax = row.syntax
			o := Options{Bounds: Bounds{CPU: 3 * time.Second, Memory: 400 << 20}, Timeout: 2 * time.Minute}
			_, err := in.decode(t, o)
			for _, stays := range []error{ErrCorrupt, ErrUnsupported, ErrTooMuch} {
				if errors.Is(err, stays) {
					return
				}
			}
			require.NoError(t, err)
		})
	}

	// A stop is taken at once, whatever a child does.
	ctx, cancel := context.WithCancel(t.Context())
	busy := program(t, "/bin/cat >/dev/null\nwhile :; do :; done")
	in := grey(256, 256, j2k)
	in.syntax = jpeg2000
	time.AfterFunc(100*time.Millisecond, cancel)
	for _, err := range Frames(ctx, bytes.NewReader(in.bytes()), in.transferSyntax(), busy) {
		assert.ErrorIs(t, err, context.Canceled)
	}
}
