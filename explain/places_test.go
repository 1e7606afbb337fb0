package explain_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// tower is a network under construction in which every step keeps what is bright where it is: weights are positive. It ends
// with the mean of all places, so that a map's hottest cell is where the picture is bright.
type tower struct {
	*small
	t        *rapid.T
	x        string
	channels int64
	steps    int
}

func (b *tower) next(typ string, inputs []string, attrs ...*onnxpb.AttributeProto) {
	b.steps++
	out := fmt.Sprintf("%s%d", typ, b.steps)
	b.node(typ, append([]string{b.x}, inputs...), []string{out}, attrs...)
	b.x = out
}

func (b *tower) list(v ...int64) string {
	b.steps++
	name := fmt.Sprintf("ints%d", b.steps)
	b.graph.Initializer = append(b.graph.Initializer, &onnxpb.TensorProto{Name: proto.String(name), Dims: []int64{int64(len(v))}, DataType: proto.Int32(7), Int64Data: v})
	return name
}

// positive is a weight of positive numbers, greatest in the middle of a kernel.
func (b *tower) positive(dims ...int64) string {
	b.steps++
	name := fmt.Sprintf("weight%d", b.steps)
	v := make([]float32, product(dims))
	for i := range v {
		v[i] = 0.5 + float32(i*7%5)/20
	}
	b.graph.Initializer = append(b.graph.Initializer, &onnxpb.TensorProto{Name: proto.String(name), Dims: dims, DataType: proto.Int32(1), FloatData: v})
	return name
}

func (b *tower) conv(kernel, stride, dilation int64, pads ...int64) {
	out := dim(b.t, 2, 3, "channels")
	b.next("Conv", []string{b.positive(out, b.channels, kernel, kernel)}, attrInts("kernel_shape", kernel, kernel), attrInts("strides", stride, stride),
		attrInts("dilations", dilation, dilation), attrInts("pads", pads...))
	b.channels = out
}

// moves are what networks do to a feature map besides convolutions.
var moves = map[string]func(b *tower){
	"pad": func(b *tower) {
		n := func() int64 { return dim(b.t, 0, 12, "pad") }
		b.next("Pad", []string{b.list(0, 0, n(), n(), 0, 0, n(), n())}, attrString("mode", rapid.SampledFrom([]string{"constant", "edge"}).Draw(b.t, "mode")))
	},
	"crop": func(b *tower) {
		b.next("Slice", []string{b.list(dim(b.t, 0, 3, "top"), dim(b.t, 0, 3, "left")), b.list(-1-dim(b.t, 0, 3, "bottom"), math.MaxInt64), b.list(2, 3)})
	},
	"flip": func(b *tower) {
		b.next("Slice", []string{b.list(-1), b.list(math.MinInt64), b.list(dim(b.t, 2, 3, "axis")), b.list(-1)})
	},
	"dilated": func(b *tower) { b.conv(3, 1, 2, 2, 2, 2, 2) },
	"uneven":  func(b *tower) { b.conv(3, 2, 1, 0, 0, 1, 1) },
	"valid":   func(b *tower) { b.conv(3, 1, 1, 0, 0, 0, 0) },
	"pool": func(b *tower) {
		if n := len(b.graph.Node); n > 0 && b.graph.Node[n-1].GetOpType() == "Pad" {
			return // which the runtime makes one of, whatever its pads, and then refuses
		}
		b.next(rapid.SampledFrom([]string{"MaxPool", "AveragePool"}).Draw(b.t, "pool"), nil, attrInts("kernel_shape", 2, 2), attrInts("strides", 2, 2), attrInt("ceil_mode", dim(b.t, 0, 1, "ceil")))
	},
	"resize": func(b *tower) {
		b.steps++
		scales := fmt.Sprintf("scales%d", b.steps)
		b.graph.Initializer = append(b.graph.Initializer, &onnxpb.TensorProto{Name: &scales, Dims: []int64{4}, DataType: proto.Int32(1), FloatData: []float32{1, 1, 2, 2}})
		b.next("Resize", []string{"", scales}, attrString("mode", rapid.SampledFrom([]string{"nearest", "linear"}).Draw(b.t, "mode")))
	},
	"channels last": func(b *tower) {
		b.next("Transpose", nil, attrInts("perm", 0, 2, 3, 1))
		b.next("MatMul", []string{b.positive(b.channels, 2)})
		b.next("Transpose", nil, attrInts("perm", 0, 3, 1, 2))
		b.channels = 2
	},
	"turned": func(b *tower) { b.next("Transpose", nil, attrInts("perm", 0, 1, 3, 2)) },
	"greatest": func(b *tower) { // of the channels
		b.steps++
		out := fmt.Sprintf("TopK%d", b.steps)
		b.node("TopK", []string{b.x, b.list(2)}, []string{out, out + "at"}, attrInt("axis", 1))
		b.x, b.channels = out, 2
	},
	"gate": func(b *tower) { // squeeze and excite
		from := b.x
		b.next("GlobalAveragePool", nil)
		b.next("Conv", []string{b.positive(b.channels, b.channels, 1, 1)})
		b.next("Sigmoid", nil)
		b.next("Mul", []string{from})
	},
}

// blocks need an even number of rows and columns.
var blocks = map[string]func(b *tower){
	"space to depth": func(b *tower) { b.next("SpaceToDepth", nil, attrInt("blocksize", 2)); b.channels *= 4 },
	"focus": func(b *tower) { // as YOLOv5 does
		from, parts := b.x, []string{}
		for _, at := range [][2]int64{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
			b.x = from
			b.next("Slice", []string{b.list(at[0], at[1]), b.list(math.MaxInt64, math.MaxInt64), b.list(2, 3), b.list(2, 2)})
			parts = append(parts, b.x)
		}
		b.x = parts[0]
		b.next("Concat", parts[1:], attrInt("axis", 1))
		b.channels *= 4
	},
}

