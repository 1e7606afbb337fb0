package ask_test

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/onnx"
)

// export is a small network as somebody may export it: x, a convolution, ReLU, global mean, and a dense layer to y0.
type export struct {
	graph  onnxpb.GraphProto
	domain string // of one more operator set
	input  string
	dtype  int32
	shape  []int64 // of x; -1 is open
	made   int
}

func (e *export) node(typ string, in, out []string, attrs ...*onnxpb.AttributeProto) {
	e.made++
	e.graph.Node = append(e.graph.Node, &onnxpb.NodeProto{OpType: &typ, Name: proto.String(fmt.Sprintf("n%d_%s", e.made, typ)), Input: in, Output: out, Attribute: attrs})
}

func (e *export) floats(name string, dims []int64, v ...float32) string {
	raw := []byte{}
	for _, f := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
	}
	e.graph.Initializer = append(e.graph.Initializer, &onnxpb.TensorProto{Name: &name, Dims: dims, DataType: proto.Int32(1), RawData: raw})
	return name
}

func (e *export) ints(name string, dims []int64, typ int32, v ...int64) string {
	t := &onnxpb.TensorProto{Name: &name, Dims: dims, DataType: &typ, Int64Data: v}
	if typ != 7 { // bool
		t.Int64Data, t.Int32Data = nil, []int32{int32(v[0])}
	}
	e.graph.Initializer = append(e.graph.Initializer, t)
	return name
}

func number(name string, v int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INT.Enum(), I: &v}
}

func numbers(name string, v ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INTS.Enum(), Ints: v}
}

func subgraph(name string, g *onnxpb.GraphProto) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_GRAPH.Enum(), G: g}
}

func port(name string, typ int32, dims ...int64) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		dim := &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}}
		if d < 0 {
			dim = &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: "open"}}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	t := &onnxpb.TypeProto_Tensor{ElemType: &typ}
	if dims != nil {
		t.Shape = shape
	}
	return &onnxpb.ValueInfoProto{Name: &name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: t}}}
}

// newExport has everything from the tensor x up to the convolution's output a.
func newExport() *export {
	e := &export{input: "x", dtype: 1, shape: []int64{-1, 3, 8, 8}}
	w := make([]float32, 4*3*9)
	for i := range w {
		w[i] = float32((i*37+11)%23)/40 - 0.25
	}
	e.floats("w", []int64{4, 3, 3, 3}, w...)
	return e
}

func (e *export) body(x string) {
	e.node("Conv", []string{x, "w"}, []string{"conv"}, numbers("pads", 1, 1, 1, 1))
	e.node("Relu", []string{"conv"}, []string{"a"})
}

// head ends in so many values, y0.
func (e *export) head(a string, values int64) {
	e.node("GlobalAveragePool", []string{a}, []string{"pooled"})
	e.node("Flatten", []string{"pooled"}, []string{"flat"})
	v := make([]float32, 4*values)
	for i := range v {
		v[i] = float32((i*29+5)%17)/4 - 2
	}
	e.floats("dense", []int64{4, values}, v...)
	e.node("Gemm", []string{"flat", "dense"}, []string{"y0"})
}

func (e *export) model(t *testing.T, outputs ...*onnxpb.ValueInfoProto) *onnxpb.ModelProto {
	t.Helper()
	e.graph.Name, e.graph.Output = proto.String("small"), outputs
	e.graph.Input = []*onnxpb.ValueInfoProto{port(e.input, e.dtype, e.shape...)}
	m := &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: &e.graph, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}}}
	if e.domain != "" {
		m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: &e.domain, Version: proto.Int64(1)})
	}
	return m
}

// brought is a bundle, and what is to come of it.
type brought struct {
	values   int64                      // of y0; 0: three
	begin    func(e *export) (x string) // from the input to the tensor x
	middle   func(e *export) (a string) // from the activation to the head's input
	end      func(e *export) string     // from y0 to the output; nil: y0 itself
	outputs  []*onnxpb.ValueInfoProto   // besides
	classes  []string                   // nil: p, q, r
	manifest map[string]string          // lines in place of others, by their key
	files    func(t *testing.T, dir string, m *onnxpb.ModelProto)
	want     func(y []float64) []float64 // probabilities, of y0
	err      string                      // or why not
	how      string                      // method of the maps; "" is gradcam
}

