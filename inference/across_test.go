package inference

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference/analysis"
)

// timekeeper looks across time: it finds something in every clip with frame 13 or frame 31, which alone count. It says what it was given.
type timekeeper struct {
	seer
	clip    Clip
	keys    int
	scale   float32 // of what frames count; 0: 1
	encoded []int
	clips   [][]int
	err     func(clip []int) error
}

func (m *timekeeper) Sequence() *Clip { return &m.clip }

func (m *timekeeper) Watching() (Temporal, []analysis.Class) {
	t := clipTemporal()
	t.Select, t.KeyFrames = Select{Every: 1, Most: 2000}, m.keys
	return t, []analysis.Class{{Name: "polyp", Role: analysis.RoleFinding, Threshold: 0.5}}
}

func (m *timekeeper) Classify(context.Context, analysis.Sample) (analysis.Part, error) {
	return analysis.Part{}, errors.New("it is no model of stills")
}

func (m *timekeeper) Reduce(s analysis.Sample) (analysis.Prepared, error) {
	r := s.Frames[0].Rect
	return analysis.Prepared{Geometry: analysis.Geometry{Rows: r.Dy(), Columns: r.Dx(), Crop: r}, Pixels: []uint8{uint8(s.Span.First)}}, nil
}

func (m *timekeeper) Encode(_ context.Context, frames []analysis.Prepared) (all [][]float32, err error) {
	for _, f := range frames {
		m.encoded = append(m.encoded, int(f.Pixels[0]))
		all = append(all, []float32{float32(f.Pixels[0])})
	}
	return all, nil
}

func (m *timekeeper) Across(_ context.Context, window [][]float32) (map[string]float64, error) {
	var clip []int
	for _, e := range window {
		clip = append(clip, int(e[0]))
	}
	return m.look(clip)
}

func (m *timekeeper) Clip(_ context.Context, frames []analysis.Prepared) (map[string]float64, error) {
	return m.look(numbersOf(frames))
}

func numbersOf(frames []analysis.Prepared) (all []int) {
	for _, f := range frames {
		all = append(all, int(f.Pixels[0]))
	}
	return all
}

func (m *timekeeper) look(clip []int) (map[string]float64, error) {
	m.clips = append(m.clips, clip)
	if m.err != nil {
		if err := m.err(clip); err != nil {
			return nil, err
		}
	}
	p := 0.1
	for _, n := range clip {
		if n == 13 || n == 31 {
			p = 0.5 + float64(n)/100
		}
	}
	return map[string]float64{"polyp": p}, nil
}

func (m *timekeeper) Explain(_ context.Context, frames []analysis.Prepared, _ string) (Moments, analysis.Explanation, error) {
	moments := Moments{By: "attention"}
	for _, n := range numbersOf(frames) {
		counts := float32(0.01)
		if n == 13 || n == 31 {
			counts = 0.9
		}
		moments.Importance = append(moments.Importance, counts*cmp.Or(m.scale, 1))
		moments.Maps = append(moments.Maps, explain.Map{Width: 1, Height: 1, Values: []float32{float32(n)}})
	}
	return moments, analysis.Explanation{Method: "gradcam", Layer: "last"}, nil
}

// notebook is a diary in memory.
type notebook struct {
	parts []analysis.Part
	pages []int // how many were kept at a time
	most  int   // parts, after which it refuses
}

var errFull = errors.New("full")

func (n *notebook) Kept(context.Context, int) ([]analysis.Part, error) {
	return append([]analysis.Part(nil), n.parts...), nil
}

func (n *notebook) Keep(_ context.Context, parts []analysis.Part, p Progress) error {
	if p.Done != len(n.parts)+len(parts) {
		return fmt.Errorf("%d parts behind %d are %d", len(parts), len(n.parts), p.Done)
	}
	n.parts, n.pages = append(n.parts, parts...), append(n.pages, len(parts))
	if n.most > 0 && len(n.parts) >= n.most {
		return errFull
	}
	return nil
}

