package dicom_test

import (
	"bytes"
	"image"
	"testing"

	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Pixels have the shape that the attribute says, where it can be one.
func TestAspect(t *testing.T) {
	ts, _ := dicom.LookupTransferSyntax(dicom.ExplicitVRLittleEndian)
	size := image.Pt(720, 576)
	for _, row := range []struct {
		says  dicom.Text
		want  dicom.Aspect
		texts []string
		shown image.Point
	}{
		{nil, dicom.Aspect{}, nil, size},
		{dicom.Text{"1", "1"}, dicom.Aspect{High: 1, Wide: 1}, nil, size},
		{dicom.Text{"15", "16"}, dicom.Aspect{High: 15, Wide: 16}, []string{"15", "16"}, image.Pt(768, 576)},
		{dicom.Text{"1500", "1600"}, dicom.Aspect{High: 15, Wide: 16}, []string{"15", "16"}, image.Pt(768, 576)},
		{dicom.Text{"11", "10"}, dicom.Aspect{High: 11, Wide: 10}, []string{"11", "10"}, image.Pt(720, 634)},
		{dicom.Text{"16"}, dicom.Aspect{}, nil, size},
		{dicom.Text{"0", "1"}, dicom.Aspect{}, nil, size},
		{dicom.Text{"1", "1000"}, dicom.Aspect{}, nil, size},
		{dicom.Text{"a", "b"}, dicom.Aspect{}, nil, size},
	} {
		ds := dicom.Dataset{dicom.Rows: dicom.Ints{576}}
		if row.says != nil {
			ds[dicom.PixelAspectRatio] = dicom.As{Verbatim: true, Value: row.says}
		}
		b, err := ds.Append(nil, ts)
		require.NoError(t, err)
		attributes, err := dicom.ReadAttributes(bytes.NewReader(b), ts)
		require.NoError(t, err)
		got := attributes.Aspect()
		assert.Equal(t, row.want, got, row.says)
		assert.Equal(t, row.texts, got.Texts(), row.says)
		assert.Equal(t, row.shown, got.Shown(size), row.says)
	}
}

// What a header says of its pixels makes no picture larger than one that is decoded.
func TestAspect_largeFrame(t *testing.T) {
	frame := image.Pt(10_000, 10_000)
	assert.Equal(t, image.Pt(10_000, 2_500), dicom.NewAspect(1, 4).Shown(frame))
	assert.Equal(t, image.Pt(2_500, 10_000), dicom.NewAspect(4, 1).Shown(frame))
	assert.Equal(t, image.Pt(7_680, 2_160), dicom.NewAspect(1, 2).Shown(image.Pt(3_840, 2_160)))
	assert.Equal(t, image.Pt(262_140, 1), dicom.NewAspect(1, 4).Shown(image.Pt(65_535, 1)))
}

// Every row of the dictionary has its own keyword.
func TestTagOf(t *testing.T) {
	for keyword, want := range map[string]dicom.Tag{
		"CommandGroupLength": 0x00000000, "patientname": dicom.PatientName, "StudyInstanceUID": dicom.StudyInstanceUID, "Rows": dicom.Rows,
		"PixelAspectRatio": dicom.PixelAspectRatio, "PixelData": dicom.PixelData, "DataSetTrailingPadding": 0xFFFCFFFC,
	} {
		tag, known := dicom.TagOf(keyword)
		assert.True(t, known, keyword)
		assert.Equal(t, want, tag, keyword)
	}
	_, known := dicom.TagOf("orderby")
	assert.False(t, known)
}
