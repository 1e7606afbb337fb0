package sampling

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"endogate/explain"
)

// LIMEOptions are those of LIME; what is zero has the default.
type LIMEOptions struct {
	Segments    int     // superpixels aimed at, 60
	Compactness float64 // of the superpixels, 10
	Samples     int     // 500, the input itself among them
	Kernel      float64 // width of the exponential kernel on the cosine distance, 0.25
	Ridge       float64 // penalty on the squared weights, 1
	Seed        uint64
	// Labels are the segments, where something else than Superpixels made them: that of each pixel, H×W, numbered
	// from 0 without gaps.
	Labels []int
}

func (o LIMEOptions) withDefaults() (LIMEOptions, error) {
	orDefault(&o.Segments, 60)
	orDefault(&o.Compactness, 10)
	orDefault(&o.Samples, 500)
	orDefault(&o.Kernel, 0.25)
	orDefault(&o.Ridge, 1)
	if o.Segments < 2 || o.Samples < 2 {
		return o, fmt.Errorf("sampling: LIME of %d segments and %d samples: must be at least 2 of each", o.Segments, o.Samples)
	}
	for _, v := range []float64{o.Compactness, o.Kernel, o.Ridge} {
		if !(v > 0) || math.IsInf(v, 0) {
			return o, fmt.Errorf("sampling: LIME with compactness %v, kernel %v, ridge %v: each must be above 0", o.Compactness, o.Kernel, o.Ridge)
		}
	}
	return o, nil
}

// segments are the labels of the pixels and how many there are.
func (o LIMEOptions) segments(p Picture, input []float32) (labels []int, count int, err error) {
	if o.Labels == nil {
		labels, count = Superpixels(p, input, o.Segments, o.Compactness)
	} else if labels, count = o.Labels, countLabels(o.Labels); len(labels) != p.cells() || count == 0 {
		return nil, 0, fmt.Errorf("sampling: LIME: %d labels for %d pixels: each needs one, numbered from 0 without gaps", len(labels), p.cells())
	}
	if count < 2 {
		return nil, 0, errors.New("sampling: LIME: the picture is a single superpixel: ask for more segments")
	}
	return labels, count, nil
}

// countLabels is the number of labels, or 0 where they are not numbered from 0 without gaps.
func countLabels(labels []int) int {
	sorted := slices.Compact(slices.Sorted(slices.Values(labels)))
	for i, l := range sorted {
		if l != i {
			return 0
		}
	}
	return len(sorted)
}

// Surrogate is the linear model that LIME puts in the network's place near one input.
type Surrogate struct {
	Map     explain.Map // at each pixel the weight of its segment
	Labels  []int       // H×W, the segment of each pixel
	Weights []float64   // by segment: the change of the score when it is seen; negative where it speaks against
	Fit     float64     // weighted R²: 1 explains every sample, 0 no better than a constant
}

// LIME fits a linear model to the scores of the input with superpixels replaced by the baseline, each
// seen with probability one half (Ribeiro et al. 2016, "Why Should I Trust You?", section 3.4). Samples nearer to
// the input weigh more: exp(-d²/Kernel²), d one less the cosine between what is seen and everything. The first
// sample is the input itself. Look at Fit before at the map.
func LIME(ctx context.Context, net Network, input, baseline []float32, score Score, o LIMEOptions) (Surrogate, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Surrogate{}, err
	}
	if err := net.checkForward(input, baseline, score); err != nil {
		return Surrogate{}, err
	}
	p := net.Picture
	labels, segments, err := o.segments(p, input)
	if err != nil {
		return Surrogate{}, err
	}
	samples := make([]sample, o.Samples)
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	mask := make([]float32, p.cells())
	err = net.start(o.Samples).scores(ctx, o.Samples, score, func(i int, into []float32) {
		samples[i].draw(rng, segments, i == 0)
		for at, label := range labels {
			mask[at] = float32(samples[i].seen[label])
		}
		p.hide(into, input, baseline, mask)
	}, func(i int, s float64) {
		samples[i].score, samples[i].weight = s, samples[i].nearness(o.Kernel)
	})
	if err != nil {
		return Surrogate{}, err
	}
	for i, first := 0, samples[0].score; i < len(samples); i++ { // equal scores are then zero without rounding
		samples[i].score -= first
	}
	weights, fit, err := fitRidge(samples, o.Ridge)
	if err != nil {
		return Surrogate{}, err
	}
	painted := explain.Map{Width: p.Width, Height: p.Height, Values: make([]float32, p.cells())}
	for at, label := range labels {
		painted.Values[at] = float32(weights[label])
	}
	return Surrogate{painted, labels, weights, fit}, nil
}

// sample is one choice of segments and what the network made of it.
type sample struct {
	seen          []uint8 // by segment, 1 or 0
	score, weight float64
}

func (s *sample) draw(rng *rand.Rand, segments int, all bool) {
	s.seen = make([]uint8, segments)
	for k := range s.seen {
		if all || rng.Uint64()&1 == 1 {
			s.seen[k] = 1
		}
	}
}

// nearness is the exponential kernel of the paper's section 3.3.
func (s *sample) nearness(width float64) float64 {
	seen := 0
	for _, v := range s.seen {
		seen += int(v)
	}
	distance := 1 - math.Sqrt(float64(seen)/float64(len(s.seen))) // the cosine with a vector of ones
	return math.Exp(-distance * distance / (width * width))
}
