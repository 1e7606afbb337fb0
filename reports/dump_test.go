package reports

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dump renders a data set as text, one element a line, as the reader of the gateway sees it.
func dump(b *strings.Builder, a *dicom.Attributes, indent string) {
	for t := range a.Tags() {
		e, _ := a.Get(t)
		values := strings.Join(a.Texts(t), `\`)
		fmt.Fprintf(b, "%s%s %s %s %s\n", indent, t, e.VR, keyword(tag.Tag{Group: t.Group(), Element: t.Element()}), values)
		for _, item := range e.Items {
			fmt.Fprintf(b, "%s  item\n", indent)
			dump(b, item, indent+"    ")
		}
	}
}

// golden compares o with the dump in testdata, and its bytes with the digest there.
func golden(t *testing.T, o Object, name string) {
	t.Helper()
	var b strings.Builder
	dump(&b, attributesOf(t, o), "")
	fmt.Fprintf(&b, "%d bytes, SHA-256 %x\n", len(o.Dataset), sha256.Sum256(o.Dataset))
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), b.String(), "run with -update if the change is meant")
}

// goldenExam is small, so that its dump can be read.
func goldenExam(t *testing.T) Exam {
	e := testExam(t, kvasir())
	polyp, cecum := e.Instances[0], e.Instances[6]
	polyp.Results[0].Findings[0].Contours = [][][2]float64{{{10, 20}, {40, 20}, {40, 60}, {10, 60}, {10, 20}}}
	failed, skipped := e.Instances[2], e.Instances[3]
	failed.Results, failed.Failed = nil, "decoder: frame 1 is cut off"
	skipped.Results, skipped.Skipped = nil, "no model for this transfer syntax"
	e.Instances = []Instance{polyp, cecum, failed, skipped}
	e.Revision = 2
	return e
}

func TestGolden(t *testing.T) {
	e := goldenExam(t)
	threeD, _, err := testBuilder().Report(e)
	require.NoError(t, err)
	golden(t, threeD, "report.txt")

	keys, ok, err := testBuilder().KeyObjects(e)
	require.NoError(t, err)
	require.True(t, ok)
	golden(t, keys, "keyobjects.txt")

	heatmap, err := testBuilder().Heatmap(testHeatmap(t, endoscopic("17"), kvasir(), "polyps", "polyp-0017b7c7.jpg"))
	require.NoError(t, err)
	golden(t, heatmap, "heatmap.txt")
}
