package explain_test

import (
	"math"
	"testing"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// lastMap is the map of a small network at "last", of its first class.
func lastMap(t *testing.T, model []byte, in onnx.Input, targets ...explain.Target) []onnx.Attribution {
	t.Helper()
	_, maps := explained(t, openRuntime(t), model, in, []float32{1}, targets...)
	return maps
}

// pooledBlocks puts the sums of blocks of 8×8 into the mean of all of them.
func (s *small) pooledBlocks(in, out string) {
	ones := make([]float32, 64)
	for i := range ones {
		ones[i] = 1
	}
	s.node("Conv", []string{in, s.weight([]int64{1, 1, 8, 8}, ones...)}, []string{out + " blocks"}, attrInts("strides", 8, 8))
	s.node("Relu", []string{out + " blocks"}, []string{out + " relu"})
	s.node("GlobalAveragePool", []string{out + " relu"}, []string{out})
}

// Halves of the picture that go through one network each have one map over all of it, each half where it lies.
func TestLast_halves(t *testing.T) {
	s := &small{shape: []int64{1, 1, 16, 32}}
	s.node("Split", []string{"x", s.ints(16, 16)}, []string{"left", "right"}, attrInt("axis", 3))
	s.pooledBlocks("left", "a")
	s.pooledBlocks("right", "b")
	s.node("Add", []string{"a", "b"}, []string{"y"})
	x := make([]float32, 16*32)
	for i := range x {
		x[i] = float32(1 + i%32/8 + i/32/8*4) // 1 to 8, block by block
	}
	maps := lastMap(t, s.bytes(t), onnx.Input{Shape: s.shape, Values: x}, explain.Target{Method: explain.GradCAM})
	require.Equal(t, []int{2, 4}, []int{maps[0].Height, maps[0].Width})
	require.True(t, maps[0].Extent.Whole())
	require.Contains(t, maps[0].Layer.Chosen, "/a blocks (2×2), /b blocks (2×2)")
	in, err := explain.Inspect(s.bytes(t), explain.Options{Probe: openRuntime(t).Probe})
	require.NoError(t, err)
	require.Len(t, in.Lasts, 2)
	for i, v := range maps[0].Values {
		require.InDelta(t, float32(i+1)*64/4, v, 1e-3, "block %d", i)
	}
}

// Where a layer has only a part of what is read, and nothing on its grid has all of it, every output says so.
func TestLast_part(t *testing.T) {
	s := &small{shape: []int64{1, 1, 32, 32}}
	s.pooledBlocks("x", "fine")
	s.node("Conv", []string{"fine relu", s.weight([]int64{1, 1, 2, 2}, 1, 1, 1, 1)}, []string{"deep"}, attrInts("strides", 2, 2))
	s.node("GlobalAveragePool", []string{"deep"}, []string{"coarse"})
	s.node("Concat", []string{"fine", "coarse"}, []string{"both"}, attrInt("axis", 1))
	s.node("ReduceSum", []string{"both", s.ints(1)}, []string{"y"}, attrInt("keepdims", 1))
	maps := lastMap(t, s.bytes(t), onnx.Input{Shape: s.shape, Values: constants(32*32, 1)}, explain.Target{Method: explain.GradCAM})
	require.Equal(t, "/deep (2×2): the last convolution over the picture, which only a part of what the network reads passes: what else it reads is not in the map", maps[0].Instead)
}

// Where rows or columns were put together before the last layer, its map is a band, and every output says so; a coarse grid is none.
func TestLast_band(t *testing.T) {
	for _, c := range []struct {
		shape, kernel, strides []int64
		axis                   int64 // that is put together; 0: none
		want                   string
	}{
		{[]int64{1, 1, 8, 8}, []int64{1, 1, 1, 1}, []int64{1, 1}, 2, "/c (1×8): the last convolution over the picture; it has no rows: its map tells columns apart alone, and what lies above or below is one to it"},
		{[]int64{1, 1, 8, 8}, []int64{1, 1, 1, 1}, []int64{1, 1}, 3, "/c (8×1): the last convolution over the picture; it has no columns: its map tells rows apart alone, and what lies left or right is one to it"},
		{[]int64{1, 1, 8, 16}, []int64{1, 1, 8, 8}, []int64{8, 8}, 0, ""},
		{[]int64{1, 1, 1, 16}, []int64{1, 1, 1, 1}, []int64{1, 1}, 0, ""},
	} {
		s := &small{shape: c.shape}
		from := "x"
		if c.axis > 0 {
			s.node("ReduceMax", []string{"x"}, []string{"band"}, attrInts("axes", c.axis), attrInt("keepdims", 1))
			from = "band"
		}
		size := int(c.kernel[2] * c.kernel[3])
		s.node("Conv", []string{from, s.weight(c.kernel, constants(size, 1)...)}, []string{"c"}, attrInts("strides", c.strides...))
		s.node("GlobalMaxPool", []string{"c"}, []string{"y"})
		maps := lastMap(t, s.bytes(t), onnx.Input{Shape: s.shape, Values: picture(s.shape)}, explain.Target{Method: explain.GradCAM})
		require.Equal(t, c.want, maps[0].Instead)
	}
}

// A picture and its mirror image that a convolution or a sum puts together lie nowhere: no map of one column is made of them.
func TestLast_mirrorImagesMixed(t *testing.T) {
	r := openRuntime(t)
	mirrored := func() *small {
		s := &small{shape: []int64{1, 1, 8, 8}}
		s.node("Slice", []string{"x", s.ints(-1), s.ints(math.MinInt64), s.ints(3), s.ints(-1)}, []string{"flipped"})
		return s
	}
	s := mirrored()
	s.node("Concat", []string{"x", "flipped"}, []string{"pair"}, attrInt("axis", 1))
	s.node("Conv", []string{"pair", s.weight([]int64{1, 2, 1, 1}, 1, 2)}, []string{"c"})
	s.node("GlobalAveragePool", []string{"c"}, []string{"y"})
	_, err := explain.Compile(s.bytes(t), gradCAMAt(explain.LastLayer, r.Probe))
	require.ErrorIs(t, err, explain.ErrNoLayer)

	s = mirrored()
	s.node("Conv", []string{"x", s.weight([]int64{1, 1, 1, 1}, 1)}, []string{"a"})
	s.node("Conv", []string{"flipped", s.weight([]int64{1, 1, 1, 1}, 1)}, []string{"b"})
	s.node("Add", []string{"a", "b"}, []string{"sum"})
	s.node("GlobalAveragePool", []string{"sum"}, []string{"y"})
	x := make([]float32, 64)
	x[3*8+1] = 2
	maps := lastMap(t, s.bytes(t), onnx.Input{Shape: s.shape, Values: x}, explain.Target{Method: explain.GradCAM})
	want := make([]float64, 64)
	want[3*8+1] = 2 * 2. / 64 // of both, each where it was
	requireWithin(t, 1e-5, want, maps[0].Values)
	_, err = explain.Compile(s.bytes(t), gradCAMAt("/sum", r.Probe))
	require.ErrorIs(t, err, explain.ErrNoLayer)
}

// What cancels out by construction is zero, not what rounding leaves of it.
func TestLast_cancelled(t *testing.T) {
	s := &small{shape: []int64{1, 1, 5, 5}}
	s.node("Conv", []string{"x", s.weight([]int64{3, 1, 2, 2}, 0.3, 0.7, -0.2, 1.1, 0.9, 0.1, 0.4, -0.3, 0.5, 0.2, -0.6, 0.8)}, []string{"c"})
	s.node("ReduceL2", []string{"c"}, []string{"norm"}, attrInts("axes", 1), attrInt("keepdims", 1))
	s.node("Div", []string{"c", "norm"}, []string{"unit"})
	s.node("ReduceMean", []string{"unit"}, []string{"mean"}, attrInts("axes", 2, 3), attrInt("keepdims", 1))
	s.node("Sub", []string{"unit", "mean"}, []string{"centred"})
	s.node("Mul", []string{"centred", "centred"}, []string{"square"})
	s.node("Conv", []string{"square", s.weight([]int64{1, 3, 1, 1}, 1, 2, 3)}, []string{"weighed"})
	s.node("GlobalAveragePool", []string{"weighed"}, []string{"y"})
	maps := lastMap(t, s.bytes(t), onnx.Input{Shape: s.shape, Values: picture(s.shape)},
		explain.Target{Method: explain.HiResCAM, Layer: "/c"}, explain.Target{Method: explain.GradCAM, Layer: "/unit"}, explain.Target{Method: explain.LayerCAM, Layer: "/c"})
	require.Equal(t, make([]float32, 16), maps[0].Values, "a place's norm is divided by")
	require.Equal(t, make([]float32, 16), maps[1].Values, "the mean of all places is subtracted")
	require.NotEqual(t, make([]float32, 16), maps[2].Values)
}

// A picture and its mirror image as a batch, taken apart by how many frames there are, is explained one seed after the other.
func TestLast_mirrorImagesInOneBatch(t *testing.T) {
	s := &small{shape: []int64{1, 1, 4, 4}, logits: true}
	s.node("Slice", []string{"x", s.ints(-1), s.ints(math.MinInt64), s.ints(3), s.ints(-1)}, []string{"flipped"})
	s.node("Concat", []string{"x", "flipped"}, []string{"batch"}, attrInt("axis", 0))
	s.node("Conv", []string{"batch", s.weight([]int64{2, 1, 1, 1}, 1, 3)}, []string{"c"})
	s.node("GlobalAveragePool", []string{"c"}, []string{"mean"})
	s.node("Flatten", []string{"mean"}, []string{"flat"})
	s.node("Shape", []string{"x"}, []string{"shape"})
	s.node("Slice", []string{"shape", s.ints(0), s.ints(1)}, []string{"frames"})
	s.node("Slice", []string{"flat", s.ints(0), "frames", s.ints(0)}, []string{"first"})
	s.node("Slice", []string{"flat", "frames", s.ints(math.MaxInt64), s.ints(0)}, []string{"second"})
	s.node("Add", []string{"first", "second"}, []string{"logits"})
	r, model := openRuntime(t), s.bytes(t)
	in, err := explain.Inspect(model, explain.Options{Probe: r.Probe})
	require.NoError(t, err)
	require.Equal(t, "/c (4×4): the last convolution over the picture; it has 2 views of the picture, whose maps are added up", in.Last.Chosen)
	require.Equal(t, int64(-1), in.Inputs[0].Shape[0])

	e := r.NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{Provider: provider})
	defer func() { require.NoError(t, e.Close()) }()
	x := make([]float32, 16)
	x[5] = 8
	_, maps, err := e.Run(t.Context(), onnx.Input{Shape: s.shape, Values: x}, [][]float32{{1, 0}, {0, 1}}, []explain.Target{{Method: explain.GradCAM}})
	require.NoError(t, err)
	for i, weight := range []float64{1, 3} {
		want := make([]float64, 16)
		want[5] = 2 * weight * 8 / 16
		requireWithin(t, 1e-5, want, maps[i].Values)
	}
}