// shining is a video of so many frames, ten a second, each of which counts.
func shining(t *testing.T, frames int) func() *pixeldata.Instance {
	installed.Require(t, "ffmpeg")
	stream := dicomtest.Stream(t, "mp4", "-f", "lavfi", "-i", "nullsrc=s=64x48:r=10,geq=lum='60+60*mod(floor(X/4)+floor(Y/4),2)+mod(N,9)':cb=90:cr=170", "-frames:v", fmt.Sprint(frames), "-c:v", "libx264", "-g", "10", "-qp", "10")
	dataset, _ := dicomtest.Video(dicomtest.Options{TransferSyntax: "1.2.840.10008.1.2.4.102", Frames: frames, Rows: 48, Columns: 64}, stream, 1)
	return func() *pixeldata.Instance {
		ts, ok := dicom.LookupTransferSyntax("1.2.840.10008.1.2.4.102")
		require.True(t, ok)
		i, err := pixeldata.Open(bytes.NewReader(dataset), ts, pixeldata.Options{Scratch: t.TempDir()})
		require.NoError(t, err)
		return i
	}
}

// A model that looks across time sees a video in clips, an encoder each frame once; what it finds stands where the clips are in which it
// persists, and its key frames are those that count in them.
func TestWatch_acrossTime(t *testing.T) {
	open := shining(t, 40)
	for _, row := range []struct {
		name     string
		clip     Clip
		clips    [][2]int // first and last frame
		segments [][3]int // and the peak
	}{
		{"a pair in windows", Clip{Frames: 8, Longer: InWindows, Stride: 4, Head: "head.onnx"}, [][2]int{{1, 8}, {5, 12}, {9, 16}, {13, 20}, {17, 24}, {21, 28}, {25, 32}, {29, 36}, {33, 40}}, [][3]int{{9, 20, 13}, {25, 36, 31}}},
		{"one network in windows", Clip{Frames: 8, Longer: InWindows, Stride: 4}, [][2]int{{1, 8}, {5, 12}, {9, 16}, {13, 20}, {17, 24}, {21, 28}, {25, 32}, {29, 36}, {33, 40}}, [][3]int{{9, 20, 13}, {25, 36, 31}}},
		{"windows that do not end with the video", Clip{Frames: 16, Longer: InWindows, Stride: 16}, [][2]int{{1, 16}, {17, 32}, {33, 40}}, [][3]int{{1, 32, 31}}},
		{"truncated", Clip{Frames: 16, Longer: Truncate, Stride: 16}, [][2]int{{1, 16}}, [][3]int{{1, 16, 13}}},
		{"spread", Clip{Frames: 20, Longer: Uniform, Stride: 20, Head: "head.onnx"}, [][2]int{{2, 40}}, nil},
		{"shorter than a clip", Clip{Frames: 64, Longer: InWindows, Stride: 32, Head: "head.onnx"}, [][2]int{{1, 40}}, [][3]int{{1, 40, 13}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := &timekeeper{clip: row.clip, keys: 5}
			w := Worker{Models: map[string]Model{"keeper": m}}
			a, err := w.Watch(t.Context(), Task{Job: "J1", Model: "keeper", Instance: open()}, nil)
			require.NoError(t, err)
			require.Empty(t, a.NotAnalysed)
			var clips [][2]int
			for _, c := range m.clips {
				clips = append(clips, [2]int{c[0], c[len(c)-1]})
			}
			assert.Equal(t, row.clips, clips)
			if row.clip.Head != "" {
				assert.Len(t, m.encoded, a.Moving.Analysed, "each once")
			}
			require.Len(t, a.Moving.Segments, len(row.segments))
			for i, want := range row.segments {
				s := a.Moving.Segments[i]
				assert.Equal(t, want, [3]int{s.FirstFrame, s.LastFrame, s.PeakFrame})
			}
			assert.Equal(t, 40, a.Moving.Frames)
			for _, p := range a.Parts {
				assert.Nil(t, p.Embedding)
				key := a.Moving.Key(p.Result.Span.First, "polyp")
				require.Equal(t, key, len(p.Maps) == 1)
				if key {
					assert.Equal(t, []float32{float32(p.Result.Span.First)}, p.Maps[0].Values, "its own")
					assert.Contains(t, p.Result.Notes[0], "(attention)")
				}
			}
			var b bytes.Buffer
			require.NoError(t, a.Encode(&b))
		})
	}
}

