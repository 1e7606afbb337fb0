package ask

import (
	"encoding/json"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"endogate/inference"
	"endogate/inference/analysis"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// saidOfClip is what testdata/models/video.py wrote of a clip, in double precision.
type saidOfClip struct {
	Clip     string
	Class    string
	Decisive [2]int // first and last of the frames that decide, from 1
	Windows  []struct {
		First, Frames, Class int
		Logits               []float64
		Attention            [][][]float64 // layers×tokens×tokens, mean over the heads
		Importance           [][]float64   // layers×frames
		Rollout, Gradient    []float64
		GradCAM              [][][]float64 // frames×rows×columns
	}
}

const videos = "../../testdata/models/"

func saidOfClips(t *testing.T) (v struct{ Clips []saidOfClip }) {
	t.Helper()
	content, err := os.ReadFile(videos + "video/expected.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &v))
	require.Len(t, v.Clips, 3)
	return v
}

// clipOf reads the frames of a folder as a bundle prepares them.
func clipOf(t *testing.T, b *inference.Bundle, folder string) (clip []analysis.Prepared) {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.png")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		f, err := os.Open(name)
		require.NoError(t, err)
		picture, err := png.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		frame := image.NewRGBA(picture.Bounds())
		draw.Draw(frame, frame.Rect, picture, image.Point{}, draw.Src)
		p, err := b.Reduce(frame, analysis.Pose{})
		require.NoError(t, err)
		clip = append(clip, p)
	}
	return clip
}

func videoModel(t *testing.T, name string) *Model {
	t.Helper()
	b, err := inference.LoadBundle(videos + name)
	require.NoError(t, err)
	m, err := Open("", b, Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func within[S float32 | float64](t *testing.T, want []float64, got []S, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	largest := 1e-6
	for _, v := range want {
		largest = max(largest, v, -v)
	}
	for i, v := range want {
		if !assert.InDelta(t, v, got[i], 1e-4*largest, "%s, element %d", what, i) {
			return
		}
	}
}

// Logits, attention of every layer, rollout, gradient-weighted attention and grad-CAM of every frame, of the network as it was
// exported, are PyTorch's; null frames have none of it. Found in windows, they are those of the windows.
func TestWatch_againstPyTorch(t *testing.T) {
	m := videoModel(t, "video")
	for _, said := range saidOfClips(t).Clips {
		all := clipOf(t, m.Bundle, videos+"video/"+said.Clip)
		windows := m.Bundle.Clip.Windows(len(all))
		require.Len(t, windows, len(said.Windows), said.Clip)
		for i, want := range said.Windows {
			require.Equal(t, []int{want.First - 1, want.Frames}, []int{windows[i][0], len(windows[i])})
			clip := all[want.First-1 : want.First-1+want.Frames]
			w, err := m.Watch(t.Context(), clip, Question{Class: m.Bundle.Classes[want.Class].Name})
			require.NoError(t, err)
			within(t, want.Logits, w.outputs[0].Values, said.Clip+" logits")
			require.Len(t, w.Layers, 4)
			for l, row := range want.Importance {
				within(t, row, w.Layers[l], said.Clip+" importance")
			}
			within(t, want.Rollout[:want.Frames], w.Rollout[:want.Frames], said.Clip+" rollout")
			within(t, want.Gradient, w.Weighted, said.Clip+" gradient-weighted attention")
			for _, row := range append([][]float32{w.Attention, w.Rollout, w.Weighted}, w.Layers...) {
				require.Len(t, row, m.Bundle.Clip.Frames)
				for _, v := range row[want.Frames:] {
					require.Zero(t, v, "a null frame")
				}
			}
			var maps []float32
			var wanted []float64
			for f := range clip {
				require.Equal(t, []int{len(want.GradCAM[f]), len(want.GradCAM[f][0])}, []int{w.Maps[f].Height, w.Maps[f].Width})
				maps = append(maps, w.Maps[f].Values...)
				for _, row := range want.GradCAM[f] {
					wanted = append(wanted, row...)
				}
			}
			within(t, wanted, maps, said.Clip+" grad-CAM")
		}
	}
}

// An encoder and a head that looks across its embeddings say what the network in one says, in time and in space.
func TestWatch_pair(t *testing.T) {
	one, two := videoModel(t, "video"), videoModel(t, "video-pair")
	for _, said := range saidOfClips(t).Clips[:2] {
		clip := clipOf(t, one.Bundle, videos+"video/"+said.Clip)
		want, err := one.Watch(t.Context(), clip, Question{})
		require.NoError(t, err)
		got, err := two.Watch(t.Context(), clip, Question{})
		require.NoError(t, err)
		same := func(a, b []float32, what string) {
			wide := make([]float64, len(a))
			for i, v := range a {
				wide[i] = float64(v)
			}
			within(t, wide, b, what)
		}
		require.InDeltaSlice(t, want.Probabilities, got.Probabilities, 1e-5)
		require.Equal(t, want.Layer.Name, "/encoder"+got.Layer.Name)
		same(want.Attention, got.Attention, "attention")
		same(want.Rollout, got.Rollout, "rollout")
		same(want.Weighted, got.Weighted, "gradient-weighted attention")
		for i := range clip {
			same(want.Maps[i].Values, got.Maps[i].Values, "map")
		}
	}
}
