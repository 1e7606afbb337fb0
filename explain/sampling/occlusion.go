package sampling

import (
	"context"
	"fmt"
	"image"
	"slices"

	"endogate/explain"
)

// OcclusionOptions are those of Occlusion; what is zero has the default.
type OcclusionOptions struct {
	Patch  image.Point // width and height in pixels, an eighth of the picture's
	Stride image.Point // from patch to patch, a sixteenth of the picture's
}

func (o OcclusionOptions) withDefaults(p Picture) (OcclusionOptions, error) {
	orDefault(&o.Patch.X, max(p.Width/8, 1))
	orDefault(&o.Patch.Y, max(p.Height/8, 1))
	orDefault(&o.Stride.X, min(max(p.Width/16, 1), o.Patch.X))
	orDefault(&o.Stride.Y, min(max(p.Height/16, 1), o.Patch.Y))
	if o.Patch.X < 1 || o.Patch.Y < 1 || o.Patch.X > p.Width || o.Patch.Y > p.Height {
		return o, fmt.Errorf("sampling: occlusion by %d×%d in a picture of %d×%d: the patch must lie in it", o.Patch.X, o.Patch.Y, p.Width, p.Height)
	}
	if o.Stride.X < 1 || o.Stride.Y < 1 || o.Stride.X > o.Patch.X || o.Stride.Y > o.Patch.Y {
		return o, fmt.Errorf("sampling: occlusion with stride %d×%d: must be at least 1 and at most the patch, %d×%d, or pixels are left out",
			o.Stride.X, o.Stride.Y, o.Patch.X, o.Patch.Y)
	}
	return o, nil
}

// Occlusion moves a patch of the baseline over the input and watches the score drop (Zeiler and Fergus 2014,
// "Visualizing and Understanding Convolutional Networks", section 4.2). A pixel's value is the mean drop of the
// patches that cover it; negative where hiding it helps. The last patch of a row and of a column ends at the
// border.
func Occlusion(ctx context.Context, net Network, input, baseline []float32, score Score, o OcclusionOptions) (explain.Map, error) {
	if err := net.checkForward(input, baseline, score); err != nil {
		return explain.Map{}, err
	}
	p := net.Picture
	o, err := o.withDefaults(p)
	if err != nil {
		return explain.Map{}, err
	}
	patches := o.patches(p)
	mask := slices.Repeat([]float32{1}, p.cells())
	drops, cover := make([]float64, p.cells()), make([]float64, p.cells())
	whole := 0.0
	err = net.start(1+len(patches)).scores(ctx, 1+len(patches), score, func(i int, into []float32) {
		if i == 0 {
			copy(into, input)
			return
		}
		eachPixel(patches[i-1], p.Width, func(at int) { mask[at] = 0 })
		p.hide(into, input, baseline, mask)
		eachPixel(patches[i-1], p.Width, func(at int) { mask[at] = 1 })
	}, func(i int, s float64) {
		if i == 0 {
			whole = s
			return
		}
		eachPixel(patches[i-1], p.Width, func(at int) { drops[at] += whole - s; cover[at]++ })
	})
	if err != nil {
		return explain.Map{}, err
	}
	for at := range drops {
		drops[at] /= cover[at]
	}
	return explain.Map{Width: p.Width, Height: p.Height, Values: scaled(drops, 1)}, nil
}

// patches are all places of the patch, row by row.
func (o OcclusionOptions) patches(p Picture) []image.Rectangle {
	var all []image.Rectangle
	for _, y := range offsets(p.Height, o.Patch.Y, o.Stride.Y) {
		for _, x := range offsets(p.Width, o.Patch.X, o.Stride.X) {
			all = append(all, image.Rect(x, y, x+o.Patch.X, y+o.Patch.Y))
		}
	}
	return all
}

// offsets are where patches begin along a side; together they cover it.
func offsets(side, patch, stride int) []int {
	var all []int
	for at := 0; at < side-patch; at += stride {
		all = append(all, at)
	}
	return append(all, side-patch)
}

// eachPixel calls do with the place of each pixel of a rectangle in a picture of the width.
func eachPixel(r image.Rectangle, width int, do func(at int)) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			do(y*width + x)
		}
	}
}
