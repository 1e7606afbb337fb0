package inference

import (
	"context"
	"image"
	"testing"

	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/inference/analysis"

	"github.com/stretchr/testify/require"
)

// looker looks across time; of each clip the last frame counts most.
type looker struct {
	seer
	clip Clip
}

func (l looker) Sequence() *Clip { return &l.clip }

func (l looker) Infer(_ context.Context, s analysis.Sample, _ Wishes) (analysis.Part, error) {
	return analysis.Part{Result: analysis.Result{Span: s.Span, Peak: s.Number(len(s.Frames) - 1)}}, nil
}

// A worker gives a model that looks across time the frames of an instance in clips, as its manifest has it, and hands over the frame of each
// that counts most.
func TestEach_clips(t *testing.T) {
	for _, c := range []struct {
		name  string
		clip  Clip
		spans [][2]int
		peaks []int
		note  string
	}{
		{"in windows", Clip{Frames: 4, Longer: InWindows, Stride: 2}, [][2]int{{1, 4}, {3, 4}, {5, 3}}, []int{4, 6, 7}, ""},
		{"windows side by side", Clip{Frames: 4, Longer: InWindows, Stride: 4}, [][2]int{{1, 4}, {5, 3}}, []int{4, 7}, ""},
		{"truncated", Clip{Frames: 4, Longer: Truncate, Stride: 4}, [][2]int{{1, 4}}, []int{4}, "only the first 4 of 7 frames are looked at"},
		{"spread", Clip{Frames: 3, Longer: Uniform, Stride: 3}, [][2]int{{2, 5}}, []int{6}, ""},
		{"short", Clip{Frames: 16, Longer: Uniform, Stride: 16}, [][2]int{{1, 7}}, []int{7}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dataset, _ := dicomtest.Endoscopic(dicomtest.Options{Rows: 30, Columns: 40, Frames: 7})
			w := workerOn(t, dataset, "")
			w.Models["seer"] = looker{clip: c.clip}
			var spans [][2]int
			var peaks []int
			why, err := w.Each(t.Context(), w.Task, func(_ context.Context, p analysis.Part, frames []*image.RGBA) error {
				require.Len(t, frames, 1)
				spans, peaks = append(spans, [2]int{p.Result.Span.First, p.Result.Span.Count}), append(peaks, p.Result.Shown())
				if c.note != "" {
					require.Contains(t, p.Result.Notes, c.note)
				}
				return nil
			})
			require.NoError(t, err)
			require.Empty(t, why)
			require.Equal(t, c.spans, spans)
			require.Equal(t, c.peaks, peaks)
		})
	}
}

// Maps of several findings are of the one frame that they are drawn over, and each note says which.
func TestBundleModel_drawOn(t *testing.T) {
	moments := func(importance ...float32) Moments {
		m := Moments{Importance: importance, By: "gradient"}
		for i := range importance {
			m.Maps = append(m.Maps, hot(i, 0))
		}
		return m
	}
	sample := analysis.Sample{Span: analysis.Span{First: 5, Count: 3}}
	all := []analysis.Geometry{{Rows: 1}, {Rows: 2}, {Rows: 3}}
	var part analysis.Part
	demoWith(t, &scripted{logits: make([]float32, 5)}).drawOn(&part, sample, all, []momentsOf{
		{analysis.Finding{Class: "ulcer", Probability: 0.6}, moments(1, 0, 0)},
		{analysis.Finding{Class: "polyp", Probability: 0.9}, moments(0, 0, 1)},
	})
	require.Equal(t, []int{7, 3}, []int{part.Result.Peak, part.Geometry.Rows})
	require.Len(t, part.Maps, 2)
	for _, m := range part.Maps {
		require.Equal(t, hot(2, 0).Values, m.Values, m.Class)
	}
	require.Equal(t, []string{
		"ulcer: the frames that count most are 5 (1.00), 6 (0.00), 7 (0.00) (gradient); the map is of frame 7, which counts most for polyp",
		"polyp: the frames that count most are 7 (1.00), 5 (0.00), 6 (0.00) (gradient); the map is of the first of them",
	}, part.Result.Notes)
}

// What is truncated ends with its first clip, also where a frame that cannot be decoded has cut that short.
func TestClip_truncatedByDamage(t *testing.T) {
	frames := func(yield func(analysis.Sample, error) bool) {
		for n := 1; n <= 9; n++ {
			if n == 3 {
				if !yield(analysis.Sample{}, &pixeldata.FrameError{First: 3, Last: 3, Of: 9, Err: pixeldata.ErrCorrupt}) {
					return
				}
				continue
			}
			if !yield(analysis.Sample{Span: analysis.Still(n)}, nil) {
				return
			}
		}
	}
	var spans []analysis.Span
	for s, err := range (Clip{Frames: 4, Longer: Truncate, Stride: 4}).clips(frames, 9, func() {}) {
		if err == nil {
			spans = append(spans, s.Span)
		}
	}
	require.Equal(t, []analysis.Span{{First: 1, Count: 2}}, spans)
}

// Of a sequence that is seen evenly, frames that nobody wants are signs of life, and one of them that cannot be decoded costs nothing.
func TestClip_uniformPassesOver(t *testing.T) {
	frames := func(yield func(analysis.Sample, error) bool) {
		for n := 1; n <= 9; n++ {
			s, err := analysis.Sample{Span: analysis.Still(n)}, error(nil)
			if n == 3 { // 2, 5 and 8 are wanted
				s, err = analysis.Sample{}, &pixeldata.FrameError{First: 3, Last: 3, Of: 9, Err: pixeldata.ErrCorrupt}
			}
			if !yield(s, err) {
				return
			}
		}
	}
	alive := 0
	var numbers []int
	for s, err := range (Clip{Frames: 3, Longer: Uniform, Stride: 3}).clips(frames, 9, func() { alive++ }) {
		require.NoError(t, err)
		numbers = append(numbers, s.Numbers...)
	}
	require.Equal(t, []int{2, 5, 8}, numbers)
	require.Equal(t, 6, alive)
}
