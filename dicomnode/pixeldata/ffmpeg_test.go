package pixeldata

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	htj2k = "1.2.840.10008.1.2.4.201"
	jxl   = "1.2.840.10008.1.2.4.110"
)

// codestream is a 64 x 48 picture of testdata/codestream.
func codestream(t testing.TB, file string, syntax dicom.UID, samples, bits int) instance {
	data, err := os.ReadFile(filepath.Join("testdata/codestream", file))
	require.NoError(t, err)
	in := instance{
		syntax: syntax, rows: 48, columns: 64, samples: samples, photometric: "MONOCHROME2",
		allocated: 16, stored: bits, high: bits - 1, fragments: [][]byte{{}, data},
	}
	if samples == 3 {
		in.photometric, in.planar, in.allocated, in.stored, in.high = "RGB", "0", 8, 8, 7
	}
	return in
}

func TestFrames_highThroughputAndXL(t *testing.T) {
	installed.Require(t, "ffmpeg")
	for _, row := range []struct {
		name string
		in   instance
		want func(x, y int) [3]int
	}{
		{"HTJ2K", codestream(t, "rgb.htj2k", htj2k, 3, 8), func(x, y int) [3]int { return [3]int{4 * x, 5 * y, x * y & 255} }},
		{"JPEG XL", codestream(t, "rgb.jxl", jxl, 3, 8), func(x, y int) [3]int { return [3]int{4 * x, 5 * y, x * y & 255} }},
		{"JPEG XL, grey of 16 bits", codestream(t, "gray16.jxl", jxl, 1, 16), func(x, y int) [3]int {
			v := ((60*x+5*y)*16*255 + 65535/2) / 65535
			return [3]int{v, v, v}
		}},
		{"HTJ2K, grey of 12 bits", codestream(t, "gray12.htj2k", htj2k, 1, 12), func(x, y int) [3]int {
			v := ((60*x+5*y)*255 + 4095/2) / 4095
			return [3]int{v, v, v}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			images, err := row.in.decode(t, Options{})
			if row.in.syntax == htj2k && row.in.stored > 8 && beforeFFmpeg61(t) {
				require.ErrorIs(t, err, ErrUnsupported)
				require.ErrorContains(t, err, "ffmpeg 6.1")
				return
			}
			require.NoError(t, err)
			for y := range 48 {
				for x := range 64 {
					p, want := images[0].RGBAAt(x, y), row.want(x, y)
					require.Equal(t, want, [3]int{int(p.R), int(p.G), int(p.B)}, "%d,%d", x, y)
				}
			}
		})
	}
}

// beforeFFmpeg61 tells by libavcodec, whose versions every build of ffmpeg states alike.
func beforeFFmpeg61(t testing.TB) bool {
	out, err := exec.Command("ffmpeg", "-version").Output()
	require.NoError(t, err)
	v := regexp.MustCompile(`libavcodec +(\d+)\. *(\d+)`).FindSubmatch(out)
	require.NotNil(t, v, string(out))
	major, _ := strconv.Atoi(string(v[1]))
	minor, _ := strconv.Atoi(string(v[2]))
	return major < 60 || major == 60 && minor < 31
}

// program writes a shell script that stands for an ffmpeg.
func program(t testing.TB, script string) Options {
	file := filepath.Join(t.TempDir(), "ffmpeg")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755))
	return Options{FFmpeg: file, Timeout: 2 * time.Minute}
}

func TestFrames_ffmpegFails(t *testing.T) {
	in := codestream(t, "rgb.htj2k", htj2k, 3, 8)
	drain := "/bin/cat >/dev/null\n"
	for _, row := range []struct {
		name    string
		options Options
		want    error
		says    string
	}{
		{"not installed", Options{FFmpeg: filepath.Join(t.TempDir(), "none")}, ErrNoDecoder, "needs ffmpeg, which is not installed"},
		{"without the decoder", program(t, drain+"echo \"Unknown decoder 'libopenjpeg'\" >&2; exit 1"), ErrNoDecoder, "libopenjpeg decoder"},
		{"exits 1", program(t, drain+"echo first >&2; echo 'no such thing' >&2; exit 1"), ErrCorrupt, "no such thing"},
		{"too few pixels", program(t, drain+"echo pixels"), ErrCorrupt, "7 bytes of 9216"},
		{"too many pixels", program(t, "/usr/bin/head -c 100000000 /dev/zero"), ErrCorrupt, "9217 bytes of 9216"},
		{"garbage out of HTJ2K", program(t, drain+"/usr/bin/head -c 9216 /dev/zero; echo unsupported marker 0xFF50 >&2"), ErrNoDecoder, "ffmpeg 6.1"},
		{"never reads", program(t, "exit 1"), ErrCorrupt, "0 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := in.decode(t, row.options)
			require.ErrorIs(t, err, row.want)
			assert.Contains(t, err.Error(), row.says)
		})
	}
}

// TestFrames_ffmpegKilled: what the kernel does where memory is short is no fault of the frame, and may pass.
func TestFrames_ffmpegKilled(t *testing.T) {
	in := codestream(t, "rgb.htj2k", htj2k, 3, 8)
	_, err := in.decode(t, program(t, "/bin/cat >/dev/null; kill -9 $$"))
	require.ErrorContains(t, err, "ended by a signal (killed), as by the kernel where memory is short")
	assert.NotErrorIs(t, err, ErrCorrupt)
	var frame *FrameError
	assert.NotErrorAs(t, err, &frame, "it is tried again as a whole")

	_, err = in.decode(t, program(t, "/bin/cat >/dev/null; kill -11 $$"))
	require.ErrorIs(t, err, ErrCorrupt, "it breaks down each time")
}

// A hanging ffmpeg is killed; that is the machine's fault, not the instance's.
func TestFrames_ffmpegHangs(t *testing.T) {
	in := codestream(t, "rgb.htj2k", htj2k, 3, 8)
	o := program(t, "exec /bin/sleep 1000")
	o.Timeout = 50 * time.Millisecond
	_, err := in.decode(t, o)
	require.Error(t, err)
	assert.NotErrorIs(t, err, ErrCorrupt)
	assert.NotErrorIs(t, err, ErrUnsupported)
	assert.Contains(t, err.Error(), "no frame within 50ms")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range Frames(ctx, bytes.NewReader(in.bytes()), in.transferSyntax(), o) {
		assert.ErrorIs(t, err, context.Canceled)
	}
}

func TestInspect_refused(t *testing.T) {
	ts, _ := dicom.LookupTransferSyntax(htj2k)
	whole := codestream(t, "rgb.htj2k", htj2k, 3, 8).fragments[1]
	for n := range 60 {
		_, err := inspect(whole[:n], ts)
		assert.ErrorIs(t, err, ErrCorrupt, "cut at %d", n)
	}
	in := codestream(t, "rgb.htj2k", htj2k, 3, 8)
	in.columns = 65
	_, err := in.decode(t, Options{FFmpeg: "/nonexistent"})
	require.ErrorIs(t, err, ErrCorrupt)
	assert.Contains(t, err.Error(), "64 x 48 pixels")
}

func TestOptions_Missing(t *testing.T) {
	assert.ErrorContains(t, Options{FFmpeg: filepath.Join(t.TempDir(), "none")}.Missing(), "install ffmpeg")
	assert.NoError(t, program(t, "exit 0").Missing())
}
