package inference

import (
	"image"
	"strings"
	"testing"

	"endogate/inference/analysis"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const clipManifest = `
name: clips
version: 1.0.0
kind: video
intended_use: Test.
manufacturer: us
input: {name: input, layout: NCHW, size: [4, 6], channels: RGB, resize: nearest, scale: 1, mean: [0, 0, 0], std: [1, 1, 1]}
clip: {frames: 4, layout: NTCHW}
output: {name: logits, activation: softmax}
classes:
  - {name: a, threshold: 0.5, role: finding, finding: {code: A, scheme: 99X, meaning: A}}
  - {name: b, threshold: 0.5, role: finding, finding: {code: B, scheme: 99X, meaning: B}}
explain: {method: gradcam}
`

func TestReadManifest_clips(t *testing.T) {
	b, err := readManifest(strings.NewReader(clipManifest), "m")
	require.NoError(t, err)
	require.Equal(t, Clip{Frames: 4, Layout: NTCHW, Pad: NullFrames, Longer: InWindows, Stride: 4}, *b.Clip)
	require.Equal(t, []int64{1, 4, 3, 4, 6}, b.Shape())
	for _, c := range []struct{ from, to, says string }{
		{"clip: {frames: 4, layout: NTCHW}", "", "it needs clip: {frames, layout}"},
		{"kind: video", "kind: still", "is for kind: video alone"},
		{"frames: 4", "frames: 3", "cannot be told from colours"},
		{"frames: 4", "frames: 1", "clip.frames"},
		{"layout: NTCHW", "layout: NHWTC", "NTCHW"},
		{"layout: NTCHW}", "layout: NTCHW, stride: 5}", "clip.stride"},
		{"layout: NTCHW}", "layout: NTCHW, longer: truncate, stride: 2}", "of longer: windows alone"},
		{"layout: NTCHW}", "layout: NTCHW, pad: black}", "clip.pad"},
		{"layout: NTCHW}", "layout: NCTHW}\nhead: head.onnx", "for a head, are NTCHW"},
		{"layout: NTCHW}", "layout: NTCHW}\nhead: ../head.onnx", "must be another file of the bundle"},
		{"layout: NTCHW}", "layout: NTCHW}\nhead: model.onnx", "must be another file of the bundle"},
		{"kind: video", "head: head.onnx\nkind: still", "is for kind: video alone"},
		{"layout: NCHW", "layout: NHWC", "needs input.layout NCHW"},
		{"method: gradcam", "method: occlusion", "of many runs"},
		{"activation: softmax", "activation: sigmoid, kind: boxes", "a model of videos cannot have"},
	} {
		_, err := readManifest(strings.NewReader(strings.Replace(clipManifest, c.from, c.to, 1)), "m")
		require.ErrorContains(t, err, c.says, c.to)
	}
}

// Whatever is done with long sequences, a clip has no more frames than the network takes, they are in order, and windows leave none out.
func TestWindows(t *testing.T) {
	require.Equal(t, [][]int{{0, 1, 2, 3}, {2, 3, 4, 5}, {4, 5, 6}}, Clip{Frames: 4, Longer: InWindows, Stride: 2}.Windows(7))
	require.Equal(t, [][]int{{0, 1, 2, 3}}, Clip{Frames: 4, Longer: Truncate}.Windows(7))
	require.Equal(t, [][]int{{1, 3, 5, 7}}, Clip{Frames: 4, Longer: Uniform}.Windows(8))
	require.Empty(t, Clip{Frames: 4, Longer: InWindows, Stride: 4}.Windows(0))
	rapid.Check(t, func(t *rapid.T) {
		c := Clip{Frames: rapid.IntRange(2, 20).Draw(t, "frames"), Longer: rapid.SampledFrom([]Longer{InWindows, Truncate, Uniform}).Draw(t, "longer")}
		c.Stride = rapid.IntRange(1, c.Frames).Draw(t, "stride")
		n := rapid.IntRange(1, 200).Draw(t, "of")
		seen := map[int]bool{}
		for _, w := range c.Windows(n) {
			require.NotEmpty(t, w)
			require.LessOrEqual(t, len(w), c.Frames)
			for i, f := range w {
				require.True(t, f >= 0 && f < n && (i == 0 || f > w[i-1]))
				seen[f] = true
			}
		}
		if n <= c.Frames || c.Longer == InWindows {
			require.Len(t, seen, n)
		} else {
			require.Len(t, seen, c.Frames)
		}
	})
}

// Each pixel of each frame lies where the layout has it; what fills the clip up is zero, or the last frame again.
func TestPrepareClip(t *testing.T) {
	frame := func(level uint8) *image.RGBA {
		f := image.NewRGBA(image.Rect(0, 0, 6, 4))
		for i := range f.Pix {
			f.Pix[i] = level + uint8(i%4)
		}
		return f
	}
	for _, c := range []struct {
		layout ClipLayout
		pad    Padding
	}{{NTCHW, NullFrames}, {NCTHW, NullFrames}, {NTCHW, LastFrame}, {NCTHW, LastFrame}} {
		b, err := readManifest(strings.NewReader(strings.Replace(clipManifest, "layout: NTCHW", "layout: "+string(c.layout)+", pad: "+string(c.pad), 1)), "m")
		require.NoError(t, err)
		dst := make([]float32, b.Len())
		for i := range dst {
			dst[i] = 99 // of the clip before
		}
		all, err := b.PrepareClip([]*image.RGBA{frame(10), frame(20)}, analysis.Pose{}, dst)
		require.NoError(t, err)
		require.Len(t, all, 2)
		at := func(f, channel int) float32 {
			if c.layout == NCTHW {
				return dst[(channel*4+f)*24+5]
			}
			return dst[(f*3+channel)*24+5]
		}
		rest := float32(0)
		if c.pad == LastFrame {
			rest = 20
		}
		for channel := range 3 {
			plus := float32(channel)
			if rest == 0 {
				plus = 0
			}
			require.Equal(t, []float32{10 + float32(channel), 20 + float32(channel), rest + plus, rest + plus},
				[]float32{at(0, channel), at(1, channel), at(2, channel), at(3, channel)}, "%s %s", c.layout, c.pad)
		}
		_, err = b.PrepareClip(nil, analysis.Pose{}, dst)
		require.ErrorIs(t, err, errNoFrames)
		_, err = b.FillClip(make([]analysis.Prepared, 5), dst)
		require.ErrorContains(t, err, "5 frames, the network takes 4 at once")
	}
}
