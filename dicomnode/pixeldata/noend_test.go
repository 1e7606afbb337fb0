package pixeldata

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// A JPEG stream that lacks its end is decoded as far as it goes, and says so; what lacks more than a hundredth is no frame.
func TestFrames_jpegCutAtItsEnd(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := image.NewGray(image.Rect(0, 0, 256, 256))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(random.IntN(256))
	}
	whole := encodeJPEG(t, noise)
	end := bytes.LastIndex(whole, []byte("\xff\xd9"))
	for _, row := range []struct {
		name    string
		stream  []byte
		note    string
		corrupt bool
	}{
		{name: "whole", stream: whole},
		{name: "without end of image", stream: whole[:end], note: NoteNoEnd},
		{name: "half of it", stream: whole[:end+1], note: NoteNoEnd},
		{name: "without some bytes of the scan", stream: whole[:end-20], note: NoteNoEnd},
		{name: "half a frame", stream: whole[:end/2], corrupt: true},
		{name: "without a twentieth", stream: whole[:end*19/20], corrupt: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := instance{syntax: dicom.JPEGBaseline8Bit, rows: 256, columns: 256, samples: 1, photometric: "MONOCHROME2", allocated: 8, frames: 1, fragments: [][]byte{{}, row.stream}}
			for frame, err := range Frames(t.Context(), bytes.NewReader(in.bytes()), in.transferSyntax(), Options{}) {
				if row.corrupt {
					require.ErrorIs(t, err, ErrCorrupt)
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, row.note, frame.Note)
				assert.InDelta(t, noise.GrayAt(3, 200).Y, frame.Image.RGBAAt(3, 200).R, 30)
			}
		})
	}
}
