package ask_test

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"endogate/explain/onnxpb"
	"endogate/inference"
	"endogate/inference/analysis"
)

// spots are networks that see bright spots, of 64x64 pixels: a cell of a grid sees the mean of its pixels.
type spots struct {
	export
	of string // what cells are of, where it is not the input
}

const side = 64

// cells is a tensor of the mean brightness of each cell, less a half: 1×2×n×n, twice the same.
func (e *spots) cells(name string, size int) (n int) {
	n = side / size
	w := make([]float32, 2*3*size*size)
	for i := range w {
		w[i] = 1 / float32(3*size*size)
	}
	e.floats(name+"_w", []int64{2, 3, int64(size), int64(size)}, w...)
	e.floats(name+"_b", []int64{2}, -0.5, -0.5)
	e.node("Conv", []string{cmp.Or(e.of, "x"), name + "_w", name + "_b"}, []string{name + "_conv"}, numbers("strides", int64(size), int64(size)))
	e.node("Relu", []string{name + "_conv"}, []string{name})
	return n
}

// scale is what a detector says at one scale: 1×6×n², a box of the cell's size and two classes, of which the second never is.
func (e *spots) scale(name string, size int) string {
	n := e.cells(name, size)
	e.floats(name+"_classes", []int64{2, 2, 1, 1}, 30, 0, 0, 0)
	e.floats(name+"_bias", []int64{2}, -6, -6)
	e.node("Conv", []string{name, name + "_classes", name + "_bias"}, []string{name + "_logits"})
	e.ints(name+"_flat", []int64{3}, 7, 1, 2, int64(n*n))
	e.node("Reshape", []string{name + "_logits", name + "_flat"}, []string{name + "_values"})
	boxes := make([]float32, 4*n*n)
	for i := range n * n {
		boxes[i], boxes[n*n+i] = (float32(i%n)+0.5)*float32(size), (float32(i/n)+0.5)*float32(size)
		boxes[2*n*n+i], boxes[3*n*n+i] = float32(size), float32(size)
	}
	e.floats(name+"_boxes", []int64{1, 4, int64(n * n)}, boxes...)
	e.node("Concat", []string{name + "_boxes", name + "_values"}, []string{name + "_out"}, number("axis", 1))
	return name + "_out"
}

// yolo has two scales and, as Ultralytics exports it, boxes and the sigmoid of the classes in one tensor 1×6×80.
func yolo(e *spots) string {
	e.node("Concat", []string{e.scale("fine", 8), e.scale("coarse", 16)}, []string{"all"}, number("axis", 2))
	e.ints("parts", []int64{2}, 7, 4, 2)
	e.node("Split", []string{"all", "parts"}, []string{"boxes", "logits"}, number("axis", 1))
	e.node("Sigmoid", []string{"logits"}, []string{"p"})
	e.node("Concat", []string{"boxes", "p"}, []string{"out"}, number("axis", 1))
	return "out"
}

// segmenting has boxes that a convolution of their own moves, and behind the classes 32 coefficients of masks and an output of what they are of,
// as YOLO for segmentation is exported: 1×38×64.
func segmenting(e *spots) string {
	n := e.cells("fine", 8)
	conv := func(name string, values int, of ...float32) string {
		w := make([]float32, 2*values)
		copy(w, of)
		e.floats(name+"_w", []int64{int64(values), 2, 1, 1}, w...)
		e.node("Conv", []string{"fine", name + "_w"}, []string{name})
		return name
	}
	flat := func(name string, values int) string {
		e.ints(name+"_dims", []int64{3}, 7, 1, int64(values), int64(n*n))
		e.node("Reshape", []string{name, name + "_dims"}, []string{name + "_flat"})
		return name + "_flat"
	}
	e.floats("bias", []int64{1, 2, 1}, -6, -6)
	e.node("Add", []string{flat(conv("classes", 2, 30), 2), "bias"}, []string{"values"})
	e.node("Sigmoid", []string{"values"}, []string{"p"})
	conv("moved", 4, 1, 1, 1, 1, 1, 1, 1, 1)
	e.node("Relu", []string{"moved"}, []string{"moved more"})
	e.floats("still_w", []int64{4, 4, 1, 1}, make([]float32, 16)...)
	e.node("Conv", []string{"moved more", "still_w"}, []string{"offsets"})
	boxes := make([]float32, 4*n*n)
	for i := range n * n {
		boxes[i], boxes[n*n+i], boxes[2*n*n+i], boxes[3*n*n+i] = (float32(i%n)+0.5)*8, (float32(i/n)+0.5)*8, 8, 8
	}
	e.floats("grid", []int64{1, 4, int64(n * n)}, boxes...)
	e.node("Add", []string{flat("offsets", 4), "grid"}, []string{"boxes"})
	e.node("Concat", []string{"boxes", "p", flat(conv("coefficients", 32, 1, 2, 3, 4), 32)}, []string{"output0"}, number("axis", 1))
	conv("output1", 32, 1, -1)
	return "output0"
}

