package reports

import (
	"bytes"
	"fmt"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sd "github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
	"pgregory.net/rapid"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// objects makes everything that an exam gives.
func objects(t rapid.TB, e Exam) []Object {
	t.Helper()
	threeD, plain, err := testBuilder().Report(e)
	require.NoError(t, err)
	all := []Object{threeD, plain}
	keys, ok, err := testBuilder().KeyObjects(e)
	require.NoError(t, err)
	if ok {
		all = append(all, keys)
	}
	return all
}

func TestReport_conforms(t *testing.T) {
	empty := testExam(t, kvasir())
	source := endoscopic("1")
	for _, tag := range type2 {
		source.set(tag)
	}
	empty.Source = sourceOf(t, source)

	absent := testExam(t, kvasir())
	source = endoscopic("1")
	for _, tag := range append(type2, tag.Manufacturer, tag.ProcedureCodeSequence) {
		delete(source, tag)
	}
	absent.Source = sourceOf(t, source)

	revised := testExam(t, kvasir())
	revised.Revision = 3

	failed := testExam(t, kvasir())
	for i := range failed.Instances {
		failed.Instances[i].Results, failed.Instances[i].Failed = nil, "decoder gave up"
	}

	multi := testExam(t, kvasir())
	for i := range multi.Instances {
		multi.Instances[i].SOPClassUID, multi.Instances[i].Frames = dicom.MultiFrameTrueColorSecondaryCapture, 9
		multi.Instances[i].Results[0].Span = analysis.Still(4)
	}

	for name, e := range map[string]Exam{
		"demo": testExam(t, demoAlgorithm(t)), "kvasir": testExam(t, kvasir()), "empty type 2": empty, "absent type 2": absent,
		"revised": revised, "nothing analysed": failed, "multi-frame": multi, "golden": goldenExam(t),
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range objects(t, e) {
				conforms(t, o)
				assert.NoError(t, o.Header.Validate())
			}
		})
	}
}

// TestReport_readers opens every object with readers that nobody here wrote.
func TestReport_readers(t *testing.T) {
	all := objects(t, testExam(t, kvasir()))
	heatmap, err := testBuilder().Heatmap(testHeatmap(t, endoscopic("1"), kvasir(), "polyps", "polyp-0017b7c7.jpg"))
	require.NoError(t, err)
	for _, o := range append(all, heatmap) {
		file := writeFile(t, o)
		ds, err := sd.ParseFile(file, nil)
		require.NoError(t, err)
		name, err := ds.FindElementByTag(tag.PatientName)
		require.NoError(t, err)
		assert.Equal(t, "Müller^Jörgen", sd.MustGetStrings(name.Value)[0])
		if o.Header.SOPClassUID == dicom.SecondaryCaptureImageStorage {
			continue
		}
		for _, program := range []string{"dsrdump", "dsr2html"} {
			out, err := tool(t, program, file)
			require.NoError(t, err, out)
			for line := range strings.Lines(out) {
				assert.False(t, strings.HasPrefix(line, "E:"), "%s: %s", program, line)
			}
			assert.Contains(t, out, "AI-generated draft. Not ver", program)
		}
	}
}

// TestReport_pydicom walks every element with warnings as errors.
func TestReport_pydicom(t *testing.T) {
	installed.RequirePython(t, "pydicom")
	const script = `
import sys, warnings, pydicom
warnings.simplefilter("error")
for path in sys.argv[1:]:
    ds = pydicom.dcmread(path)
    n = sum(1 for e in ds.iterall() if e.value is not None)
    assert str(ds.PatientName) == "M\u00fcller^J\u00f6rgen", ds.PatientName
    print(ds.SOPClassUID.name, n)
`
	heatmap, err := testBuilder().Heatmap(testHeatmap(t, endoscopic("1"), kvasir(), "polyps", "polyp-0017b7c7.jpg"))
	require.NoError(t, err)
	args := []string{"-c", script}
	for _, o := range append(objects(t, testExam(t, kvasir())), heatmap) {
		args = append(args, writeFile(t, o))
	}
	out, err := exec.Command(installed.Python, args...).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "Comprehensive 3D SR Storage")
}

