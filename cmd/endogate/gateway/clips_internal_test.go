package gateway

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever gives up, or panics, while a video is opened costs those who wait for it nothing but an error that says so.
func TestClips(t *testing.T) {
	installed.Require(t, "ffmpeg")
	const h264 dicom.UID = "1.2.840.10008.1.2.4.102"
	stream := dicomtest.Stream(t, "mp4", append(dicomtest.Levels(25), "-frames:v", "5", "-c:v", "libx264")...)
	ds, _ := dicomtest.Video(dicomtest.Options{TransferSyntax: h264, Frames: 5}, stream, 1)
	ts, _ := dicom.LookupTransferSyntax(h264)
	i, err := pixeldata.Open(bytes.NewReader(ds), ts, pixeldata.Options{Scratch: t.TempDir()})
	require.NoError(t, err)
	var c clips
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.frame(gone, "entry", i, 3)
	require.ErrorIs(t, err, context.Canceled)
	f, err := c.frame(t.Context(), "entry", i, 3)
	require.NoError(t, err, "it is open")
	assert.Equal(t, 3, f.Number)
	c.forget("entry", c.open["entry"])

	k := c.take("other") // who waits
	assert.Panics(t, func() {
		_ = c.of("other", func() (*video.Clip, error) { panic("as it may") }, nil)
	})
	err = c.of("other", nil, func(*video.Clip) error { t.Error("there is none"); return nil })
	require.ErrorIs(t, err, errNotOpened)
	c.leave(k)
}

// A video stays open as long as somebody asks for its frames now and then.
func TestClips_stayOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clips
		first := c.take("entry")
		c.leave(first)
		for range 3 {
			time.Sleep(clipIdle * 3 / 4)
			again := c.take("entry")
			assert.Same(t, first, again)
			c.leave(again)
		}
		time.Sleep(clipIdle + time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		assert.Empty(t, c.open)
	})
}
