package inference

import (
	"fmt"
	"slices"
	"strings"

	"endogate/dicomnode/pixeldata"
)

// lacks collects the frames of an instance that cannot be decoded.
type lacks struct {
	first  error // why the first of them
	of     int
	byWhy  map[string][][2]int // ranges of frames, in their order
	reason []string            // in the order they came up
}

// Bounds of what is said of bad frames: people read it.
const (
	maxReasons = 3
	maxRanges  = 12
)

func (l *lacks) add(bad *pixeldata.FrameError) {
	if l.first == nil {
		l.first, l.of, l.byWhy = bad, bad.Of, map[string][][2]int{}
	}
	why := strings.TrimPrefix(bad.Err.Error(), "pixeldata: ")
	ranges, known := l.byWhy[why]
	if !known && len(l.reason) >= maxReasons {
		why = "other reasons"
		ranges, known = l.byWhy[why]
	}
	if !known {
		l.reason = append(l.reason, why)
	}
	if n := len(ranges); n > 0 && ranges[n-1][1] == bad.First-1 {
		ranges[n-1][1] = bad.Last
	} else {
		ranges = append(ranges, [2]int{bad.First, bad.Last})
	}
	l.byWhy[why] = ranges
}

// String names the frames and says why; "" where there are none.
func (l *lacks) String() string {
	var parts []string
	for _, why := range l.reason {
		parts = append(parts, fmt.Sprintf("%s of %d not analysed: %s", numbers(l.byWhy[why]), l.of, why))
	}
	return strings.Join(parts, "; ")
}

func numbers(ranges [][2]int) string {
	var out []string
	for _, r := range ranges[:min(len(ranges), maxRanges)] {
		if r[0] == r[1] {
			out = append(out, fmt.Sprint(r[0]))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", r[0], r[1]))
		}
	}
	text := strings.Join(out, ", ")
	if more := ranges[len(out):]; len(more) > 0 {
		n := 0
		for _, r := range more {
			n += r[1] - r[0] + 1
		}
		text += fmt.Sprintf(" and %d more", n)
	}
	if len(ranges) == 1 && ranges[0][0] == ranges[0][1] {
		return "frame " + text
	}
	return "frames " + text
}

// both joins what is said of frames.
func both(says ...string) string {
	return strings.Join(slices.DeleteFunc(says, func(s string) bool { return s == "" }), "; ")
}
