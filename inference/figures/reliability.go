package figures

// Bins is the number of equal parts of the probability, 0 to 1, that frames are sorted into for a reliability diagram.
const Bins = 10

// Bin has the frames with a probability in one part, its lower end included; the last has 1 too.
type Bin struct {
	N          int     `json:"n"`
	Confidence float64 `json:"confidence"` // their mean probability; 0 where there are none
	Frequency  Figure  `json:"frequency"`  // how many are what they were said to be
}

// Reliability is how probabilities and frequencies agree.
type Reliability struct {
	Bins [Bins]Bin `json:"bins"`
	ECE  Figure    `json:"ece"` // the mean distance of both, each bin weighing as many frames as it has
}

// Reliable compares probabilities with what was so.
func Reliable(probabilities []float64, so []bool) (r Reliability) {
	var hits [Bins]int
	for i, p := range probabilities {
		b := min(max(int(p*Bins), 0), Bins-1)
		r.Bins[b].N++
		r.Bins[b].Confidence += p
		if so[i] {
			hits[b]++
		}
	}
	sum := 0.0
	for i := range r.Bins {
		b := &r.Bins[i]
		b.Frequency = Share(hits[i], b.N, "no frame has such a probability")
		if b.N > 0 {
			b.Confidence /= float64(b.N)
			sum += float64(b.N) * abs(b.Confidence-b.Frequency.Value)
		}
	}
	if r.ECE = none(noFrames); len(probabilities) > 0 {
		r.ECE = Figure{Value: sum / float64(len(probabilities)), N: len(probabilities)}
	}
	return r
}

func abs(v float64) float64 { return max(v, -v) }
