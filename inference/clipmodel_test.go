package inference

import (
	"context"
	"image"
	"testing"

	"endogate/dicomnode/dicomtest"
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
