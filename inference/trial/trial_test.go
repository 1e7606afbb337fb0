package trial

import (
	"bytes"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/ask"
	"endogate/inference/frames"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// Maps are compared with several draws of random weights; what does not depend on them is measured once.
func TestTrial_draws(t *testing.T) {
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	bundle, err := inference.LoadBundle("../../testdata/models/demo")
	require.NoError(t, err)
	paths, err := filepath.Glob("../../testdata/frames/dyed-lifted-polyps-[1-3].jpg")
	require.NoError(t, err)
	require.Len(t, paths, 3)
	base := filepath.Join(t.TempDir(), "made", "table")
	measure := func(draws int) map[string]*measurement {
		trial := &Trial{
			Bundle: bundle, Open: func(o ask.Options) (*ask.Model, error) { return ask.Open("", bundle, o) },
			Files: frames.Files{Paths: paths}, Class: "polyp", Limit: 2, Draws: draws, Log: io.Discard,
		}
		require.NoError(t, trial.Layer(t.Context(), "", []explain.Method{explain.Gradient, explain.GradCAM}))
		var text bytes.Buffer
		require.NoError(t, trial.Report(&text, base))
		require.Contains(t, text.String(), "2 frames, 0 with masks")
		by := map[string]*measurement{}
		for _, one := range trial.measured {
			by[one.method] = one
		}
		return by
	}
	three := measure(3)
	cells := written(t, base+".csv", "gradient")
	require.Equal(t, "3", cells["draws"])
	require.Equal(t, "2", cells["random_weights_n"], "frames are the sample")
	mean, err := strconv.ParseFloat(cells["random_weights"], 64)
	require.NoError(t, err)

	gradient := three["gradient"]
	require.Len(t, gradient.deletion, 2)
	require.Len(t, gradient.draws(), 2)
	sum := 0.0
	for _, draws := range gradient.draws() {
		require.Len(t, draws, 3)
		for i, s := range draws {
			sum += s / 6
			require.NotContains(t, draws[:i], s, "each draw is another")
		}
	}
	require.InDelta(t, sum, mean, 1e-4)

	one := measure(1)
	require.Equal(t, gradient.deletion, one["gradient"].deletion)
	for i, draws := range one["gradient"].draws() {
		require.Equal(t, gradient.draws()[i][:1], draws)
	}
	require.Less(t, len(slices.Concat(three["gradcam"].draws()...)), 6, "grad-CAM has no map of some random weights")
}

// written is the line of a method, by column.
func written(t *testing.T, path, method string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	cells := map[string]string{}
	for _, line := range lines[1:] {
		for i, cell := range line {
			if line[0] == method {
				cells[lines[0][i]] = cell
			}
		}
	}
	return cells
}