// TestReport_study holds all objects of a study together.
func TestReport_study(t *testing.T) {
	var files []string
	for _, o := range objects(t, testExam(t, kvasir())) {
		files = append(files, writeFile(t, o))
	}
	for i, class := range []string{"polyps", "esophagitis", "normal-cecum"} {
		o, err := testBuilder().Heatmap(testHeatmap(t, endoscopic(number(i+1)), kvasir(), class, "polyp-0017b7c7.jpg"))
		require.NoError(t, err)
		files = append(files, writeFile(t, o))
	}
	out, err := tool(t, "dcentvfy", files...)
	require.NoError(t, err, out)
	assert.NotContains(t, out, "Error", out)
}

func TestReport_sameBytes(t *testing.T) {
	a, b := objects(t, testExam(t, kvasir())), objects(t, testExam(t, kvasir()))
	require.Len(t, a, 3)
	for i := range a {
		assert.Equal(t, a[i].Header, b[i].Header)
		assert.True(t, bytes.Equal(a[i].Dataset, b[i].Dataset))
	}
	assert.NotEqual(t, a[0].Header.SOPInstanceUID, a[1].Header.SOPInstanceUID, "the twins are two instances")
	assert.NotEqual(t, a[0].Header.SeriesInstanceUID, a[1].Header.SeriesInstanceUID)
}

func TestReport_revision(t *testing.T) {
	e := testExam(t, kvasir())
	made := objects(t, e)
	first := attributesOf(t, made[0])
	e.Revision, e.Previous = 2, []dicom.SOPInstance{made[0].Header.SOPInstance, made[1].Header.SOPInstance}
	second := attributesOf(t, objects(t, e)[0])
	assert.Equal(t, "2", textOf(second, tag.InstanceNumber))
	assert.NotEqual(t, textOf(first, tag.SOPInstanceUID), textOf(second, tag.SOPInstanceUID))
	assert.Equal(t, textOf(first, tag.SeriesInstanceUID), textOf(second, tag.SeriesInstanceUID))
	predecessor := second.Item(tagOf(tag.PredecessorDocumentsSequence), 0).
		Item(tagOf(tag.ReferencedSeriesSequence), 0).Item(tagOf(tag.ReferencedSOPSequence), 0)
	assert.Equal(t, textOf(first, tag.SOPInstanceUID), textOf(predecessor, tag.ReferencedSOPInstanceUID))
	_, ok := first.Get(tagOf(tag.PredecessorDocumentsSequence))
	assert.False(t, ok)
}

// groups returns the measurement groups of the exam as content items.
func groups(e Exam) []ContentItem { return e.imagingMeasurements().Items }

func find(c ContentItem, concept dicom.Code) []ContentItem {
	var out []ContentItem
	c.walk(func(item ContentItem) {
		if item.ConceptName == concept {
			out = append(out, item)
		}
	})
	return out
}

// TestReport_viewers holds the tree to what OHIF needs so as not to break.
func TestReport_viewers(t *testing.T) {
	e := testExam(t, kvasir())
	root := testBuilder().measurementReport(e)
	assert.Equal(t, measurementReportTitle, root.ConceptName)
	require.Len(t, find(root, imageLibraryTitle), 1)
	require.Len(t, find(root, imageLibraryGroup), 1)
	require.Len(t, find(root, imagingMeasurements), 1)
	tracked := map[string]bool{}
	for _, group := range groups(e) {
		require.Equal(t, trackingIdentifier, group.Items[0].ConceptName)
		require.Equal(t, trackingUID, group.Items[1].ConceptName)
		assert.False(t, tracked[group.Items[1].Text], "tracking UIDs differ")
		tracked[group.Items[1].Text] = true
		require.Len(t, find(group, probability), 1)
	}
	root.walk(func(c ContentItem) { assert.NotEmpty(t, c.ConceptName, "every item has a concept name") })
}

