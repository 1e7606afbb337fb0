package pixeldata

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// expectation is a row of testdata/pydicom/expected.json.
type expectation struct {
	Rows, Columns int
	Mean          [3]float64
	Grid          [][3]int // 12 x 12
}

// tolerance is how far a sample may lie from another decoder's: lossless files agree to rounding, lossy ones differ
// where decoders round and enlarge chroma differently.
func tolerance(file string) (sample int, mean float64) {
	switch {
	case slices.Contains([]string{
		"SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_+eb+cy+n2.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm",
		"SC_rgb_dcmtk_+eb+cy+s2.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm",
	}, file):
		return 8, 1
	default:
		return 2, 0.5
	}
}

func TestFrames_agreesWithOtherDecoders(t *testing.T) {
	text, err := os.ReadFile("testdata/pydicom/expected.json")
	require.NoError(t, err)
	var expected map[string][]expectation
	require.NoError(t, json.Unmarshal(text, &expected))
	require.NotEmpty(t, expected)
	for file, want := range expected {
		t.Run(file, func(t *testing.T) {
			images, err := decodeFile(t, filepath.Join("testdata/pydicom", file))
			if reason, ok := notDecoded[file]; ok {
				require.ErrorIs(t, err, ErrUnsupported)
				assert.Contains(t, err.Error(), reason)
				return
			}
			require.NoError(t, err)
			require.Len(t, images, len(want))
			sample, mean := tolerance(file)
			for i := range want {
				compare(t, want[i], images[i], sample, mean)
			}
		})
	}
}

// notDecoded are the files that are reported as unsupported, with what the error says.
var notDecoded = map[string]string{
	"SC_rgb_jls_lossy_sample.dcm": "sample-interleaved JPEG-LS",
	"SC_rgb_rle_32bit.dcm":        "32 bits allocated",
	"rtdose_1frame.dcm":           "32 bits allocated",
}

func compare(t *testing.T, want expectation, got *image.RGBA, tolerance int, meanTolerance float64) {
	require.Equal(t, image.Rect(0, 0, want.Columns, want.Rows), got.Bounds())
	sum, n := [3]float64{}, float64(want.Rows*want.Columns)
	for i, v := range got.Pix {
		if i%4 == 3 {
			require.EqualValues(t, 255, v)
		} else {
			sum[i%4] += float64(v) / n
		}
	}
	for c := range 3 {
		assert.InDelta(t, want.Mean[c], sum[c], meanTolerance, "mean of colour %d", c)
	}
	const grid = 12
	worst, where := 0, ""
	for i, pixel := range want.Grid {
		x, y := i%grid*want.Columns/grid, i/grid*want.Rows/grid
		p := got.RGBAAt(x, y)
		for c, v := range [3]uint8{p.R, p.G, p.B} {
			if d := int(math.Abs(float64(pixel[c] - int(v)))); d > worst {
				worst, where = d, fmt.Sprintf("%d,%d: %v is %v", x, y, pixel, p)
			}
		}
	}
	assert.LessOrEqual(t, worst, tolerance, where)
}

// decodeFile returns the frames of a Part 10 file; it requires ffmpeg where the file needs it.
func decodeFile(t testing.TB, file string) ([]*image.RGBA, error) {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	r := bufio.NewReader(bytes.NewReader(b))
	meta, err := dicom.ReadFileMeta(r)
	require.NoError(t, err)
	ts, ok := dicom.LookupTransferSyntax(meta.TransferSyntaxUID)
	require.True(t, ok)
	if ts.Encapsulated && ts.UID != dicom.RLELossless && ts.UID != dicom.JPEGBaseline8Bit {
		installed.Require(t, "ffmpeg")
	}
	return decodeAll(t, r, ts, Options{})
}

func TestFrames_oddFiles(t *testing.T) {
	for file, want := range map[string]error{
		"MR_truncated.dcm":                         ErrCorrupt,
		"JPEG2000-embedded-sequence-delimiter.dcm": ErrCorrupt,
		"SC_rgb_jls_lossy_sample.dcm":              ErrUnsupported,
	} {
		_, err := decodeFile(t, filepath.Join("testdata/pydicom", file))
		assert.ErrorIs(t, err, want, file)
	}
	for _, file := range []string{"GDCMJ2K_TextGBR.dcm", "SC_rgb_jpeg.dcm"} { // which Pillow and DCMTK refuse
		images, err := decodeFile(t, filepath.Join("testdata/pydicom", file))
		assert.NoError(t, err, file)
		assert.Len(t, images, 1, file)
	}
}

func TestFrames_bytesInBigEndianWords(t *testing.T) {
	little, err := decodeFile(t, "testdata/pydicom/SC_rgb_small_odd.dcm")
	require.NoError(t, err)
	big, err := decodeFile(t, "testdata/pydicom/SC_rgb_small_odd_big_endian.dcm")
	require.NoError(t, err)
	assert.Equal(t, little, big)
}
