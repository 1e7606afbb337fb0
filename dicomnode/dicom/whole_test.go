package dicom_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

func syntax(t testing.TB, uid dicom.UID) dicom.TransferSyntax {
	ts, ok := dicom.LookupTransferSyntax(uid)
	require.True(t, ok)
	return ts
}

// good returns an image of each kind of encoding, small enough to be cut everywhere.
func good(uid dicom.UID, frames int, more dicom.Dataset) []byte {
	b, _ := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: uid, Rows: 16, Columns: 16, Frames: frames, More: more})
	return b
}

// behindPixels is what stands behind Pixel Data: Data Set Trailing Padding and a private group.
var behindPixels = dicom.Dataset{0x7FE10010: dicom.As{VR: "LO", Value: dicom.Text{"ACME"}}, 0xFFFCFFFC: dicom.Bytes{0, 0, 0, 0}}

// Wherever a good data set is cut, it is refused, unless nothing is missing but the last delimiter; where it ends between
// two elements ahead of Pixel Data, which no length forbids, that is said.
func TestReadWhole_cutAnywhere(t *testing.T) {
	syntaxes := []dicom.UID{
		dicom.ImplicitVRLittleEndian, dicom.ExplicitVRLittleEndian, dicom.ExplicitVRBigEndian, dicom.DeflatedExplicitVRLittleEndian,
		dicom.JPEGBaseline8Bit, dicom.RLELossless,
	}
	for _, uid := range syntaxes {
		for _, frames := range []int{1, 3} {
			for _, more := range []dicom.Dataset{nil, behindPixels} {
				ts := syntax(t, uid)
				whole := good(uid, frames, more)
				_, remarks, err := dicom.ReadWhole(bytes.NewReader(whole), ts)
				require.NoError(t, err, ts.Name)
				require.Empty(t, remarks, ts.Name)
				for n := range whole {
					cutAt(t, ts, whole, n)
				}
			}
		}
	}
}

func cutAt(t *testing.T, ts dicom.TransferSyntax, whole []byte, n int) {
	a, remarks, err := dicom.ReadWhole(bytes.NewReader(whole[:n]), ts)
	if err != nil {
		require.ErrorIs(t, err, dicom.ErrCutOff, "%s, %d of %d bytes", ts.Name, n, len(whole))
		return
	}
	left := whole[n:]
	if ts.Deflated { // all but the byte that makes its length even
		require.Equal(t, []byte{0}, left, "%s, %d of %d bytes", ts.Name, n, len(whole))
		return
	}
	pixels := bytes.LastIndex(whole, appendTag(ts, dicom.PixelData))
	_, pictured := a.Get(dicom.Columns)
	switch {
	case n <= pixels && pictured:
		require.Contains(t, remarks, dicom.RemarkNoPixels, "%s, %d of %d bytes", ts.Name, n, len(whole))
	case n <= pixels: // no image yet: the UIDs that it is filed by are asked for elsewhere
	case bytes.HasSuffix([]byte("\xfe\xff\xdd\xe0\x00\x00\x00\x00"), left) && len(left)%8 <= 4:
		require.Equal(t, []string{dicom.RemarkDelimiter}, remarks)
	default: // between two elements behind Pixel Data, or zeros of one's header
		require.Contains(t, string(whole[pixels:]), string(left))
		rest := strings.TrimLeft(string(left), "\x00")
		require.True(t, strings.HasPrefix(rest, string(appendTag(ts, 0x7FE10010))[:2]) || strings.HasPrefix(rest, string(appendTag(ts, 0xFFFCFFFC))[:2]) ||
			strings.HasPrefix(rest, "\xfe\xff\xdd\xe0"), "%s, %d of %d bytes: %q", ts.Name, n, len(whole), left)
	}
}

func appendTag(ts dicom.TransferSyntax, tag dicom.Tag) []byte {
	return dicom.AppendHeader(nil, ts, tag, "OB", 0)[:4]
}

