package figures

import (
	"encoding/json"
	"fmt"
	"math"
)

// z is the 97.5 % quantile of the standard normal distribution.
const z = 1.959963984540054

// Figure is a number with its 95 % interval, where it has one, or the reason why there is none.
type Figure struct {
	Value     float64
	Low, High float64
	Interval  bool
	N         int    // frames (of a mean: classes) that it is of
	None      string // why there is no number; "" where there is one
	Note      string // what a reader of the number has to know
}

// none is a figure that cannot be computed.
func none(why string) Figure { return Figure{None: why} }

// String is the figure for people.
func (f Figure) String() string {
	switch {
	case f.None != "":
		return "–"
	case f.Interval:
		return fmt.Sprintf("%.3f [%.3f, %.3f]", f.Value, f.Low, f.High)
	}
	return fmt.Sprintf("%.3f", f.Value)
}

// MarshalJSON leaves out what there is not.
func (f Figure) MarshalJSON() ([]byte, error) {
	out := struct {
		Value *float64 `json:"value,omitempty"`
		Low   *float64 `json:"low,omitempty"`
		High  *float64 `json:"high,omitempty"`
		N     int      `json:"n"`
		None  string   `json:"none,omitempty"`
		Note  string   `json:"note,omitempty"`
	}{N: f.N, None: f.None, Note: f.Note}
	if f.None == "" {
		out.Value = &f.Value
		if f.Interval {
			out.Low, out.High = &f.Low, &f.High
		}
	}
	return json.Marshal(out)
}

// Share is a proportion with Wilson's score interval; why is said where it is of nothing.
func Share(hits, n int, why string) Figure {
	if n == 0 {
		return none(why)
	}
	p, size := float64(hits)/float64(n), float64(n)
	centre := (p + z*z/(2*size)) / (1 + z*z/size)
	half := z / (1 + z*z/size) * math.Sqrt(p*(1-p)/size+z*z/(4*size*size))
	return Figure{Value: p, Low: max(centre-half, 0), High: min(centre+half, 1), Interval: true, N: n}
}

// Mean is that of the figures there are, each weighing the same, without an interval.
func Mean(all []Figure) Figure {
	sum, n := 0.0, 0
	for _, f := range all {
		if f.None == "" {
			sum, n = sum+f.Value, n+1
		}
	}
	if n == 0 {
		return none("no class has this figure")
	}
	mean := Figure{Value: sum / float64(n), N: n}
	if n < len(all) {
		mean.Note = fmt.Sprintf("of %d of %d classes: the others have no such figure", n, len(all))
	}
	return mean
}
