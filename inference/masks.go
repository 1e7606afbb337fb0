package inference

import (
	"cmp"
	"fmt"
	"slices"

	"endogate/explain"
)

// Mask says how the output of a segmentation is read.
type Mask struct {
	Background Background
	Labels     bool    // a pixel has the number of its class: the network is read with a value for each class, one or zero
	Level      float64 // of a pixel's probability, from which on it belongs to the class
	Smallest   float64 // part of the input that a region must have to count
}

// segments are the probabilities of the classes, pixel by pixel.
type segments struct {
	Reading
	height, width int
	last          bool // the channels are the last axis
	channels      int
	before        int // channels before the first class
}

func (r Reading) segments(shape []int64) (s segments, err error) {
	more, before := r.mask.Background.more()
	s = segments{Reading: r, before: before, channels: r.classes + more}
	want := int64(s.channels)
	switch {
	case len(shape) == 4 && shape[1] == want:
		s.height, s.width = int(shape[2]), int(shape[3])
	case len(shape) == 4 && shape[3] == want:
		s.height, s.width, s.last = int(shape[1]), int(shape[2]), true
	case len(shape) == 3 && want == 1:
		s.height, s.width = int(shape[1]), int(shape[2])
	default:
		return s, fmt.Errorf("inference: output %q has shape %v; by the manifest's classes it must be 1×%d×rows×columns or 1×rows×columns×%d", r.output, shape, want, want)
	}
	return s, nil
}

// at is the index of a channel's value at a pixel.
func (s segments) at(channel, pixel int) int {
	if s.last {
		return pixel*s.channels + channel
	}
	return channel*s.height*s.width + pixel
}

// probabilities are those of all channels of a pixel.
func (s segments) probabilities(pixel int, values []float32, line []float32) ([]float64, error) {
	for c := range line {
		line[c] = values[s.at(c, pixel)]
	}
	return s.activation.of(s.output, line)
}

// masked is a class in a frame: its probability pixel by pixel, and the pixels that its probability is the mean of.
type masked struct {
	class       int
	probability float64
	pixels      explain.Map
	core        []int // of the largest region; the most probable pixels where there is none
	region      bool
}

// read finds the probability of each class, which is the mean over its largest region of pixels that reach the level. Where no region is
// large enough it is the mean over the most probable pixels, of which there are as many as the smallest region has, but less than the level.
func (s segments) read(values []float32, visible func(pixel int) bool) ([]masked, error) {
	n := s.height * s.width
	all := make([]masked, s.classes)
	for i := range all {
		all[i] = masked{class: i, pixels: explain.Map{Width: s.width, Height: s.height, Values: make([]float32, n)}}
	}
	line := make([]float32, s.channels)
	for pixel := range n {
		p, err := s.probabilities(pixel, values, line)
		if err != nil {
			return nil, err
		}
		if visible(pixel) {
			for i := range all {
				all[i].pixels.Values[pixel] = float32(p[s.before+i])
			}
		}
	}
	smallest := max(int(s.mask.Smallest*float64(n)), 1)
	for i := range all {
		m := &all[i]
		if m.core = largestRegion(m.pixels, float32(s.mask.Level)); len(m.core) >= smallest {
			m.region = true
		} else {
			m.core = mostProbable(m.pixels.Values, smallest)
		}
		for _, pixel := range m.core {
			m.probability += float64(m.pixels.Values[pixel]) / float64(len(m.core))
		}
		if m.probability = min(m.probability, 1); !m.region {
			m.probability = min(m.probability, s.mask.Level*(1-1e-6))
		}
	}
	return all, nil
}

// mostProbable are the n pixels with the greatest values.
func mostProbable(values []float32, n int) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	return order[:min(n, len(order))]
}

// largestRegion are the pixels of the largest region of m in which all reach the level; neighbours share an edge.
func largestRegion(m explain.Map, level float32) (largest []int) {
	seen := make([]bool, len(m.Values))
	var open []int
	for start := range m.Values {
		if seen[start] || m.Values[start] < level {
			continue
		}
		seen[start] = true
		region := []int{}
		for open = append(open[:0], start); len(open) > 0; {
			at := open[len(open)-1]
			open, region = open[:len(open)-1], append(region, at)
			x, y := at%m.Width, at/m.Width
			for _, next := range [4][2]int{{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}} {
				if next[0] < 0 || next[1] < 0 || next[0] >= m.Width || next[1] >= m.Height {
					continue
				}
				if to := next[1]*m.Width + next[0]; !seen[to] && m.Values[to] >= level {
					seen[to] = true
					open = append(open, to)
				}
			}
		}
		if len(region) > len(largest) {
			largest = region
		}
	}
	return largest
}