// endToEnd keeps the ten best of two scales, as YOLOv10 is exported: 1×10×6 of corners, score and label.
func endToEnd(e *spots) string {
	all := yolo(e)
	e.node("Transpose", []string{all}, []string{"each box"}, numbers("perm", 0, 2, 1))
	e.node("Split", []string{"each box", "parts"}, []string{"centres", "scores"}, number("axis", 2))
	e.ints("ten", []int64{1}, 7, 10)
	e.ints("last axis", []int64{1}, 7, 2)
	e.ints("line", []int64{2}, 7, 1, -1)
	e.ints("two", nil, 7, 2)
	e.ints("fours", []int64{3}, 7, 1, 10, 4)
	e.ints("half", []int64{2}, 7, 2, 2)
	e.floats("halved", nil, 0.5)
	e.node("Reshape", []string{"scores", "line"}, []string{"in a line"})
	e.node("TopK", []string{"in a line", "ten"}, []string{"best", "at"}, number("axis", 1))
	e.node("Mod", []string{"at", "two"}, []string{"label"})
	e.node("Div", []string{"at", "two"}, []string{"row"})
	e.node("Unsqueeze", []string{"row", "last axis"}, []string{"row 1"})
	e.node("Expand", []string{"row 1", "fours"}, []string{"row 4"})
	e.node("GatherElements", []string{"centres", "row 4"}, []string{"chosen"}, number("axis", 1))
	e.node("Split", []string{"chosen", "half"}, []string{"centre", "size"}, number("axis", 2))
	e.node("Mul", []string{"size", "halved"}, []string{"reach"})
	e.node("Sub", []string{"centre", "reach"}, []string{"from"})
	e.node("Add", []string{"centre", "reach"}, []string{"to"})
	e.node("Unsqueeze", []string{"best", "last axis"}, []string{"score"})
	e.node("Cast", []string{"label"}, []string{"number"}, number("to", 1))
	e.node("Unsqueeze", []string{"number", "last axis"}, []string{"class"})
	e.node("Concat", []string{"from", "to", "score", "class"}, []string{"output0"}, number("axis", 2))
	return "output0"
}