func TestReadWhole(t *testing.T) {
	const (
		patient  = "\x10\x00\x20\x00LO\x02\x00ab"
		study    = "\x20\x00\x0d\x00UI\x04\x001.2\x00"
		private  = "\x29\x00\x10\x10"
		image    = "\x28\x00\x08\x00IS\x02\x002 \x28\x00\x10\x00US\x02\x00\x02\x00\x28\x00\x11\x00US\x02\x00\x02\x00\x28\x00\x00\x01US\x02\x00\x08\x00"
		native   = "\xe0\x7f\x10\x00OB\x00\x00"
		open     = native + "\xff\xff\xff\xff"
		table    = "\xfe\xff\x00\xe0\x00\x00\x00\x00"
		fragment = "\xfe\xff\x00\xe0\x04\x00\x00\x00\xff\xd8\xff\xd9"
		long     = "\xfe\xff\x00\xe0\x28\x00\x00\x00\xff\xd8\xff\xe0" + "0123456789ABCDEF0123456789ABCDEF01" + "\xff\xd9"
		end      = "\xfe\xff\xdd\xe0\x00\x00\x00\x00"
		zeros    = "\x00\x00\x00\x00\x00\x00\x00\x00"
		sequence = "\x08\x00\x15\x11SQ\x00\x00"
		item     = "\xfe\xff\x00\xe0"
	)
	for _, row := range []struct {
		name, in string
		syntax   dicom.UID // JPEG Baseline where empty
		remarks  []string
		err      error
	}{
		{name: "nothing wrong", in: patient + open + table + fragment + end},
		{name: "Study Instance UID behind Pixel Data", in: patient + open + table + fragment + end + study, remarks: []string{dicom.RemarkLate}},
		{name: "no delimiter", in: patient + open + table + fragment, remarks: []string{dicom.RemarkDelimiter}},
		{name: "zeros for the delimiter", in: patient + open + table + fragment + zeros, remarks: []string{dicom.RemarkDelimiter}},
		{name: "no delimiter, another element", in: patient + open + table + fragment + "\xfc\xff\xfc\xffOB\x00\x00\x00\x00\x00\x00", remarks: []string{dicom.RemarkDelimiter}},
		{name: "a frame missing", in: image + open + table + fragment + fragment + fragment + end},
		{name: "fewer fragments than frames", in: image[:8] + "3 " + image[10:] + open + table + fragment + fragment + end, remarks: []string{dicom.RemarkFewer}},
		{name: "more frames than said", in: image[:8] + "1 " + image[10:] + open + table + long + long + end, remarks: []string{dicom.RemarkMore}},
		{name: "one frame in two fragments", in: patient + image[:8] + "1 " + image[10:] + open + table + long + fragment[:8] + "abcd" + end},
		{name: "native, more frames than said", in: image[:8] + "1 " + "\x28\x00\x02\x00US\x02\x00\x01\x00" + image[10:] + native + "\x08\x00\x00\x0012345678", syntax: dicom.ExplicitVRLittleEndian, remarks: []string{dicom.RemarkMore}},
		{name: "a frame and the delimiter missing", in: image + open + table + fragment, err: dicom.ErrCutOff},
		{name: "no fragment", in: patient + open + table, err: dicom.ErrCutOff},
		{name: "a last fragment without end of image and no delimiter", in: patient + open + table + fragment[:8] + "\xff\xd8\xff\xda", err: dicom.ErrCutOff},
		{name: "a fragment cut", in: patient + open + table + fragment[:10], err: dicom.ErrCutOff},
		{name: "garbage for a fragment's item", in: patient + open + table + fragment + "\x12\x34\x56\x78\x9a\xbc\xde\xf0" + end, err: dicom.ErrCorrupt},
		{name: "native, whole", in: image + native + "\x08\x00\x00\x0012345678", syntax: dicom.ExplicitVRLittleEndian},
		{name: "native, short by its attributes alone", in: image + native + "\x06\x00\x00\x00123456", syntax: dicom.ExplicitVRLittleEndian, remarks: []string{dicom.RemarkFewerBytes}},
		{name: "native, empty", in: image + native + "\x00\x00\x00\x00", syntax: dicom.ExplicitVRLittleEndian, remarks: []string{dicom.RemarkFewerBytes}},
		{name: "native, cut", in: image + native + "\x08\x00\x00\x001234567", syntax: dicom.ExplicitVRLittleEndian, err: dicom.ErrCutOff},
		{name: "no Pixel Data", in: image, remarks: []string{dicom.RemarkNoPixels}},
		{name: "the last element cut", in: patient + open + table + fragment + end + "\xe1\x7f\x01\x10OB\x00\x00\x90\x01\x00\x00abcd", err: dicom.ErrCutOff},
		{name: "a sequence of defined length cut", in: patient + sequence + "\x20\x00\x00\x00" + item + "\x0a\x00\x00\x00" + patient, err: dicom.ErrCutOff},
		{name: "a sequence that is open at the end", in: patient + sequence + "\xff\xff\xff\xff" + item + "\x0a\x00\x00\x00" + patient, err: dicom.ErrCutOff},
		{name: "zeros behind the end", in: patient + zeros + zeros[:3], remarks: []string{dicom.RemarkPadded}},
		{name: "zeros behind Pixel Data", in: patient + open + table + fragment + end + zeros[:1], remarks: []string{dicom.RemarkPadded}},
		{name: "VR of question marks", in: patient + private + "??\x02\x00ab" + open + table + fragment + end},
		{name: "VR of NULs", in: patient + private + "\x00\x00\x02\x00ab" + open + table + fragment + end},
		{name: "VR of blanks", in: patient + private + "  \x02\x00ab" + open + table + fragment + end},
		{name: "VR in lower case", in: patient + private + "lo\x02\x00ab" + open + table + fragment + end},
		{name: "VR of the future", in: patient + private + "ZZ\x00\x00\x02\x00\x00\x00ab" + open + table + fragment + end},
		{name: "delimiter in a sequence of defined length", in: patient + sequence + "\x1a\x00\x00\x00" + item + "\x0a\x00\x00\x00" + patient + end},
		{name: "half the last delimiter", in: patient + open + table + fragment + end[:4], remarks: []string{dicom.RemarkDelimiter}},
		{name: "delimiter in an item of defined length", in: patient + sequence + "\x1a\x00\x00\x00" + item + "\x12\x00\x00\x00" + patient + "\xfe\xff\x0d\xe0\x00\x00\x00\x00"},
		{name: "an item longer than its sequence", in: sequence + "\x12\x00\x00\x00" + item + "\x20\x00\x00\x00" + patient + study, remarks: []string{dicom.RemarkItem}},
		{name: "explicit VR in Implicit VR Little Endian", in: patient + study, syntax: dicom.ImplicitVRLittleEndian},
		{name: "implicit VR in Explicit VR Little Endian", in: "\x10\x00\x20\x00\x02\x00\x00\x00ab", syntax: dicom.ExplicitVRLittleEndian},
		{name: "an explicit item in implicit VR", in: "\x08\x00\x15\x11\x12\x00\x00\x00" + item + "\x0a\x00\x00\x00" + patient + "\x10\x00\x20\x00\x02\x00\x00\x00ab", syntax: dicom.ImplicitVRLittleEndian},
		{name: "elements out of order and twice", in: study + patient + patient + open + table + fragment + end},
		{name: "group lengths that are wrong", in: "\x10\x00\x00\x00UL\x04\x00\xff\x00\x00\x00" + patient},
		{name: "file meta information in the data set", in: "\x02\x00\x10\x00UI\x04\x001.2\x00" + patient},
		{name: "values of odd length", in: "\x10\x00\x20\x00LO\x03\x00abc" + patient},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.syntax == "" {
				row.syntax = dicom.JPEGBaseline8Bit
			}
			a, remarks, err := dicom.ReadWhole(strings.NewReader(row.in), syntax(t, row.syntax))
			if row.err != nil {
				require.ErrorIs(t, err, row.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.remarks, remarks)
			if strings.Contains(row.in, study) {
				assert.EqualValues(t, "1.2", a.UID(dicom.StudyInstanceUID))
			}
			if !strings.Contains(row.in, sequence) && strings.Contains(row.in, "ab") {
				assert.Contains(t, a.Text(dicom.PatientID)+a.Item(0x00081115, 0).Text(dicom.PatientID), "ab")
			}
		})
	}
}

