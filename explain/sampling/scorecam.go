package sampling

import (
	"context"
	"fmt"
	"math"
	"slices"

	"endogate/explain"
)

// Activation is what a layer answers for the input: C×H×W. That of a clip is averaged over its frames first.
type Activation struct {
	Channels, Height, Width int
	Values                  []float32
	Extent                  explain.Extent // the part of the input that it lies on
}

// channel is one channel as a map.
func (a Activation) channel(c int) explain.Map {
	cells := a.Height * a.Width
	return explain.Map{Width: a.Width, Height: a.Height, Values: a.Values[c*cells : (c+1)*cells], Extent: a.Extent}
}

func (a Activation) check() error {
	if a.Channels < 1 || a.Height < 1 || a.Width < 1 || len(a.Values) != a.Channels*a.Height*a.Width {
		return fmt.Errorf("sampling: an activation of %d×%d×%d has %d values", a.Channels, a.Height, a.Width, len(a.Values))
	}
	if at := notFinite(a.Values); at >= 0 {
		return fmt.Errorf("sampling: activation %v at value %d: %w", a.Values[at], at, ErrNotFinite)
	}
	return nil
}

// ChannelWeight says how the score of an input behind a channel becomes that channel's weight.
type ChannelWeight int

const (
	// ScoreWeight is the score itself, as the paper's authors' code has it; for a probability.
	ScoreWeight ChannelWeight = iota
	// IncreaseWeight is the score less that of the baseline (the paper's definition 3); for a logit.
	IncreaseWeight
	// SoftmaxWeight is the softmax of the scores over the channels (algorithm 1); for a logit.
	SoftmaxWeight
)

// ScoreCAMOptions are those of ScoreCAM; what is zero has the default.
type ScoreCAMOptions struct{ Weight ChannelWeight }

// ScoreCAM weights each channel of a layer with the score of the input seen through it (Wang et al. 2020,
// "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks"): the mask is the channel,
// enlarged to the picture and brought to 0 to 1. The map is what is positive in the weighted sum, at the
// layer's resolution. A channel of one value only is no mask and is left out, so there are at most as many
// runs as channels, and one more of the baseline for IncreaseWeight or a single channel. Where all of them score alike
// no channel matters and the map is zero: it would be the mean activation, whatever the class.
func ScoreCAM(ctx context.Context, net Network, input, baseline []float32, score Score, layer Activation, o ScoreCAMOptions) (explain.Map, error) {
	if o.Weight < ScoreWeight || o.Weight > SoftmaxWeight {
		return explain.Map{}, fmt.Errorf("sampling: channel weight %d is unknown", o.Weight)
	}
	if err := net.checkForward(input, baseline, score); err != nil {
		return explain.Map{}, err
	}
	if err := layer.check(); err != nil {
		return explain.Map{}, err
	}
	var masks []int // the channels that are any
	for c := range layer.Channels {
		if values := layer.channel(c).Values; slices.Max(values) > slices.Min(values) {
			masks = append(masks, c)
		}
	}
	p, weights := net.Picture, make([]float64, len(masks)+1) // the last is the baseline's
	n := len(masks)
	if o.Weight == IncreaseWeight || n == 1 {
		n++
	}
	err := net.start(n).scores(ctx, n, score, func(i int, into []float32) {
		if i == len(masks) {
			copy(into, baseline)
			return
		}
		mask := layer.channel(masks[i]).Resize(p.Width, p.Height)
		toUnit(mask.Values)
		p.hide(into, input, baseline, mask.Values)
	}, func(i int, s float64) { weights[i] = s })
	if err != nil {
		return explain.Map{}, err
	}
	if alike(weights[:n]) {
		return explain.Map{Width: layer.Width, Height: layer.Height, Values: make([]float32, layer.Height*layer.Width)}, nil
	}
	o.Weight.apply(weights[:len(masks)], weights[len(masks)])
	return layer.positiveSum(masks, weights), nil
}

// alike reports whether scores differ by no more than the rounding of single precision, in which networks answer.
func alike(scores []float64) bool {
	if len(scores) == 0 {
		return true
	}
	least, greatest := slices.Min(scores), slices.Max(scores)
	return greatest-least <= 1e-6*max(math.Abs(least), math.Abs(greatest))
}

// apply makes weights of scores.
func (w ChannelWeight) apply(scores []float64, baseline float64) {
	switch w {
	case IncreaseWeight:
		for i := range scores {
			scores[i] -= baseline
		}
	case SoftmaxWeight:
		greatest, sum := math.Inf(-1), 0.0
		for _, s := range scores {
			greatest = max(greatest, s)
		}
		for i, s := range scores {
			scores[i] = math.Exp(s - greatest)
			sum += scores[i]
		}
		for i := range scores {
			scores[i] /= sum
		}
	}
}

// positiveSum is what is positive in the weighted sum of the channels.
func (a Activation) positiveSum(channels []int, weights []float64) explain.Map {
	sum := make([]float64, a.Height*a.Width)
	for i, c := range channels {
		for at, v := range a.channel(c).Values {
			sum[at] += weights[i] * float64(v)
		}
	}
	for at := range sum {
		sum[at] = max(sum[at], 0)
	}
	return explain.Map{Width: a.Width, Height: a.Height, Values: scaled(sum, 1)}
}

// toUnit brings values to 0 to 1. Where enlarging (or shrinking) has made them equal they become 0.
func toUnit(values []float32) {
	low, high := slices.Min(values), slices.Max(values)
	for i, v := range values {
		if high > low {
			values[i] = (v - low) / (high - low)
		} else {
			values[i] = 0
		}
	}
}
