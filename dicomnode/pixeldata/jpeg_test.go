package pixeldata

import (
	"bufio"
	"bytes"
	"image"
	"image/color"
	"io"
	"os"
	"testing"

	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStream_jpegIsYCC(t *testing.T) {
	for _, row := range []struct {
		name        string
		in          stream
		photometric string
		want        bool
	}{
		{"silent stream, RGB", stream{adobe: -1}, "RGB", false},
		{"silent stream, YBR_FULL_422", stream{adobe: -1}, "YBR_FULL_422", true},
		{"silent stream, YBR_FULL", stream{adobe: -1}, "YBR_FULL", true},
		{"Adobe says none", stream{adobe: 0}, "RGB", false},
		{"Adobe says none, attributes disagree", stream{adobe: 0}, "YBR_FULL_422", false},
		{"Adobe says YCC, attributes disagree", stream{adobe: 1}, "RGB", true},
		{"JFIF is YCC by definition", stream{adobe: -1, jfif: true}, "RGB", true},
		{"Adobe before JFIF", stream{adobe: 0, jfif: true}, "RGB", false},
		{"nobody halves red", stream{adobe: -1, subsampled: true}, "RGB", true},
		{"components called RGB", stream{adobe: -1, letters: true}, "YBR_FULL_422", false},
	} {
		assert.Equal(t, row.want, row.in.jpegIsYCC(row.photometric), row.name)
	}
}

// frameOf returns the only frame of a file in testdata.
func frameOf(t testing.TB, file string) []byte {
	b, err := os.ReadFile("testdata/pydicom/" + file)
	require.NoError(t, err)
	r := bufio.NewReader(bytes.NewReader(b))
	_, err = dicom.ReadFileMeta(r)
	require.NoError(t, err)
	reader := dicom.NewReader(r, dicom.TransferSyntax{ExplicitVR: true, Encapsulated: true})
	_, _, err = reader.Attributes()
	require.NoError(t, err)
	_, err = reader.Next() // the offset table
	require.NoError(t, err)
	_, err = reader.Next()
	require.NoError(t, err)
	frame, err := io.ReadAll(reader)
	require.NoError(t, err)
	return frame
}

// without drops the segments with a marker from a JPEG stream, with puts one in.
func without(t testing.TB, data []byte, drop byte) []byte {
	s, err := inspectJPEG(data)
	require.NoError(t, err)
	out := append([]byte{}, data[:2]...)
	for i := 2; i < s.header; {
		marker, _, next := segment(data, i)
		if marker != drop {
			out = append(out, data[i:next]...)
		}
		i = next
	}
	return append(out, data[s.header:]...)
}

func with(data []byte, segment string) []byte {
	return append(append(append([]byte{}, data[:2]...), segment...), data[2:]...)
}

const (
	adobeNone = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
	adobeYCC  = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
	jfif      = "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
)

// The same colour bars, whatever mixture of markers and Photometric Interpretation they are in.
func TestFrames_jpegColors(t *testing.T) {
	ycc := without(t, frameOf(t, "SC_rgb_dcmtk_+eb+cy+s4.dcm"), 0xE0)        // identifiers 1, 2, 3
	rgb := without(t, frameOf(t, "SC_rgb_dcmtk_+eb+cr.dcm"), 0xEE)           // identifiers R, G, B
	anonymous := anonymize(t, rgb)                                           // identifiers 1, 2, 3 as well
	subsampled := without(t, frameOf(t, "SC_rgb_dcmtk_+eb+cy+n2.dcm"), 0xE0) // 4:2:2
	for _, row := range []struct {
		name        string
		data        []byte
		photometric string
	}{
		{"YCC, silent", ycc, "YBR_FULL"},
		{"YCC, silent, 422", ycc, "YBR_FULL_422"},
		{"YCC, JFIF", with(ycc, jfif), "YBR_FULL_422"},
		{"YCC, Adobe", with(ycc, adobeYCC), "YBR_FULL_422"},
		{"YCC, JFIF, called RGB", with(ycc, jfif), "RGB"},
		{"YCC, Adobe, called RGB", with(ycc, adobeYCC), "RGB"},
		{"YCC, subsampled, called RGB", subsampled, "RGB"},
		{"RGB, silent", anonymous, "RGB"},
		{"RGB, identifiers", rgb, "RGB"},
		{"RGB, Adobe", with(anonymous, adobeNone), "RGB"},
		{"RGB, Adobe, called YBR", with(anonymous, adobeNone), "YBR_FULL_422"},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := instance{
				syntax: dicom.JPEGBaseline8Bit, rows: 100, columns: 100, samples: 3, photometric: row.photometric,
				allocated: 8, fragments: [][]byte{{}, row.data},
			}
			images, err := in.decode(t, Options{})
			require.NoError(t, err)
			for i, want := range []color.RGBA{{255, 0, 0, 255}, {255, 128, 128, 255}, {0, 255, 0, 255}, {128, 255, 128, 255}, {0, 0, 255, 255}} {
				got := images[0].RGBAAt(50, 10*i+5)
				for c, pair := range [3][2]uint8{{want.R, got.R}, {want.G, got.G}, {want.B, got.B}} {
					assert.InDelta(t, int(pair[0]), int(pair[1]), 6, "bar %d, colour %d: %v", i, c, got)
				}
			}
		})
	}
}

