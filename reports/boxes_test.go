package reports

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// boxed is an exam of one frame with two boxes of a class, and a mask of another.
func boxed(t *testing.T) Exam {
	t.Helper()
	source := sourceOf(t, endoscopic("1"))
	rectangle := func(l, top, r, b float64) [][][2]float64 {
		return [][][2]float64{{{l, top}, {r, top}, {r, b}, {l, b}, {l, top}}}
	}
	seen := func(class int, p float64, o analysis.Outline, number int, where [][][2]float64) analysis.Finding {
		f := kvasir().Classes[class].Seen(p)
		f.Outline, f.Number, f.Contours, f.Share = o, number, where, 0.1
		return f
	}
	return Exam{
		Algorithm: kvasir(), Route: "endoscopy", Source: source, Revision: 1, At: inferred,
		Instances: []Instance{{SOPInstance: source.instance(), Modality: "ES", Frames: 1, Results: []analysis.Result{{
			Span: analysis.Still(1), Rows: 529, Columns: 622, Scores: map[string]float64{"polyps": 0.9, "esophagitis": 0.8},
			Findings: []analysis.Finding{
				seen(0, 0.9, analysis.NetworkBox, 1, rectangle(10, 20, 30, 40)),
				seen(0, 0.7, analysis.NetworkBox, 2, rectangle(100, 100, 400, 300)), // larger, and less probable
				seen(3, 0.8, analysis.NetworkMask, 0, [][][2]float64{{{200, 200}, {250, 210}, {240, 260}, {200, 200}}}),
			},
		}}}},
	}
}

// said is all text of a tree.
func said(c ContentItem) string {
	text := c.Text + "\n"
	for _, item := range c.Items {
		text += said(item)
	}
	return text
}

// polyline is the first of a group.
func polyline(c ContentItem) (flat []float64) {
	for _, item := range c.Items {
		for _, p := range item.Polyline {
			flat = append(flat, p[:]...)
		}
	}
	return flat
}

// A report has a measurement group for each box, with its own probability and place, and says that it is the network's and no border;
// frames are counted once.
func TestReport_boxesAndMasks(t *testing.T) {
	e := boxed(t)
	root := testBuilder().measurementReport(e)
	text := said(root)
	for _, want := range []string{
		"AI-1 polyps, image 1 box 1, box by the network", "AI-1 polyps, image 1 box 2, box by the network", "AI-2 esophagitis, image 1, mask by the network",
		"0.9", "0.7", "It is not the border of a lesion", "AI flagged polyps in 1 of the 1 analysed frames.",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "hot region")
	groups := e.imagingMeasurements().Items
	require.Len(t, groups, 3)
	uids := map[string]bool{}
	for i, want := range [][]float64{{10, 20, 30, 20, 30, 40, 10, 40, 10, 20}, {100, 100, 400, 100, 400, 300, 100, 300, 100, 100}} {
		require.Equal(t, want, polyline(groups[i]))
		uids[groups[i].Items[1].Text] = true
	}
	require.Len(t, uids, 2, "tracked apart")
	_, _, err := testBuilder().Report(e)
	require.NoError(t, err)
	require.Len(t, e.keyFrames(5), 2, "a frame once for each class")
}

// Heatmaps of the boxes of one class in one frame are objects of their own.
func TestHeatmap_ofBoxes(t *testing.T) {
	h := testHeatmap(t, endoscopic("1"), kvasir(), "polyps", "cecum-3.jpg")
	uids := map[dicom.UID]bool{}
	for number := range 3 {
		h.Number = number
		if number > 0 {
			h.Outline = analysis.NetworkBox
		}
		o, err := testBuilder().Heatmap(h)
		require.NoError(t, err)
		uids[o.Header.SOPInstanceUID] = true
		w := h.discreet().words()
		require.Equal(t, number > 0, strings.Contains(w.Class, "box") && strings.Contains(w.Remark, "box by the network, not the border of a lesion"))
	}
	require.Len(t, uids, 3)
}
