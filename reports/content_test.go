package reports

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

// TestContent_oneUIDOneContent: two objects have one SOP Instance UID if and only if they have the same bytes, whatever it is
// that they were made of differs in: time, release, station, options, colours, language, outcome, revision, predecessor.
func TestContent_oneUIDOneContent(t *testing.T) {
	contents, uids := map[dicom.UID]string{}, map[string]dicom.UID{}
	source, signedDoc := sourceOf(t, endoscopic("1")), document(t, draft.Signed, false)
	whole := testExam(t, kvasir())
	whole.Instances = whole.Instances[:2]
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		builder := testBuilder()
		builder.Equipment.SoftwareVersion = fmt.Sprintf("0.%d.0", pick("release", 2))
		builder.Equipment.InstitutionName = []string{"", "Hospital"}[pick("institution", 2)]
		builder.Equipment.StationName = []string{"ENDOGATE", "ROOM2"}[pick("station", 2)]
		builder.Location = time.FixedZone("", 3600*pick("zone", 2))
		at := inferred.Add(time.Duration(pick("seconds", 3)) * time.Second)
		algorithm := kvasir()
		algorithm.Version = []string{"1.0.0", "1.1.0"}[pick("version", 2)]
		algorithm.Explain = analysis.Explanation{Method: []string{"gradcam", "layercam"}[pick("method", 2)], Layer: "last"}

		frame := image.NewRGBA(image.Rect(0, 0, 64, 48))
		overlay := image.NewRGBA(frame.Rect)
		draw.Draw(overlay, overlay.Rect, image.NewUniform(color.RGBA{R: uint8(100 * pick("colours", 3)), A: 255}), image.Point{}, draw.Src)
		heatmap := Heatmap{
			Source: source, Frame: 1 + pick("frame", 2), Pixels: frame, Overlay: overlay, Opacity: []float64{0.4, 0.5}[pick("opacity", 2)],
			Algorithm: algorithm, Class: algorithm.Classes[pick("class", 2)].Name, Probability: []float64{0.9, 0.91}[pick("probability", 2)],
			At: at, Revision: 1 + pick("revision", 2),
		}
		picture, err := builder.Heatmap(heatmap)
		require.NoError(t, err)
		e := whole
		e.Algorithm, e.At, e.Revision = algorithm, at, heatmap.Revision
		e.Route = []string{"endoscopy", "other"}[pick("route", 2)]
		if pick("predecessor", 2) == 1 {
			e.Previous = []dicom.SOPInstance{picture.Header.SOPInstance}
			e.Previous[0].SOPClassUID = dicom.Comprehensive3DSRStorage
		}
		threeD, plain, err := builder.Report(e)
		require.NoError(t, err)
		keys, ok, err := builder.KeyObjects(e)
		require.NoError(t, err)
		require.True(t, ok)
		doc := signedDoc
		doc.Version = 4 + pick("draft", 2)
		doc.Language = []string{"en", "de"}[pick("language", 2)]
		doc.At = at
		signature := *doc.Signature
		signature.At, doc.Signature = at, &signature
		report, twin, err := builder.SignedReport(source, doc)
		require.NoError(t, err)
		page, err := builder.EncapsulatedPDF(source, doc, fmt.Appendf(nil, "%%PDF-1.4 %d", pick("page", 2)))
		require.NoError(t, err)
		for _, o := range []Object{picture, threeD, plain, keys, report, twin, page} {
			require.True(t, o.Header.SOPInstanceUID.Valid())
			uid, bytes := o.Header.SOPInstanceUID, string(o.Dataset)
			if was, ok := contents[uid]; ok && was != bytes {
				t.Fatalf("%s has two contents", uid)
			}
			if was, ok := uids[bytes]; ok && was != uid {
				t.Fatalf("%s and %s have the same content", was, uid)
			}
			contents[uid], uids[bytes] = bytes, uid
		}
	})
	require.Greater(t, len(contents), 50, "else it says nothing")
}
