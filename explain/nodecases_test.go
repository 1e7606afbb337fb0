package explain_test

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// nodeCases is where Debian's libonnx-testdata puts the standard's own cases.
const nodeCases = "/usr/share/libonnx-testdata/data/node"

// The standard's own cases of every operator with a rule compute the same once they went through the parser, the upgrade and
// back: what is differentiated is what the model meant.
func TestOperators_onnxNodeCases(t *testing.T) {
	installed.Require(t, nodeCases)
	folders, err := filepath.Glob(nodeCases + "/test_*")
	require.NoError(t, err)
	r := openRuntime(t)
	rules := explain.DifferentiableOperators()
	ran, operators := 0, map[string]bool{}
	for _, folder := range folders {
		raw, err := os.ReadFile(folder + "/model.onnx")
		require.NoError(t, err)
		var m onnxpb.ModelProto
		require.NoError(t, proto.Unmarshal(raw, &m))
		typ := m.Graph.Node[0].GetOpType()
		if len(m.Graph.Node) != 1 || m.OpsetImport[0].GetVersion() < 7 || !slices.Contains(rules, typ) {
			continue
		}
		o, inputs, want, ok := nodeCase(t, folder, &m)
		if !ok {
			continue // not of float32
		}
		plain, ok := tryRun(r, raw, o, inputs)
		if !ok {
			continue // the runtime itself does not run it
		}
		upgraded, err := explain.Upgraded(raw)
		require.NoError(t, err, folder)
		got, ok := tryRun(r, upgraded, o, inputs)
		require.True(t, ok, folder)
		for i := range want {
			require.Equal(t, len(want[i]), len(got[i].Values), folder)
			for k, v := range want[i] {
				tolerance := 1e-3 * max(1, math.Abs(float64(v)))
				if math.Abs(float64(v-plain[i].Values[k])) <= tolerance { // where the runtime keeps to the standard
					require.InDelta(t, v, got[i].Values[k], tolerance, folder)
				}
			}
		}
		ran++
		operators[typ] = true
	}
	t.Logf("%d cases of %d operators", ran, len(operators))
	require.Greater(t, ran, 150)
	require.Greater(t, len(operators), 40)
}

func tryRun(r *onnx.Runtime, model []byte, o onnx.SessionOptions, in []onnx.Tensor) ([]onnx.Tensor, bool) {
	s, err := r.NewSession(model, o)
	if err != nil {
		return nil, false
	}
	defer func() { _ = s.Close() }()
	out, err := s.Run(context.Background(), in)
	return out, err == nil
}

// nodeCase reads inputs and outputs; integer inputs become constants of the model, so only cases of float32 alone are taken.
func nodeCase(t *testing.T, folder string, m *onnxpb.ModelProto) (o onnx.SessionOptions, inputs []onnx.Tensor, want [][]float32, ok bool) {
	t.Helper()
	for i, v := range m.Graph.Input {
		tensor, ok := readTensor(t, folder, "input", i)
		if !ok || tensor.GetDataType() != 1 || len(tensor.Dims) == 0 || slices.Contains(tensor.Dims, 0) {
			return o, nil, nil, false
		}
		o.Inputs = append(o.Inputs, v.GetName())
		inputs = append(inputs, onnx.Tensor{Shape: tensor.Dims, Values: tensorValues(tensor)})
	}
	for i, v := range m.Graph.Output {
		tensor, ok := readTensor(t, folder, "output", i)
		if !ok || tensor.GetDataType() != 1 || slices.Contains(tensor.Dims, 0) {
			return o, nil, nil, false
		}
		o.Outputs = append(o.Outputs, v.GetName())
		want = append(want, tensorValues(tensor))
	}
	return o, inputs, want, len(inputs) > 0
}

func readTensor(t *testing.T, folder, kind string, i int) (*onnxpb.TensorProto, bool) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, "test_data_set_0", kind+"_"+string(rune('0'+i))+".pb"))
	if err != nil {
		return nil, false
	}
	var tensor onnxpb.TensorProto
	return &tensor, proto.Unmarshal(raw, &tensor) == nil
}

func tensorValues(t *onnxpb.TensorProto) []float32 {
	if len(t.RawData) == 0 {
		return t.FloatData
	}
	v := make([]float32, len(t.RawData)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.RawData[4*i:]))
	}
	return v
}
