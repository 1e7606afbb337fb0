package explain_test

import (
	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"

	"pgregory.net/rapid"
)

// laterCase is a unary operator of a newer operator set.
func laterCase(typ string, opset int64, attrs ...*onnxpb.AttributeProto) ruleCase {
	c := unaryCase(typ, 0, attrs...)
	build := c.build
	c.build = func(t *rapid.T, s *small) {
		build(t, s)
		s.opset = opset
	}
	return c
}

func layerNormCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "tokens"), dim(t, 2, 4, "c")}
	at := rapid.SampledFrom([]int64{-1, 1, 2}).Draw(t, "axis")
	dims := s.shape[2:]
	if at == 1 {
		dims = s.shape[1:]
	}
	n := product(dims)
	inputs := []string{"x", s.weight(dims, positive(floats(t, n, "scale"))...)}
	if rapid.Bool().Draw(t, "bias") {
		inputs = append(inputs, s.weight(dims, floats(t, n, "bias")...))
	}
	s.node("LayerNormalization", inputs, []string{"y"}, attrInt("axis", at), attrFloat("epsilon", 0.1))
}

func instanceNormCase(t *rapid.T, s *small) {
	c := dim(t, 1, 3, "c")
	image(t, s, c, rapid.IntRange(1, 2).Draw(t, "spatial"))
	s.node("InstanceNormalization", []string{
		"x", s.weight([]int64{c}, positive(floats(t, c, "scale"))...), s.weight([]int64{c}, floats(t, c, "bias")...),
	}, []string{"y"}, attrFloat("epsilon", 0.1))
}

// groupNormCase scales each group before opset 21 and each channel from then on.
func groupNormCase(opset int64) func(t *rapid.T, s *small) {
	return func(t *rapid.T, s *small) {
		groups := dim(t, 1, 3, "groups")
		image(t, s, groups*dim(t, 1, 2, "channels of each"), rapid.IntRange(1, 2).Draw(t, "spatial"))
		scales := s.shape[1]
		if s.opset = opset; opset < 21 {
			scales = groups
		}
		s.node("GroupNormalization", []string{
			"x", s.weight([]int64{scales}, positive(floats(t, scales, "scale"))...), s.weight([]int64{scales}, floats(t, scales, "bias")...),
		}, []string{"y"}, attrInt("num_groups", groups), attrFloat("epsilon", 0.1))
	}
}

func gatherCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 4}
	at := rapid.SampledFrom([]int64{1, 2, -1}).Draw(t, "axis")
	if rapid.Bool().Draw(t, "scalar") {
		s.node("Gather", []string{"x", s.scalarInt(dim(t, -3, 2, "index"))}, []string{"y"}, attrInt("axis", at))
		return
	}
	s.node("Gather", []string{"x", s.ints(dim(t, -3, 2, "index"), 1, 1, 0)}, []string{"y"}, attrInt("axis", at))
}

func gatherElementsCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 2, 3}
	at := rapid.SampledFrom([]int64{1, 2, -1}).Draw(t, "axis")
	extent := s.shape[(at+3)%3]
	var indices []int64
	for range 4 { // 2×2 of them, one place read twice
		indices = append(indices, dim(t, -extent, extent-1, "index"))
	}
	s.node("Shape", []string{"x"}, []string{"frames"}, attrInt("start", 0), attrInt("end", 1))
	s.node("Concat", []string{"frames", s.ints(2, 2)}, []string{"dims"}, attrInt("axis", 0))
	s.node("Reshape", []string{s.ints(indices...), s.ints(1, 2, 2)}, []string{"indices"})
	s.node("Expand", []string{"indices", "dims"}, []string{"at"})
	s.node("GatherElements", []string{"x", "at"}, []string{"y"}, attrInt("axis", at))
}

func tileCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "c"), 2}
	s.node("Tile", []string{"x", s.ints(1, dim(t, 1, 3, "repeats"), dim(t, 1, 3, "repeats"))}, []string{"y"})
}

func (s *small) scalarInt(v int64) string {
	name := s.ints(v)
	s.graph.Initializer[len(s.graph.Initializer)-1].Dims = nil
	return name
}

func whereCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 2}
	s.node("Greater", []string{"x", s.weight(nil, 0)}, []string{"positive"})
	s.node("Mul", []string{"x", "x"}, []string{"square"})
	s.node("Where", []string{"positive", "square", rapid.SampledFrom([]string{"x", s.weight([]int64{2}, 1, 2)}).Draw(t, "else")}, []string{"y"})
}

func extremeCase(typ string) func(t *rapid.T, s *small) {
	return func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), 3, 2}
		s.node("Neg", []string{"x"}, []string{"minus"})
		s.node("Add", []string{"minus", s.weight(nil, 0.0137)}, []string{"other"}) // no ties at zero
		s.node(typ, []string{"x", "other", s.weight([]int64{2}, 0.511, -0.513)}, []string{"y"})
	}
}

func resizeCase(t *rapid.T, s *small) {
	image(t, s, dim(t, 1, 2, "c"), 2)
	mode := rapid.SampledFrom([]string{"nearest", "linear", "cubic"}).Draw(t, "mode")
	attrs := []*onnxpb.AttributeProto{attrString("mode", mode)}
	attrs = append(attrs, attrString("coordinate_transformation_mode", rapid.SampledFrom([]string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}).Draw(t, "coordinates")))
	if mode == "cubic" {
		attrs = append(attrs, attrFloat("cubic_coeff_a", rapid.SampledFrom([]float32{-0.75, -0.5}).Draw(t, "a")), attrInt("exclude_outside", rapid.Int64Range(0, 1).Draw(t, "outside")))
	}
	if mode == "nearest" {
		attrs = append(attrs, attrString("nearest_mode", rapid.SampledFrom([]string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}).Draw(t, "nearest")))
	}
	if rapid.Bool().Draw(t, "scales") {
		scale := rapid.SampledFrom([]float32{0.5, 2, 1.5, 3})
		s.node("Resize", []string{"x", "", s.weight([]int64{4}, 1, 1, scale.Draw(t, "height"), scale.Draw(t, "width"))}, []string{"y"}, attrs...)
		return
	}
	if rapid.Bool().Draw(t, "axes") {
		s.opset = 18
		s.node("Resize", []string{"x", "", "", s.ints(dim(t, 2, 9, "width"), dim(t, 2, 9, "height"))}, []string{"y"}, append(attrs, attrInts("axes", -1, 2))...)
		return
	}
	// the size of the batch is open: that of the others is put behind it
	s.node("Shape", []string{"x"}, []string{"dims"}, attrInt("start", 0), attrInt("end", 2))
	s.node("Concat", []string{"dims", s.ints(dim(t, 2, 9, "height"), dim(t, 2, 9, "width"))}, []string{"sizes"}, attrInt("axis", 0))
	s.node("Resize", []string{"x", "", "", "sizes"}, []string{"y"}, attrs...)
}

func einsumCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 2, 3}
	if rapid.Bool().Draw(t, "self") {
		s.node("Einsum", []string{"x", "x"}, []string{"y"}, attrString("equation", "bij, bkj -> bik"))
		return
	}
	w := s.weight([]int64{3, 2}, 1, 2, 3, -4, 5, -6)
	switch equation := rapid.SampledFrom([]string{"bij,jk->bik", "...j,jk->...k", "b...j,jk->k...b", "bij,jk->bi", "bij,jk,kl->lib", "bij->jb", "bij,jk"}).Draw(t, "equation"); equation {
	case "b...j,jk->k...b":
		s.node("Einsum", []string{"x", w}, []string{"turned"}, attrString("equation", equation))
		s.node("Transpose", []string{"turned"}, []string{"y"}, attrInts("perm", 2, 1, 0))
	case "bij,jk,kl->lib":
		s.node("Einsum", []string{"x", w, s.weight([]int64{2, 2}, 1, -2, 3, 1)}, []string{"turned"}, attrString("equation", equation))
		s.node("Transpose", []string{"turned"}, []string{"y"}, attrInts("perm", 2, 1, 0))
	case "bij->jb":
		s.node("Einsum", []string{"x"}, []string{"turned"}, attrString("equation", equation))
		s.node("Transpose", []string{"turned"}, []string{"y"}, attrInts("perm", 1, 0))
	default:
		s.node("Einsum", []string{"x", w}, []string{"y"}, attrString("equation", equation))
	}
}

func depthCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 8, 2, 3}
	s.node("DepthToSpace", []string{"x"}, []string{"y"}, attrInt("blocksize", 2), attrString("mode", rapid.SampledFrom([]string{"DCR", "CRD"}).Draw(t, "mode")))
}

func spaceCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 2, 4, 2}
	s.node("SpaceToDepth", []string{"x"}, []string{"y"}, attrInt("blocksize", 2))
}

func rmsNormCase(t *rapid.T, s *small) {
	layerNormCase(t, s)
	n := s.graph.Node[0]
	s.opset, n.OpType, n.Input = 23, proto.String("RMSNormalization"), n.Input[:2]
}

// offset keeps x away from the point where all is zero.
func (s *small) offset(t *rapid.T) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "c"), 2, 3}
	s.node("Add", []string{"x", s.weight([]int64{3}, 2, 3, -2.5)}, []string{"offset"})
}

func lpNormCase(t *rapid.T, s *small) {
	s.offset(t)
	s.node("LpNormalization", []string{"offset"}, []string{"y"}, attrInt("axis", rapid.SampledFrom([]int64{-1, 1, 2, 3}).Draw(t, "axis")))
}

func meanVarianceCase(t *rapid.T, s *small) {
	s.offset(t)
	s.node("MeanVarianceNormalization", []string{"offset"}, []string{"y"}, attrInts("axes", rapid.SampledFrom([][]int64{{3}, {2, 3}, {1, -1}}).Draw(t, "axes")...))
}

func meanCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 2}
	s.node("Relu", []string{"x"}, []string{"a"})
	s.node("Mean", []string{"x", s.weight([]int64{3, 1}, 1, 2, 3), "a"}, []string{"y"})
}

func cumSumCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 2}
	s.node("CumSum", []string{"x", s.scalarInt(rapid.SampledFrom([]int64{1, 2, -1}).Draw(t, "axis"))}, []string{"y"},
		attrInt("exclusive", dim(t, 0, 1, "exclusive")), attrInt("reverse", dim(t, 0, 1, "reverse")))
}

func triluCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 3}
	inputs := []string{"x"}
	if rapid.Bool().Draw(t, "diagonal") {
		inputs = append(inputs, s.scalarInt(dim(t, -1, 1, "k")))
	}
	s.node("Trilu", inputs, []string{"y"}, attrInt("upper", dim(t, 0, 1, "upper")))
}

func castLikeCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3}
	s.node("Mul", []string{"x", "x"}, []string{"square"})
	s.node("CastLike", []string{"square", s.weight(nil, 1)}, []string{"y"})
}

// scatterCase writes rows over others, or adds them, with tokens before frames as an exporter of assigned slices does.
func scatterCase(typ string) func(t *rapid.T, s *small) {
	return func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), 3, 2}
		reduction := rapid.SampledFrom([]string{"none", "add"}).Draw(t, "reduction")
		s.node("Transpose", []string{"x"}, []string{"rows"}, attrInts("perm", 1, 0, 2))
		s.node("Slice", []string{"rows", s.ints(0), s.ints(2)}, []string{"some"})
		s.node("Mul", []string{"some", "some"}, []string{"updates"})
		indices := s.ints(2, 0)
		attrs := []*onnxpb.AttributeProto{attrString("reduction", reduction)}
		s.node("Reshape", []string{indices, s.ints(2, 1)}, []string{"pair"})
		at := "pair"
		if typ == "ScatterElements" {
			s.node("Unsqueeze", []string{"pair", s.ints(2)}, []string{"column"})
			s.node("Shape", []string{"some"}, []string{"dims"})
			s.node("Expand", []string{"column", "dims"}, []string{"at"})
			at, attrs = "at", append(attrs, attrInt("axis", 0))
		}
		s.node(typ, []string{"rows", at, "updates"}, []string{"scattered"}, attrs...)
		s.node("Transpose", []string{"scattered"}, []string{"y"}, attrInts("perm", 1, 0, 2))
	}
}