// A mirror image that a strided convolution has read lies in the cells of the picture, at any stride.
func TestLast_mirrorImagesStrided(t *testing.T) {
	s := &small{shape: []int64{1, 1, 32, 32}}
	s.node("Slice", []string{"x", s.ints(-1), s.ints(math.MinInt64), s.ints(3), s.ints(-1)}, []string{"flipped"})
	s.node("Unsqueeze", []string{"x", s.ints(1)}, []string{"one"})
	s.node("Unsqueeze", []string{"flipped", s.ints(1)}, []string{"two"})
	s.node("Concat", []string{"one", "two"}, []string{"stack"}, attrInt("axis", 1))
	s.node("Reshape", []string{"stack", s.ints(-1, 1, 32, 32)}, []string{"views"})
	s.node("Conv", []string{"views", s.weight([]int64{1, 1, 1, 1}, 1)}, []string{"c"}, attrInts("strides", 8, 8))
	s.node("GlobalAveragePool", []string{"c"}, []string{"mean"})
	s.node("Reshape", []string{"mean", s.ints(-1, 2)}, []string{"pair"})
	s.node("ReduceSum", []string{"pair", s.ints(1)}, []string{"y"}, attrInt("keepdims", 1))
	x := make([]float32, 32*32)
	x[8*32+7] = 16 // row 8, column 7: column 24 of the mirror image, which a window reads
	maps := lastMap(t, s.bytes(t), onnx.Input{Shape: s.shape, Values: x}, explain.Target{Method: explain.GradCAM})
	require.Equal(t, []int{4, 4}, []int{maps[0].Height, maps[0].Width})
	want := make([]float64, 16)
	want[1*4+0] = 1
	requireWithin(t, 1e-5, want, maps[0].Values)
}

