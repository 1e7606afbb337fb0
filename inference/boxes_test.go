package inference

import (
	"image"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/explain"
	"endogate/inference/analysis"
)

// Of the boxes that are kept none overlaps a better one of its class by more than is allowed, and each that is left out does.
func TestSuppressed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		overlap := rapid.Float64Range(0.1, 1).Draw(t, "overlap")
		all := make([]candidate, rapid.IntRange(0, 40).Draw(t, "boxes"))
		for i := range all {
			x, y := rapid.Float64Range(0, 1).Draw(t, "x"), rapid.Float64Range(0, 1).Draw(t, "y")
			all[i] = candidate{row: i, class: rapid.IntRange(0, 1).Draw(t, "class"), probability: 1 - float64(i)/100, box: [4]float64{x, y, x + rapid.Float64Range(0.01, 0.5).Draw(t, "w"), y + rapid.Float64Range(0.01, 0.5).Draw(t, "h")}}
		}
		kept := suppressed(all, overlap)
		covered := func(c candidate) bool {
			return slices.ContainsFunc(kept, func(k candidate) bool {
				return k.class == c.class && k.probability > c.probability && union(k.box, c.box) > overlap
			})
		}
		for _, c := range all {
			in := slices.ContainsFunc(kept, func(k candidate) bool { return k.row == c.row })
			require.Equal(t, !covered(c), in, "%+v", c)
		}
	})
}

func TestUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		box := func(name string) [4]float64 {
			x, y := rapid.Float64Range(-1, 1).Draw(t, name+"x"), rapid.Float64Range(-1, 1).Draw(t, name+"y")
			return [4]float64{x, y, x + rapid.Float64Range(0.01, 1).Draw(t, name+"w"), y + rapid.Float64Range(0.01, 1).Draw(t, name+"h")}
		}
		a, b := box("a"), box("b")
		require.InDelta(t, union(a, b), union(b, a), 1e-12)
		require.InDelta(t, 1, union(a, a), 1e-12)
		require.True(t, union(a, b) >= 0 && union(a, b) <= 1+1e-12)
	})
	require.InDelta(t, 1.0/7, union([4]float64{0, 0, 2, 2}, [4]float64{1, 1, 3, 3}), 1e-12)
	require.Zero(t, union([4]float64{0, 0, 1, 1}, [4]float64{1, 0, 2, 1}))
	require.Zero(t, union([4]float64{1, 1, 0, 0}, [4]float64{0, 0, 1, 1}), "a box that is inside out has no area")
}