// A deflated stream that is corrupt or cut is refused wherever that is, with zeros or without behind it.
func TestReadWhole_deflated(t *testing.T) {
	ts := syntax(t, dicom.DeflatedExplicitVRLittleEndian)
	whole := good(ts.UID, 1, nil)
	_, _, err := dicom.ReadWhole(bytes.NewReader(append(bytes.Clone(whole), 0)), ts)
	require.NoError(t, err, "a byte of padding")
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(whole)))
	require.NoError(t, err)

	var unfinished bytes.Buffer
	w, err := flate.NewWriter(&unfinished, 6)
	require.NoError(t, err)
	_, err = w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	_, _, err = dicom.ReadWhole(&unfinished, ts)
	assert.ErrorIs(t, err, dicom.ErrCutOff, "all elements, and no end of the stream")

	_, _, err = dicom.ReadWhole(bytes.NewReader(append(whole[:len(whole)/2:len(whole)/2], 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)), ts)
	assert.Error(t, err)
}

func FuzzReadWhole(f *testing.F) {
	syntaxes := []dicom.UID{dicom.ImplicitVRLittleEndian, dicom.ExplicitVRLittleEndian, dicom.ExplicitVRBigEndian, dicom.DeflatedExplicitVRLittleEndian, dicom.JPEGBaseline8Bit, dicom.RLELossless}
	for i, uid := range syntaxes {
		whole := good(uid, 2, behindPixels)
		f.Add(byte(i), whole, len(whole)/2)
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte, cut int) {
		ts := syntax(t, syntaxes[int(which)%len(syntaxes)])
		a, _, err := dicom.ReadWhole(bytes.NewReader(data), ts)
		require.NotNil(t, a)
		if err != nil || cut < 0 || cut >= len(data) {
			return
		}
		// What is whole and is cut has no elements that the whole has not.
		b, _, err := dicom.ReadWhole(bytes.NewReader(data[:cut]), ts)
		if err == nil {
			for tag := range b.Tags() {
				_, ok := a.Get(tag)
				require.True(t, ok, tag)
			}
		}
	})
}