// Of the greater of two branches the other one has no share.
func TestLast_greaterBranch(t *testing.T) {
	s := &small{shape: []int64{1, 1, 16, 32}}
	s.node("Split", []string{"x", s.ints(16, 16)}, []string{"left", "right"}, attrInt("axis", 3))
	s.pooledBlocks("left", "a")
	s.pooledBlocks("right", "b")
	s.node("Max", []string{"a", "b"}, []string{"y"})
	x := constants(16*32, 1)
	for i := range x {
		if i%32 > 15 {
			x[i] = 2
		}
	}
	maps := lastMap(t, s.bytes(t), onnx.Input{Shape: s.shape, Values: x}, explain.Target{Method: explain.GradCAM})
	requireWithin(t, 1e-5, []float64{0, 0, 32, 32, 0, 0, 32, 32}, maps[0].Values) // the half that was greater
}

// Score-CAM at the last layer of branches is the sum of what it is at each, where that lies.
func TestLast_scoreCAM(t *testing.T) {
	s := &small{shape: []int64{1, 1, 16, 32}}
	s.node("Split", []string{"x", s.ints(16, 16)}, []string{"left", "right"}, attrInt("axis", 3))
	s.pooledBlocks("left", "a")
	s.pooledBlocks("right", "b")
	s.node("Add", []string{"a", "b"}, []string{"y"})
	model, x := s.bytes(t), make([]float32, 16*32)
	for i := range x {
		x[i] = float32(1 + i%32/8 + i/32/8*4)
	}
	e := openRuntime(t).NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{Provider: provider})
	defer func() { require.NoError(t, e.Close()) }()
	at := func(layer string) onnx.Attribution {
		all, err := e.Explain(t.Context(), onnx.Input{Shape: s.shape, Values: x}, onnx.Question{Target: explain.Target{Method: explain.ScoreCAM, Layer: layer}, Seed: []float32{1}})
		require.NoError(t, err)
		require.Len(t, all, 1)
		return all[0]
	}
	both, left, right := at(explain.LastLayer), at("/a blocks"), at("/b blocks")
	require.Equal(t, []int{2, 4}, []int{both.Height, both.Width})
	require.Contains(t, both.Layer.Chosen, "/a blocks (2×2), /b blocks (2×2)")
	l, r := left.Values, right.Values
	requireWithin(t, 1e-5, wide([]float32{l[0], l[1], r[0], r[1], l[2], l[3], r[2], r[3]}), both.Values)
}

