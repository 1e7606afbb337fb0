package explain_test

import (
	"path/filepath"
	"testing"

	"endogate/explain"

	"github.com/stretchr/testify/require"
)

// Every layer that a network is said to have can be explained, all of them in one model; what "last" is, is one of them and said.
func TestLayers_allListed(t *testing.T) {
	r := openRuntime(t)
	files, err := filepath.Glob("testdata/zoo/*.onnx")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			model := readFile(t, file)
			in, err := explain.Inspect(model, explain.Options{Probe: r.Probe})
			require.NoError(t, err)
			require.NotEmpty(t, in.Layers)
			var targets []explain.Target
			for _, l := range in.Layers {
				require.NoError(t, l.Err, l.Name)
				targets = append(targets, explain.Target{Method: explain.GradCAM, Layer: l.Tensor})
			}
			c, err := explain.Compile(model, explain.Options{Probe: r.Probe, Targets: append(targets, explain.Target{Method: explain.GradCAM})})
			require.NoError(t, err)
			last := c.Maps[len(c.Maps)-1].Layer
			require.Equal(t, []any{in.Last.Tensor, in.Last.Chosen, false}, []any{last.Tensor, last.Chosen, last.Fallback})
			require.NotEmpty(t, last.Chosen)
			for i, l := range in.Layers {
				require.Equal(t, []int{l.Height, l.Width, l.Channels}, []int{c.Maps[i].Height, c.Maps[i].Width, c.Maps[i].Layer.Channels})
				require.Greater(t, l.Height*l.Width, 1)
			}
		})
	}
}

// What is asked for by name and has no grid is refused, with why and what there is; and what an error says can be explained can.
func TestLayers_refused(t *testing.T) {
	r := openRuntime(t)
	channels := &small{shape: []int64{1, 3, 8, 8}, logits: true} // as in an efficient channel attention
	channels.node("Conv", []string{"x", channels.weight([]int64{4, 3, 3, 3}, arange(108)...)}, []string{"c"}, attrInts("pads", 1, 1, 1, 1))
	channels.node("Relu", []string{"c"}, []string{"a"})
	channels.node("GlobalAveragePool", []string{"a"}, []string{"pooled"})
	channels.node("Reshape", []string{"pooled", channels.ints(-1, 1, 4)}, []string{"row"})
	channels.node("Conv", []string{"row", channels.weight([]int64{1, 1, 3}, 1, 2, 1)}, []string{"mixed"}, attrInts("pads", 1, 1))
	channels.node("Reshape", []string{"mixed", channels.ints(-1, 4, 1, 1)}, []string{"back"})
	channels.node("Sigmoid", []string{"back"}, []string{"gate"})
	channels.node("Mul", []string{"a", "gate"}, []string{"scaled"})
	channels.node("GlobalAveragePool", []string{"scaled"}, []string{"mean"})
	channels.node("Flatten", []string{"mean"}, []string{"logits"})
	model := channels.bytes(t)
	layers, err := explain.Layers(model, explain.Options{Probe: r.Probe})
	require.NoError(t, err)
	require.Len(t, layers, 1)
	require.Equal(t, "/c", layers[0].Name)
	for name, says := range map[string]string{
		"/mixed":   `node "/pooled" (GlobalAveragePool) puts together what lies apart in the picture; there are: /c`,
		"logits":   "puts together what lies apart in the picture",
		"/nowhere": "there are: /c",
	} {
		_, err := explain.Compile(model, gradCAMAt(name, r.Probe))
		require.ErrorIs(t, err, explain.ErrNoLayer)
		require.ErrorContains(t, err, says, name)
	}
	vit := readFile(t, "testdata/zoo/dinov2_17.onnx")
	_, err = explain.Compile(vit, gradCAMAt("/norm/LayerNormalization", r.Probe))
	require.ErrorContains(t, err, "such as the class token; there are: /patch/Conv, /blocks/blocks.0/norm1/LayerNormalization, ")
}

// Where something unknown puts the picture into tokens, the options can say how they lie.
func TestLayers_statedGrid(t *testing.T) {
	r := openRuntime(t)
	s := &small{shape: []int64{1, 1, 4, 6}, logits: true}
	s.node("Reshape", []string{"x", s.ints(-1, 24)}, []string{"flat"})
	s.node("MatMul", []string{"flat", s.weight([]int64{24, 14}, arange(336)...)}, []string{"mixed"}) // seven tokens of two, of all of it
	s.node("Reshape", []string{"mixed", s.ints(-1, 7, 2)}, []string{"tokens"})
	s.node("ReduceMean", []string{"tokens"}, []string{"logits"}, attrInts("axes", 1), attrInt("keepdims", 0))
	model := s.bytes(t)
	o := gradCAMAt("/tokens", r.Probe)
	_, err := explain.Compile(model, o)
	require.ErrorIs(t, err, explain.ErrNoLayer)
	o.Grid = explain.TokenGrid{Tokens: 1, Rows: 2, Columns: 3}
	c, err := explain.Compile(model, o)
	require.NoError(t, err)
	l := c.Maps[0].Layer
	require.Equal(t, []int{2, 3, 2}, []int{l.Height, l.Width, l.Channels})
	o.Grid.Tokens = 2
	_, err = explain.Compile(model, o)
	require.ErrorIs(t, err, explain.ErrNoLayer)
}

// A grid covers what its cells look at: beyond the picture where the network pads, less of it where it crops.
func TestLayers_extent(t *testing.T) {
	r := openRuntime(t)
	for name, c := range map[string]struct {
		typ   string
		bound [][]int64
		want  explain.Extent
		rows  int
	}{
		"whole":   {"", nil, explain.Extent{}, 8},
		"padding": {"Pad", [][]int64{{0, 0, 32, 16, 0, 0, 0, 0}}, explain.Extent{Top: -0.5, Left: -0.25, Bottom: 1, Right: 1}, 12},
		"crop":    {"Slice", [][]int64{{16, 8}, {64, 56}, {2, 3}}, explain.Extent{Top: 0.25, Left: 0.125, Bottom: 1, Right: 0.875}, 6},
	} {
		s := &small{shape: []int64{1, 1, 64, 64}, logits: true}
		x := "x"
		if c.typ != "" {
			inputs := []string{x}
			for _, v := range c.bound {
				inputs = append(inputs, s.ints(v...))
			}
			s.node(c.typ, inputs, []string{"moved"})
			x = "moved"
		}
		s.node("Conv", []string{x, s.weight([]int64{1, 1, 8, 8}, arange(64)...)}, []string{"c"}, attrInts("strides", 8, 8))
		s.node("GlobalAveragePool", []string{"c"}, []string{"mean"})
		s.node("Flatten", []string{"mean"}, []string{"logits"})
		compiled, err := explain.Compile(s.bytes(t), gradCAMAt(explain.LastLayer, r.Probe))
		require.NoError(t, err, name)
		require.Equal(t, c.want, compiled.Maps[0].Extent, name)
		require.Equal(t, c.rows, compiled.Maps[0].Height, name)
	}
}

// A wrong name is answered with what there is.
func TestCompile_wrongNames(t *testing.T) {
	r := openRuntime(t)
	o := gradCAMAt(explain.LastLayer, r.Probe)
	o.Output = "scores of old"
	_, err := explain.Compile(closedForm(t), o)
	require.ErrorContains(t, err, `no output "scores of old"; there are: logits`)
	_, err = explain.Compile(closedForm(t), explain.Options{Probe: r.Probe, Targets: []explain.Target{{Method: "gradcat"}}})
	require.ErrorContains(t, err, `unknown method "gradcat"; there are: gradcam, `)
}
