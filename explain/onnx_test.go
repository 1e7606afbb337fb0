package explain_test

import (
	"context"
	"flag"
	"math"
	"os"
	"strconv"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue { // also what RAPID_CHECKS says
		checks, _ := strconv.Atoi(f.DefValue)
		_ = f.Value.Set(strconv.Itoa((checks + 3) / 4)) // each loads two models
	}
	code := m.Run()
	if benchFolder != "" {
		_ = os.RemoveAll(benchFolder)
	}
	os.Exit(code)
}

// provider is what sessions of these tests compute on: ENDOGATE_TEST_PROVIDER=cuda on a GPU, with a library for GPUs in lib
// beside the test's binary.
var provider = os.Getenv("ENDOGATE_TEST_PROVIDER")

func openRuntime(t testing.TB) *onnx.Runtime {
	t.Helper()
	library, err := onnx.FindLibrary("")
	if err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	r, err := onnx.Open(library)
	require.NoError(t, err)
	return r
}

// small is a model under construction: x → ... → y, flattened to the logits.
type small struct {
	opset   int64
	shape   []int64 // of x, batch first; the batch is open in the model
	graph   onnxpb.GraphProto
	logits  bool
	pooling bool // the runtime knows auto_pad with dilations
	weights int
}

func (s *small) weight(dims []int64, v ...float32) string {
	s.weights++
	name := "w" + string(rune('a'+s.weights))
	s.graph.Initializer = append(s.graph.Initializer, &onnxpb.TensorProto{
		Name: &name, Dims: dims, DataType: proto.Int32(1), FloatData: v,
	})
	return name
}

func (s *small) ints(v ...int64) string {
	s.weights++
	name := "w" + string(rune('a'+s.weights))
	s.graph.Initializer = append(s.graph.Initializer, &onnxpb.TensorProto{
		Name: &name, Dims: []int64{int64(len(v))}, DataType: proto.Int32(7), Int64Data: v,
	})
	return name
}

func (s *small) node(typ string, inputs, outputs []string, attrs ...*onnxpb.AttributeProto) {
	s.graph.Node = append(s.graph.Node, &onnxpb.NodeProto{
		OpType: &typ, Name: proto.String("/" + outputs[0]), Input: inputs, Output: outputs, Attribute: attrs,
	})
}

// own adds an operator of ONNX Runtime's own.
func (s *small) own(typ string, inputs, outputs []string, attrs ...*onnxpb.AttributeProto) {
	s.node(typ, inputs, outputs, attrs...)
	s.graph.Node[len(s.graph.Node)-1].Domain = proto.String("com.microsoft")
}

func (s *small) bytes(t require.TestingT) []byte {
	if !s.logits {
		s.node("Flatten", []string{"y"}, []string{"logits"}, attrInt("axis", 1))
		s.logits = true
	}
	opset := s.opset
	if opset == 0 {
		opset = 17
	}
	dims := []*onnxpb.TensorShapeProto_Dimension{{Value: &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: "n"}}}
	for _, d := range s.shape[1:] {
		dims = append(dims, &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}})
	}
	s.graph.Name = proto.String("small")
	s.graph.Input = []*onnxpb.ValueInfoProto{{Name: proto.String("x"), Type: &onnxpb.TypeProto{
		Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{
			ElemType: proto.Int32(1), Shape: &onnxpb.TensorShapeProto{Dim: dims},
		}},
	}}}
	s.graph.Output = []*onnxpb.ValueInfoProto{{Name: proto.String("logits")}}
	out, err := proto.Marshal(&onnxpb.ModelProto{
		IrVersion: proto.Int64(8), Graph: &s.graph,
		OpsetImport: []*onnxpb.OperatorSetIdProto{
			{Domain: proto.String(""), Version: &opset}, {Domain: proto.String("com.microsoft"), Version: proto.Int64(1)},
		},
	})
	require.NoError(t, err)
	return out
}

func attrInt(name string, v int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INT.Enum(), I: &v}
}

func attrFloat(name string, v float32) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_FLOAT.Enum(), F: &v}
}

func attrString(name, v string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(v)}
}

func attrFloats(name string, v ...float32) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_FLOATS.Enum(), Floats: v}
}

func attrInts(name string, v ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INTS.Enum(), Ints: v}
}