// spotBundle writes a bundle of a network of spots; lines are of its manifest, in place of others.
func spotBundle(t testing.TB, network func(e *spots) string, output []int64, lines map[string]string, others ...*onnxpb.ValueInfoProto) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, os.Mkdir(dir, 0o755))
	e := &spots{export: export{input: "x", dtype: 1, shape: []int64{1, 3, side, side}}}
	out := network(e)
	e.graph.Name, e.graph.Output = proto.String("spots"), append([]*onnxpb.ValueInfoProto{port(out, 1, output...)}, others...)
	e.graph.Input = []*onnxpb.ValueInfoProto{port(e.input, e.dtype, e.shape...)}
	content, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: &e.graph, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, inference.NetworkFile), content, 0o600))
	all := map[string]string{
		"input":   `{name: x, layout: NCHW, size: [64, 64], channels: RGB, resize: bilinear-antialias, fit: letterbox, pad: [0, 0, 0], scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}`,
		"output":  fmt.Sprintf("{name: %s, activation: none, kind: boxes}", out),
		"explain": "{method: gradcam, layer: last}",
	}
	for key, value := range lines {
		all[key] = value
	}
	manifest := "name: spots\nversion: 1.0.0\nkind: still\nintended_use: test\nmanufacturer: test\nclasses:\n"
	for _, class := range []string{"spot", "never"} {
		manifest += fmt.Sprintf("  - {name: %s, threshold: 0.5, role: finding, finding: {code: \"68496003\", scheme: SCT, meaning: Polyp of colon}}\n", class)
	}
	for _, key := range []string{"input", "preprocess", "output", "explain"} {
		if all[key] != "" {
			manifest += key + ": " + all[key] + "\n"
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, inference.ManifestFile), []byte(manifest), 0o600))
	return dir
}

