package inference

import (
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"endogate/inference/analysis"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/draw"
	"pgregory.net/rapid"
)

var overTime = []analysis.Class{{Name: "polyp", Role: analysis.RoleFinding, Threshold: 0.5}}

// second are frames a second apart: a digit is the probability in tenths, x one of 0.9 that is discounted.
func second(probabilities string) (frames []watched) {
	for i, c := range probabilities {
		f := watched{number: 1 + 10*i, at: time.Duration(i) * time.Second, scores: map[string]float64{"polyp": float64(c-'0') / 10}}
		if c == 'x' {
			f.poor, f.scores["polyp"] = "blurred", 0.9
		}
		frames = append(frames, f)
	}
	return frames
}

func TestTemporal_segments(t *testing.T) {
	plain := DefaultTemporal()
	plain.Smoothing, plain.Lower = 1, 1
	for _, row := range []struct {
		name, frames string
		t            Temporal
		want         [][3]int // first, last and peak, as second counts from 0
	}{
		{"nothing", "0101", plain, nil},
		{"one frame alone does not count", "00900", plain, nil},
		{"two that follow do", "00860", plain, [][3]int{{2, 3, 2}}},
		{"two of three do, where what is between is smoothed", "0094900", DefaultTemporal(), [][3]int{{2, 4, 2}}},
		{"two findings", "09900099", plain, [][3]int{{1, 2, 1}, {6, 7, 6}}},
		{"a dip is smoothed over", "999499900", DefaultTemporal(), [][3]int{{0, 6, 0}}},
		{"poor frames are none of it", "0xx00", plain, nil},
		{"poor frames part nothing", "09x90", plain, [][3]int{{1, 3, 1}}},
		{"a video of one frame", "9", plain, [][3]int{{0, 0, 0}}},
		{"no frames", "", plain, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := row.t.sum(overTime, second(row.frames))
			require.Len(t, m.Segments, len(row.want))
			for i, w := range row.want {
				s := m.Segments[i]
				assert.Equal(t, []int{1 + 10*w[0], 1 + 10*w[1], 1 + 10*w[2]}, []int{s.FirstFrame, s.LastFrame, s.PeakFrame})
				assert.Equal(t, []float64{float64(w[0]), float64(w[1])}, []float64{s.Start, s.End})
			}
			assert.Equal(t, strings.Count(row.frames, "x"), m.Discounted)
		})
	}
}

func TestTemporal_rules(t *testing.T) {
	for rule, want := range map[Rule]float64{Max: 0.9, MeanTopK: (0.9 + 0.8) / 2, Consensus: (0.2 + 0.9 + 0.8 + 0.1) / 4, Hysteresis: 0.6*0.8 + 0.4*(0.6*0.9+0.4*0.2)} {
		temporal := DefaultTemporal()
		temporal.Rule, temporal.Top = rule, 2
		assert.InDelta(t, want, temporal.sum(overTime, second("2981")).Scores["polyp"], 1e-9, rule)
	}
}

// Whatever the frames: segments follow one another, are of frames that count, and have their peak; key frames are within them, apart,
// and not too many.
func TestTemporal_any(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		temporal := DefaultTemporal()
		temporal.Smoothing = rapid.Float64Range(0.1, 1).Draw(t, "smoothing")
		temporal.Lower = rapid.Float64Range(0.1, 1).Draw(t, "lower")
		temporal.Of = rapid.IntRange(1, 5).Draw(t, "of")
		temporal.Frames = rapid.IntRange(1, temporal.Of).Draw(t, "frames")
		temporal.Rule = rapid.SampledFrom([]Rule{Hysteresis, Max, MeanTopK, Consensus}).Draw(t, "rule")
		frames := second(rapid.StringOfN(rapid.RuneFrom([]rune("0123456789x")), 0, 60, -1).Draw(t, "probabilities"))
		m := temporal.sum(overTime, slices.Clone(frames))
		last := 0
		for _, s := range m.Segments {
			if s.FirstFrame <= last || s.PeakFrame < s.FirstFrame || s.PeakFrame > s.LastFrame || !(s.Probability > 0 && s.Probability <= 1) {
				t.Fatalf("%+v", s)
			}
			last = s.LastFrame
			for _, f := range frames {
				if (f.number == s.FirstFrame || f.number == s.PeakFrame) && f.poor != "" {
					t.Fatalf("a segment of a poor frame: %+v", s)
				}
			}
		}
		if len(m.KeyFrames) > temporal.KeyFrames {
			t.Fatalf("%d key frames", len(m.KeyFrames))
		}
		for i, k := range m.KeyFrames {
			if !m.Within(k.Frame, k.Class) || k.Probability < 0.5 {
				t.Fatalf("%+v", k)
			}
			if i > 0 && k.Frame <= m.KeyFrames[i-1].Frame {
				t.Fatalf("%+v", m.KeyFrames)
			}
		}
	})
}

