package inference

import "endogate/inference/analysis"

// Following puts together what the frames of a live signal say, by the rule that a model has for videos, while they come: nothing
// of what is to come is known, and nothing that was said is taken back. It is used by one goroutine.
type Following struct {
	rule    Temporal
	classes []analysis.Class
	lines   []line
	counted int // frames
}

// line is a class over time.
type line struct {
	smooth  float64
	reached []bool // of the frames of the run, or of those just before one, the last ones
	running bool   // what is smoothed has reached the threshold, and not fallen below the end since
	since   int    // the first frame of a run that counts; 0: it does not
}

// Follow begins a signal.
func (t Temporal) Follow(classes []analysis.Class) *Following {
	return &Following{rule: t, classes: classes, lines: make([]line, len(classes))}
}

// Next takes in what a frame says, and returns the classes that persist with it, in their order. A frame that is discounted changes
// nothing: it is not to be given.
func (f *Following) Next(number int, scores map[string]float64) (present []analysis.Present) {
	f.counted++
	for i, c := range f.classes {
		l := &f.lines[i]
		if f.next(l, c, scores[c.Name]) {
			if l.since == 0 {
				l.since = number
			}
			present = append(present, analysis.Present{Class: c.Name, Role: c.Role, Probability: l.smooth, Threshold: c.Threshold, Since: l.since})
		} else {
			l.since = 0
		}
	}
	return present
}

// next reports whether a class counts as of a frame of this probability.
func (f *Following) next(l *line, c analysis.Class, p float64) bool {
	if f.counted == 1 {
		l.smooth = p
	} else {
		l.smooth = f.rule.Smoothing*p + (1-f.rule.Smoothing)*l.smooth
	}
	reached := p >= c.Threshold
	goes := l.smooth >= c.Threshold || l.running && l.smooth >= f.rule.Lower*c.Threshold
	if l.running && !goes {
		l.reached = nil // of the run that has ended
	}
	if l.running = goes; !goes && !reached { // what comes before a run is a part of it as long as each frame reaches the threshold by itself
		l.reached = nil
		return false
	}
	l.reached = append(l.reached, reached)
	l.reached = l.reached[max(0, len(l.reached)-f.rule.Of):]
	return goes && (l.since != 0 || f.persists(l.reached))
}

// persists reports whether enough of the last frames reach the threshold.
func (f *Following) persists(last []bool) bool {
	n := 0
	for _, reached := range last {
		if reached {
			n++
		}
	}
	return n >= f.rule.Frames
}