func softmaxOf(y []float64) []float64 {
	p, sum := make([]float64, len(y)), 0.0
	for i := range y {
		p[i] = math.Exp(y[i])
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func each(f func(y float64) float64) func(y []float64) []float64 {
	return func(y []float64) []float64 {
		p := make([]float64, len(y))
		for i := range y {
			p[i] = f(y[i])
		}
		return p
	}
}

var sigmoids = each(func(y float64) float64 { return 1 / (1 + math.Exp(-y)) })

// through ends a network in operators of one input.
func through(types ...string) func(e *export) string {
	return func(e *export) string {
		at := "y0"
		for i, typ := range types {
			next := fmt.Sprintf("y%d", i+1)
			e.node(typ, []string{at}, []string{next})
			at = next
		}
		return at
	}
}

func output(lines string) map[string]string { return map[string]string{"output": lines} }

// inIf hides an operator from whoever reads the graph.
func inIf(typ string) func(e *export) string {
	return func(e *export) string {
		e.ints("yes", nil, 9, 1)
		branch := func(name string) *onnxpb.GraphProto {
			return &onnxpb.GraphProto{
				Name: &name, Output: []*onnxpb.ValueInfoProto{port(name+"_out", 1)},
				Node: []*onnxpb.NodeProto{{OpType: proto.String(typ), Input: []string{"y0"}, Output: []string{name + "_out"}}},
			}
		}
		e.node("If", []string{"yes"}, []string{"y1"}, subgraph("then_branch", branch("then")), subgraph("else_branch", branch("else")))
		return "y1"
	}
}

// loop takes the activation once through a Loop whose number of turns depends on the picture, which nobody differentiates.
func loop(e *export) string {
	e.floats("nought", nil, 0)
	e.floats("unit", nil, 1)
	e.node("ReduceMax", []string{"a"}, []string{"greatest"}, number("keepdims", 0))
	e.node("Mul", []string{"greatest", "nought"}, []string{"zero"})
	e.node("Add", []string{"zero", "unit"}, []string{"turns"})
	e.node("Cast", []string{"turns"}, []string{"once"}, number("to", 7))
	e.ints("yes", nil, 9, 1)
	name := "body"
	g := &onnxpb.GraphProto{
		Name:   &name,
		Input:  []*onnxpb.ValueInfoProto{port("i", 7, []int64{}...), port("go", 9, []int64{}...), port("v", 1)},
		Output: []*onnxpb.ValueInfoProto{port("go_on", 9, []int64{}...), port("v_out", 1)},
		Node: []*onnxpb.NodeProto{
			{OpType: proto.String("Identity"), Input: []string{"go"}, Output: []string{"go_on"}},
			{OpType: proto.String("Identity"), Input: []string{"v"}, Output: []string{"v_out"}},
		},
	}
	e.node("Loop", []string{"once", "yes", "a"}, []string{"looped"}, subgraph("body", g))
	return "looped"
}

// apart moves the weights into a file.
func apart(file string) func(t *testing.T, dir string, m *onnxpb.ModelProto) {
	return func(t *testing.T, dir string, m *onnxpb.ModelProto) {
		var all []byte
		for _, w := range m.Graph.Initializer {
			if len(w.RawData) == 0 {
				continue
			}
			entry := func(key, value string) *onnxpb.StringStringEntryProto {
				return &onnxpb.StringStringEntryProto{Key: &key, Value: &value}
			}
			w.ExternalData = []*onnxpb.StringStringEntryProto{entry("location", file), entry("offset", fmt.Sprint(len(all))), entry("length", fmt.Sprint(len(w.RawData)))}
			w.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
			all = append(all, w.RawData...)
			w.RawData = nil
		}
		path := filepath.Join(dir, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, all, 0o600))
	}
}

func bringings() map[string]brought {
	one := func(p float64) []float64 { return []float64{1 - p, p} }
	return map[string]brought{
		"logits, softmax":         {want: softmaxOf},
		"logits, sigmoid":         {manifest: output("{name: OUT, activation: sigmoid}"), want: sigmoids},
		"logits called none":      {manifest: output("{name: OUT, activation: none}"), err: "which is no probability"},
		"softmax inside":          {end: through("Softmax"), want: softmaxOf},
		"softmax inside, none":    {end: through("Softmax"), manifest: output("{name: OUT, activation: none}"), want: softmaxOf},
		"softmax inside, sigmoid": {end: through("Softmax"), manifest: output("{name: OUT, activation: sigmoid}"), want: softmaxOf},
		"sigmoid inside, softmax": {end: through("Sigmoid"), want: sigmoids},
		"sigmoid inside, none":    {end: through("Sigmoid"), manifest: output("{name: OUT, activation: none}"), want: sigmoids},
		"sigmoid written out": {end: func(e *export) string {
			e.floats("unit", nil, 1)
			e.node("Neg", []string{"y0"}, []string{"minus"})
			e.node("Exp", []string{"minus"}, []string{"e"})
			e.node("Add", []string{"e", "unit"}, []string{"sum"})
			e.node("Reciprocal", []string{"sum"}, []string{"likely"})
			return "likely"
		}, manifest: output("{name: OUT, activation: sigmoid}"), want: sigmoids},
		"likelihoods of a distance": {end: func(e *export) string {
			e.node("Mul", []string{"y0", "y0"}, []string{"square"})
			e.node("Neg", []string{"square"}, []string{"minus"})
			e.node("Exp", []string{"minus"}, []string{"likely"})
			return "likely"
		}, manifest: output("{name: OUT, activation: sigmoid}"), want: each(func(y float64) float64 { return math.Exp(-y * y) })},
		"classes put together by weights": {end: func(e *export) string {
			e.floats("groups", []int64{3, 3}, 1, 0, 0, 0, 1, 0, 0, 0.5, 0.5)
			e.node("Softmax", []string{"y0"}, []string{"parts"})
			e.node("MatMul", []string{"parts", "groups"}, []string{"sums"})
			return "sums"
		}, err: "write none"},
		"two softmaxes":        {end: through("Softmax", "Softmax"), want: func(y []float64) []float64 { return softmaxOf(softmaxOf(y)) }},
		"log-softmax":          {end: through("LogSoftmax"), want: softmaxOf},
		"exp of log-softmax":   {end: through("LogSoftmax", "Exp"), manifest: output("{name: OUT, activation: none}"), want: softmaxOf},
		"log-softmax, sigmoid": {end: through("LogSoftmax"), manifest: output("{name: OUT, activation: sigmoid}"), err: "ends in LogSoftmax"},
		"log-softmax, none":    {end: through("LogSoftmax"), manifest: output("{name: OUT, activation: none}"), err: "ends in LogSoftmax"},
		"softmax in a branch":  {end: inIf("Softmax"), err: "write none"},
		"per cent": {end: func(e *export) string {
			e.floats("hundred", nil, 100)
			e.node("Softmax", []string{"y0"}, []string{"part"})
			e.node("Mul", []string{"part", "hundred"}, []string{"percent"})
			return "percent"
		}, err: "adds up to 100 on each"},
		"levels of a byte": {end: func(e *export) string {
			e.floats("most", nil, 255)
			e.node("Softmax", []string{"y0"}, []string{"part"})
			e.node("Mul", []string{"part", "most"}, []string{"level"})
			return "level"
		}, err: "adds up to 255 on each"},
		"quantised logits": {end: func(e *export) string {
			e.floats("step", nil, 0.05)
			e.node("QuantizeLinear", []string{"y0", "step"}, []string{"coded"})
			return "coded"
		}, files: func(_ *testing.T, _ string, m *onnxpb.ModelProto) {
			m.Graph.Output[0].GetType().GetTensorType().ElemType = proto.Int32(2)
		}, err: "is of whole numbers (uint8)"},
		"probability beside logits": {end: func(e *export) string {
			e.ints("first", []int64{1}, 7, 0)
			e.node("Gather", []string{"y0", "first"}, []string{"z0"}, number("axis", 1))
			e.node("Sigmoid", []string{"z0"}, []string{"p0"})
			e.floats("mix", []int64{3, 2}, 1, 0, 0, 1, 1, 1)
			e.node("MatMul", []string{"y0", "mix"}, []string{"z1"})
			e.node("Concat", []string{"p0", "z1"}, []string{"both"}, number("axis", 1))
			return "both"
		}, err: "beside logits of others"},
		"nought beside logits": {end: func(e *export) string { // the logit of a class that is no other
			e.floats("nothing", nil, 0)
			e.floats("mix", []int64{3, 2}, 1, 0, 0, 1, 1, 1)
			e.node("ReduceMax", []string{"y0"}, []string{"greatest"}, number("keepdims", 1), numbers("axes", 1))
			e.node("Mul", []string{"greatest", "nothing"}, []string{"zero"})
			e.node("MatMul", []string{"y0", "mix"}, []string{"z1"})
			e.node("Concat", []string{"zero", "z1"}, []string{"both"}, number("axis", 1))
			return "both"
		}, want: func(y []float64) []float64 { return softmaxOf([]float64{0, y[0] + y[2], y[1] + y[2]}) }},
		"votes": {end: func(e *export) string {
			e.floats("half", nil, 0.5)
			e.node("Greater", []string{"y0", "half"}, []string{"yes"})
			e.node("Cast", []string{"yes"}, []string{"votes"}, number("to", 1))
			return "votes"
		}, manifest: output("{name: OUT, activation: sigmoid}"), want: each(func(y float64) float64 {
			if y > 0.5 {
				return 1
			}
			return 0
		}), how: "any"},
		"a turn of the arc": {end: func(e *export) string {
			e.floats("over", nil, 0.31830987)
			e.floats("half", nil, 0.5)
			e.node("Atan", []string{"y0"}, []string{"arc"})
			e.node("Mul", []string{"arc", "over"}, []string{"part"})
			e.node("Add", []string{"part", "half"}, []string{"likely"})
			return "likely"
		}, manifest: output("{name: OUT, activation: sigmoid}"), want: each(func(y float64) float64 { return 0.5 + math.Atan(y)/math.Pi })},
		"softmax in a branch, none": {end: inIf("Softmax"), manifest: output("{name: OUT, activation: none}"), want: softmaxOf, how: "any"},
		"mean of two": {end: func(e *export) string {
			e.floats("two", nil, 2)
			e.node("Softmax", []string{"y0"}, []string{"first"})
			e.node("Mul", []string{"y0", "two"}, []string{"twice"})
			e.node("Softmax", []string{"twice"}, []string{"second"})
			e.node("Add", []string{"first", "second"}, []string{"both"})
			e.node("Div", []string{"both", "two"}, []string{"mean"})
			return "mean"
		}, want: func(y []float64) []float64 {
			a, b := softmaxOf(y), softmaxOf(each(func(y float64) float64 { return 2 * y })(y))
			for i := range a {
				a[i] = (a[i] + b[i]) / 2
			}
			return a
		}},
		"softmax and clamp": {end: func(e *export) string {
			e.floats("low", nil, 0.3)
			e.floats("high", nil, 0.6)
			e.node("Softmax", []string{"y0"}, []string{"soft"})
			e.node("Clip", []string{"soft", "low", "high"}, []string{"clamped"})
			return "clamped"
		}, want: func(y []float64) []float64 {
			return each(func(p float64) float64 { return min(max(p, float64(float32(0.3))), float64(float32(0.6))) })(softmaxOf(y))
		}, how: "any"},
		"one logit, one class":       {values: 1, classes: []string{"p"}, manifest: output("{name: OUT, activation: sigmoid}"), want: sigmoids},
		"one logit, softmax":         {values: 1, classes: []string{"p"}, err: "softmax with one class"},
		"one probability, one class": {values: 1, classes: []string{"p"}, end: through("Sigmoid"), manifest: output("{name: OUT, activation: none}"), want: sigmoids},
		"one logit, two classes": {
			values: 1, classes: []string{"n", "p"}, manifest: output("{name: OUT, activation: sigmoid}"),
			want: func(y []float64) []float64 { return one(sigmoids(y)[0]) },
		},
		"one logit, the first is positive": {
			values: 1, classes: []string{"p", "n"}, manifest: output("{name: OUT, activation: sigmoid, positive: p}"),
			want: func(y []float64) []float64 { p := one(sigmoids(y)[0]); slices.Reverse(p); return p },
		},
		"one logit, two classes, softmax": {values: 1, classes: []string{"n", "p"}, err: "softmax over one is 1.0"},
		"one logit, three classes":        {values: 1, err: "lists 3 classes, output \"y0\" has 1"},
		"four logits, three classes":      {values: 4, err: "lists 3 classes, output \"y0\" has 4"},
		"more outputs": {end: func(e *export) string {
			e.node("ArgMax", []string{"y0"}, []string{"best"}, number("axis", 1))
			e.floats("half", nil, 0.5)
			e.node("Greater", []string{"y0", "half"}, []string{"above"})
			return "y0"
		}, outputs: []*onnxpb.ValueInfoProto{port("best", 7), port("above", 9), port("a", 1)}, want: softmaxOf},
		"odd names":       {begin: func(e *export) string { e.input = "serving default/input_1:0 (ä)"; return e.input }, want: softmaxOf},
		"seed for a name": {begin: func(e *export) string { e.input = "seed"; return e.input }, want: softmaxOf},
		"open sides":      {begin: func(e *export) string { e.shape = []int64{-1, 3, -1, -1}; return "x" }, want: softmaxOf},
		"a batch of one":  {begin: func(e *export) string { e.shape[0] = 1; return "x" }, want: softmaxOf},
		"bytes, channels last": {begin: func(e *export) string {
			e.dtype, e.shape = 2, []int64{-1, 8, 8, 3}
			e.floats("full", nil, 255)
			e.node("Cast", []string{"x"}, []string{"f"}, number("to", 1))
			e.node("Transpose", []string{"f"}, []string{"t"}, numbers("perm", 0, 3, 1, 2))
			e.node("Div", []string{"t", "full"}, []string{"n"})
			return "n"
		}, manifest: map[string]string{"input": "{name: IN, layout: NHWC, size: [8, 8], channels: RGB, resize: nearest, dtype: uint8}"}, want: softmaxOf},
		"scaled inside": {begin: func(e *export) string {
			e.floats("full", nil, 255)
			e.node("Div", []string{"x", "full"}, []string{"n"})
			return "n"
		}, manifest: map[string]string{"input": "{name: IN, layout: NCHW, size: [8, 8], channels: RGB, resize: nearest, scale: 1, mean: [0, 0, 0], std: [1, 1, 1]}"}, want: softmaxOf},
		"normalised twice": {begin: func(e *export) string {
			e.floats("full", nil, 255)
			e.floats("middle", []int64{1, 3, 1, 1}, 0.485, 0.456, 0.406)
			e.floats("spread", []int64{1, 3, 1, 1}, 0.229, 0.224, 0.225)
			e.node("Div", []string{"x", "full"}, []string{"part"})
			e.node("Sub", []string{"part", "middle"}, []string{"centred"})
			e.node("Div", []string{"centred", "spread"}, []string{"n"})
			return "n"
		}, manifest: map[string]string{"input": "{name: IN, layout: NCHW, size: [8, 8], channels: RGB, resize: nearest, scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}"}, err: "as if it normalised by itself"},
		"scaled twice": {begin: func(e *export) string {
			e.floats("full", nil, 255)
			e.node("Div", []string{"x", "full"}, []string{"n"})
			return "n"
		}, manifest: map[string]string{"input": "{name: IN, layout: NCHW, size: [8, 8], channels: RGB, resize: nearest, scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}"}, err: "as if it normalised by itself"},
		"mean of bytes taken off what is normalised": {begin: func(e *export) string {
			e.ints("turned", []int64{3}, 7, 2, 1, 0)
			e.floats("middle", []int64{1, 3, 1, 1}, 103.9, 116.8, 123.7)
			e.node("Gather", []string{"x", "turned"}, []string{"bgr"}, number("axis", 1))
			e.node("Sub", []string{"bgr", "middle"}, []string{"n"})
			return "n"
		}, manifest: map[string]string{"input": "{name: IN, layout: NCHW, size: [8, 8], channels: RGB, resize: nearest, scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}"}, err: "as if it normalised by itself"},
		"bytes to be normalised": {begin: func(e *export) string {
			e.dtype = 2
			e.node("Cast", []string{"x"}, []string{"f"}, number("to", 1))
			return "f"
		}, err: "scale must be 1"},
		"floats called bytes": {manifest: map[string]string{"input": "{name: IN, layout: NCHW, size: [8, 8], channels: RGB, resize: nearest, dtype: uint8}"}, err: "input.dtype is uint8, the network takes float32"},
		"half precision in": {begin: func(e *export) string {
			e.dtype = 10
			e.node("Cast", []string{"x"}, []string{"f"}, number("to", 1))
			return "f"
		}, want: softmaxOf},
		"half precision out": {
			end: func(e *export) string {
				e.node("Cast", []string{"y0"}, []string{"y1"}, number("to", 10))
				return "y1"
			},
			files: func(_ *testing.T, _ string, m *onnxpb.ModelProto) {
				m.Graph.Output[0].GetType().GetTensorType().ElemType = proto.Int32(10)
			}, want: softmaxOf,
		},
		"random numbers inside": {middle: func(e *export) string {
			e.node("RandomNormalLike", []string{"a"}, []string{"noise"})
			e.node("Add", []string{"a", "noise"}, []string{"noisy"})
			return "noisy"
		}, err: "asked again"},
		"random numbers inside, unexplained": {middle: func(e *export) string {
			e.node("RandomNormalLike", []string{"a"}, []string{"noise"})
			e.node("Add", []string{"a", "noise"}, []string{"noisy"})
			return "noisy"
		}, manifest: map[string]string{"explain": "{method: none}"}, err: "asked again"},
		"dropout that goes on": {middle: func(e *export) string {
			e.floats("half", nil, 0.5)
			e.ints("yes", nil, 9, 1)
			e.node("Dropout", []string{"a", "half", "yes"}, []string{"some"})
			return "some"
		}, err: `operator Dropout (opset 17) of node "n3_Dropout" is in training mode`},
		"dropout that does not go on": {middle: func(e *export) string {
			e.floats("half", nil, 0.5)
			e.ints("no", nil, 9, 0)
			e.node("Dropout", []string{"a", "half", "no"}, []string{"all"})
			return "all"
		}, want: softmaxOf},
		"statistics of the batch": {middle: func(e *export) string {
			e.floats("ones", []int64{4}, 1, 1, 1, 1)
			e.node("BatchNormalization", []string{"a", "ones", "ones", "ones", "ones"}, []string{"n", "mean", "variance"}, number("training_mode", 1))
			return "n"
		}, err: "BatchNormalization (opset 17) of node \"n3_BatchNormalization\" is in training mode"},
		"a function of another operator set": {middle: func(e *export) string {
			e.domain = "local"
			e.node("Gap", []string{"a"}, []string{"g"})
			e.graph.Node[len(e.graph.Node)-1].Domain = &e.domain
			return "g"
		}, files: func(_ *testing.T, _ string, m *onnxpb.ModelProto) {
			m.Functions = []*onnxpb.FunctionProto{{
				Name: proto.String("Gap"), Domain: proto.String("local"), Input: []string{"v"}, Output: []string{"w"},
				OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(18)}},
				Node: []*onnxpb.NodeProto{
					{OpType: proto.String("Constant"), Output: []string{"axes"}, Attribute: []*onnxpb.AttributeProto{numbers("value_ints", 2, 3)}},
					{OpType: proto.String("ReduceMean"), Input: []string{"v", "axes"}, Output: []string{"w"}},
				},
			}}
		}, err: "function Gap of local, which the file defines, is of another operator set than the network (opset 17)"},
		"eight frames, written inside": {end: func(e *export) string {
			e.ints("eight", []int64{2}, 7, 8, 3)
			e.node("Reshape", []string{"y0", "eight"}, []string{"y1"})
			return "y1"
		}, err: "export it for one frame, or with that axis open"},
		"greatest first": {end: func(e *export) string {
			e.ints("three", []int64{1}, 7, 3)
			e.node("Softmax", []string{"y0"}, []string{"p"})
			e.node("TopK", []string{"p", "three"}, []string{"best", "which"})
			return "best"
		}, err: "has the greatest values first (TopK)"},
		"nodes in any order": {files: func(_ *testing.T, _ string, m *onnxpb.ModelProto) { slices.Reverse(m.Graph.Node) }, want: softmaxOf},
		"two weights of a name": {files: func(_ *testing.T, _ string, m *onnxpb.ModelProto) {
			m.Graph.Initializer = append(m.Graph.Initializer, proto.CloneOf(m.Graph.Initializer[0]))
		}, err: `two of its weights have the name "w"`},
		"two nodes of a name": {files: func(_ *testing.T, _ string, m *onnxpb.ModelProto) { m.Graph.Node[1].Name = m.Graph.Node[0].Name }, err: "give each node a name of its own"},
		"views in one batch": {begin: func(e *export) string { // two that are the same, whose mean is the logits of one
			e.shape[0] = 1
			e.floats("unit", nil, 1)
			e.node("Mul", []string{"x", "unit"}, []string{"again"})
			e.node("Concat", []string{"x", "again"}, []string{"views"}, number("axis", 0))
			return "views"
		}, end: func(e *export) string {
			e.node("ReduceMean", []string{"y0"}, []string{"mean"}, numbers("axes", 0))
			return "mean"
		}, want: softmaxOf},
		"a table of classes": {end: func(e *export) string {
			e.domain = "ai.onnx.ml"
			e.node("ZipMap", []string{"y0"}, []string{"table"})
			zip := e.graph.Node[len(e.graph.Node)-1]
			zip.Domain = &e.domain
			zip.Attribute = []*onnxpb.AttributeProto{{Name: proto.String("classlabels_strings"), Type: onnxpb.AttributeProto_STRINGS.Enum(), Strings: [][]byte{[]byte("p"), []byte("q"), []byte("r")}}}
			return "table"
		}, files: func(_ *testing.T, _ string, m *onnxpb.ModelProto) {
			m.Graph.Output[0].Type = &onnxpb.TypeProto{Value: &onnxpb.TypeProto_SequenceType{SequenceType: &onnxpb.TypeProto_Sequence{}}}
			m.Graph.Output = append(m.Graph.Output, port("y0", 1, -1, 3))
		}, err: `output "table" has no numbers but text, a list or a table of classes; the network's outputs of numbers are ["y0"]`},
		"weights in a file":   {files: apart("w.bin"), want: softmaxOf},
		"weights in a folder": {files: apart("data/w.bin"), want: softmaxOf},
		"weights outside":     {files: apart("../w.bin"), err: "is not within the bundle"},
		"weights behind a link": {files: func(t *testing.T, dir string, m *onnxpb.ModelProto) {
			apart("../elsewhere.bin")(t, dir, m)
			for _, w := range m.Graph.Initializer {
				for _, e := range w.ExternalData {
					if e.GetKey() == "location" {
						e.Value = proto.String("w.bin")
					}
				}
			}
			require.NoError(t, os.Symlink("../elsewhere.bin", filepath.Join(dir, "w.bin")))
		}, err: "w.bin"},
		"weights that are not there": {files: func(t *testing.T, dir string, m *onnxpb.ModelProto) {
			apart("w.bin")(t, dir, m)
			require.NoError(t, os.Remove(filepath.Join(dir, "w.bin")))
		}, err: "w.bin is missing"},
		"weights cut short": {files: func(t *testing.T, dir string, m *onnxpb.ModelProto) {
			apart("w.bin")(t, dir, m)
			require.NoError(t, os.Truncate(filepath.Join(dir, "w.bin"), 400))
		}, err: "are wanted"},
		"an operator of another domain": {middle: func(e *export) string {
			e.domain = "com.example"
			e.node("Sharpen", []string{"a"}, []string{"s"})
			e.graph.Node[len(e.graph.Node)-1].Domain = &e.domain
			return "s"
		}, err: "Sharpen"},
		"a loop":                             {middle: loop, want: softmaxOf, how: "occlusion"},
		"a loop, by RISE":                    {middle: loop, manifest: map[string]string{"explain": "{method: gradcam, fallback: rise}"}, want: softmaxOf, how: "rise"},
		"a loop, unexplained":                {middle: loop, manifest: map[string]string{"explain": "{method: gradcam, fallback: none}"}, want: softmaxOf, how: "none"},
		"no layer":                           {manifest: map[string]string{"explain": "{method: gradcam, layer: nowhere}"}, err: "nowhere"},
		"unexplained":                        {manifest: map[string]string{"explain": "{method: none}"}, want: softmaxOf, how: "none"},
		"unexplained, as it was said before": {manifest: map[string]string{"explain": "{method: gradcam, layer: none}"}, want: softmaxOf, how: "none"},
		"occlusion":                          {manifest: map[string]string{"explain": "{method: occlusion}"}, want: softmaxOf, how: "occlusion"},
		"Score-CAM":                          {manifest: map[string]string{"explain": "{method: scorecam, layer: last}"}, want: softmaxOf, how: "scorecam"},
		"reference": {
			manifest: map[string]string{"reference": "[{frame: ref.png, probabilities: {p: 0.999}}]"}, files: reference,
			err: "reference frame ref.png: class p: expected 0.999, got ",
		},
		"reference of nothing":    {manifest: map[string]string{"reference": "[{frame: nothing.png, probabilities: {p: 0.5}}]"}, err: "nothing.png"},
		"reference that is loose": {manifest: map[string]string{"reference": "[{frame: ref.png, probabilities: {p: 0.999}, tolerance: 1}]"}, files: reference, want: softmaxOf},
	}
}

