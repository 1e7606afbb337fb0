package video_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
)

// A video is not copied where there is no room for it, and not to its end where there is none any more: it says so, and that is no fault of
// the video.
func TestOpen_noRoom(t *testing.T) {
	full := errors.New("the disk is full")
	for _, times := range []int{0, 1} {
		asked := 0
		ts, ok := dicom.LookupTransferSyntax(dicom.UID(h264))
		require.True(t, ok)
		ds, _ := dicomtest.Video(dicomtest.Options{TransferSyntax: dicom.UID(h264), Frames: 2}, make([]byte, 40<<20), 1)
		i, err := pixeldata.Open(bytes.NewReader(ds), ts, pixeldata.Options{Scratch: t.TempDir(), Room: func() error {
			if asked++; asked > times {
				return full
			}
			return nil
		}})
		require.NoError(t, err)
		_, err = video.Open(t.Context(), i)
		require.ErrorIs(t, err, video.ErrNoRoom)
		require.ErrorIs(t, err, full)
		assert.NotErrorIs(t, err, pixeldata.ErrCorrupt)
		assert.Equal(t, times+1, asked)
	}
}
