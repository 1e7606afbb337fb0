package reports

import (
	"fmt"
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference/analysis"
)

// movingExam is one of a video of 100 frames in which a class persists from one frame to another.
func movingExam(t *testing.T, s ...analysis.Segment) Exam {
	e := testExam(t, kvasir())
	e.Instances = e.Instances[:1]
	i := &e.Instances[0]
	i.SOPClassUID, i.Frames = dicom.VideoEndoscopicImageStorage, 100
	i.Moving = &analysis.Moving{Frames: 100, Analysed: 100, Segments: s, KeyFrames: []analysis.KeyFrame{{Frame: 1, Class: "polyps"}}}
	return e
}

// A segment of a video has a measurement group: its probability is inferred from temporal coordinates, and both forms of the report conform.
func TestReport_stretches(t *testing.T) {
	e := movingExam(t,
		analysis.Segment{Class: "polyps", Role: analysis.RoleFinding, FirstFrame: 11, LastFrame: 31, PeakFrame: 20, Start: 0.4, End: 1.2, Probability: 0.91},
		analysis.Segment{Class: "normal-cecum", Role: analysis.RoleLandmark, FirstFrame: 41, LastFrame: 41, PeakFrame: 41, Start: 1.6, End: 1.6, Probability: 0.8},
		analysis.Segment{Class: "an-older-class", FirstFrame: 51, LastFrame: 52, PeakFrame: 51, Start: 2, End: 2.04, Probability: 0.7},
	)
	threeD, plain, err := testBuilder().Report(e)
	require.NoError(t, err)
	for _, o := range []Object{threeD, plain} {
		conforms(t, o)
		dump, err := tool(t, "dsrdump", "+Pl", writeFile(t, o))
		require.NoError(t, err, dump)
		assert.Contains(t, dump, "TCOORD")
	}
	var ranges []string
	e.imagingMeasurements().walk(func(c ContentItem) {
		if c.ValueType != "TCOORD" {
			return
		}
		ds := dataset{}
		c.set(ds)
		ranges = append(ranges, fmt.Sprint(ds.text(tag.TemporalRangeType), ds.strings(tag.ReferencedTimeOffsets)))
		require.Equal(t, SelectedFrom, c.Items[0].Relationship)
	})
	// what an older version found, of which there is no code, is said in words alone
	assert.Equal(t, []string{"SEGMENT[0.400 1.200]", "POINT[1.600]"}, ranges)
	group := e.stretch(e.Instances[0], e.Instances[0].Moving.Segments[0], 1, e.Source.discreet())
	group.walk(func(c ContentItem) {
		if c.ValueType == "NUM" {
			assert.Equal(t, []string{"SCOORD", "TCOORD"}, []string{c.Items[0].ValueType, c.Items[1].ValueType}, "OHIF reads the first, and breaks off where it has no region")
		}
	})
	assert.Contains(t, group.Items[0].Text, "AI segment polyps, image 1 frames 11 to 31 (kvasir-v2-cls)")
}

// A segment says the threshold that its class had when it was found, not what a newer version has.
func TestReport_stretchThreshold(t *testing.T) {
	e := movingExam(t, analysis.Segment{Class: "polyps", Role: analysis.RoleFinding, FirstFrame: 11, LastFrame: 31, PeakFrame: 20, Start: 0.4, End: 1.2, Probability: 0.91})
	i := e.Instances[0]
	found := e.class("polyps").Seen(0.91)
	found.Threshold = 0.37
	i.Results = []analysis.Result{{Span: analysis.Still(20), Rows: 48, Columns: 64, Findings: []analysis.Finding{found}}}
	var said []string
	e.stretch(i, i.Moving.Segments[0], 1, e.Source.discreet()).walk(func(c ContentItem) { said = append(said, c.Text) })
	assert.Contains(t, said, "threshold=0.37")
}

// A sheet is a capture that names every frame that it shows, says what it is, and has the same bytes again.
func TestSheet(t *testing.T) {
	colours, err := explain.NamedColourMap("jet")
	require.NoError(t, err)
	source := endoscopic("3")
	source.set(tag.SOPClassUID, string(dicom.VideoEndoscopicImageStorage))
	source.set(tag.NumberOfFrames, "40")
	build := func() Object {
		s := Sheet{
			Source: sourceOf(t, source), Colours: colours, Opacity: 0.4, Algorithm: kvasir(), At: inferred, Revision: 1, Times: [2]float64{0.2, 3},
			Clip: analysis.Sheet{Class: "polyps", Probability: 0.93, First: 5, Last: 36, Frames: 32, By: "Attention, mean of the layers", Explanation: analysis.Explanation{Method: "gradcam", Layer: "last"}},
		}
		s.Source.Moving = 40
		for n := 5; n < 37; n += 8 {
			frame := image.NewRGBA(image.Rect(0, 0, 64, 48))
			s.Clip.Moments = append(s.Clip.Moments, analysis.SheetFrame{Frame: n, At: float64(n) / 10, Counts: 0.1})
			s.Moments = append(s.Moments, picture.Moment{Frame: frame, Value: 0.1, Share: 0.5, Over: frame})
		}
		o, err := testBuilder().Sheet(s)
		require.NoError(t, err)
		return o
	}
	o := build()
	conforms(t, o)
	assert.Equal(t, o, build())
	a := attributesOf(t, o)
	for i, n := range []string{"5", "13", "21", "29"} {
		assert.Equal(t, n, textOf(a.Item(tagOf(tag.SourceImageSequence), i), tag.ReferencedFrameNumber))
	}
	said := a.Text(tagOf(tag.ImageComments))
	assert.Contains(t, said, "AI, not verified")
	assert.Contains(t, said, "polyps, p = 0.93, in the clip of frames 5 to 36 (00:00.2 to 00:03.0)")
	_, err = testBuilder().Sheet(Sheet{Source: sourceOf(t, endoscopic("3")), Algorithm: kvasir()})
	require.Error(t, err)
}