// How much a frame counts is its share in its clip, on whatever scale a network has it; what is no number is not said.
func TestWatch_weights(t *testing.T) {
	open := shining(t, 40)
	for _, scale := range []float32{1, 50, float32(math.NaN())} {
		m := &timekeeper{clip: Clip{Frames: 20, Longer: InWindows, Stride: 20}, keys: 5, scale: scale}
		a, err := (&Worker{Models: map[string]Model{"keeper": m}}).Watch(t.Context(), Task{Job: "J1", Model: "keeper", Instance: open()}, nil)
		require.NoError(t, err)
		_, err = json.Marshal(a.Moving)
		require.NoError(t, err)
		if scale != scale {
			assert.Empty(t, a.Moving.Weights)
			continue
		}
		require.Len(t, a.Moving.Weights, 40)
		sums := map[bool]float64{}
		for _, w := range a.Moving.Weights {
			sums[w.Frame > 20] += w.Value
		}
		assert.InDelta(t, 1, sums[false], 1e-6)
		assert.InDelta(t, 1, sums[true], 1e-6)
		assert.InDelta(t, 0.9/(0.9+19*0.01), a.Moving.Weights[12].Value, 1e-6)
	}
}

// Wherever a video is interrupted, it is gone on with behind what was kept, and what is said is the same.
func TestWatch_acrossTimeAgain(t *testing.T) {
	open := shining(t, 120)
	for _, clip := range []Clip{{Frames: 16, Longer: InWindows, Stride: 4, Head: "head.onnx"}, {Frames: 16, Longer: InWindows, Stride: 4}, {Frames: 100, Longer: Uniform, Stride: 100, Head: "head.onnx"}} {
		whole := &timekeeper{clip: clip, keys: 3}
		want, err := (&Worker{Models: map[string]Model{"keeper": whole}}).Watch(t.Context(), Task{Job: "J1", Model: "keeper", Instance: open()}, nil)
		require.NoError(t, err)
		diary := &notebook{most: 1}
		stopped := &timekeeper{clip: clip, keys: 3}
		_, err = (&Worker{Models: map[string]Model{"keeper": stopped}}).Watch(t.Context(), Task{Job: "J1", Model: "keeper", Instance: open()}, diary)
		require.ErrorIs(t, err, errFull)
		require.NotEmpty(t, diary.parts)
		diary.most = 0
		again := &timekeeper{clip: clip, keys: 3}
		got, err := (&Worker{Models: map[string]Model{"keeper": again}}).Watch(t.Context(), Task{Job: "J1", Model: "keeper", Instance: open()}, diary)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Len(t, append(stopped.encoded, again.encoded...), len(whole.encoded), "none twice")
		if clip.Head == "" {
			require.Len(t, append(stopped.clips, again.clips...), len(whole.clips), "none twice")
		}
	}
}

// However wide embeddings are, what is kept at a time has its bound; one frame is kept in any case.
func TestWatching_keepsWideEmbeddings(t *testing.T) {
	for width, pages := range map[int][]int{keptValues / 4: {4, 4, 2}, keptValues + 1: {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 1: {10}} {
		diary, embedding := &notebook{}, make([]float32, width)
		s := &watching{diary: diary, of: 10}
		for range s.of {
			s.parts = append(s.parts, analysis.Part{Embedding: embedding})
		}
		require.NoError(t, s.keep(t.Context(), s.of))
		assert.Equal(t, pages, diary.pages)
		assert.Len(t, diary.parts, s.of)
		assert.Equal(t, s.of, s.sure)
	}
}