// spotted is a dark frame with a bright rectangle.
func spotted(columns, rows int, spots ...image.Rectangle) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, columns, rows))
	for y := range rows {
		for x := range columns {
			c := color.RGBA{20, 20, 20, 255}
			for _, s := range spots {
				if image.Pt(x, y).In(s) {
					c = color.RGBA{250, 250, 250, 255}
				}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

// inferred is what a bundle's model says of a frame.
func inferred(t testing.TB, dir string, frame *image.RGBA, o analysis.Orientation) analysis.Part {
	t.Helper()
	model, opened, err := open(t, dir)
	require.NoError(t, err)
	m, err := inference.NewModel(t.Context(), model.Bundle, opened.Opened, nil)
	require.NoError(t, err)
	part, err := m.Infer(t.Context(), analysis.Sample{Span: analysis.Still(1), Frames: []*image.RGBA{frame}, Pose: analysis.Pose{Orientation: o}}, inference.Wishes{})
	require.NoError(t, err)
	return part
}

// middle is the centre of a polygon's edges.
func middle(contour [][2]float64) (x, y float64) {
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for _, p := range contour {
		for i, v := range p {
			low[i], high[i] = min(low[i], v), max(high[i], v)
		}
	}
	return (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
}

// hottest is the middle of where a map is at its greatest on the frame.
func hottest(t testing.TB, p analysis.Part, m analysis.Map) (x, y float64) {
	t.Helper()
	shown, err := inference.Shown(p.Geometry, inference.Raw(m))
	require.NoError(t, err)
	n := 0.0
	for i, v := range shown.Values {
		if v > 0.9 {
			x, y, n = x+float64(i%shown.Width)+0.5, y+float64(i/shown.Width)+0.5, n+1
		}
	}
	return x / n, y / n
}

// Values that are not read do not stand in the way, and a map is of what leads to the classes, not to boxes or masks.
func TestBoxes_segmenting(t *testing.T) {
	dir := spotBundle(t, segmenting, []int64{1, 38, 64}, map[string]string{"output": "{name: output0, activation: none, kind: boxes, boxes: {skip: 32}}"}, port("output1", 1, 1, 32, 8, 8))
	part := inferred(t, dir, spotted(64, 64, image.Rect(40, 16, 48, 24)), 1)
	require.Len(t, part.Result.Findings, 1)
	require.Len(t, part.Maps, 1)
	x, y := middle(part.Result.Findings[0].Contours[0])
	require.InDeltaSlice(t, []float64{44, 20}, []float64{x, y}, 0.5)
	require.Empty(t, part.Maps[0].Explanation.Fallback)
	x, y = hottest(t, part, part.Maps[0])
	require.InDeltaSlice(t, []float64{44, 20}, []float64{x, y}, 1)
}

// The best boxes that a network chooses itself have maps at their scale.
func TestBoxes_endToEnd(t *testing.T) {
	dir := spotBundle(t, endToEnd, []int64{1, 10, 6}, map[string]string{
		"output":  "{name: output0, activation: none, kind: boxes, boxes: {columns: [box, score, label], format: xyxy, overlap: 1}}",
		"explain": "{method: hirescam, layer: last}",
	})
	fine, coarse := image.Rect(8, 8, 16, 16), image.Rect(32, 16, 48, 32)
	part := inferred(t, dir, spotted(64, 64, fine, coarse), 1)
	require.Empty(t, part.Maps[0].Explanation.Fallback)
	for _, spot := range []image.Rectangle{fine, coarse} {
		requireSpot(t, part, spot)
	}
}

// Boxes and their maps lie at the spots, in the frame's own pixels, however the frame came to the network, and at each scale.
func TestBoxes_atTheSpots(t *testing.T) {
	for _, tt := range []struct {
		name, input, preprocess string
		columns, rows           int
		orientation             analysis.Orientation
		small, large            image.Rectangle // of a cell of the fine grid and of the coarse one
	}{
		{name: "letterbox", columns: 512, rows: 256, small: image.Rect(64, 64, 128, 128), large: image.Rect(256, 128, 384, 256)},
		{name: "letterbox, upright", columns: 256, rows: 512, small: image.Rect(64, 64, 128, 128), large: image.Rect(128, 256, 256, 384)},
		{name: "letterbox, turned", columns: 512, rows: 256, orientation: 6, preprocess: "[{exif: apply}]", small: image.Rect(64, 64, 128, 128), large: image.Rect(256, 128, 384, 256)},
		{name: "stretch", input: "stretch", columns: 512, rows: 256, small: image.Rect(64, 32, 128, 64), large: image.Rect(256, 128, 384, 192)},
		{name: "center-crop", input: "center-crop", columns: 512, rows: 256, small: image.Rect(160, 32, 192, 64), large: image.Rect(256, 128, 320, 192)},
		{name: "crop", preprocess: "[{crop: [100, 50, 256, 512]}]", columns: 600, rows: 400, small: image.Rect(114, 164, 178, 228), large: image.Rect(306, 228, 434, 356)},
	} {
		for _, how := range []struct {
			method string
			spots  []image.Rectangle // grad-CAM weighs channels, so that it shows all spots for each
		}{{"hirescam", []image.Rectangle{tt.small, tt.large}}, {"gradcam", []image.Rectangle{tt.small}}, {"occlusion", []image.Rectangle{tt.small}}} {
			t.Run(tt.name+"/"+how.method, func(t *testing.T) {
				lines := map[string]string{"preprocess": tt.preprocess, "explain": fmt.Sprintf("{method: %s, layer: last}", how.method)}
				if tt.input != "" {
					lines["input"] = fmt.Sprintf("{name: x, layout: NCHW, size: [64, 64], channels: RGB, resize: bilinear-antialias, fit: %s, scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}", tt.input)
				}
				part := inferred(t, spotBundle(t, yolo, []int64{1, 6, 80}, lines), spotted(tt.columns, tt.rows, how.spots...), tt.orientation)
				require.Zero(t, part.Result.Scores["never"] > 0.01)
				for _, spot := range how.spots {
					requireSpot(t, part, spot)
				}
			})
		}
	}
}

// requireSpot wants a box at a spot, with a map that is hot there.
func requireSpot(t *testing.T, part analysis.Part, spot image.Rectangle) {
	t.Helper()
	wantX, wantY := float64(spot.Min.X+spot.Max.X)/2, float64(spot.Min.Y+spot.Max.Y)/2
	for i, f := range part.Result.Findings {
		require.Equal(t, analysis.NetworkBox, f.Outline)
		if x, y := middle(f.Contours[0]); math.Hypot(x-wantX, y-wantY) > 2 {
			continue
		}
		require.InDelta(t, spot.Dx(), f.Contours[0][1][0]-f.Contours[0][0][0], 2)
		require.InDelta(t, spot.Dx()*spot.Dy(), f.Share*float64(part.Result.Rows*part.Result.Columns), float64(spot.Dx()*spot.Dy())/20)
		require.Greater(t, f.Probability, 0.9)
		require.Equal(t, [2]any{f.Class, f.Number}, [2]any{part.Maps[i].Class, part.Maps[i].Number})
		x, y := hottest(t, part, part.Maps[i])
		require.InDelta(t, wantX, x, float64(spot.Dx())/4)
		require.InDelta(t, wantY, y, float64(spot.Dy())/4)
		return
	}
	require.Fail(t, "no box there", "%v: %+v", spot, part.Result.Findings)
}

// detr has two queries, of which each attends to the bright cells of its half of the picture: logits 1×2×3 of two classes and none, and
// boxes 1×2×4.
func detr(e *spots) string {
	n := e.cells("a", 8)
	cells := n * n
	e.ints("tokens", []int64{3}, 7, 1, 2, int64(cells))
	e.node("Reshape", []string{"a", "tokens"}, []string{"channels"})
	e.floats("first", []int64{1, 1, 2}, 1, 0)
	e.node("MatMul", []string{"first", "channels"}, []string{"brightness"}) // 1×1×64
	half, places := make([]float32, 2*cells), make([]float32, 4*cells)
	for i := range cells {
		half[(1-i%n*2/n)*cells+i] = -50
		places[4*i], places[4*i+1] = (float32(i%n)+0.5)/float32(n), (float32(i/n)+0.5)/float32(n)
		places[4*i+2], places[4*i+3] = 1/float32(n), 1/float32(n)
	}
	e.floats("half", []int64{1, 2, int64(cells)}, half...)
	e.floats("places", []int64{1, int64(cells), 4}, places...)
	e.floats("sharp", nil, 40)
	e.node("Mul", []string{"brightness", "sharp"}, []string{"keys"})
	e.node("Add", []string{"keys", "half"}, []string{"scores"})
	e.node("Softmax", []string{"scores"}, []string{"attention"}, number("axis", 2))
	e.node("MatMul", []string{"attention", "places"}, []string{"boxes"})
	e.node("Transpose", []string{"brightness"}, []string{"values"}, numbers("perm", 0, 2, 1))
	e.node("MatMul", []string{"attention", "values"}, []string{"seen"}) // 1×2×1
	e.floats("dense", []int64{1, 3}, 30, 0, 0)
	e.floats("bias", []int64{3}, -6, -6, 0)
	e.node("MatMul", []string{"seen", "dense"}, []string{"linear"})
	e.node("Add", []string{"linear", "bias"}, []string{"logits"})
	return "logits"
}

// Two outputs, a softmax with a class for nothing, boxes in parts of the input: each query's box has its own map.
func TestBoxes_detr(t *testing.T) {
	lines := map[string]string{"output": "{name: logits, activation: softmax, kind: boxes, boxes: {from: boxes, format: cxcywh, unit: fractions, background: last, overlap: 1}}"}
	left, right := image.Rect(64, 64, 128, 128), image.Rect(384, 128, 448, 192)
	for _, method := range []string{"hirescam", "gradcam++", "occlusion"} {
		t.Run(method, func(t *testing.T) {
			lines["explain"] = fmt.Sprintf("{method: %s, layer: last}", method)
			dir := spotBundle(t, detr, []int64{1, 2, 3}, lines, port("boxes", 1, 1, 2, 4))
			part := inferred(t, dir, spotted(512, 256, left, right), 0)
			require.Len(t, part.Result.Findings, 2)
			if method != "gradcam++" { // whose weights are of channels
				requireSpot(t, part, left)
				requireSpot(t, part, right)
			}
			part = inferred(t, dir, spotted(512, 256, left), 0)
			require.Len(t, part.Result.Findings, 1)
			requireSpot(t, part, left)
		})
	}
}

// segmented is a small network with a mask of two classes, as U-Nets end: 1×2×64×64.
func segmented(e *spots) string {
	e.cells("a", 8)
	e.floats("classes", []int64{2, 2, 1, 1}, 30, 0, 0, 0)
	e.floats("bias", []int64{2}, -6, -6)
	e.node("Conv", []string{"a", "classes", "bias"}, []string{"low"})
	e.floats("scales", []int64{4}, 1, 1, 8, 8)
	e.node("Resize", []string{"low", "", "scales"}, []string{"logits"})
	e.node("Sigmoid", []string{"logits"}, []string{"out"})
	return "out"
}

// The mask of a class encloses the spots, in the frame's own pixels, and its map is hot there.
func TestMask_atTheSpots(t *testing.T) {
	for _, tt := range []struct {
		name, fit, output string
		spots             []image.Rectangle
		method            string
	}{
		{name: "letterbox", fit: "letterbox", spots: []image.Rectangle{image.Rect(64, 64, 192, 128)}},
		{name: "two regions", fit: "letterbox", spots: []image.Rectangle{image.Rect(64, 64, 192, 128), image.Rect(320, 128, 384, 192)}},
		{name: "stretch", fit: "stretch", spots: []image.Rectangle{image.Rect(128, 64, 256, 128)}},
		{name: "center-crop", fit: "center-crop", spots: []image.Rectangle{image.Rect(160, 32, 256, 96)}},
		{name: "occlusion", fit: "letterbox", method: "occlusion", spots: []image.Rectangle{image.Rect(64, 64, 192, 128)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			how := "gradcam"
			if tt.method != "" {
				how = tt.method
			}
			part := inferred(t, spotBundle(t, segmented, []int64{1, 2, side, side}, map[string]string{
				"input":   fmt.Sprintf("{name: x, layout: NCHW, size: [64, 64], channels: RGB, resize: bilinear-antialias, fit: %s, scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}", tt.fit),
				"output":  "{name: out, activation: sigmoid, kind: mask}",
				"explain": fmt.Sprintf("{method: %s, layer: last}", how),
			}), spotted(512, 256, tt.spots...), 0)
			require.Len(t, part.Result.Findings, 1)
			f := part.Result.Findings[0]
			require.Equal(t, analysis.NetworkMask, f.Outline)
			require.Greater(t, f.Probability, 0.9)
			require.Less(t, part.Result.Scores["never"], 0.01)
			require.Len(t, f.Contours, len(tt.spots))
			area := 0.0
			for i, spot := range tt.spots {
				x, y := middle(f.Contours[i])
				require.InDelta(t, float64(spot.Min.X+spot.Max.X)/2, x, 4)
				require.InDelta(t, float64(spot.Min.Y+spot.Max.Y)/2, y, 4)
				area += float64(spot.Dx() * spot.Dy())
			}
			require.InDelta(t, area/(512*256), f.Share, 0.15*area/(512*256))
			require.Len(t, part.Maps, 1)
			x, y := hottest(t, part, part.Maps[0])
			if len(tt.spots) == 1 {
				require.InDelta(t, float64(tt.spots[0].Min.X+tt.spots[0].Max.X)/2, x, float64(tt.spots[0].Dx())/4)
				require.InDelta(t, float64(tt.spots[0].Min.Y+tt.spots[0].Max.Y)/2, y, float64(tt.spots[0].Dy())/4)
			}
		})
	}
}

// torchvision gives a detector's findings as torchvision does, of one picture without a batch axis: the cells of a grid that are bright, as
// boxes, labels from 1 on and scores apart, as many as there are; batched puts them as EfficientNMS does, all of them all cells, with nothing left out.
func torchvision(batched, all bool) func(e *spots) string {
	return func(e *spots) string {
		if !batched {
			e.input, e.shape = "x", []int64{3, side, side}
			e.ints("first", []int64{1}, 7, 0)
			e.node("Unsqueeze", []string{"x", "first"}, []string{"batch"})
			e.node("Relu", []string{"batch"}, []string{"one"})
			e.of = "one"
		}
		n := e.cells("a", 8)
		cells := int64(n * n)
		e.floats("dense", []int64{1, 2, 1, 1}, 30, 0)
		e.floats("bias", []int64{1}, -6)
		e.node("Conv", []string{"a", "dense", "bias"}, []string{"logits"})
		e.ints("flat", []int64{1}, 7, -1)
		e.node("Reshape", []string{"logits", "flat"}, []string{"line"})
		e.node("Sigmoid", []string{"line"}, []string{"p"})
		e.floats("least", nil, 0.05)
		e.node("Greater", []string{"p", "least"}, []string{"keep"})
		e.node("NonZero", []string{"keep"}, []string{"at"})
		e.node("Reshape", []string{"at", "flat"}, []string{"which"})
		which := "which"
		if all {
			numbers := make([]int64, cells)
			for i := range numbers {
				numbers[i] = int64(i)
			}
			which = e.ints("every", []int64{cells}, 7, numbers...)
		}
		boxes := make([]float32, 4*cells)
		for i := range int(cells) {
			x, y := float32(i%n)*8, float32(i/n)*8
			copy(boxes[4*i:], []float32{x, y, x + 8, y + 8})
		}
		e.floats("anchors", []int64{cells, 4}, boxes...)
		ones := make([]int64, cells)
		for i := range ones {
			ones[i] = 1
		}
		e.ints("ones", []int64{cells}, 7, ones...)
		for out, of := range map[string]string{"boxes": "anchors", "scores": "p", "labels": "ones"} {
			if !batched {
				e.node("Gather", []string{of, which}, []string{out})
				continue
			}
			e.ints(out+"_axis", []int64{1}, 7, 0)
			e.node("Gather", []string{of, which}, []string{out + "_kept"})
			e.node("Unsqueeze", []string{out + "_kept", out + "_axis"}, []string{out})
		}
		return "scores"
	}
}

// Boxes, scores and labels in outputs of their own are findings where the spots are. Where there are as many as there are to find, each is
// explained by many runs; where nothing is left out, by the gradient.
func TestBoxes_apart(t *testing.T) {
	left, right := image.Rect(64, 64, 128, 128), image.Rect(384, 128, 448, 192)
	for _, tt := range []struct{ batched, all bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		scores, others := []int64{-1}, []*onnxpb.ValueInfoProto{port("boxes", 1, -1, 4), port("labels", 7, -1)}
		if tt.batched {
			scores, others = []int64{1, -1}, []*onnxpb.ValueInfoProto{port("boxes", 1, 1, -1, 4), port("labels", 7, 1, -1)}
		}
		dir := spotBundle(t, torchvision(tt.batched, tt.all), scores, map[string]string{
			"output":  "{name: scores, activation: none, kind: boxes, boxes: {from: boxes, labels: labels, format: xyxy, background: first, overlap: 1}}",
			"explain": "{method: hirescam, layer: last}",
		}, others...)
		part := inferred(t, dir, spotted(512, 256, left, right), 0)
		require.Len(t, part.Result.Findings, 2, "%+v", tt)
		require.Less(t, part.Result.Scores["never"], 0.01)
		for _, f := range part.Result.Findings {
			require.Equal(t, "spot", f.Class, "labels count from 1")
		}
		require.Len(t, part.Maps, 2)
		if tt.all {
			require.Equal(t, "hirescam", part.Maps[0].Method, part.Maps[0].Fallback)
		} else {
			require.Equal(t, "occlusion", part.Maps[0].Method)
			require.NotEmpty(t, part.Maps[0].Fallback)
			t.Log(part.Maps[0].Fallback)
		}
		requireSpot(t, part, left)
		requireSpot(t, part, right)
		require.Empty(t, inferred(t, dir, spotted(512, 256), 0).Result.Findings)
	}
}

// labelled is a mask of the number of a class for each pixel: of none, the spots', one that never is.
func labelled(typ int64, shape ...int64) func(e *spots) string {
	return func(e *spots) string {
		e.cells("a", 8)
		e.floats("classes", []int64{3, 2, 1, 1}, 0, 0, 30, 0, -1, 0)
		e.floats("bias", []int64{3}, 0, -6, -6)
		e.node("Conv", []string{"a", "classes", "bias"}, []string{"low"})
		e.floats("scales", []int64{4}, 1, 1, 8, 8)
		e.node("Resize", []string{"low", "", "scales"}, []string{"logits"})
		e.node("ArgMax", []string{"logits"}, []string{"number"}, number("axis", 1))
		e.ints("shape", []int64{int64(len(shape))}, 7, shape...)
		e.node("Reshape", []string{"number", "shape"}, []string{"shaped"})
		e.node("Cast", []string{"shaped"}, []string{"mask"}, number("to", typ))
		return "mask"
	}
}

func TestMask_ofLabels(t *testing.T) {
	spot := image.Rect(64, 64, 192, 128)
	for _, tt := range []struct {
		typ   int64
		shape []int64
	}{{7, []int64{1, side, side}}, {2, []int64{1, side, side}}, {7, []int64{1, 1, side, side}}, {6, []int64{side, side}}, {1, []int64{1, side, side}}} {
		dir := spotBundle(t, labelled(tt.typ, tt.shape...), tt.shape, map[string]string{
			"output":  "{name: mask, activation: none, kind: mask, mask: {values: labels, background: first}}",
			"explain": "{method: gradcam, layer: last}",
		})
		part := inferred(t, dir, spotted(512, 256, spot), 0)
		require.Len(t, part.Result.Findings, 1, "%v", tt)
		f := part.Result.Findings[0]
		require.Equal(t, "spot", f.Class)
		require.InDelta(t, 1, f.Probability, 1e-6)
		x, y := middle(f.Contours[0])
		require.InDelta(t, 128, x, 4)
		require.InDelta(t, 96, y, 4)
		require.Len(t, part.Maps, 1)
		require.Equal(t, "occlusion", part.Maps[0].Method)
		x, y = hottest(t, part, part.Maps[0])
		require.InDelta(t, 128, x, 40)
		require.InDelta(t, 96, y, 40)
		require.Empty(t, inferred(t, dir, spotted(512, 256), 0).Result.Findings)
	}
}

// What cannot be read as boxes or masks is refused at load, with what is wrong.
func TestRegions_refused(t *testing.T) {
	for name, tt := range map[string]struct {
		network func(e *spots) string
		shape   []int64
		output  string
		err     string
	}{
		"another number of values":      {yolo, []int64{1, 6, 80}, "{name: out, activation: none, kind: boxes, boxes: {columns: [box, objectness, classes]}}", "a box has 7 values"},
		"an output that is not there":   {yolo, []int64{1, 6, 80}, "{name: out, activation: none, kind: boxes, boxes: {from: nowhere}}", `output.boxes.from is "nowhere"`},
		"a sigmoid twice":               {yolo, []int64{1, 6, 80}, "{name: out, activation: sigmoid, kind: boxes}", "write none"},
		"boxes that are classes":        {yolo, []int64{1, 6, 80}, "{name: out, activation: none}", "it lists 2 classes, output \"out\" has 480"},
		"a mask of another shape":       {yolo, []int64{1, 6, 80}, "{name: out, activation: none, kind: mask}", "it must be 1×2×rows×columns"},
		"labels that are not there":     {torchvision(false, false), []int64{-1}, "{name: scores, activation: none, kind: boxes, boxes: {from: boxes, labels: nowhere}}", `the network has no output "boxes"; boxes, scores and labels are to be three of ["scores"]`},
		"labels that are not one each":  {torchvision(false, false), []int64{-1}, "{name: scores, activation: none, kind: boxes, boxes: {from: scores, labels: scores}}", "must be three outputs of"},
		"a mask of no labels":           {segmented, []int64{1, 2, side, side}, "{name: out, activation: none, kind: mask, mask: {values: labels}}", "it must be 1×rows×columns"},
		"a mask with a background more": {segmented, []int64{1, 2, side, side}, "{name: out, activation: none, kind: mask, mask: {background: first}}", "it must be 1×3×rows×columns"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := open(t, spotBundle(t, tt.network, tt.shape, map[string]string{"output": tt.output}))
			require.ErrorContains(t, err, tt.err)
		})
	}
}
