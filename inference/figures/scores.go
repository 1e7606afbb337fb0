package figures

import (
	"fmt"
	"math"
	"slices"
)

// Scores are the probabilities of one class, of the frames that are of it and of those that are not.
type Scores struct{ Present, Absent []float64 }

// At counts with a threshold: what reaches it is called of the class.
func (s Scores) At(threshold float64) (c Counts) {
	for _, p := range s.Present {
		c.Add(true, p >= threshold)
	}
	for _, p := range s.Absent {
		c.Add(false, p >= threshold)
	}
	return c
}

// AUC is the area under the ROC curve: how often a frame of the class has more than one that is not, ties counting half.
func (s Scores) AUC() Figure {
	m, n := len(s.Present), len(s.Absent)
	switch {
	case m+n == 0:
		return none(noFrames)
	case m == 0:
		return none(noPresent)
	case n == 0:
		return none(noAbsent)
	}
	present, absent := placements(s.Present, s.Absent), placements(s.Absent, s.Present)
	for i := range absent { // how often the others have more
		absent[i] = 1 - absent[i]
	}
	f := Figure{Value: mean(present), N: m + n, Interval: true}
	variance := 0.0
	if m > 1 && n > 1 {
		variance = spread(present)/float64(m) + spread(absent)/float64(n)
	}
	if variance > 0 {
		half := z * math.Sqrt(variance)
		f.Low, f.High = max(f.Value-half, 0), min(f.Value+half, 1)
		return f
	}
	f.Low, f.High = newcombe(f.Value, m, n)
	f.Note = "interval by Newcombe's method 5: DeLong's has no width"
	if slices.Min(slices.Concat(s.Present, s.Absent)) == slices.Max(slices.Concat(s.Present, s.Absent)) {
		f.Note = "all frames have one score; " + f.Note
	}
	return f
}

// placements are, for each of some scores, the share of others that is less, ties counting half.
func placements(of, others []float64) []float64 {
	sorted := slices.Sorted(slices.Values(others))
	out := make([]float64, len(of))
	for i, v := range of {
		less, _ := slices.BinarySearch(sorted, v)
		upTo, _ := slices.BinarySearch(sorted, math.Nextafter(v, math.Inf(1)))
		out[i] = float64(less+upTo) / 2 / float64(len(sorted))
	}
	return out
}

func mean(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// spread is the variance of a sample.
func spread(values []float64) (sum float64) {
	m := mean(values)
	for _, v := range values {
		sum += (v - m) * (v - m)
	}
	return sum / float64(len(values)-1)
}

// newcombe is the score interval of an area that was seen, of m frames of the class and n others: where the distance is z standard
// errors as that area would have them.
func newcombe(seen float64, m, n int) (low, high float64) {
	pairs, half := float64(m)*float64(n), float64(m+n)/2-1
	beyond := func(area float64) bool {
		variance := area * (1 - area) / pairs * (1 + half*((1-area)/(2-area)+area/(1+area)))
		return math.Abs(seen-area) > z*math.Sqrt(variance)
	}
	bound := func(end float64) float64 {
		out, in := end, seen
		for range 60 {
			if middle := (out + in) / 2; beyond(middle) {
				out = middle
			} else {
				in = middle
			}
		}
		return in
	}
	low, high = 0, 1
	if seen > 0 {
		low = bound(0)
	}
	if seen < 1 {
		high = bound(1)
	}
	return low, high
}

// Aim is what an operating point is to reach.
type Aim struct {
	Of    string  // sensitivity, specificity or threshold
	Value float64 // above 0, at most 1
}

func (a Aim) String() string { return fmt.Sprintf("%s %g", a.Of, a.Value) }

// Threshold is the greatest that reaches a sensitivity, or the least that reaches a specificity: a score that a frame has. Or
// it is why there is none.
func (s Scores) Threshold(a Aim) (threshold float64, why string) {
	const rounding = 1e-9 // 0.95 of 20 frames are 19
	switch a.Of {
	case "threshold":
		return a.Value, ""
	case "sensitivity":
		if len(s.Present) == 0 {
			return 0, noPresent
		}
		sorted := slices.Sorted(slices.Values(s.Present))
		needed := int(math.Ceil(a.Value*float64(len(sorted)) - rounding))
		if threshold = sorted[len(sorted)-max(needed, 1)]; threshold <= 0 {
			return 0, "only a threshold of 0 reaches it, which calls every frame so"
		}
		return threshold, ""
	}
	if len(s.Absent) == 0 {
		return 0, noAbsent
	}
	sorted := slices.Sorted(slices.Values(s.Absent))
	needed := int(math.Ceil(a.Value*float64(len(sorted)) - rounding))
	above := sorted[max(needed, 1)-1] // at least so many are to lie below the threshold
	least := math.Inf(1)
	for _, p := range slices.Concat(s.Present, s.Absent) {
		if p > above && p < least {
			least = p
		}
	}
	if math.IsInf(least, 1) {
		return 0, "only a threshold that no frame reaches"
	}
	return least, ""
}
