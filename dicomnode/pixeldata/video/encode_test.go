package video_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
)

// shade is a picture of one grey with a red corner.
func shade(size image.Point, level uint8) *image.RGBA {
	m := image.NewRGBA(image.Rectangle{Max: size})
	for i := range size.X * size.Y {
		m.SetRGBA(i%size.X, i/size.X, color.RGBA{level, level, level, 255})
	}
	for i := range 16 * 16 {
		m.SetRGBA(i%16, i/16, color.RGBA{220, 30, 30, 255})
	}
	return m
}

// encoded is a video of pictures of rising grey.
func encoded(t testing.TB, size image.Point, frames int) []byte {
	t.Helper()
	e, err := video.NewEncoder(t.Context(), size, dicom.Aspect{}, 100*time.Millisecond, frames, pixeldata.Options{Scratch: t.TempDir()})
	require.NoError(t, err)
	defer e.Close()
	for n := range frames {
		require.NoError(t, e.Add(shade(size, uint8(40+4*n))))
	}
	stream, err := e.Stream()
	require.NoError(t, err)
	return stream
}

// What is encoded is decoded as it was, frame by frame, at its times, in its colours; odd sizes get a column and a row more, and the same
// pictures give the same bytes.
func TestEncoder(t *testing.T) {
	size := image.Pt(161, 121)
	stream := encoded(t, size, 25)
	assert.Equal(t, stream, encoded(t, size, 25), "encoded twice, the same bytes")
	file := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, os.WriteFile(file, stream, 0o600))
	c, err := video.OpenFile(t.Context(), file, pixeldata.Options{})
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, 25, c.Count())
	assert.Empty(t, c.Note())
	assert.Equal(t, 2*time.Second, c.Time(21))
	for _, n := range []int{1, 13, 25} {
		f, err := c.Frame(t.Context(), n)
		require.NoError(t, err)
		require.Equal(t, image.Pt(162, 122), f.Image.Rect.Size())
		for _, at := range []image.Point{{80, 60}, {161, 121}} {
			assert.InDelta(t, 40+4*(n-1), int(f.Image.RGBAAt(at.X, at.Y).R), 4, "frame %d at %v", n, at)
		}
		red := f.Image.RGBAAt(6, 6)
		assert.InDelta(t, 220, int(red.R), 12)
		assert.InDelta(t, 30, int(red.G), 12)
	}
}

// What cannot be encoded says so, in words that tell what to do, and nothing is left running.
func TestEncoder_cannot(t *testing.T) {
	assert.True(t, video.Encodable(image.Pt(1920, 1088)))
	assert.False(t, video.Encodable(image.Pt(1920, 1400)))
	assert.NoError(t, video.Encodes(t.Context(), ""))
	options := pixeldata.Options{Scratch: t.TempDir()}
	_, err := video.NewEncoder(t.Context(), image.Pt(1920, 1400), dicom.Aspect{}, 100*time.Millisecond, 4, options)
	require.ErrorIs(t, err, video.ErrNotEncoded)

	tried := func(ctx context.Context, size image.Point, o pixeldata.Options) error {
		e, err := video.NewEncoder(ctx, size, dicom.Aspect{}, 100*time.Millisecond, 4, o)
		require.NoError(t, err)
		defer e.Close()
		for range 4 {
			require.NoError(t, e.Add(shade(size, 100)))
		}
		require.ErrorContains(t, e.Add(shade(size, 100)), "more than 4 pictures")
		_, err = e.Stream()
		return err
	}
	small := image.Pt(320, 240)
	without := filepath.Join(t.TempDir(), "ffmpeg")
	require.NoError(t, os.WriteFile(without, []byte("#!/bin/sh\necho \"[fatal] Unknown encoder 'libx264'\" >&2\nexit 1\n"), 0o700))
	assert.ErrorContains(t, video.Encodes(t.Context(), without), "video: not encoded")
	for _, ffmpeg := range []string{without, filepath.Join(t.TempDir(), "none")} {
		options.FFmpeg = ffmpeg
		err := tried(t.Context(), small, options)
		require.ErrorIs(t, err, video.ErrNotEncoded)
		assert.ErrorContains(t, err, "install one that was built with libx264")
	}

	options.FFmpeg = ""
	ctx, cancel := context.WithCancel(t.Context())
	e, err := video.NewEncoder(ctx, small, dicom.Aspect{}, 100*time.Millisecond, 4, options)
	require.NoError(t, err)
	defer e.Close()
	require.NoError(t, e.Add(shade(small, 100)))
	cancel()
	_, err = e.Stream()
	require.ErrorIs(t, err, context.Canceled)

	options.Bounds = pixeldata.Bounds{Memory: 8 << 20}
	require.ErrorIs(t, tried(t.Context(), image.Pt(1280, 720), options), video.ErrNotEncoded, "more memory than it may have")

	options = pixeldata.Options{Scratch: t.TempDir(), Room: func() error { return errors.New("the disk is full") }}
	e, err = video.NewEncoder(t.Context(), small, dicom.Aspect{}, 100*time.Millisecond, 4, options)
	require.NoError(t, err)
	defer e.Close()
	require.ErrorIs(t, e.Add(shade(small, 100)), video.ErrNoRoom)
}

// No child runs while pictures are added: who decodes them has one, and beside that there is none that encodes.
func TestEncoder_waits(t *testing.T) {
	real, err := exec.LookPath("ffmpeg")
	require.NoError(t, err)
	dir := t.TempDir()
	script := filepath.Join(dir, "ffmpeg")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/bash\necho >> "+dir+"/began\nexec "+real+" \"$@\"\n"), 0o700))
	e, err := video.NewEncoder(t.Context(), image.Pt(64, 48), dicom.Aspect{}, 100*time.Millisecond, 20, pixeldata.Options{Scratch: dir, FFmpeg: script})
	require.NoError(t, err)
	defer e.Close()
	for n := range 20 {
		require.NoError(t, e.Add(shade(image.Pt(64, 48), uint8(10*n))))
	}
	require.NoFileExists(t, filepath.Join(dir, "began"))
	_, err = e.Stream()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "began"))
}
