package video_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
)

// A film for which there was no room is there as soon as there is, and made once.
func TestClip_filmWithoutRoom(t *testing.T) {
	installed.Require(t, "ffmpeg")
	ds, _ := dicomtest.Video(dicomtest.Options{TransferSyntax: h264}, made(t, "ts", mucosa("64x48", "709", "tv", "yuv420p")+"-c:v libx264"), 1)
	ts, _ := dicom.LookupTransferSyntax(h264)
	var full error
	i, err := pixeldata.Open(bytes.NewReader(ds), ts, pixeldata.Options{Scratch: t.TempDir(), Room: func() error { return full }})
	require.NoError(t, err)
	c := open(t, i)
	full = errors.New("below the floor")
	_, err = c.Film(t.Context())
	require.ErrorIs(t, err, video.ErrNoRoom)
	full = nil
	film, err := c.Film(t.Context())
	require.NoError(t, err)
	require.Equal(t, video.MediaMP4, film.Media)
	full = errors.New("below the floor")
	again, err := c.Film(t.Context())
	require.NoError(t, err, "it is there")
	require.Equal(t, film.Size, again.Size)
}