// reference writes a picture.
func reference(t *testing.T, dir string, _ *onnxpb.ModelProto) {
	file, err := os.Create(filepath.Join(dir, "ref.png"))
	require.NoError(t, err)
	require.NoError(t, png.Encode(file, picture()))
	require.NoError(t, file.Close())
}

// picture is a frame of the input's size, so that nothing is resized.
func picture() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		img.Set(i%8, i/8, color.RGBA{uint8(i * 4), uint8(255 - i*3), uint8(i * i % 256), 255})
	}
	return img
}

// write makes a bundle's folder.
func (b brought) write(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, os.Mkdir(dir, 0o755))
	e := newExport()
	x, a, out := "x", "a", "y0"
	if b.begin != nil {
		x = b.begin(e)
	}
	e.body(x)
	if b.middle != nil {
		a = b.middle(e)
	}
	if b.values == 0 {
		b.values = 3
	}
	e.head(a, b.values)
	shape := []int64{-1, b.values}
	if b.end != nil {
		out = b.end(e)
	}
	m := e.model(t, append(b.outputs, port(out, 1, shape...))...)
	if b.files != nil {
		b.files(t, dir, m)
	}
	content, err := proto.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, inference.NetworkFile), content, 0o600))

	lines := map[string]string{
		"input":   `{name: IN, layout: NCHW, size: [8, 8], channels: RGB, resize: nearest, scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}`,
		"output":  "{name: OUT, activation: softmax}",
		"explain": "{method: gradcam, layer: last}",
	}
	for key, value := range b.manifest {
		lines[key] = value
	}
	if b.classes == nil {
		b.classes = []string{"p", "q", "r"}
	}
	manifest := "name: small\nversion: 1.0.0\nkind: still\nintended_use: test\nmanufacturer: test\nclasses:\n"
	for _, class := range b.classes {
		manifest += fmt.Sprintf("  - {name: %s, threshold: 0.01, role: finding, finding: {code: \"68496003\", scheme: SCT, meaning: Polyp of colon}}\n", class)
	}
	for _, key := range []string{"input", "output", "explain", "reference"} {
		if lines[key] != "" {
			manifest += key + ": " + strings.NewReplacer("IN,", fmt.Sprintf("%q,", e.input), "OUT,", fmt.Sprintf("%q,", out)).Replace(lines[key]) + "\n"
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, inference.ManifestFile), []byte(manifest), 0o600))
	return dir
}