type fatalf interface {
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// checkGradient compares the compiled gradient at x with central differences of step h, through ONNX
// Runtime, and a run of several seeds on one frame with runs of one.
func checkGradient(t fatalf, r *onnx.Runtime, model []byte, shape []int64, x, seed []float32, h float32) {
	c, err := explain.Compile(model, explain.Options{Targets: []explain.Target{{Method: explain.Gradient}}, Probe: r.Probe})
	if err != nil {
		t.Fatalf("%v", err)
	}
	s, err := r.NewSession(c.ONNX, onnx.SessionOptions{
		Provider: provider,
		Inputs:   []string{c.InputName, c.SeedName}, Outputs: []string{c.LogitsName, c.Maps[0].Name},
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer func() { _ = s.Close() }()
	n := shape[0]
	run := func(n, rows int64, x, seed []float32) (logits, grad []float32) {
		out, err := s.Run(context.Background(), []onnx.Tensor{
			{Shape: append([]int64{n}, shape[1:]...), Values: x}, {Shape: []int64{rows, int64(c.Classes)}, Values: seed},
		})
		if err != nil {
			t.Fatalf("%v", err)
		}
		return out[0].Values, out[1].Values
	}
	seed = seed[:int(n)*c.Classes]
	_, grad := run(n, n, x, seed)
	if len(grad) != len(x) {
		t.Fatalf("the gradient has %d elements for %d", len(grad), len(x))
	}
	want, scale := make([]float64, len(x)), 1.
	moved := append([]float32(nil), x...)
	for i := range x {
		moved[i] = x[i] + h
		up, _ := run(n, n, moved, seed)
		moved[i] = x[i] - h
		down, _ := run(n, n, moved, seed)
		moved[i] = x[i]
		for k, s := range seed {
			want[i] += float64(s) * (float64(up[k]) - float64(down[k])) / float64(2*h)
		}
		scale = max(scale, math.Abs(want[i]))
	}
	for i := range x {
		if d := math.Abs(want[i] - float64(grad[i])); !(d <= 3e-3*scale) {
			t.Fatalf("element %d: gradient %g, by differences %g\nx %v\ngradient %v\nwant %v", i, grad[i], want[i], x, grad, want)
		}
	}
	checkSingle(t, r, model, shape, x, seed[:c.Classes], grad, scale)
	if !c.ManySeeds {
		return
	}
	cells := len(x) / int(n) // of one frame; then its classes as seeds of one run
	twice := append(append([]float32(nil), seed[:c.Classes]...), seed[:c.Classes]...)
	for i := range c.Classes {
		twice[c.Classes+i] *= -2
	}
	_, first := run(1, 1, x[:cells], seed[:c.Classes])
	_, both := run(1, 2, x[:cells], twice)
	if len(both) != 2*cells {
		t.Fatalf("two seeds gave %d elements for %d", len(both), 2*cells)
	}
	for i, g := range first {
		if d := max(math.Abs(float64(both[i]-g)), math.Abs(float64(both[cells+i]+2*g))); !(d <= 1e-4*scale) {
			t.Fatalf("element %d: alone %g, with another seed %g and %g", i, g, both[i], both[cells+i])
		}
	}
}

func demoModel(t testing.TB) []byte {
	t.Helper()
	model, err := os.ReadFile("../testdata/models/demo/model.onnx")
	require.NoError(t, err)
	return model
}

// checkSingle holds the form for one frame and one seed against the first frame of the general one.
func checkSingle(t fatalf, r *onnx.Runtime, model []byte, shape []int64, x, seed, want []float32, scale float64) {
	c, err := explain.Compile(model, explain.Options{Targets: []explain.Target{{Method: explain.Gradient}}, Single: true, Probe: r.Probe})
	if err != nil {
		t.Fatalf("%v", err)
	}
	s, err := r.NewSession(c.ONNX, onnx.SessionOptions{Inputs: []string{c.InputName, c.SeedName}, Outputs: []string{c.Maps[0].Name}})
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer func() { _ = s.Close() }()
	one := append([]int64{1}, shape[1:]...)
	out, err := s.Run(context.Background(), []onnx.Tensor{
		{Shape: one, Values: x[:product(one)]}, {Shape: []int64{1, int64(c.Classes)}, Values: seed},
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i, g := range out[0].Values {
		if d := math.Abs(float64(g - want[i])); !(d <= 1e-4*scale) {
			t.Fatalf("element %d: for one frame %g, else %g", i, g, want[i])
		}
	}
}
