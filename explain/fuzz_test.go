package explain_test

import (
	"errors"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// FuzzCompile: whatever the bytes, and whatever shapes a run of them would show, Compile returns.
func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob("testdata/light/light_squeezenet.onnx")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		model, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(model, uint8(0))
	}
	for i, c := range fuzzModels(f) {
		f.Add(c, uint8(i))
	}
	f.Fuzz(func(_ *testing.T, model []byte, salt uint8) {
		for _, o := range []explain.Options{
			{Probe: guess(salt), Targets: everything()},
			{Probe: guess(salt + 1), Targets: []explain.Target{{Method: explain.Gradient}}, InputShape: []int64{1, 3, 8, 8}},
			{Probe: func([]byte, []explain.ProbeInput, []string) ([][]int64, error) { return nil, errors.New("refused") }},
		} {
			c, err := explain.Compile(model, o)
			if (c == nil) != (err != nil) {
				panic("neither a result nor an error")
			}
		}
	})
}

// everything is every method at every layer, those that any model has first.
func everything() []explain.Target {
	all := []explain.Target{{Method: explain.Gradient}, {Method: explain.GradCAM}}
	for _, m := range explain.Methods() {
		if !m.Runs && m.Method != explain.AttentionRollout && m.Method != explain.GradientAttention {
			all = append(all, explain.Target{Method: m.Method, Layer: explain.AllLayers})
		}
	}
	return all
}

// fuzzModels has every operator once.
func fuzzModels(t testing.TB) [][]byte {
	var models [][]byte
	for _, typ := range explain.DifferentiableOperators() {
		s := &small{shape: []int64{1, 2, 4, 4}}
		s.node("Conv", []string{"x", s.weight([]int64{2, 2, 1, 1}, 1, 2, 3, 4)}, []string{"a"})
		s.node(typ, []string{"a", "a", s.ints(1, 1), s.ints(1)}, []string{"y", "z"}, attrInts("kernel_shape", 2, 2),
			attrInts("axes", 1), attrInt("axis", 1), attrInts("perm", 0, 1, 3, 2))
		models = append(models, s.bytes(t))
	}
	return models
}

// guess is a probe that makes shapes up, mostly of images, from the tensors' names.
func guess(salt uint8) explain.Probe {
	return func(_ []byte, _ []explain.ProbeInput, outputs []string) ([][]int64, error) {
		shapes := make([][]int64, len(outputs))
		for i, name := range outputs {
			h := fnv.New32a()
			_, _ = h.Write([]byte{salt})
			_, _ = h.Write([]byte(name))
			shapes[i] = [][]int64{
				{1, 2, 4, 4}, {1, 3, 5, 5}, {1, 2, 4, 4}, {1, 10}, {1, 2, 1, 1}, {}, {1}, {1, 4, 4}, {0, 2}, {1 << 40, 1 << 40, 3},
			}[h.Sum32()%10]
		}
		return shapes, nil
	}
}

// Models that are well-formed protobuf and otherwise wrong get past the parser, where random bytes do not.
func TestCompile_mutated(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	models := fuzzModels(t)
	compiled := 0
	for i := range 6000 {
		var m onnxpb.ModelProto
		require.NoError(t, proto.Unmarshal(models[i%len(models)], &m))
		for range 1 + random.IntN(3) {
			mutate(random, m.Graph)
		}
		model, err := proto.Marshal(&m)
		require.NoError(t, err)
		c, err := explain.Compile(model, explain.Options{Probe: guess(uint8(random.Uint32())), Targets: everything()[:1+i%4]})
		require.NotEqual(t, c == nil, err == nil)
		if err == nil {
			compiled++
		}
	}
	require.NotZero(t, compiled)
}

func mutate(random *rand.Rand, g *onnxpb.GraphProto) {
	n := g.Node[random.IntN(len(g.Node))]
	switch random.IntN(8) {
	case 0:
		n.Input = n.Input[:random.IntN(len(n.Input)+1)]
	case 1:
		n.Output = n.Output[:random.IntN(len(n.Output)+1)]
	case 2:
		if len(n.Attribute) > 0 {
			a := n.Attribute[random.IntN(len(n.Attribute))]
			a.Ints, a.I = []int64{math.MinInt64, -1, math.MaxInt64}[:random.IntN(4)], proto.Int64(random.Int64())
		}
	case 3:
		n.Attribute = append(n.Attribute, attrInts([]string{"pads", "strides", "dilations", "axes", "perm", "kernel_shape"}[random.IntN(6)],
			random.Int64N(5)-2, random.Int64N(5)-2, random.Int64N(3), random.Int64N(3)))
	case 4:
		n.OpType = proto.String(explain.DifferentiableOperators()[random.IntN(20)])
	case 5:
		if len(n.Input) > 0 {
			n.Input[random.IntN(len(n.Input))] = []string{"", "x", "nowhere", "a"}[random.IntN(4)]
		}
	case 6:
		t := g.Initializer[random.IntN(len(g.Initializer))]
		t.Dims, t.Int64Data = [][]int64{nil, {-1}, {1 << 50, 1 << 50}, {2}}[random.IntN(4)], []int64{math.MaxInt64, -7}
	case 7:
		g.Node[random.IntN(len(g.Node))] = n
	}
}