// logits computes y0 of picture() without ONNX Runtime.
func (b brought) logits() []float64 {
	e := newExport()
	w := e.graph.Initializer[0].RawData
	weight := func(i int) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(w[4*i:]))) }
	img := picture()
	pooled := make([]float64, 4)
	for o := range 4 {
		for y := range 8 {
			for x := range 8 {
				sum := 0.0
				for c := range 3 {
					for k := range 9 {
						sy, sx := y+k/3-1, x+k%3-1
						if sy >= 0 && sy < 8 && sx >= 0 && sx < 8 {
							sum += weight((o*3+c)*9+k) * float64(img.Pix[img.PixOffset(sx, sy)+c]) / 255
						}
					}
				}
				pooled[o] += max(sum, 0) / 64
			}
		}
	}
	values := int(b.values)
	if values == 0 {
		values = 3
	}
	y := make([]float64, values)
	for i := range 4 * values {
		y[i%values] += pooled[i/values] * (float64((i*29+5)%17)/4 - 2)
	}
	return y
}

// Whatever way a network is exported, it gives its own probabilities, with a map or with what stands in for one said; or is refused
// with what is wrong.
func TestBringings(t *testing.T) {
	for name, b := range bringings() {
		t.Run(name, func(t *testing.T) {
			dir := b.write(t)
			model, opened, err := open(t, dir)
			if b.err != "" {
				require.ErrorContains(t, err, b.err)
				return
			}
			require.NoError(t, err)
			want := b.want(b.logits())
			asked, err := model.Ask(t.Context(), picture(), ask.Question{})
			require.NoError(t, err)
			require.InDeltaSlice(t, want, asked.Probabilities, 2e-3)

			m, err := inference.NewModel(t.Context(), model.Bundle, opened.Opened, nil)
			require.NoError(t, err)
			part, err := m.Infer(t.Context(), analysis.Sample{Span: analysis.Still(1), Frames: []*image.RGBA{picture()}}, inference.Wishes{})
			require.NoError(t, err)
			for i, class := range model.Bundle.Classes {
				require.InDelta(t, want[i], part.Result.Scores[class.Name], 2e-3, class.Name)
			}
			how := b.how
			if how == "" {
				how = string(explain.GradCAM)
			}
			if how != "any" {
				require.Equal(t, how, opened.How.Method)
				require.Equal(t, strings.HasPrefix(name, "a loop"), opened.How.Fallback != "")
			}
			if how == inference.NoMethod {
				require.Empty(t, part.Maps)
				require.NotEmpty(t, part.Result.Notes)
			} else {
				require.Len(t, part.Maps, len(part.Result.Findings))
				require.Equal(t, opened.How, part.Maps[0].Explanation)
			}
		})
	}
}

