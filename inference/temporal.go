package inference

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"endogate/inference/analysis"
)

// Rule puts what single frames say together.
type Rule string

// The rules.
const (
	Hysteresis Rule = "hysteresis" // the highest of the smoothed probability
	Max        Rule = "max"        // the highest probability
	MeanTopK   Rule = "mean-top-k" // the mean of the highest
	Consensus  Rule = "consensus"  // the mean of all, as of temporal segments (Wang et al. 2016)
)

// Temporal says how a model of stills speaks of a video.
type Temporal struct {
	Select Select
	Rule   Rule
	// Smoothing is the weight of a frame against those before it, in (0,1]; 1 for none. A finding begins where what is smoothed
	// reaches its threshold, and ends where that falls below Lower of it.
	Smoothing, Lower float64
	Frames, Of       int // a finding counts where so many of so many frames that follow one another reach the threshold
	Top              int // frames, of MeanTopK
	KeyFrames        int // of a class, at most
}

// DefaultTemporal is for manifests that say nothing.
func DefaultTemporal() Temporal {
	return Temporal{
		Select: Select{PerSecond: 1, Most: defaultMaxFrames}, Rule: Hysteresis, Smoothing: 0.6, Lower: 0.8,
		Frames: 2, Of: 3, Top: 5, KeyFrames: 5,
	}
}

// clipTemporal is for a model that looks across time: its clips are long enough to speak for themselves.
func clipTemporal() Temporal {
	t := DefaultTemporal()
	t.Rule, t.Smoothing, t.Lower, t.Frames, t.Of = Max, 1, 1, 1, 1
	return t
}

// String says the rule in words.
func (t Temporal) String() string {
	return fmt.Sprintf("%s; smoothed by %g; a finding counts where %d of %d analysed frames reach its threshold, and ends below %g of it", t.Rule, t.Smoothing, t.Frames, t.Of, t.Lower)
}

// watched is a frame as far as it counts over time.
type watched struct {
	number  int
	at      time.Duration
	sharp   float64
	poor    string // why it is discounted; ""
	scores  map[string]float64
	counts  map[string]float64 // how much it counts for a class in its clip; nil where that is not known
	smooth  float64            // of the class that is looked at
	reached bool
}

// sum is what frames, in their order, say together.
func (t Temporal) sum(classes []analysis.Class, frames []watched) *analysis.Moving {
	m := &analysis.Moving{Analysed: len(frames), Why: map[string]int{}, Rule: t.String(), Scores: map[string]float64{}}
	good := make([]watched, 0, len(frames))
	for _, f := range frames {
		if f.poor != "" {
			m.Discounted++
			m.Why[f.poor]++
			continue
		}
		good = append(good, f)
	}
	for _, c := range classes {
		t.smooth(c, good)
		m.Scores[c.Name] = t.score(c, good)
		var own []analysis.Segment
		for _, some := range t.persisting(c, good) {
			own = append(own, t.segment(c, some))
			if c.Role == analysis.RoleFinding || c.Role == analysis.RoleLandmark {
				m.KeyFrames = append(m.KeyFrames, t.views(c, some)...)
			}
		}
		m.Segments = append(m.Segments, own...)
	}
	m.KeyFrames = t.few(m.KeyFrames)
	slices.SortStableFunc(m.Segments, func(a, b analysis.Segment) int { return cmp.Compare(a.FirstFrame, b.FirstFrame) })
	slices.SortStableFunc(m.KeyFrames, func(a, b analysis.KeyFrame) int { return cmp.Compare(a.Frame, b.Frame) })
	m.Poor, m.Weights, m.Course = stretches(frames), weights(frames), course(classes, good, m.Segments)
	return m
}

// smooth has the frames hold what is smoothed of a class.
func (t Temporal) smooth(c analysis.Class, frames []watched) {
	for i := range frames {
		p := frames[i].scores[c.Name]
		frames[i].smooth, frames[i].reached = p, p >= c.Threshold
		if i > 0 {
			frames[i].smooth = t.Smoothing*p + (1-t.Smoothing)*frames[i-1].smooth
		}
	}
}

// persisting are the runs of frames in which a class is found and counts.
func (t Temporal) persisting(c analysis.Class, frames []watched) (runs [][]watched) {
	free := 0 // the first frame behind the run before
	for i := 0; i < len(frames); i++ {
		if frames[i].smooth < c.Threshold {
			continue
		}
		first := i
		for first > free && frames[first-1].reached { // what smoothing has kept back
			first--
		}
		for i+1 < len(frames) && frames[i+1].smooth >= t.Lower*c.Threshold {
			i++
		}
		last := i
		for last > first && !frames[last].reached { // what smoothing has drawn out
			last--
		}
		free = i + 1
		if run := frames[first : last+1]; t.counts(run, len(frames)) {
			runs = append(runs, run)
		}
	}
	return runs
}