// A channel of little weight beside a steep one of which nothing is there keeps its weight: its own terms do not cancel.
func TestLast_steepChannel(t *testing.T) {
	s := &small{shape: []int64{1, 1, 4, 4}}
	s.node("Conv", []string{"x", s.weight([]int64{2, 1, 1, 1}, 1, -1)}, []string{"c"})
	s.node("Relu", []string{"c"}, []string{"a"})
	s.node("Mul", []string{"a", s.weight([]int64{1, 2, 1, 1}, 1, 2e5)}, []string{"b"})
	s.node("GlobalAveragePool", []string{"b"}, []string{"y"})
	_, maps := explained(t, openRuntime(t), s.bytes(t), onnx.Input{Shape: s.shape, Values: constants(16, 3)}, []float32{1, 1}, explain.Target{Method: explain.GradCAM, Layer: "a"})
	requireWithin(t, 1e-5, wide(constants(16, 3./16)), maps[0].Values)
}

// A network that leaves its batch open and holds sizes of one frame, or whose frames have a say in each other, is sampled one frame at a time.
func TestSampled_oneByOne(t *testing.T) {
	var maps [][]float32
	for _, build := range []func(s *small){
		func(s *small) { s.node("Reshape", []string{"c", s.ints(1, -1, 4, 4)}, []string{"d"}) },
		func(s *small) { // the mean of all that comes in one run
			s.node("ReduceMean", []string{"c"}, []string{"mean"}, attrInts("axes", 0), attrInt("keepdims", 1))
			s.node("Expand", []string{"mean", s.ints(1, 1, 4, 4)}, []string{"own"})
			s.node("Sub", []string{"c", "own"}, []string{"none"})
			s.node("Add", []string{"own", "none"}, []string{"sum"})
			s.node("Add", []string{"sum", "none"}, []string{"d"})
		},
		func(s *small) { s.node("Identity", []string{"c"}, []string{"d"}) },
	} {
		s := &small{shape: []int64{1, 1, 4, 4}}
		s.node("Conv", []string{"x", s.weight([]int64{1, 1, 1, 1}, 2)}, []string{"c"})
		build(s)
		s.node("GlobalAveragePool", []string{"d"}, []string{"y"})
		model := s.bytes(t)
		e := openRuntime(t).NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{Provider: provider})
		all, err := e.Explain(t.Context(), onnx.Input{Shape: s.shape, Values: arange(16)}, onnx.Question{Target: explain.Target{Method: explain.Occlusion}, Seed: []float32{1}})
		require.NoError(t, err)
		require.NoError(t, e.Close())
		maps = append(maps, all[0].Values)
	}
	require.NotZero(t, greatest(maps[2]))
	requireWithin(t, 1e-5, wide(maps[2]), maps[0])
	requireWithin(t, 1e-5, wide(maps[2]), maps[1])
}