func TestReport_groups(t *testing.T) {
	e := testExam(t, kvasir())
	for i := range e.Instances {
		e.Instances[i].Results[0].Findings[0].Contours = append(e.Instances[i].Results[0].Findings[0].Contours,
			[][2]float64{{1, 1}, {1.2, 1}, {1.2, 1.2}, {1, 1}}) // nothing is left of it
	}
	all := groups(e)
	assert.Len(t, all, 2*6+5) // two regions for six frames with findings, five without
	region := find(all[0], imageRegion)[0]
	assert.Equal(t, "SCOORD", region.ValueType)
	assert.LessOrEqual(t, len(region.Polyline), maxPoints)
	assert.Equal(t, region.Polyline[0], region.Polyline[len(region.Polyline)-1])
	assert.InDelta(t, math.Pi*90*90, math.Abs(area(region.Polyline)), 300, "the thinned circle keeps its area")
	assert.NotEmpty(t, find(all[0], illustrationOfROI))
	name := find(all[0], probability)[0].Items[0]
	assert.Equal(t, "kvasir-v2-cls", name.Text)

	last := all[len(all)-1]
	assert.Empty(t, find(last, imageRegion))
	assert.NotEmpty(t, find(last, sourceOfMeasurement))
	assert.Equal(t, "AI-10 intubation incorrect: quality note, image 11 (kvasir-v2-cls)", last.Items[0].Text)
	assert.Equal(t, "AI-6 cecum: landmark image, image 7 (kvasir-v2-cls)", all[12].Items[0].Text)
}

// TestReport_statements: what a reader is told, word for word.
func TestReport_statements(t *testing.T) {
	text := func(e Exam) []string {
		var out []string
		for _, item := range e.evaluations().Items {
			out = append(out, item.Text)
		}
		return out
	}
	demo := testExam(t, demoAlgorithm(t))
	assert.Equal(t, []string{
		"AI-generated draft. Not verified.",
		"Instances analysed: 6 (6 frames); skipped: 0; failed: 0.",
		"AI flagged polyp in 2 of the 6 analysed frames.",
		"AI took 1 of the 6 analysed frames for cecum: landmark image. This says nothing about abnormality.",
		"AI took 1 of the 6 analysed frames for the image class \"normal mucosa\". This is no statement about the organ or the exam.",
		"AI noted in 1 of the 6 analysed frames: inadequate preparation: quality note.",
		"AI took 1 of the 6 analysed frames for esophagus: landmark image. This says nothing about abnormality.",
		"An Image Region is the hot region of an explanation: where what speaks for the class has at least half of the weight that it has at most. It is not the border of a lesion.",
		notLesions,
	}, text(demo))

	demo.Instances = demo.Instances[3:4] // the normal frame
	assert.Contains(t, text(demo), "AI did not flag polyp in the 1 analysed frames.")
	assert.Contains(t, text(demo), "AI took none of the 1 analysed frames for esophagus: landmark image.")
	assert.Empty(t, groups(demo), "a normal frame is no measurement")

	failed := testExam(t, kvasir())
	for i := range failed.Instances {
		failed.Instances[i].Results = nil
		failed.Instances[i].Failed = []string{"decoder gave up", "out of memory."}[i%2]
	}
	failed.Instances[0].Failed, failed.Instances[0].Skipped = "", "no model"
	assert.Equal(t, []string{
		"AI-generated draft. Not verified.",
		"Analysis failed: no frame was analysed. Instances analysed: 0 (0 frames); skipped: 1; failed: 10.",
		"Skipped: 1: no model.",
		"Failed: 5: decoder gave up.",
		"Failed: 5: out of memory.",
	}, text(failed))
	for i := range failed.Instances {
		failed.Instances[i].Failed, failed.Instances[i].Skipped = "", "no model"
	}
	assert.Equal(t, []string{
		"AI-generated draft. Not verified.",
		"No frame was analysed. Instances analysed: 0 (0 frames); skipped: 11; failed: 0.",
		"Skipped: 11: no model.",
	}, text(failed), "nothing has failed")
	for _, s := range append(text(failed), text(testExam(t, kvasir()))...) {
		assert.NotContains(t, strings.ToLower(s), "no abnormality")
	}
}

// TestReport_many: a report of a long exam stays readable, and says what it leaves out.
func TestReport_many(t *testing.T) {
	e := testExam(t, kvasir())
	one := e.Instances[0]
	one.Frames = 1000
	f := one.Results[0].Findings[0]
	one.Results = nil
	for n := 1; n <= 1000; n++ {
		f.Probability = []float64{0.9, 0.8, 0.8, 0.7, 0.6, 0.8}[n%6]
		one.Results = append(one.Results, analysis.Result{Span: analysis.Still(n), Rows: 529, Columns: 622, Findings: []analysis.Finding{f}})
	}
	e.Instances = []Instance{one}
	listed := e.listed()
	require.Len(t, listed, maxListed)
	best := 0
	for i, s := range listed {
		if s.finding.Probability == 0.9 {
			best++
		} else {
			assert.Equal(t, 0.8, s.finding.Probability)
		}
		if i > 0 {
			assert.Less(t, listed[i-1].result.Span.First, s.result.Span.First, "in the order of the exam")
		}
	}
	assert.Equal(t, 166, best)
	threeD, _, err := testBuilder().Report(e)
	require.NoError(t, err)
	assert.Contains(t, string(threeD.Dataset), "Only the 200 frames with the highest probability of polyps are listed.")
	assert.Contains(t, string(threeD.Dataset), "AI flagged polyps in 1000 of the 1000 analysed frames.")
}