// counts reports whether enough frames of a run reach the threshold; of so few as there are.
func (t Temporal) counts(run []watched, all int) bool {
	needed := min(t.Frames, all)
	for i := range run {
		n := 0
		for _, f := range run[i:min(i+t.Of, len(run))] {
			if f.reached {
				n++
			}
		}
		if n >= needed {
			return true
		}
	}
	return false
}

// score is what the rule makes of frames.
func (t Temporal) score(c analysis.Class, frames []watched) float64 {
	if len(frames) == 0 {
		return 0
	}
	of := func(f watched) float64 { return f.scores[c.Name] }
	if t.Rule == Hysteresis {
		of = func(f watched) float64 { return f.smooth }
	}
	values := make([]float64, len(frames))
	for i, f := range frames {
		values[i] = of(f)
	}
	slices.SortFunc(values, func(a, b float64) int { return cmp.Compare(b, a) })
	switch t.Rule {
	case MeanTopK:
		values = values[:min(t.Top, len(values))]
	case Hysteresis, Max:
		values = values[:1]
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return min(1, sum/float64(len(values)))
}

// telling compares what frames say of a class: how much they count in their clips, where that is known, then their probabilities.
func telling(c analysis.Class) func(a, b watched) int {
	return func(a, b watched) int {
		return cmp.Or(cmp.Compare(a.counts[c.Name], b.counts[c.Name]), cmp.Compare(a.scores[c.Name], b.scores[c.Name]))
	}
}

func peak(c analysis.Class, run []watched) watched { return slices.MaxFunc(run, telling(c)) }

func (t Temporal) segment(c analysis.Class, run []watched) analysis.Segment {
	first, last := run[0], run[len(run)-1]
	return analysis.Segment{
		Class: c.Name, Role: c.Role, FirstFrame: first.number, LastFrame: last.number, PeakFrame: peak(c, run).number,
		Start: first.at.Seconds(), End: last.at.Seconds(), Probability: t.score(c, run),
	}
}

// apart is how far key frames of a segment are from one another at least: nearer ones show the same.
const apart = 2 * time.Second

// sharper is by how much a frame has to be sharper than the peak to be looked at besides.
const sharper = 1.2

// views are the frames of a segment to look at, the first before the others.
func (t Temporal) views(c analysis.Class, run []watched) (keys []analysis.KeyFrame) {
	var chosen []watched
	add := func(f watched, reason string) {
		for _, before := range chosen {
			if d := f.at - before.at; d < apart && -d < apart {
				return
			}
		}
		chosen = append(chosen, f)
		keys = append(keys, analysis.KeyFrame{Frame: f.number, Class: c.Name, Reason: reason, At: f.at.Seconds(), Probability: f.scores[c.Name]})
	}
	found := slices.DeleteFunc(slices.Clone(run), func(f watched) bool { return !f.reached })
	if len(found) == 0 {
		return nil
	}
	best := peak(c, found)
	if c.Role == analysis.RoleLandmark {
		add(best, "best view of the landmark")
		return keys
	}
	if best.counts[c.Name] > 0 { // a clip is what is found; of its frames, those that count
		for i, f := range slices.SortedStableFunc(slices.Values(found), func(a, b watched) int { return telling(c)(b, a) }) {
			if i == 0 {
				add(f, "highest attention")
			} else if f.counts[c.Name] >= best.counts[c.Name]/2 {
				add(f, "high attention, apart in time from the others of its segment")
			}
		}
		return keys
	}
	add(best, "peak of the finding")
	if sharp := slices.MaxFunc(found, func(a, b watched) int { return cmp.Compare(a.sharp, b.sharp) }); sharp.sharp > sharper*best.sharp {
		add(sharp, "sharpest of its segment")
	}
	slices.SortStableFunc(found, func(a, b watched) int { return cmp.Compare(b.scores[c.Name], a.scores[c.Name]) })
	for _, f := range found {
		add(f, "apart in time from the others of its segment")
	}
	return keys
}

// few leaves of each class as many key frames as there may be: the first of every segment before the others, the most probable
// before others of their kind.
func (t Temporal) few(all []analysis.KeyFrame) (kept []analysis.KeyFrame) {
	byClass := map[string][]analysis.KeyFrame{}
	for _, k := range all {
		byClass[k.Class] = append(byClass[k.Class], k)
	}
	order := []string{"highest attention", "peak of the finding", "best view of the landmark", "sharpest of its segment"}
	rank := func(k analysis.KeyFrame) int {
		if i := slices.Index(order, k.Reason); i >= 0 {
			return i
		}
		return math.MaxInt
	}
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		keys := byClass[class]
		slices.SortStableFunc(keys, func(a, b analysis.KeyFrame) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Probability, a.Probability))
		})
		kept = append(kept, keys[:min(t.KeyFrames, len(keys))]...)
	}
	return kept
}
