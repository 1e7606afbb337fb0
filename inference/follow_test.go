package inference

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// live is for each of the frames whether a class persists with it, as it was said when no later frame was known.
func live(rule Temporal, frames string) (said string, since []int) {
	f := rule.Follow(overTime)
	for _, w := range second(frames) {
		now := "."
		if w.poor == "" {
			if present := f.Next(w.number, w.scores); len(present) > 0 {
				now = "|"
				if n := present[0].Since; len(since) == 0 || since[len(since)-1] != n {
					since = append(since, n)
				}
			}
		}
		said += now
	}
	return said, since
}

func TestFollowing(t *testing.T) {
	plain := DefaultTemporal()
	plain.Smoothing, plain.Lower = 1, 1
	lower := plain
	lower.Lower = 0.8
	for _, row := range []struct {
		name, frames, want string
		rule               Temporal
	}{
		{"nothing", "0101", "....", plain},
		{"one frame alone does not count", "00900", ".....", plain},
		{"the second does, and the first is not said again", "00860", "...|.", plain},
		{"two of three", "009499000", "....||...", DefaultTemporal()},
		{"hysteresis", "994300", ".||...", lower},
		{"two findings", "09900099", "..|....|", plain},
		{"poor frames part nothing", "09x90", "...|.", plain},
		{"the first frame alone", "9", ".", plain},
	} {
		said, _ := live(row.rule, row.frames)
		assert.Equal(t, row.want, said, row.name)
	}
}

// What is said while frames come is what is said of the video as a whole: the same runs, no other ones, each known before its end.
func TestFollowing_asAWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := DefaultTemporal()
		rule.Smoothing = rapid.Float64Range(0.1, 1).Draw(t, "smoothing")
		rule.Lower = rapid.Float64Range(0.1, 1).Draw(t, "lower")
		rule.Of = rapid.IntRange(1, 5).Draw(t, "of")
		rule.Frames = rapid.IntRange(1, rule.Of).Draw(t, "frames")
		frames := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789x")), 0, 60, -1).Draw(t, "probabilities")
		if len(frames)-strings.Count(frames, "x") < rule.Frames {
			return // a video of so few frames counts with fewer
		}
		whole := rule.sum(overTime, second(frames))
		_, since := live(rule, frames)
		require.Len(t, since, len(whole.Segments))
		for i, s := range whole.Segments {
			assert.GreaterOrEqual(t, since[i], s.FirstFrame)
			assert.LessOrEqual(t, since[i], s.LastFrame)
		}
	})
}
