package sampling

import (
	"context"
	"fmt"
	"math/rand/v2"

	"endogate/explain"
)

// RISEOptions are those of RISE; what is zero has the default.
type RISEOptions struct {
	Masks int     // 1000; the paper takes 4000 to 8000, fewer give a coarser map
	Grid  int     // cells along a side of a mask before it is enlarged, 7
	Keep  float64 // probability that a cell is kept, 0.5
	Seed  uint64
	// Centred takes scores less their mean: what a pixel adds to the score to expect. The chance of which pixels are
	// seen more often than others then hardly shows, and a network that does not answer to its input gives zero.
	Centred bool
}

func (o RISEOptions) withDefaults(p Picture) (RISEOptions, error) {
	orDefault(&o.Masks, 1000)
	orDefault(&o.Grid, min(7, p.Width, p.Height))
	orDefault(&o.Keep, 0.5)
	if o.Masks < 1 {
		return o, fmt.Errorf("sampling: RISE of %d masks: must be at least 1", o.Masks)
	}
	if o.Grid < 1 || o.Grid > min(p.Width, p.Height) {
		return o, fmt.Errorf("sampling: RISE with a grid of %d: must be at least 1 and at most the picture's shorter side, %d", o.Grid, min(p.Width, p.Height))
	}
	if !(o.Keep > 0 && o.Keep < 1) {
		return o, fmt.Errorf("sampling: RISE that keeps a cell with probability %v: must be above 0 and below 1", o.Keep)
	}
	return o, nil
}

// RISE is the mean of random masks, weighted with the score of the input behind each (Petsiuk et al. 2018,
// "RISE: Randomized Input Sampling for Explanation of Black-box Models", equation 6): the score to expect while a
// pixel is seen. Its differences between pixels count, not its level; the score should not be negative,
// as a probability is not.
func RISE(ctx context.Context, net Network, input, baseline []float32, score Score, o RISEOptions) (explain.Map, error) {
	if err := net.checkForward(input, baseline, score); err != nil {
		return explain.Map{}, err
	}
	p := net.Picture
	o, err := o.withDefaults(p)
	if err != nil {
		return explain.Map{}, err
	}
	draw := newMaskDrawer(p, o)
	masks := make([]float32, min(net.Batch, o.Masks)*p.cells())
	maskOf := func(i int) []float32 { // of the batch at hand
		at := i % net.Batch * p.cells()
		return masks[at : at+p.cells()]
	}
	sum, seen := make([]float64, p.cells()), make([]float64, p.cells())
	first, mean := 0.0, 0.0 // less the first score, equal ones are zero without rounding
	err = net.start(o.Masks).scores(ctx, o.Masks, score, func(i int, into []float32) {
		draw.next(maskOf(i))
		p.hide(into, input, baseline, maskOf(i))
	}, func(i int, s float64) {
		if i == 0 && o.Centred {
			first = s
		}
		mean += (s - first) / float64(o.Masks)
		for at, keep := range maskOf(i) {
			sum[at] += (s - first) * float64(keep)
			seen[at] += float64(keep)
		}
	})
	if err != nil {
		return explain.Map{}, err
	}
	if o.Centred {
		for at := range sum {
			sum[at] -= mean * seen[at]
		}
	}
	return explain.Map{Width: p.Width, Height: p.Height, Values: scaled(sum, 1/(float64(o.Masks)*o.Keep))}, nil
}

// maskDrawer draws masks as section 3.2 of the paper has it: a grid of zeros and ones, enlarged to a cell
// more than the picture, cut out at a random place.
type maskDrawer struct {
	picture      Picture
	keep         float64
	rng          *rand.Rand
	grid         explain.Map
	cellW, cellH int
}

func newMaskDrawer(p Picture, o RISEOptions) *maskDrawer {
	return &maskDrawer{
		picture: p,
		keep:    o.Keep,
		rng:     rand.New(rand.NewPCG(o.Seed, 0)),
		grid:    explain.Map{Width: o.Grid, Height: o.Grid, Values: make([]float32, o.Grid*o.Grid)},
		cellW:   (p.Width + o.Grid - 1) / o.Grid,
		cellH:   (p.Height + o.Grid - 1) / o.Grid,
	}
}

func (d *maskDrawer) next(into []float32) {
	for i := range d.grid.Values {
		d.grid.Values[i] = 0
		if d.rng.Float64() < d.keep {
			d.grid.Values[i] = 1
		}
	}
	large := d.grid.Resize((d.grid.Width+1)*d.cellW, (d.grid.Height+1)*d.cellH)
	left, top := d.rng.IntN(d.cellW), d.rng.IntN(d.cellH)
	for y := range d.picture.Height {
		from := (top+y)*large.Width + left
		copy(into[y*d.picture.Width:(y+1)*d.picture.Width], large.Values[from:])
	}
}