// TestReport_oneLesionInManyFrames: what was seen in many frames has one number, the frames are told apart, and nothing is
// said of how many lesions that are.
func TestReport_oneLesionInManyFrames(t *testing.T) {
	e := testExam(t, kvasir())
	one := e.Instances[0]
	one.Frames = 60
	f := one.Results[0].Findings[0]
	f.Contours = f.Contours[:1]
	one.Results = nil
	for n := 1; n <= 60; n++ {
		one.Results = append(one.Results, analysis.Result{Span: analysis.Still(n), Rows: 529, Columns: 622, Findings: []analysis.Finding{f}})
	}
	e.Instances = []Instance{one}
	ids, uids := map[string]bool{}, map[string]bool{}
	for i, g := range groups(e) {
		assert.Equal(t, fmt.Sprintf("AI-1 polyps, image 1 frame %d, hot region (%s)", i+1, e.by(one).Name), g.Items[0].Text)
		ids[g.Items[0].Text], uids[g.Items[1].Text] = true, true
	}
	assert.Len(t, ids, 60)
	assert.Len(t, uids, 60, "that two frames show the same is nothing that anybody knows")
	var said []string
	e.evaluations().walk(func(c ContentItem) { said = append(said, c.Text) })
	assert.Contains(t, said, "AI flagged polyps in 60 of the 60 analysed frames.")
	assert.Contains(t, said, notLesions)
	assert.NotRegexp(t, `(?i)\b[0-9]+ (polyps?|lesions?|findings?)\b`, strings.Join(said, "\n"))
}

func TestReport_multiFrame(t *testing.T) {
	e := testExam(t, kvasir())
	e.Instances = e.Instances[:1]
	e.Instances[0].Frames = 9
	e.Instances[0].Results[0].Span = analysis.Still(4)
	region := find(groups(e)[0], imageRegion)[0]
	assert.Equal(t, 4, region.Items[0].Image.Frame)
	assert.Zero(t, find(e.imageLibrary(), sourceImage)[0].Image.Frame, "the library holds whole instances")
}

func TestReport_request(t *testing.T) {
	source := endoscopic("1")
	source.items(tag.RequestAttributesSequence, dataset{
		tag.RequestedProcedureID: []string{"RP1"}, tag.RequestedProcedureDescription: []string{"Colonoscopy"},
	})
	e := testExam(t, kvasir())
	e.Source = sourceOf(t, source)
	o := objects(t, e)[0]
	conforms(t, o)
	item := attributesOf(t, o).Item(tagOf(tag.ReferencedRequestSequence), 0)
	assert.Equal(t, "RP1", textOf(item, tag.RequestedProcedureID))
	assert.Equal(t, "A20260001", textOf(item, tag.AccessionNumber))
	assert.Equal(t, testStudy, textOf(item, tag.StudyInstanceUID))
}

func TestKeyObjects(t *testing.T) {
	e := testExam(t, kvasir())
	b := testBuilder()
	b.KeyFrames = 1
	keys := find(b.keyObjectSelection(e, e.keyFrames(1)), dicom.Code{})
	assert.Len(t, keys, 2*5, "best frame and heatmap of each of five classes")
	best := keys[len(keys)-4] // classes in alphabetical order: polyps, then ulcerative-colitis
	assert.Equal(t, e.Instances[1].SOPInstanceUID, best.Image.Instance.SOPInstanceUID, "the frame with the higher probability")

	for i := range e.Instances {
		for j := range e.Instances[i].Results[0].Findings {
			e.Instances[i].Results[0].Findings[j].Role = analysis.RoleLandmark
		}
	}
	_, ok, err := b.KeyObjects(e)
	require.NoError(t, err)
	assert.False(t, ok, "nothing to look at, no object")
}
