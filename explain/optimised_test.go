package explain_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"

	"github.com/stretchr/testify/require"
	ort "github.com/yalue/onnxruntime_go"
	"google.golang.org/protobuf/proto"
)

// A network that ONNX Runtime's optimizer has saved, with operators of its own, has the maps of the network that it was.
func TestZoo_optimised(t *testing.T) {
	r := openRuntime(t)
	var own []string
	for _, n := range networks(t) {
		if name := filepath.Base(n.file); !slices.Contains([]string{"vgg11_11.onnx", "resnet18_15.onnx", "efficientnet_16.onnx", "dinov2_17.onnx"}, name) {
			continue
		}
		t.Run(filepath.Base(n.file), func(t *testing.T) {
			plain, err := os.ReadFile(n.file)
			require.NoError(t, err)
			optimised := optimised(t, n.file)
			for _, p := range optimised.Graph.Node {
				if p.GetDomain() == "com.microsoft" {
					own = append(own, p.GetOpType())
				}
			}
			bytes, err := proto.Marshal(optimised)
			require.NoError(t, err)
			target := []explain.Target{{Method: explain.GradCAM}, {Method: explain.Gradient}}
			said, maps := explained(t, r, plain, n.input(), oneHot(1, n.classes), target...)
			same, again := explained(t, r, bytes, n.input(), oneHot(1, n.classes), target...)
			require.InDeltaSlice(t, said, same, 1e-4*greatest(said))
			for i, m := range maps {
				require.InDeltaSlice(t, m.Values, again[i].Values, 1e-3*greatest(m.Values), target[i].Method)
			}
		})
	}
	require.Subset(t, own, []string{"BiasGelu", "FusedConv", "FusedGemm", "QuickGelu"})
}

// optimised is a model as the runtime saves it.
func optimised(t *testing.T, file string) *onnxpb.ModelProto {
	options, err := ort.NewSessionOptions()
	require.NoError(t, err)
	defer func() { require.NoError(t, options.Destroy()) }()
	saved := filepath.Join(t.TempDir(), "model.onnx")
	require.NoError(t, options.SetOptimizedModelFilePath(saved))
	require.NoError(t, options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableExtended))
	model, err := os.ReadFile(file)
	require.NoError(t, err)
	outline, err := explain.ReadOutline(model)
	require.NoError(t, err)
	session, err := ort.NewDynamicAdvancedSession(file, []string{outline.Inputs[0].Name}, []string{outline.Outputs[0].Name}, options)
	require.NoError(t, err)
	require.NoError(t, session.Destroy())
	content, err := os.ReadFile(saved)
	require.NoError(t, err)
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(content, &m))
	return &m
}
