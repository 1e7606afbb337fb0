package reports

import (
	"image"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// item finds the first content item with concept below ds.
func item(ds dataset, concept string) dataset {
	var found dataset
	ds.walk(func(d dataset) {
		if found == nil && d.has(tag.RelationshipType) && conceptOf(d) == concept {
			found = d
		}
	})
	return found
}

// TestCheck breaks a good object in one way at a time; the fault must be named.
func TestCheck(t *testing.T) {
	heatmap := func(t *testing.T) (dataset, sizes) {
		h := testHeatmap(t, endoscopic("1"), kvasir(), "polyps", "polyp-0017b7c7.jpg")
		h.Pixels = image.NewRGBA(image.Rect(0, 0, 32, 24))
		h.Overlay = h.Pixels
		return testBuilder().heatmap(h), nil
	}
	report := func(t *testing.T) (dataset, sizes) {
		e := testExam(t, kvasir())
		return testBuilder().report(e, dicom.Comprehensive3DSRStorage, testBuilder().measurementReport(e)), e.sizes()
	}
	keys := func(t *testing.T) (dataset, sizes) {
		e := testExam(t, kvasir())
		return testBuilder().keyObjects(e, e.keyFrames(5)), nil
	}
	points := func(change func([]float64) []float64) func(dataset) {
		return func(ds dataset) {
			region := item(ds, imageRegion.Value)
			region[tag.GraphicData] = change(region[tag.GraphicData].([]float64))
		}
	}
	for _, row := range []struct {
		name  string
		good  func(*testing.T) (dataset, sizes)
		wreck func(dataset)
		want  string
	}{
		{"another SOP class", heatmap, func(ds dataset) { ds.set(tag.SOPClassUID, "1.2.840.10008.5.1.4.1.1.7.2") }, "none of ours"},
		{"type 1 missing", heatmap, func(ds dataset) { delete(ds, tag.Modality) }, "Modality (type 1) has no value"},
		{"type 1 empty", heatmap, func(ds dataset) { ds.set(tag.InstanceNumber, "") }, "InstanceNumber (type 1) has no value"},
		{"type 2 missing", heatmap, func(ds dataset) { delete(ds, tag.PatientBirthDate) }, "PatientBirthDate (type 2) is missing"},
		{"gateway without serial number", heatmap, func(ds dataset) { ds.set(tag.DeviceSerialNumber, "") }, "DeviceSerialNumber"},
		{"character set", heatmap, func(ds dataset) { ds.set(tag.SpecificCharacterSet, "ISO_IR 100") }, "SpecificCharacterSet"},
		{"not UTF-8", heatmap, func(ds dataset) { ds.set(tag.PatientName, "M\xfcller") }, "PatientName is not UTF-8"},
		{"no algorithm", heatmap, func(ds dataset) { ds.items(tag.ContributingEquipmentSequence, dataset{}) }, "lacks the processing equipment"},
		{"algorithm without version", heatmap, func(ds dataset) { ds.contributors()[0].set(tag.SoftwareVersions) }, "SoftwareVersions has no value"},
		{"private attribute", heatmap, func(ds dataset) { ds.set(tag.Tag{Group: 0x0009, Element: 0x0010}, "X") }, "(0009,0010) is private"},
		{"private in an item", heatmap, func(ds dataset) {
			ds.sequence(tag.SourceImageSequence)[0].set(tag.Tag{Group: 0x0009, Element: 0x0010}, "X")
		}, "private"},
		{"UID with an empty component", heatmap, func(ds dataset) { ds.set(tag.SeriesInstanceUID, "1..3") }, "SeriesInstanceUID: a value that is no UID"},
		{"UID of a letter", heatmap, func(ds dataset) { ds.set(tag.StudyInstanceUID, "1.2.a") }, "StudyInstanceUID"},
		{"LO too long", heatmap, func(ds dataset) { ds.set(tag.SeriesDescription, strings.Repeat("ä", 65)) }, "SeriesDescription: 65 characters, LO allows 64"},
		{"CS in small letters", heatmap, func(ds dataset) { ds.set(tag.Modality, "es") }, "Modality: a value that is none of CS"},
		{"TM with colons", heatmap, func(ds dataset) { ds.set(tag.ContentTime, "10:20:30") }, "ContentTime"},
		{"DA with points", heatmap, func(ds dataset) { ds.set(tag.ContentDate, "2026.01.02") }, "ContentDate"},
		{"IS with a fraction", heatmap, func(ds dataset) { ds.set(tag.InstanceNumber, "1.0") }, "InstanceNumber"},
		{"backslash in a value", heatmap, func(ds dataset) { ds.set(tag.SeriesDescription, `a\b`) }, "backslash"},
		{"line break", heatmap, func(ds dataset) { ds.set(tag.SeriesDescription, "a\nb") }, "control character"},
		{"image type of one value", heatmap, func(ds dataset) { ds.set(tag.ImageType, "DERIVED") }, "ImageType"},
		{"original", heatmap, func(ds dataset) { ds.set(tag.ImageType, "ORIGINAL", "PRIMARY") }, "ImageType"},
		{"empty body part", heatmap, func(ds dataset) { ds.set(tag.BodyPartExamined) }, "BodyPartExamined has no value"},
		{"laterality", heatmap, func(ds dataset) { ds.set(tag.Laterality, "") }, "Laterality must be absent"},
		{"aspect ratio", heatmap, func(ds dataset) { ds.set(tag.PixelAspectRatio, "1", "1") }, "PixelAspectRatio must be absent"},
		{"burned in Y", heatmap, func(ds dataset) { ds.set(tag.BurnedInAnnotation, "Y") }, "BurnedInAnnotation"},
		{"pixels cut", heatmap, func(ds dataset) { ds[tag.PixelData] = ds[tag.PixelData].([]byte)[:100] }, "PixelData has 100 bytes"},
		{"planar", heatmap, func(ds dataset) { ds.ints(tag.PlanarConfiguration, 1) }, "RGB by pixel"},
		{"lossy 1", heatmap, func(ds dataset) { ds.set(tag.LossyImageCompression, "1") }, "neither 00 nor 01"},
		{"lossy without ratio", heatmap, func(ds dataset) { ds.set(tag.LossyImageCompression, "01") }, "LossyImageCompressionRatio is missing"},
		{"ratio without lossy", heatmap, func(ds dataset) { ds.set(tag.LossyImageCompressionRatio, "2") }, "without lossy compression"},
		{"methods and ratios", heatmap, func(ds dataset) {
			ds.set(tag.LossyImageCompression, "01")
			ds.set(tag.LossyImageCompressionRatio, "2")
			ds.set(tag.LossyImageCompressionMethod, "ISO_10918_1", "ISO_10918_1")
		}, "2 values"},
		{"ratio too long", heatmap, func(ds dataset) {
			ds.set(tag.LossyImageCompression, "01")
			ds.set(tag.LossyImageCompressionRatio, "12.345678901234567")
		}, "DS allows 16"},
		{"into the source's series", heatmap, func(ds dataset) { ds.set(tag.SeriesInstanceUID, testSeries) }, "series of its source"},
		{"sources disagree", heatmap, func(ds dataset) {
			ds.sequence(tag.SourceImageSequence)[0].set(tag.ReferencedSOPInstanceUID, "1.2.3")
		}, "not in ReferencedSeriesSequence"},

		{"verified", report, func(ds dataset) { ds.set(tag.VerificationFlag, "VERIFIED") }, "VerificationFlag"},
		{"complete", report, func(ds dataset) { ds.set(tag.CompletionFlag, "COMPLETE") }, "CompletionFlag"},
		{"final", report, func(ds dataset) { ds.set(tag.PreliminaryFlag, "FINAL") }, "PreliminaryFlag"},
		{"verifying observer", report, func(ds dataset) { ds.items(tag.VerifyingObserverSequence, dataset{}) }, "VerifyingObserverSequence"},
		{"author", report, func(ds dataset) { delete(ds, tag.AuthorObserverSequence) }, "AuthorObserverSequence"},
		{"report modality", report, func(ds dataset) { ds.set(tag.Modality, "ES") }, "Modality"},
		{"title", report, func(ds dataset) { ds.items(tag.ConceptNameCodeSequence, coded(ofInterest)) }, "title"},
		{"template", report, func(ds dataset) { ds.sequence(tag.ContentTemplateSequence)[0].set(tag.TemplateIdentifier, "2000") }, "TID 1500"},
		{"no content", report, func(ds dataset) { delete(ds, tag.ContentSequence) }, "ContentSequence"},
		{"other algorithm name", report, func(ds dataset) { item(ds, algorithmName.Value).set(tag.TextValue, "x") }, "concept 111001"},
		{"other device", report, func(ds dataset) { item(ds, deviceUID.Value).set(tag.UID, "1.2.3") }, "concept 121012"},
		{"open polyline", report, points(func(p []float64) []float64 { return p[:len(p)-2] }), "POLYLINE is open"},
		{"outside the frame", report, points(func(p []float64) []float64 { p[2] = 622.5; return p }), "leaves its frame of 622 columns and 529 rows"},
		{"left of the frame", report, points(func(p []float64) []float64 { p[3] = -1; return p }), "leaves its frame"},
		{"two points", report, points(func(p []float64) []float64 { return []float64{1, 1, 1, 1} }), "at least four points"},
		{"half a point", report, points(func(p []float64) []float64 { return append(p, 1) }), "at least four points"},
		{"circle", report, func(ds dataset) { item(ds, imageRegion.Value).set(tag.GraphicType, "CIRCLE") }, "no POLYLINE"},
		{"region of an unknown frame", report, func(ds dataset) {
			item(ds, imageRegion.Value).sequence(tag.ContentSequence)[0].sequence(tag.ReferencedSOPSequence)[0].set(tag.ReferencedFrameNumber, "7")
		}, "unknown size"},
		{"relationship", report, func(ds dataset) { item(ds, finding.Value).set(tag.RelationshipType, "INFERRED FROM") }, `related by "INFERRED FROM"`},
		{"region not selected", report, func(ds dataset) {
			item(ds, imageRegion.Value).sequence(tag.ContentSequence)[0].set(tag.RelationshipType, "CONTAINS")
		}, "below SCOORD"},
		{"item without concept", report, func(ds dataset) { delete(item(ds, comment.Value), tag.ConceptNameCodeSequence) }, "has no concept name"},
		{"text without text", report, func(ds dataset) { item(ds, comment.Value).set(tag.TextValue, "") }, "has no value"},
		{"code without meaning", report, func(ds dataset) {
			item(ds, finding.Value).sequence(tag.ConceptCodeSequence)[0].set(tag.CodeMeaning)
		}, "code without value, scheme or meaning"},
		{"number without units", report, func(ds dataset) {
			delete(item(ds, probability.Value).sequence(tag.MeasuredValueSequence)[0], tag.MeasurementUnitsCodeSequence)
		}, "MeasurementUnitsCodeSequence"},
		{"number with an exponent of words", report, func(ds dataset) {
			item(ds, probability.Value).sequence(tag.MeasuredValueSequence)[0].set(tag.NumericValue, "NaN")
		}, "NumericValue: a value that is none of DS"},
		{"evidence lacks one", report, func(ds dataset) {
			series := ds.sequence(tag.CurrentRequestedProcedureEvidenceSequence)[0].sequence(tag.ReferencedSeriesSequence)[0]
			series.items(tag.ReferencedSOPSequence, series.sequence(tag.ReferencedSOPSequence)[1:]...)
		}, "evidence lacks instance"},
		{"evidence has one more", report, func(ds dataset) {
			series := ds.sequence(tag.CurrentRequestedProcedureEvidenceSequence)[0].sequence(tag.ReferencedSeriesSequence)[0]
			series.items(tag.ReferencedSOPSequence, append(series.sequence(tag.ReferencedSOPSequence), reference(dicom.SOPInstance{SOPClassUID: "1.2", SOPInstanceUID: "1.3"}, 0))...)
		}, "nothing refers to"},
		{"evidence of another study", report, func(ds dataset) {
			ds.sequence(tag.CurrentRequestedProcedureEvidenceSequence)[0].set(tag.StudyInstanceUID, "1.2.3")
		}, "another study"},

		{"key object modality", keys, func(ds dataset) { ds.set(tag.Modality, "SR") }, "not KO"},
		{"rejected for quality", keys, func(ds dataset) {
			ds.items(tag.ConceptNameCodeSequence, coded(dcm("113001", "Rejected for Quality Reasons")))
		}, "title"},
		{"no evidence", keys, func(ds dataset) { delete(ds, tag.CurrentRequestedProcedureEvidenceSequence) }, "CurrentRequestedProcedureEvidenceSequence"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ds, frames := row.good(t)
			codingSchemes(ds)
			require.NoError(t, check(ds, frames), "before it was broken")
			row.wreck(ds)
			err := check(ds, frames)
			var invalid *InvalidError
			require.ErrorAs(t, err, &invalid)
			assert.ErrorContains(t, err, row.want)
			assert.False(t, invalid.Temporary())
			assert.NotContains(t, err.Error(), "EG0001")
			assert.NotContains(t, err.Error(), "ller")
			_, err = finish(ds, frames)
			assert.Error(t, err, "a bad object is not emitted")
		})
	}
}

// What the other parser does not read as it was meant does not leave, however well it is built.
func TestFinish_readBack(t *testing.T) {
	e := testExam(t, kvasir())
	ds := testBuilder().report(e, dicom.Comprehensive3DSRStorage, testBuilder().measurementReport(e))
	_, err := finish(ds, e.sizes())
	require.NoError(t, err)
	ds.ints(tag.SelectorUVValue, 1) // a VR that is younger than that parser
	_, err = finish(ds, e.sizes())
	var invalid *InvalidError
	require.ErrorAs(t, err, &invalid)
	assert.ErrorContains(t, err, "unsupported by the other parser: (0072,0083) of VR UV")
}