// A codestream is decoded as what it begins as, whatever transfer syntax it is said to be of: archives that encode anew forget to say so.
func TestFrames_saidToBeAnother(t *testing.T) {
	jpeg := frameOf(t, "SC_rgb_dcmtk_+eb+cy+s4.dcm")
	for _, said := range []dicom.UID{"1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201", dicom.RLELossless} {
		in := instance{syntax: said, rows: 100, columns: 100, samples: 3, photometric: "YBR_FULL", allocated: 8, fragments: [][]byte{{}, jpeg}}
		images, err := in.decode(t, Options{})
		require.NoError(t, err, said)
		require.InDelta(t, 255, int(images[0].RGBAAt(50, 5).R), 6, said)
		require.InDelta(t, 0, int(images[0].RGBAAt(50, 5).G), 6, said)
	}
	j2k := frameOf(t, "GDCMJ2K_TextGBR.dcm")
	s, err := inspect(j2k, dicom.TransferSyntax{})
	require.NoError(t, err)
	in := instance{syntax: dicom.JPEGBaseline8Bit, rows: s.rows, columns: s.columns, samples: s.samples, photometric: "YBR_FULL_422", allocated: 8, fragments: [][]byte{{}, j2k}}
	_, err = in.decode(t, Options{})
	require.NoError(t, err)
}

// anonymize gives the components of a JPEG stream the identifiers 1, 2 and 3.
func anonymize(t testing.TB, data []byte) []byte {
	out := bytes.Clone(data)
	renamed := 0
	for i := 2; ; {
		marker, body, next := segment(out, i)
		require.NotZero(t, next)
		switch marker {
		case 0xC0:
			body[6], body[9], body[12] = 1, 2, 3
			renamed++
		case 0xDA:
			for c := range int(body[0]) {
				body[1+2*c] = map[byte]byte{'R': 1, 'G': 2, 'B': 3}[body[1+2*c]]
			}
			require.Equal(t, 1, renamed)
			require.EqualValues(t, 3, body[0], "one interleaved scan")
			return out
		}
		i = next
	}
}

func TestFrames_jpegRefused(t *testing.T) {
	gray, bars := shade(t, 100), frameOf(t, "SC_rgb_dcmtk_+eb+cr.dcm")
	color3 := func(i *instance) { i.rows, i.columns, i.samples, i.photometric = 100, 100, 3, "RGB" }
	in := instance{syntax: dicom.JPEGBaseline8Bit, rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME2", allocated: 8}
	for _, row := range []struct {
		name, says string
		data       []byte
		change     func(*instance)
	}{
		{name: "not a JPEG", says: "JPEG header ends early", data: []byte("hello, world")},
		{name: "cut in the header", says: "JPEG header ends early", data: gray[:40]},
		{name: "cut in the scan", says: "JPEG: invalid JPEG format", data: bars[:len(bars)/2], change: color3},
		{name: "a header alone", says: "for 4096 x 4096 pixels", data: huge(bars), change: func(i *instance) { color3(i); i.rows, i.columns = 4096, 4096 }},
		{name: "other size", says: "16 x 16 pixels of 1 samples", data: gray, change: func(i *instance) { i.rows = 8 }},
		{name: "other samples", says: "16 x 16 pixels of 1 samples", data: gray, change: func(i *instance) { i.samples, i.photometric = 3, "RGB" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			bad := in
			if row.change != nil {
				row.change(&bad)
			}
			bad.fragments = [][]byte{{}, row.data}
			_, err := bad.decode(t, Options{})
			require.ErrorIs(t, err, ErrCorrupt)
			assert.Contains(t, err.Error(), row.says)
		})
	}
}

// A stream that lacks its end marker, and nothing else, is shown.
func TestFrames_jpegWithoutEnd(t *testing.T) {
	whole := bytes.TrimRight(shade(t, 75), "\x00")
	in := instance{syntax: dicom.JPEGBaseline8Bit, rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME2", allocated: 8}
	for _, pad := range []string{"", "\x00", "\xff"} {
		in.fragments = [][]byte{{}, append(bytes.TrimSuffix(bytes.Clone(whole), []byte("\xff\xd9")), pad...)}
		images, err := in.decode(t, Options{})
		require.NoError(t, err)
		assert.InDelta(t, 75, int(images[0].RGBAAt(3, 3).G), 1)
	}
}

// Grey JPEG goes through the window like native pixels.
func TestFrames_jpegWindow(t *testing.T) {
	in := instance{
		syntax: dicom.JPEGBaseline8Bit, rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME1", allocated: 8,
		extra:     []element{{dicom.WindowCenter, "DS", []byte("100.5")}, {dicom.WindowWidth, "DS", []byte("101")}},
		fragments: [][]byte{{}, shade(t, 75)},
	}
	images, err := in.decode(t, Options{})
	require.NoError(t, err)
	assert.InDelta(t, 255*0.75, int(images[0].RGBAAt(3, 3).G), 3)
	assert.Equal(t, image.Rect(0, 0, 16, 16), images[0].Rect)
}

// huge says in the frame header of a JPEG stream that it has 4096 x 4096 pixels.
func huge(data []byte) []byte {
	out := bytes.Clone(data)
	i := bytes.Index(out, []byte("\xff\xc0\x00\x11"))
	copy(out[i+5:], []byte{0x10, 0, 0x10, 0})
	return out
}
