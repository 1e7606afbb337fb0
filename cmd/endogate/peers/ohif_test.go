package peers_test

import (
	"bufio"
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/draw"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/reports"
)

// TestOHIFScreenshot shows the viewer heatmaps, report and key objects as the gateway makes them, without a gateway.
func TestOHIFScreenshot(t *testing.T) {
	installed.Require(t, "chromium")
	o := peers.StartOrthanc(t)
	files := samples(t, "study1-0[1-3]*.dcm")
	o.Upload(t, files...)
	exam := newExam(t, files)
	builder := &reports.Builder{Equipment: reports.Equipment{
		Manufacturer: "endogate", ModelName: "endogate", SerialNumber: "1", SoftwareVersion: "test", StationName: "ENDOGATE",
	}}
	for i, file := range files {
		o.Upload(t, heatmap(t, builder, &exam, i, file))
	}
	report, _, err := builder.Report(exam)
	require.NoError(t, err)
	keys, ok, err := builder.KeyObjects(exam)
	require.NoError(t, err)
	require.True(t, ok)
	o.Upload(t, part10(t, report), part10(t, keys))
	require.NotEmpty(t, peers.OHIFScreenshot(t, o, study1, "AI heatmap"))
	o.Upload(t, clip(t, builder, exam, files[0], dicom.MultiFrameTrueColorSecondaryCapture))
	picture := peers.OHIFScreenshot(t, o, study1, "AI heatmap clips")
	require.NotEmpty(t, picture)
	keep(t, "clip-in-ohif.png", picture)
}

// keep writes a picture to look at, where somebody wants to.
func keep(t *testing.T, name string, picture []byte) {
	t.Helper()
	if to := os.Getenv("ENDOGATE_TEST_PICTURES"); to != "" {
		require.NoError(t, os.WriteFile(filepath.Join(to, name), picture, 0o600))
	}
}

// clip is a heatmap clip of a file, of which every frame is the same.
func clip(t *testing.T, builder *reports.Builder, exam reports.Exam, file string, class dicom.UID) string {
	t.Helper()
	_, overlay := frame(t, file)
	made, err := builder.Clip(reports.Heatmap{
		Source: source(t, file), Frame: 1, Opacity: 0.4, Algorithm: exam.Algorithm, Class: exam.Algorithm.Classes[0].Name, Probability: 0.9, At: exam.At,
	}, 10, reports.ClipForm{Class: class})
	require.NoError(t, err)
	for n := range 12 {
		require.NoError(t, made.Add(reports.ClipFrame{Number: 1 + n, At: float64(n) / 10, Overlay: overlay, Probability: 0.5 + float64(n)/30}))
	}
	o, err := made.Object()
	require.NoError(t, err)
	return part10(t, o)
}

func newExam(t *testing.T, files []string) reports.Exam {
	t.Helper()
	bundle, err := inference.LoadBundle(filepath.Join(peers.Root(t), "testdata", "models", "demo"))
	require.NoError(t, err)
	return reports.Exam{
		Algorithm: reports.AlgorithmOf(bundle, 1), Source: source(t, files[0]), Revision: 1,
		At: time.Date(2026, 1, 2, 10, 20, 30, 0, time.UTC),
	}
}

// heatmap adds a file to the exam as an instance with one finding and returns the heatmap of it.
func heatmap(t *testing.T, builder *reports.Builder, exam *reports.Exam, i int, file string) string {
	t.Helper()
	class := exam.Algorithm.Classes[0]
	picture, overlay := frame(t, file)
	from := source(t, file)
	made, err := builder.Heatmap(reports.Heatmap{
		Source: from, Frame: 1, Pixels: picture, Overlay: overlay, Opacity: 0.4,
		Algorithm: exam.Algorithm, Class: class.Name, Probability: 0.9, At: exam.At,
	})
	require.NoError(t, err)
	size := picture.Rect.Size()
	x, y := float64(size.X), float64(size.Y)
	exam.Instances = append(exam.Instances, reports.Instance{
		SOPInstance: from.Attributes.Header().SOPInstance, Modality: "ES", Frames: 1,
		Results: []analysis.Result{{Span: analysis.Still(1), Rows: size.Y, Columns: size.X, Findings: []analysis.Finding{{
			Class: class.Name, Role: class.Role, Probability: 0.9 - float64(i)/100, Threshold: class.Threshold,
			Finding: class.Finding, Site: class.Site, Heatmap: made.Header.SOPInstanceUID,
			Contours: [][][2]float64{{{x * .4, y * .4}, {x * .6, y * .4}, {x * .6, y * .6}, {x * .4, y * .6}, {x * .4, y * .4}}},
		}}}},
		Heatmaps: []dicom.SOPInstance{made.Header.SOPInstance},
	})
	return part10(t, made)
}

// source reads the attributes of a Part 10 file as the gateway does.
func source(t *testing.T, file string) reports.Source {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	r := bufio.NewReader(bytes.NewReader(content))
	meta, err := dicom.ReadFileMeta(r)
	require.NoError(t, err)
	ts, known := dicom.LookupTransferSyntax(meta.TransferSyntaxUID)
	require.True(t, known)
	attributes, err := dicom.ReadAttributes(r, ts)
	require.NoError(t, err)
	return reports.Source{Attributes: attributes, TransferSyntaxUID: ts.UID, Size: int64(len(content))}
}

// frame returns the frame that a sample instance was made from, and the same with a blue and red map over it.
func frame(t *testing.T, instance string) (picture, overlay *image.RGBA) {
	t.Helper()
	_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(instance), ".dcm"), "-")
	_, name, _ = strings.Cut(name, "-") // study1-01-NAME.dcm
	f, err := os.Open(filepath.Join(peers.Root(t), "testdata", "frames", name+".jpg"))
	require.NoError(t, err)
	defer f.Close()
	decoded, err := jpeg.Decode(f)
	require.NoError(t, err)
	picture = image.NewRGBA(decoded.Bounds())
	draw.Draw(picture, picture.Rect, decoded, image.Point{}, draw.Src)
	overlay = image.NewRGBA(picture.Rect)
	for i := range picture.Rect.Dx() * picture.Rect.Dy() {
		x, y := i%picture.Rect.Dx(), i/picture.Rect.Dx()
		c := picture.RGBAAt(x, y)
		heat := uint8(100 * x / picture.Rect.Dx())
		overlay.SetRGBA(x, y, color.RGBA{R: c.R/2 + heat, G: c.G / 2, B: c.B/2 + 100 - heat, A: 255})
	}
	return picture, overlay
}

// part10 writes an object as a file.
func part10(t *testing.T, o reports.Object) string {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, dicom.WriteFileMeta(&file, dicom.FileMeta{
		SOPClassUID: o.Header.SOPClassUID, SOPInstanceUID: o.Header.SOPInstanceUID, TransferSyntaxUID: o.TransferSyntaxUID,
	}))
	file.Write(o.Dataset)
	path := filepath.Join(t.TempDir(), strconv.Itoa(len(o.Dataset))+".dcm")
	require.NoError(t, os.WriteFile(path, file.Bytes(), 0o600))
	return path
}