func open(t testing.TB, dir string) (*ask.Model, *ask.Opened, error) {
	b, err := inference.LoadBundle(dir)
	if err != nil {
		return nil, nil, err
	}
	r, err := onnx.OpenConfigured("")
	require.NoError(t, err)
	m := ask.New(r, b, ask.Options{})
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	opened, err := m.OpenNetwork(t.Context())
	if err == nil {
		t.Cleanup(func() { require.NoError(t, opened.Close()) })
	}
	return m, opened, err
}

// The digest of a network is that of all its files.
func TestBundle_digestOfWeights(t *testing.T) {
	dir := brought{files: apart("w.bin")}.write(t)
	before, err := inference.LoadBundle(dir)
	require.NoError(t, err)
	file := filepath.Join(dir, "w.bin")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	content[3] ^= 1
	require.NoError(t, os.WriteFile(file, content, 0o600))
	_, err = before.Network()
	require.ErrorContains(t, err, "has changed since the bundle was loaded")
	after, err := inference.LoadBundle(dir)
	require.NoError(t, err)
	require.NotEqual(t, before.Digest, after.Digest)
}

// Of several methods those answer that can; for the others one stands in, and says for which, and why.
func TestAnswers_someCannot(t *testing.T) {
	model, _, err := open(t, brought{begin: func(e *export) string {
		e.floats("none", []int64{3}, 0, 0, 0)
		e.floats("some", []int64{3}, 1, 1, 1)
		e.node("ReduceMax", []string{"x"}, []string{"most"}, numbers("axes", 0, 2, 3), number("keepdims", 0))
		e.node("BatchNormalization", []string{"x", "most", "none", "none", "some"}, []string{"n"}) // by the picture: without a rule
		return "n"
	}}.write(t))
	require.NoError(t, err)
	asked, err := model.Ask(t.Context(), picture(), ask.Question{Methods: []explain.Method{explain.GradCAM, explain.Gradient, explain.LRPEpsilon}})
	require.NoError(t, err)
	all, err := model.Answers(t.Context(), asked)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, explain.GradCAM, all[0].Method)
	require.Empty(t, all[0].Instead)
	require.Equal(t, explain.Occlusion, all[1].Method)
	require.Contains(t, all[1].Instead, `Gradient, LRP-ε cannot explain this network: operator BatchNormalization`)
}