// Behind what is rounded or compared, where no gradient flows, places and frames are still what they are.
func TestLast_rounded(t *testing.T) {
	r := openRuntime(t)
	for typ, nodes := range map[string]func(s *small){
		"Round": func(s *small) { s.node("Round", []string{"c"}, []string{"d"}) },
		"Sign":  func(s *small) { s.node("Sign", []string{"c"}, []string{"d"}) },
		"Greater": func(s *small) {
			s.node("Greater", []string{"c", s.weight([]int64{1}, 0.5)}, []string{"spikes"})
			s.node("Cast", []string{"spikes"}, []string{"d"}, attrInt("to", 1))
		},
		"Cast": func(s *small) {
			s.node("Cast", []string{"c"}, []string{"whole"}, attrInt("to", 7))
			s.node("Cast", []string{"whole"}, []string{"d"}, attrInt("to", 1))
		},
	} {
		s := &small{shape: []int64{1, 1, 4, 4}}
		s.node("Conv", []string{"x", s.weight([]int64{1, 1, 1, 1}, 2)}, []string{"c"})
		nodes(s)
		s.node("Conv", []string{"d", s.weight([]int64{3, 1, 1, 1}, 1, 2, 3)}, []string{"e"})
		s.node("GlobalAveragePool", []string{"e"}, []string{"y"})
		model := s.bytes(t)
		e := r.NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{Provider: provider})
		_, maps, err := e.Run(t.Context(), onnx.Input{Shape: s.shape, Values: constants(16, 1)}, [][]float32{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, []explain.Target{{Method: explain.GradCAM}})
		require.NoError(t, err, typ)
		for i, m := range maps {
			require.Equal(t, "/e", m.Layer.Name)
			require.NotZero(t, m.Values[0])
			require.InDelta(t, float32(i+1)*maps[0].Values[0], m.Values[0], 1e-5, typ)
		}
		_, _, err = e.Run(t.Context(), onnx.Input{Shape: s.shape, Values: constants(16, 1)}, [][]float32{{1, 0, 0}}, []explain.Target{{Method: explain.Gradient}})
		require.ErrorContains(t, err, "("+typ+") has no slope")
		require.NoError(t, e.Close())
	}
}