// What is a box in the frame is the same box again when it comes back from the network: preparation and placing are inverse, whatever
// fit, crop and orientation.
func TestOnFrame_inverseOfFit(t *testing.T) {
	demo := demoBundle(t)
	rapid.Check(t, func(t *rapid.T) {
		columns, rows := rapid.IntRange(20, 400).Draw(t, "columns"), rapid.IntRange(20, 400).Draw(t, "rows")
		b := *demo
		b.Input.Fit = rapid.SampledFrom([]Fit{Stretch, Letterbox, CenterCrop}).Draw(t, "fit")
		b.Preprocess = []Step{{Exif: true}}
		o := analysis.Orientation(rapid.IntRange(1, 8).Draw(t, "orientation"))
		if rapid.Bool().Draw(t, "cropped") {
			b.Preprocess = append(b.Preprocess, Step{Crop: &Crop{Top: 2, Left: 3, Rows: 15, Columns: 14}})
		}
		p, err := b.Reduce(image.NewRGBA(image.Rect(0, 0, columns, rows)), analysis.Pose{Orientation: o})
		require.NoError(t, err)
		g := p.Geometry
		w := g.In()
		// a part of the crop that the network saw, in parts of the input
		part := func(name string, low, high float64) (float64, float64) {
			a, b := rapid.Float64Range(low, high).Draw(t, name+"1"), rapid.Float64Range(low, high).Draw(t, name+"2")
			return min(a, b), max(a, b)
		}
		l, r := part("x", max(w.Left, 0), min(w.Right, 1))
		top, bottom := part("y", max(w.Top, 0), min(w.Bottom, 1))
		stored := g.Crop.Size()
		upright := stored
		if o.Swaps() {
			upright.X, upright.Y = upright.Y, upright.X
		}
		place, ok := onFrame(g, [4]float64{l, top, r, bottom})
		if !ok { // less than a pixel
			wide, high := (r-l)/(w.Right-w.Left)*float64(upright.X), (bottom-top)/(w.Bottom-w.Top)*float64(upright.Y)
			require.True(t, wide < 0.5 || high < 0.5 || (wide-0.5)*(high-0.5) < 1, "%g by %g", wide, high)
			return
		}
		in := image.Rect(int(place[0]), int(place[1]), int(math.Ceil(place[2])), int(math.Ceil(place[3])))
		require.True(t, in.In(g.Crop), "%v in %v", in, g.Crop)
		// and back: the corners of the frame's box, as the input has them
		back := [4]float64{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
		for _, corner := range [][2]float64{{place[0], place[1]}, {place[2], place[3]}} {
			x, y := uprightPoint(o, corner[0]-float64(g.Crop.Min.X), corner[1]-float64(g.Crop.Min.Y), float64(upright.X), float64(upright.Y))
			x, y = w.Left+x/float64(upright.X)*(w.Right-w.Left), w.Top+y/float64(upright.Y)*(w.Bottom-w.Top)
			back = [4]float64{min(back[0], x), min(back[1], y), max(back[2], x), max(back[3], y)}
		}
		near := 0.26 / float64(min(stored.X, stored.Y)) * max(w.Right-w.Left, w.Bottom-w.Top)
		for i, v := range [4]float64{l, top, r, bottom} {
			require.InDelta(t, v, back[i], near, "%d of %v, back as %v", i, place, back)
		}
	})
}

// uprightPoint is where a point of a stored picture lies in the upright one, w wide and h high: written apart from the geometry.
func uprightPoint(o analysis.Orientation, x, y, w, h float64) (float64, float64) {
	switch o {
	case 2:
		return w - x, y
	case 3:
		return w - x, h - y
	case 4:
		return x, h - y
	case 5:
		return y, x
	case 6:
		return w - y, x
	case 7:
		return w - y, h - x
	case 8:
		return y, h - x
	}
	return x, y
}

// Every way in which a detector can put its values is the same boxes.
func TestReadBoxes_layouts(t *testing.T) {
	want := []candidate{{row: 0, class: 1, probability: 0.8, box: [4]float64{0.1, 0.2, 0.5, 0.6}}, {row: 2, class: 0, probability: 0.6, box: [4]float64{0.5, 0.5, 1, 1}}}
	b := demoBundle(t)
	b.Input.Rows, b.Input.Columns = 100, 200
	b.Classes = b.Classes[:2]
	for i := range b.Classes {
		b.Classes[i].Threshold = 0.5
	}
	for name, tt := range map[string]struct {
		boxes      Boxes
		activation Activation
		shape      []int64
		values     []float32
		from       []float32 // 1×3×4
	}{
		"rows of centred boxes": {Boxes{Columns: []Column{BoxColumn, ClassesColumn}, Format: Centred, Unit: Pixels}, None, []int64{1, 3, 6}, []float32{
			60, 40, 80, 40, 0.1, 0.8, 0, 0, 1, 1, 0.2, 0.3, 150, 75, 100, 50, 0.6, 0,
		}, nil},
		"columns": {Boxes{Columns: []Column{BoxColumn, ClassesColumn}, Format: Corners, Unit: Fractions}, None, []int64{1, 6, 3}, []float32{
			0.1, 0, 0.5, 0.2, 0, 0.5, 0.5, 0.1, 1, 0.6, 0.1, 1, 0.1, 0.2, 0.6, 0.8, 0.3, 0,
		}, nil},
		"objectness": {Boxes{Columns: []Column{BoxColumn, ObjectnessColumn, ClassesColumn}, Format: Cornered, Unit: Fractions}, None, []int64{3, 7}, []float32{
			0.1, 0.2, 0.4, 0.4, 0.8, 0.1, 1, 0, 0, 0.1, 0.1, 0.4, 1, 1, 0.5, 0.5, 0.5, 0.5, 1, 0.6, 0,
		}, nil},
		"suppressed in the graph": {Boxes{Columns: []Column{BoxColumn, ScoreColumn, LabelColumn}, Format: Corners, Unit: Pixels}, None, []int64{1, 3, 6}, []float32{
			20, 20, 100, 60, 0.8, 1, 0, 0, 1, 1, 0.1, 0, 100, 50, 200, 100, 0.6, 0,
		}, nil},
		"objectness with a label": {Boxes{Columns: []Column{BoxColumn, ObjectnessColumn, ScoreColumn, LabelColumn}, Format: Corners, Unit: Pixels}, None, []int64{1, 3, 7}, []float32{
			20, 20, 100, 60, 0.8, 1, 1, 0, 0, 1, 1, 0.1, 0.9, 0, 100, 50, 200, 100, 1, 0.6, 0,
		}, nil},
		"with the picture's number": {Boxes{Columns: []Column{SkipColumn, BoxColumn, LabelColumn, ScoreColumn}, Format: Corners, Unit: Pixels, Background: FirstBackground}, None, []int64{3, 7}, []float32{
			0, 20, 20, 100, 60, 2, 0.8, 0, 0, 0, 1, 1, 1, 0.1, 0, 100, 50, 200, 100, 1, 0.6,
		}, nil},
		"two outputs with a background": {Boxes{Columns: []Column{ClassesColumn}, From: "boxes", Format: Centred, Unit: Fractions, Background: LastBackground}, Softmax, []int64{1, 3, 3}, []float32{
			0, float32(math.Log(0.8 / 0.1)), 0, -9, -9, 9, float32(math.Log(0.6 / 0.2)), 0, 0,
		}, []float32{0.3, 0.4, 0.4, 0.4, 0, 0, 0.1, 0.1, 0.75, 0.75, 0.5, 0.5}},
		"sigmoid": {Boxes{Columns: []Column{ClassesColumn}, From: "boxes", Format: Corners, Unit: Fractions}, Sigmoid, []int64{1, 3, 2}, []float32{
			-2, float32(math.Log(0.8 / 0.2)), -3, -3, float32(math.Log(0.6 / 0.4)), -9,
		}, []float32{0.1, 0.2, 0.5, 0.6, 0, 0, 0.1, 0.1, 0.5, 0.5, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.boxes.Overlap, tt.boxes.Most = 0.5, 10
			b.Output = Output{Name: "out", Activation: tt.activation, Kind: OfBoxes, Boxes: tt.boxes}
			require.Empty(t, tt.boxes.wrong())
			r, err := b.Reading(explain.Unknown)
			require.NoError(t, err)
			outputs := []explain.Tensor{{Shape: tt.shape, Values: tt.values}}
			if tt.from != nil {
				outputs = append(outputs, explain.Tensor{Shape: []int64{1, 3, 4}, Values: tt.from})
			}
			d, err := r.detector(outputs)
			require.NoError(t, err)
			found, best, err := d.read(r.thresholds, func(box [4]float64) ([4]float64, bool) { return box, true })
			require.NoError(t, err)
			require.Len(t, found, 2)
			for i, c := range found {
				require.Equal(t, [2]int{want[i].row, want[i].class}, [2]int{c.row, c.class})
				require.InDelta(t, want[i].probability, c.probability, 1e-6)
				require.InDeltaSlice(t, want[i].box[:], c.box[:], 1e-6)
				require.InDelta(t, c.probability, best[c.class].probability, 1e-9, "the probability of a class is that of its best box")
				score, err := r.Scoring(outputs, func() []float32 { s := make([]float32, len(tt.values)); d.seed(c.row, c.class, 1, s); return s }())
				require.NoError(t, err)
				require.InDelta(t, c.probability, score(tt.values), 1e-6, "the score of a box in its own picture is its probability")
			}
		})
	}
}

// The best box of a class stays, however many better ones there are of others.
func TestReadBoxes_most(t *testing.T) {
	b := demoBundle(t)
	b.Classes = b.Classes[:2]
	b.Output = Output{Name: "out", Activation: None, Kind: OfBoxes, Boxes: Boxes{Columns: []Column{BoxColumn, ClassesColumn}, Format: Corners, Unit: Fractions, Overlap: 1, Most: 3}}
	r, err := b.Reading(explain.Unknown)
	require.NoError(t, err)
	var values []float32
	for range 5 {
		values = append(values, 0, 0, 0.5, 0.5, 0.9, 0)
	}
	values = append(values, 0.5, 0.5, 1, 1, 0, 0.6)
	said, err := r.Read([]explain.Tensor{{Shape: []int64{6, 6}, Values: values}}, analysis.Geometry{})
	require.NoError(t, err)
	require.Len(t, said.Regions, 4)
	require.Equal(t, 1, said.Regions[3].Class)
}

// What cannot be read of columns is told at once.
func TestBoxes_wrong(t *testing.T) {
	require.Contains(t, Boxes{Columns: []Column{ScoreColumn, LabelColumn}, From: "boxes"}.wrong(), "leave boxes.from out")
}

// Candidates that come and go with the picture are scored by the box that is most alike.
func TestScoring_othersAreFewer(t *testing.T) {
	b := demoBundle(t)
	b.Classes = b.Classes[:2]
	b.Output = Output{Name: "out", Activation: None, Kind: OfBoxes, Boxes: Boxes{Columns: []Column{BoxColumn, ClassesColumn}, Format: Corners, Unit: Fractions, Overlap: 1, Most: 3}}
	r, err := b.Reading(explain.Unknown)
	require.NoError(t, err)
	outputs := []explain.Tensor{{Shape: []int64{1, 2, 6}, Values: []float32{0, 0, 0.5, 0.5, 0.9, 0, 0.5, 0.5, 1, 1, 0.8, 0}}}
	d, err := r.detector(outputs)
	require.NoError(t, err)
	seed := make([]float32, 12)
	d.seed(1, 0, 1, seed)
	score, err := r.Scoring(outputs, seed)
	require.NoError(t, err)
	require.InDelta(t, 0.8, score(outputs[0].Values), 1e-6)
	require.InDelta(t, 0.7, score([]float32{0.5, 0.5, 1, 1, 0.7, 0}), 1e-6)
	require.Zero(t, score(nil))
}

// What a detector gives that is no box or no probability is an error, never a finding.
func TestReadBoxes_refuses(t *testing.T) {
	b := demoBundle(t)
	b.Classes = b.Classes[:2]
	b.Output = Output{Name: "out", Activation: None, Kind: OfBoxes, Boxes: Boxes{Columns: []Column{BoxColumn, ClassesColumn}, Format: Corners, Unit: Fractions, Overlap: 0.5, Most: 10}}
	r, err := b.Reading(explain.Unknown)
	require.NoError(t, err)
	nan := float32(math.NaN())
	for name, tt := range map[string]struct {
		shape  []int64
		values []float32
		err    string
	}{
		"a box that is no number":  {[]int64{1, 1, 6}, []float32{nan, 0, 1, 1, 0.9, 0}, "not numbers"},
		"a class that is none":     {[]int64{1, 1, 6}, []float32{0, 0, 1, 1, nan, 0}, "not numbers"},
		"logits without a sigmoid": {[]int64{1, 1, 6}, []float32{0, 0, 1, 1, 3, 0}, "which is no probability"},
		"another shape":            {[]int64{1, 1, 7}, make([]float32, 7), "a box has 6 values, so that it must be 1×boxes×6 or 1×6×boxes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Read([]explain.Tensor{{Shape: tt.shape, Values: tt.values}}, analysis.Geometry{})
			require.ErrorContains(t, err, tt.err)
		})
	}
}
