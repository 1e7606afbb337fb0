package gateway_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/explain/onnxpb"
)

// looped is the demo model with a loop before its output, as often as a computed number says: nothing has a gradient through it.
func looped(t *testing.T, explained string) (bundle string) {
	t.Helper()
	bundle = filepath.Join(t.TempDir(), "demo")
	require.NoError(t, os.CopyFS(bundle, os.DirFS(filepath.Join(peers.Root(t), "testdata/models/demo"))))
	network, manifest := filepath.Join(bundle, "model.onnx"), filepath.Join(bundle, "model.yaml")
	raw, err := os.ReadFile(network)
	require.NoError(t, err)
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(raw, &m))
	g := m.Graph
	constant := func(name string, typ int32, raw []byte) {
		g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: &name, DataType: &typ, RawData: raw})
	}
	node := func(typ, out string, in ...string) *onnxpb.NodeProto {
		n := &onnxpb.NodeProto{OpType: &typ, Name: proto.String("/" + out), Input: in, Output: []string{out}}
		g.Node = append(g.Node, n)
		return n
	}
	number := func(n *onnxpb.NodeProto, name string, i int64) {
		n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INT.Enum(), I: &i})
	}
	for _, n := range g.Node {
		for i, out := range n.Output {
			if out == g.Output[0].GetName() {
				n.Output[i] = "unlooped"
			}
		}
	}
	constant("nought", 1, make([]byte, 4))
	constant("unit", 1, binary.LittleEndian.AppendUint32(nil, math.Float32bits(1)))
	constant("yes", 9, []byte{1})
	number(node("ReduceMax", "greatest", "unlooped"), "keepdims", 0)
	node("Mul", "zero", "greatest", "nought")
	node("Add", "one", "zero", "unit")
	number(node("Cast", "turns", "one"), "to", 7)
	value := func(name string, typ int32, scalar bool) *onnxpb.ValueInfoProto {
		tensor := &onnxpb.TypeProto_Tensor{ElemType: &typ}
		if scalar {
			tensor.Shape = &onnxpb.TensorShapeProto{}
		}
		return &onnxpb.ValueInfoProto{Name: &name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tensor}}}
	}
	loop := node("Loop", g.Output[0].GetName(), "turns", "yes", "unlooped")
	loop.Attribute = append(loop.Attribute, &onnxpb.AttributeProto{Name: proto.String("body"), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: &onnxpb.GraphProto{
		Name: proto.String("body"), Input: []*onnxpb.ValueInfoProto{value("i", 7, true), value("go", 9, true), value("v", 1, false)},
		Output: []*onnxpb.ValueInfoProto{value("go_on", 9, true), value("v_out", 1, false)},
		Node: []*onnxpb.NodeProto{
			{OpType: proto.String("Identity"), Input: []string{"go"}, Output: []string{"go_on"}},
			{OpType: proto.String("Identity"), Input: []string{"v"}, Output: []string{"v_out"}},
		},
	}})
	raw, err = proto.Marshal(&m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(network, raw, 0o600))
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	before, _, ok := bytes.Cut(text, []byte("explain:\n"))
	require.True(t, ok)
	require.NoError(t, os.WriteFile(manifest, append(before, "explain: "+explained+"\n"...), 0o600))
	return bundle
}

// Where another method than the manifest's made the maps, every output says which, and why.
func TestGateway_explainedByAnother(t *testing.T) {
	t.Parallel()
	const why = `Grad-CAM cannot explain this network: operator Loop of node "/logits"`
	for _, c := range []struct{ name, explained, by string }{
		{"by occlusion", "{method: gradcam, layer: last}", "Occlusion"},
		{"by nothing", "{method: gradcam, layer: last, fallback: none}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			scp := peers.StartStoreSCP(t)
			g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
			g.replace(filepath.Join(peers.Root(t), "testdata/models/demo"), looped(t, c.explained))
			g.start()
			g.send(sample(t, "study1-01*")...)
			g.waitDelivered(1)
			g.waitDrafted()

			var objects, reports int
			for _, path := range scp.Files(t) {
				raw, err := os.ReadFile(path)
				require.NoError(t, err)
				text := string(raw)
				assert.NotContains(t, strings.ReplaceAll(text, why, ""), "Grad-CAM", path)
				switch said := "Classification; explanation: " + c.by + "; " + why; {
				case c.by == "":
					assert.NotContains(t, text, "explanation: ")
				default:
					assert.Contains(t, text, said, path)
				}
				if strings.Contains(text, "Imaging Measurement Report") {
					reports++
					how := "Heatmaps: " + c.by
					if c.by == "" {
						how = "Heatmaps: not explained"
					}
					assert.Contains(t, text, how+"; "+why)
				}
				objects++
			}
			require.Equal(t, 1, reports)
			study := g.study(sampleStudy)
			heatmaps := 0
			for _, i := range study.Instances {
				for _, r := range i.Analyses[0].Frames {
					assert.Contains(t, r.Note, why)
					for _, f := range r.Findings {
						if f.Drawn != nil {
							heatmaps++
							assert.Equal(t, strings.ToLower(c.by), f.Drawn.Method)
							assert.Contains(t, f.Drawn.Fallback, why)
						}
					}
				}
			}
			if c.by == "" {
				assert.Zero(t, heatmaps)
			} else {
				assert.Equal(t, 1, heatmaps)
			}
			d := g.draft(sampleStudy, "").document(t)
			require.Len(t, d.Disclosure.Models, 1)
			assert.Contains(t, d.Disclosure.Models[0].Explanation, why)
			assert.NotContains(t, strings.ReplaceAll(d.Disclosure.Models[0].Explanation, why, ""), "Grad-CAM")
		})
	}

	cfg := configs.Default()
	cfg.Models = []configs.Model{{Dir: looped(t, "{method: gradcam, layer: last}")}}
	cfg.Routes = []configs.Route{{Name: "r", Models: []string{"demo"}, Heatmaps: []configs.Heatmap{{Method: "guided-gradcam"}}}}
	_, err := gateway.OpenModels(t.Context(), cfg)
	for _, says := range []string{
		"routes[0].heatmaps[0].method", "cannot be explained by guided-gradcam", `node "/logits": operator Loop (opset 17)`, "no layer can be explained",
		"without this entry its findings are explained as its manifest has it: Occlusion",
	} {
		require.ErrorContains(t, err, says, "what a route demands gets nothing in its place")
	}
}

// A route may have landmarks explained, and what is normal: with a picture, and without a region that could be taken for a lesion.
func TestGateway_whyNormal(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", explain: [normal-cecum]"))
	g.start()
	g.send(sample(t, "study2-03*")...)
	g.waitDelivered(1)
	frame := g.study(g.studies()[0].StudyInstanceUID).Instances[0].Analyses[0].Frames[0]
	require.Len(t, frame.Findings, 1)
	f := frame.Findings[0]
	require.Equal(t, "normal-cecum", f.Class)
	require.NotEmpty(t, f.Heatmap)
	require.Empty(t, f.Contours)
	raw, err := os.ReadFile(scp.Files(t)[string(f.Heatmap)])
	require.NoError(t, err)
	require.Contains(t, string(raw), "landmark image")
	require.NotContains(t, string(raw), "Normal\x00")
}
