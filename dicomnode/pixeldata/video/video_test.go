package video_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	mpeg2 = "1.2.840.10008.1.2.4.100"
	h264  = "1.2.840.10008.1.2.4.102"
	hevc  = "1.2.840.10008.1.2.4.107"
)

// instance opens a video of what dicomtest.Video builds.
func instance(t testing.TB, syntax string, o dicomtest.Options, stream []byte, fragments int) *pixeldata.Instance {
	o.TransferSyntax = dicom.UID(syntax)
	ds, _ := dicomtest.Video(o, stream, fragments)
	return opened(t, syntax, ds)
}

func opened(t testing.TB, syntax string, ds []byte) *pixeldata.Instance {
	ts, ok := dicom.LookupTransferSyntax(dicom.UID(syntax))
	require.True(t, ok)
	i, err := pixeldata.Open(bytes.NewReader(ds), ts, pixeldata.Options{Scratch: t.TempDir()})
	require.NoError(t, err)
	return i
}

func open(t testing.TB, i *pixeldata.Instance) *video.Clip {
	c, err := video.Open(t.Context(), i)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// levels are the frames that came, each with its grey, and the numbers of those that did not.
func levels(t testing.TB, c *video.Clip, numbers ...int) (came map[int]int, lost []int) {
	came = map[int]int{}
	for f, err := range c.Frames(t.Context(), numbers) {
		if bad := (*pixeldata.FrameError)(nil); errors.As(err, &bad) {
			lost = append(lost, bad.First)
			continue
		}
		require.NoError(t, err)
		came[f.Number] = int(f.Image.RGBAAt(32, 24).G)
	}
	return came, lost
}

func each(first, last, step int) (numbers []int) {
	for n := first; n <= last; n += step {
		numbers = append(numbers, n)
	}
	return numbers
}

// Every codec and container, with frames that are coded in another order than they are shown in: each number is its frame.
func TestClip_numbers(t *testing.T) {
	installed.Require(t, "ffmpeg")
	x264 := []string{"-c:v", "libx264", "-bf", "3", "-g", "20", "-b_strategy", "0", "-qp", "10"}
	for _, row := range []struct {
		name, syntax, ending string
		codec                []string
		fragments            int
	}{
		{"H.264, MP4", h264, "mp4", x264, 1},
		{"H.264, MP4 with its index first, fragments", h264 + ".1", "mp4", append(x264, "-movflags", "faststart"), 5},
		{"H.264, transport stream", "1.2.840.10008.1.2.4.104", "ts", x264, 3},
		{"H.264, no container", "1.2.840.10008.1.2.4.103", "h264", x264, 1},
		{"HEVC, MP4", hevc, "mp4", []string{"-c:v", "libx265", "-x265-params", "log-level=none:keyint=20:qp=8"}, 2},
		{"HEVC, no container", hevc, "hevc", []string{"-c:v", "libx265", "-x265-params", "log-level=none:keyint=20:qp=8"}, 2},
		{"MPEG-2, transport stream", mpeg2, "ts", []string{"-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "2"}, 1},
		{"MPEG-2, program stream", mpeg2, "mpg", []string{"-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "2"}, 1},
		{"MPEG-2, no container", mpeg2 + ".1", "m2v", []string{"-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "2"}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			stream := dicomtest.Stream(t, row.ending, append(dicomtest.Levels(25), append([]string{"-t", "2.8"}, row.codec...)...)...)
			i := instance(t, row.syntax, dicomtest.Options{Frames: 70}, stream, row.fragments)
			taken := open(t, i)
			for name, c := range map[string]*video.Clip{"taken": taken, "bare": bare(t, taken, i)} {
				require.Equal(t, 70, c.Count(), name)
				assert.Empty(t, c.Note(), name)
				assert.InDelta(t, 2*time.Second, c.Time(51), float64(2*time.Millisecond), name)
				for _, numbers := range [][]int{{37}, {1, 2, 3, 38, 69, 70}, {0, 37, 71, 5000}} { // of the last ones there is one
					came, lost := levels(t, c, numbers...)
					there := slices.DeleteFunc(slices.Clone(numbers), func(n int) bool { return n < 1 || n > 70 })
					assert.Equal(t, len(numbers)-len(there), len(lost), name)
					numbers = there
					for _, n := range numbers {
						assert.InDelta(t, dicomtest.Level(n), came[n], 2, "%s: frame %d of %v", name, n, numbers)
					}
				}
			}
		})
	}
}

// Times are those of the instance where it has any, however its stream is timed.
func TestClip_times(t *testing.T) {
	installed.Require(t, "ffmpeg")
	stream := dicomtest.Stream(t, "ts", append(dicomtest.Levels(10), "-frames:v", "5", "-c:v", "libx264", "-output_ts_offset", "7")...)
	uneven := dicomtest.Stream(t, "mp4", append(dicomtest.Levels(10), "-vf", "setpts=N*N/10/TB", "-vsync", "vfr", "-frames:v", "5", "-c:v", "libx264")...)
	for _, row := range []struct {
		name   string
		stream []byte
		more   dicom.Dataset
		want   []float64 // seconds
	}{
		{"of the stream, which does not begin at zero", stream, nil, []float64{0, 0.1, 0.2, 0.3, 0.4}},
		{"of the stream, which is uneven", uneven, nil, []float64{0, 0.1, 0.4, 0.9, 1.6}},
		{"Frame Time", stream, dicom.Dataset{dicom.FrameTime: dicom.Text{"40"}}, []float64{0, 0.04, 0.08, 0.12, 0.16}},
		{"Frame Time Vector", stream, dicom.Dataset{dicom.FrameTimeVector: dicom.Text{"0", "40", "10", "2.5", "100"}}, []float64{0, 0.04, 0.05, 0.0525, 0.1525}},
		{"a vector of another length", stream, dicom.Dataset{dicom.FrameTimeVector: dicom.Text{"0", "40"}, dicom.FrameTime: dicom.Text{"20"}}, []float64{0, 0.02, 0.04, 0.06, 0.08}},
		{"Cine Rate", stream, dicom.Dataset{dicom.CineRate: dicom.Ints{50}}, []float64{0, 0.02, 0.04, 0.06, 0.08}},
		{"numbers that are none", stream, dicom.Dataset{dicom.FrameTime: dicom.Text{"-3"}, dicom.CineRate: dicom.Ints{0}}, []float64{0, 0.1, 0.2, 0.3, 0.4}},
	} {
		t.Run(row.name, func(t *testing.T) {
			i := instance(t, h264, dicomtest.Options{Frames: 5, More: row.more}, row.stream, 1)
			taken := open(t, i)
			for _, c := range []*video.Clip{taken, bare(t, taken, i)} {
				for n, want := range row.want {
					assert.InDelta(t, want, c.Time(n+1).Seconds(), 0.002, "frame %d", n+1)
				}
				came, _ := levels(t, c, 1, 3, 5)
				assert.InDelta(t, dicomtest.Level(3), came[3], 6)
			}
		})
	}
}

// A video that is not what it says is opened as far as it goes, or says why it is not.
func TestClip_bad(t *testing.T) {
	installed.Require(t, "ffmpeg")
	x264 := []string{"-c:v", "libx264", "-bf", "2", "-g", "10", "-qp", "10"}
	make := func(ending string, more ...string) []byte {
		return dicomtest.Stream(t, ending, append(dicomtest.Levels(25), append(append([]string{"-frames:v", "50"}, x264...), more...)...)...)
	}
	last, first := make("mp4"), make("mp4", "-movflags", "faststart")
	spoilt := bytes.Clone(first)
	for i := len(spoilt) / 2; i < len(spoilt)/2+len(spoilt)/8; i++ {
		spoilt[i] = byte(i * 7)
	}
	encrypted := make("mp4", "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "00112233445566778899aabbccddeeff", "-encryption_kid", "00112233445566778899aabbccddeeff")
	sound := dicomtest.Stream(t, "mp4", "-f", "lavfi", "-i", "sine", "-t", "1", "-c:a", "aac")
	large := dicomtest.Stream(t, "mp4", "-f", "lavfi", "-i", "color=s=4096x4096", "-frames:v", "1", "-c:v", "mpeg4", "-strict", "-2")
	huge := dicomtest.Stream(t, "mp4", "-f", "lavfi", "-i", "color=s=10000x10000", "-frames:v", "1", "-c:v", "libx264", "-preset", "ultrafast")
	for _, row := range []struct {
		name   string
		stream []byte
		say    int
		kind   error
		words  string
		note   string
		count  int
	}{
		{name: "cut off, with its index", stream: first[:len(first)*9/10], say: 50, note: "frames, not 50", count: -1},
		{name: "cut off, and its index with it", stream: last[:len(last)/2], say: 50, kind: pixeldata.ErrCorrupt, words: "index (moov)"},
		{name: "spoilt in the middle", stream: spoilt, say: 50, count: 50},
		{name: "says more frames", stream: first, say: 90, note: "the video has 50 frames, not 90", count: 50},
		{name: "says fewer frames", stream: first, say: 20, note: "of which the 20", count: 20},
		{name: "says none", stream: first, say: 0, count: 50},
		{name: "says one", stream: first, say: 1, count: 50},
		{name: "nothing", stream: []byte{0, 0}, say: 5, kind: pixeldata.ErrCorrupt, words: "do not begin as a video does, but with zeros"},
		{name: "a picture", stream: []byte("\xff\xd8\xff\xe0 JPEG"), say: 5, kind: pixeldata.ErrCorrupt, words: "but as a JPEG stream; the transfer syntax says H.264"},
		{name: "a list of files", stream: []byte("#EXTM3U\n/etc/passwd\n"), say: 5, kind: pixeldata.ErrCorrupt, words: "do not begin as a video does, but as nothing that is known"},
		{name: "an AVI file", stream: make("avi"), say: 50, kind: pixeldata.ErrCorrupt, words: "as an AVI file"},
		{name: "a Matroska file", stream: make("mkv"), say: 50, kind: pixeldata.ErrCorrupt, words: "as a Matroska or WebM file"},
		{name: "a container and no frame", stream: first[:40], say: 5, kind: pixeldata.ErrCorrupt, words: "cannot be read"},
		{name: "sound alone", stream: sound, say: 5, kind: pixeldata.ErrCorrupt, words: "sound alone"},
		{name: "encrypted", stream: encrypted, say: 50, kind: pixeldata.ErrUnsupported, words: "encrypted"},
		{name: "of another codec", stream: large, say: 1, kind: pixeldata.ErrUnsupported, words: "is mpeg4, and only"},
		{name: "10,000 x 10,000", stream: huge, say: 1, kind: pixeldata.ErrTooMuch, words: "10000"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := video.Open(t.Context(), instance(t, h264, dicomtest.Options{Frames: row.say, Rows: 48, Columns: 64}, row.stream, 1))
			if row.kind != nil {
				require.ErrorIs(t, err, row.kind)
				assert.ErrorContains(t, err, row.words)
				return
			}
			require.NoError(t, err)
			defer c.Close()
			assert.Contains(t, c.Note(), row.note)
			if row.count > 0 {
				assert.Equal(t, row.count, c.Count())
			}
			came, lost := levels(t, c, each(1, c.Count(), 1)...)
			assert.Len(t, came, c.Count()-len(lost))
			assert.NotEmpty(t, came)
			for n, level := range came {
				tolerance := 3.0
				if len(lost) > 0 && n > lost[0] { // it is made of one that is there
					tolerance = 4
				}
				if row.name != "spoilt in the middle" || n < 10 {
					assert.InDelta(t, dicomtest.Level(n), level, tolerance, "frame %d", n)
				}
			}
			t.Logf("%d frames came, lost %v", len(came), lost)
		})
	}
}

// An empty offset table and one of four zero bytes are passed over alike, and a data set that is cut off is read as far as it goes.
func TestClip_offsetTables(t *testing.T) {
	installed.Require(t, "ffmpeg")
	stream := dicomtest.Stream(t, "ts", append(dicomtest.Levels(25), "-frames:v", "30", "-c:v", "libx264", "-g", "5")...)
	ds, _ := dicomtest.Video(dicomtest.Options{TransferSyntax: h264, Frames: 30}, stream, 1)
	item := []byte{0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0}
	at := bytes.Index(ds, item)
	require.Positive(t, at, "what is written has an empty table")
	zero := append(append(bytes.Clone(ds[:at]), 0xFE, 0xFF, 0x00, 0xE0, 4, 0, 0, 0, 0, 0, 0, 0), ds[at+8:]...)
	for name, ds := range map[string][]byte{"empty": ds, "four zero bytes": zero, "no delimiter": ds[:len(ds)-8]} {
		c := open(t, opened(t, h264, ds))
		assert.Equal(t, 30, c.Count(), name)
		assert.Empty(t, c.Note(), name)
	}
	cut := open(t, opened(t, h264, ds[:len(ds)*3/4]))
	assert.Less(t, cut.Count(), 30)
	assert.Contains(t, cut.Note(), fmt.Sprintf("cut off behind frame %d of 30", cut.Count()))
}

// Whoever has seen enough, or is told to stop, leaves no child behind and no file.
func TestClip_stops(t *testing.T) {
	installed.Require(t, "ffmpeg")
	stream := dicomtest.Stream(t, "mp4", append(dicomtest.Levels(25), "-frames:v", "200", "-c:v", "libx264")...)
	c := open(t, instance(t, h264, dicomtest.Options{Frames: 200}, stream, 1))
	for f, err := range c.Frames(t.Context(), each(1, 200, 1)) {
		require.NoError(t, err)
		if f.Number == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("enough")
	var last error
	for f, err := range c.Frames(ctx, each(1, 200, 1)) {
		if f.Number == 3 {
			cancel(why)
		}
		last = err
	}
	assert.ErrorIs(t, last, why)
	_, err := c.Frame(t.Context(), 201)
	assert.ErrorIs(t, err, pixeldata.ErrNoFrame)
}

// A child that is ended before its time ends nothing else: it is an error, and not the end of the video. What is said of time is of that.
func TestClip_childEnded(t *testing.T) {
	installed.Require(t, "ffmpeg")
	real, err := exec.LookPath("ffmpeg")
	require.NoError(t, err)
	stream := dicomtest.Stream(t, "h264", append(dicomtest.Levels(25), "-frames:v", "40", "-c:v", "libx264", "-g", "10")...)
	timed := dicomtest.Stream(t, "mp4", append(dicomtest.Levels(25), "-frames:v", "40", "-c:v", "libx264", "-g", "10")...)
	for _, row := range []struct {
		name, script string
		stream       []byte
		tooLong      bool
	}{
		{"killed as it is looked through", `case "$*" in *framecrc*) ` + real + ` "$@"; kill -KILL $$;; *) exec ` + real + ` "$@";; esac`, timed, false},
		{"killed as frames are decoded", `case "$*" in *select*) kill -KILL $$;; *) exec ` + real + ` "$@";; esac`, timed, false},
		{"crashed as frames are decoded", `case "$*" in *select*) kill -SEGV $$;; *) exec ` + real + ` "$@";; esac`, stream, false},
		{"out of time, which it catches", `case "$*" in *select*) trap "exit 255" XCPU; while :; do :; done;; *) exec ` + real + ` "$@";; esac`, stream, true},
		{"out of time, and killed", `case "$*" in *select*) trap "" XCPU; while :; do :; done;; *) exec ` + real + ` "$@";; esac`, stream, true},
		{"out of time, of ffmpeg itself", `case "$*" in *select*) exec ` + real + ` -loglevel error -f lavfi -i testsrc=s=1920x1080 -threads 1 -f null -;; *) exec ` + real + ` "$@";; esac`, stream, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			script := filepath.Join(t.TempDir(), "ffmpeg")
			require.NoError(t, os.WriteFile(script, []byte("#!/bin/bash\n"+row.script+"\n"), 0o700))
			ds, _ := dicomtest.Video(dicomtest.Options{TransferSyntax: h264, Frames: 40}, row.stream, 1)
			ts, _ := dicom.LookupTransferSyntax(h264)
			i, err := pixeldata.Open(bytes.NewReader(ds), ts, pixeldata.Options{Scratch: t.TempDir(), FFmpeg: script, Bounds: pixeldata.Bounds{CPU: 100 * time.Millisecond}})
			require.NoError(t, err)
			c, err := video.Open(t.Context(), i)
			if err == nil {
				defer c.Close()
				for _, bad := range c.Frames(t.Context(), []int{1, 2}) {
					err = bad
				}
			}
			require.Error(t, err)
			assert.Equal(t, row.tooLong, errors.Is(err, pixeldata.ErrTooLong), err)
			assert.NotErrorIs(t, err, pixeldata.ErrCorrupt)
			if !row.tooLong {
				assert.ErrorContains(t, err, "ended by a signal")
			}
		})
	}
}

// Each frame that is decoded on the way to one that is asked for, or to look for scenes, is a sign of life, and is given time.
func TestClip_progress(t *testing.T) {
	installed.Require(t, "ffmpeg")
	for ending, want := range map[string]int32{"h264": 40, "mp4": 40} {
		stream := dicomtest.Stream(t, ending, append(dicomtest.Levels(25), "-frames:v", "40", "-c:v", "libx264", "-g", "100")...)
		c := open(t, instance(t, h264, dicomtest.Options{Frames: 40}, stream, 1))
		var seen atomic.Int32
		c.Progress = func() { seen.Add(1) }
		_, err := c.Frame(t.Context(), 40)
		require.NoError(t, err)
		assert.Equal(t, want, seen.Load(), ending)
		if ending == "mp4" {
			_, err = c.Scenes(t.Context(), 0.9)
			require.NoError(t, err)
			assert.Equal(t, 2*want, seen.Load(), "scenes")
		}
	}
}