// A bright spot in the picture is where the map says that it is: within a cell and what the windows blur, whatever happened to the
// rows and columns on the way.
func TestPlaces_brightSpot(t *testing.T) {
	r := openRuntime(t)
	rapid.Check(t, func(t *rapid.T) { brightSpot(t, r) })
}

func brightSpot(t *rapid.T, r *onnx.Runtime) {
	const height, width = 48, 64
	b := &tower{small: &small{shape: []int64{1, 3, height, width}, logits: true}, t: t, x: "x", channels: 3}
	if rapid.Bool().Draw(t, "blocks") {
		blocks[rapid.SampledFrom([]string{"space to depth", "focus"}).Draw(t, "block")](b)
	}
	names := []string{"pad", "crop", "flip", "dilated", "uneven", "valid", "pool", "resize", "channels last", "turned", "greatest", "gate"}
	drawn := rapid.SliceOfN(rapid.SampledFrom(names), 0, 4).Draw(t, "moves")
	for _, name := range drawn {
		moves[name](b)
	}
	b.conv(3, 2, 1, 1, 1, 1, 1)
	layer := "last"
	if rapid.Bool().Draw(t, "tokens") { // of a class token and the places one after the other
		b.next("Reshape", []string{b.list(0, b.channels, -1)})
		b.next("Transpose", nil, attrInts("perm", 0, 2, 1))
		patches := b.x
		b.x = b.positive(1, 1, b.channels)
		b.next("Concat", []string{patches}, attrInt("axis", 1))
		b.next("MatMul", []string{b.positive(b.channels, b.channels)})
	}
	b.node("ReduceMean", []string{b.x}, []string{"mean"}, attrInts("axes", places(b)...), attrInt("keepdims", 0))
	b.node("MatMul", []string{"mean", b.positive(b.channels, 2)}, []string{"logits"})
	model := b.bytes(t)

	row, column := int(dim(t, 8, height-9, "row")), int(dim(t, 8, width-9, "column"))
	x := make([]float32, 3*height*width)
	for c := range 3 {
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				x[(c*height+row+dy)*width+column+dx] = 1
			}
		}
	}
	e := r.NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{})
	defer func() { _ = e.Close() }()
	_, maps, err := e.Run(t.Context(), onnx.Input{Shape: b.shape, Values: x}, [][]float32{{1, 0}}, []explain.Target{{Method: explain.GradCAM, Layer: layer}})
	if err != nil && strings.Contains(err.Error(), "Invalid input shape") {
		return // so much was taken away that the runtime has no window left
	}
	require.NoError(t, err)
	all, err := maps[0].Maps(b.shape)
	require.NoError(t, err)
	m := all[0]
	if _, err := m.Max(); err != nil { // the spot was cropped
		return
	}
	drawnOn := m.Resize(width, height)
	hot, at := float32(-1), 0
	for i, v := range drawnOn.Values {
		if v > hot {
			hot, at = v, i
		}
	}
	high, wide := float64(height)/float64(m.Height), float64(width)/float64(m.Width)
	if !m.Extent.Whole() {
		high, wide = high*(m.Extent.Bottom-m.Extent.Top), wide*(m.Extent.Right-m.Extent.Left)
	}
	// Half a cell of the coarsest map on the way in any case; the rest is how wide a window of equal weights is, in such cells, and
	// the spot, in pixels. Of a dilated window the heaviest place may be its corner, which is two cells off.
	reach := 1.6
	for _, name := range drawn {
		switch name {
		case "resize":
			high, wide = 2*high, 2*wide
		case "dilated":
			reach += 2
		}
	}
	dy, dx := math.Abs(float64(at/width-row)), math.Abs(float64(at%width-column))
	if dy > 1.5+reach*high || dx > 1.5+reach*wide {
		t.Fatalf("spot at row %d, column %d; hottest at %d, %d; map %d×%d over %+v, coarsest cells of %.1f×%.1f", row, column, at/width, at%width, m.Height, m.Width, m.Extent, high, wide)
	}
}

// places are the axes that the last mean is over.
func places(b *tower) []int64 {
	if n := len(b.graph.Node); b.graph.Node[n-1].GetOpType() == "MatMul" {
		return []int64{1}
	}
	return []int64{2, 3}
}

// A convolution over tokens that lie row by row leaves each where it is, also one that looks at those before it alone.
func TestLayers_convolutionOfTokens(t *testing.T) {
	r := openRuntime(t)
	for _, pads := range [][]int64{{1, 1}, {2, 2}} {
		s := &small{shape: []int64{1, 3, 8, 8}}
		s.node("Conv", []string{"x", s.weight([]int64{2, 3, 2, 2}, make([]float32, 24)...)}, []string{"patches"}, attrInts("strides", 2, 2))
		s.node("Reshape", []string{"patches", s.ints(0, 2, 16)}, []string{"tokens"})
		s.node("Conv", []string{"tokens", s.weight([]int64{2, 2, 3}, make([]float32, 12)...)}, []string{"mixed"}, attrInts("pads", pads...))
		s.node("Slice", []string{"mixed", s.ints(0), s.ints(16), s.ints(2)}, []string{"y"})
		layers, err := explain.Layers(s.bytes(t), explain.Options{Probe: r.Probe})
		require.NoError(t, err)
		last := layers[len(layers)-1]
		require.Equal(t, "/mixed", last.Name)
		require.Equal(t, [2]int{4, 4}, [2]int{last.Height, last.Width})
	}
}