func TestTemporal_keyFrames(t *testing.T) {
	frames := second("0889988000")
	frames[5].sharp = 50
	keys := DefaultTemporal().sum(overTime, frames).KeyFrames
	var got []string
	for _, k := range keys {
		got = append(got, k.Reason)
	}
	assert.Equal(t, []int{11, 31, 51}, []int{keys[0].Frame, keys[1].Frame, keys[2].Frame})
	assert.Equal(t, []string{"apart in time from the others of its segment", "peak of the finding", "sharpest of its segment"}, got)
}

func TestSelect(t *testing.T) {
	at := func(n int) time.Duration { return time.Duration(n-1) * 100 * time.Millisecond }
	uneven := func(n int) time.Duration { return time.Duration(n*n) * 100 * time.Millisecond }
	for _, row := range []struct {
		name   string
		s      Select
		count  int
		at     func(n int) time.Duration
		want   []int
		wanted int
	}{
		{name: "every", s: Select{Every: 4}, count: 10, at: at, want: []int{1, 5, 9}},
		{name: "per second", s: Select{PerSecond: 1}, count: 25, at: at, want: []int{1, 11, 21}},
		{name: "more per second than there are", s: Select{PerSecond: 50}, count: 3, at: at, want: []int{1, 2, 3}},
		{name: "per second, uneven", s: Select{PerSecond: 1}, count: 6, at: uneven, want: []int{1, 4, 5, 6}},
		{name: "segments", s: Select{Segments: 3}, count: 30, at: at, want: []int{6, 16, 26}},
		{name: "more segments than frames", s: Select{Segments: 9}, count: 2, at: at, want: []int{1, 2}},
		{name: "none", s: Select{Segments: 9}, count: 0, at: at},
	} {
		t.Run(row.name, func(t *testing.T) { assert.Equal(t, row.want, row.s.timed(row.count, row.at)) })
	}
	assert.Equal(t, []int{1, 3, 5}, thinned([]int{1, 2, 3, 4, 5, 6}, 3))
}

// Frames of endoscopies count; the same blurred, dark, overexposed or grey do not.
func TestAssess(t *testing.T) {
	spoil := map[string]func(img *image.RGBA) *image.RGBA{
		"": func(img *image.RGBA) *image.RGBA { return img },
		"blurred": func(img *image.RGBA) *image.RGBA {
			small, out := image.NewRGBA(image.Rect(0, 0, 24, 24)), image.NewRGBA(img.Rect)
			draw.BiLinear.Scale(small, small.Rect, img, img.Rect, draw.Src, nil)
			draw.CatmullRom.Scale(out, out.Rect, small, small.Rect, draw.Src, nil)
			return out
		},
		"too dark":        levels(func(c [3]float64) [3]float64 { return [3]float64{c[0] / 6, c[1] / 6, c[2] / 6} }),
		"overexposed":     levels(func(c [3]float64) [3]float64 { return [3]float64{c[0] + 235, c[1] + 235, c[2] + 235} }),
		"out of the body": levels(func(c [3]float64) [3]float64 { g := (c[0] + c[1] + c[2]) / 3; return [3]float64{g, g, g} }),
	}
	for _, row := range frameIndex(t)[:8] {
		img := readJPEG(t, "../testdata/"+row[0])
		for want, change := range spoil {
			assert.Equal(t, want, Assess(change(img)).Poor(), row[0])
		}
	}
	assert.Equal(t, "too dark", Assess(image.NewRGBA(image.Rect(0, 0, 1, 1))).Poor())
}

func levels(change func(c [3]float64) [3]float64) func(img *image.RGBA) *image.RGBA {
	return func(img *image.RGBA) *image.RGBA {
		out := image.NewRGBA(img.Rect)
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				c := img.RGBAAt(x, y)
				v := change([3]float64{float64(c.R), float64(c.G), float64(c.B)})
				out.SetRGBA(x, y, color.RGBA{uint8(math.Min(255, v[0])), uint8(math.Min(255, v[1])), uint8(math.Min(255, v[2])), 255})
			}
		}
		return out
	}
}
