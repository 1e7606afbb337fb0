package faithfulness_test

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"testing"

	"endogate/explain"
	"endogate/explain/faithfulness"

	"github.com/stretchr/testify/require"
)

var layout = explain.Layout{Frames: 1, Channels: 1, Height: 8, Width: 8}

// corner is a network that sees the mean of the 4×4 pixels in the upper left corner.
func corner(_ context.Context, inputs []float32, n int) ([]float64, error) {
	scores := make([]float64, n)
	for k := range n {
		for y := range 4 {
			for x := range 4 {
				scores[k] += float64(inputs[64*k+8*y+x]) / 16
			}
		}
	}
	return scores, nil
}

func mapOf(f func(x, y int) float32) explain.Map {
	m := explain.Map{Width: 8, Height: 8, Values: make([]float32, 64)}
	for i := range m.Values {
		m.Values[i] = f(i%8, i/8)
	}
	return m
}

func ones() []float32 {
	v := make([]float32, 64)
	for i := range v {
		v[i] = 1
	}
	return v
}

func TestCurves(t *testing.T) {
	right := mapOf(func(x, y int) float32 {
		if x < 4 && y < 4 {
			return 1
		}
		return 0
	})
	wrong := mapOf(func(x, y int) float32 { return -right.Values[8*y+x] })
	none := mapOf(func(int, int) float32 { return 0.5 })
	area := map[string][2]float64{}
	for name, m := range map[string]explain.Map{"right": right, "wrong": wrong, "none": none} {
		d, i, err := faithfulness.Curves(t.Context(), corner, layout, ones(), make([]float32, 64), make([]float32, 64), m)
		require.NoError(t, err)
		require.Len(t, d.Scores, faithfulness.Steps+1)
		require.InDelta(t, 1, d.Scores[0], 1e-6)
		require.InDelta(t, 0, d.Scores[faithfulness.Steps], 1e-6)
		require.InDelta(t, 1, i.Scores[faithfulness.Steps], 1e-6)
		area[name] = [2]float64{d.Area, i.Area}
	}
	require.InDelta(t, 1./8, area["right"][0], 0.01) // the score falls evenly over the first quarter
	require.InDelta(t, 7./8, area["right"][1], 0.01)
	require.InDelta(t, 7./8, area["wrong"][0], 0.01)
	require.Greater(t, area["none"][0], area["right"][0])
	require.Less(t, area["none"][0], area["wrong"][0])

	none.Values[3] = float32(math.NaN())
	_, _, err := faithfulness.Curves(t.Context(), corner, layout, ones(), ones(), ones(), none)
	require.ErrorIs(t, err, explain.ErrNotFinite)
	_, _, err = faithfulness.Curves(t.Context(), corner, layout, ones(), ones()[1:], ones(), right)
	require.ErrorContains(t, err, "values")
}

func TestBlur(t *testing.T) {
	flat := faithfulness.Blur(layout, ones(), 2)
	require.InDeltaSlice(t, ones(), flat, 1e-6)
	point := make([]float32, 64)
	point[8*4+4] = 1
	blurred := faithfulness.Blur(layout, point, 1)
	require.InDelta(t, 0.159, blurred[8*4+4], 0.002) // 1/2π
	require.InDelta(t, blurred[8*4+3], blurred[8*3+4], 1e-6)
}

func TestMask(t *testing.T) {
	picture := image.NewGray(image.Rect(0, 0, 16, 16))
	for y := range 8 {
		for x := range 8 {
			picture.SetGray(x, y, color.Gray{255})
		}
	}
	path := t.TempDir() + "/m.png"
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, picture))
	require.NoError(t, f.Close())
	mask, err := faithfulness.ReadMask(path)
	require.NoError(t, err)
	require.Equal(t, 0.25, mask.Share())

	peak := func(px, py int) explain.Map {
		return mapOf(func(x, y int) float32 {
			if x == px && y == py {
				return 2
			}
			return 1
		})
	}
	require.True(t, faithfulness.Pointing(peak(3, 3), mask, 0))
	require.False(t, faithfulness.Pointing(peak(5, 3), mask, 0))
	require.True(t, faithfulness.Pointing(peak(5, 3), mask, 0.25))
	require.InDelta(t, 17./65, faithfulness.EnergyInside(peak(0, 0), mask), 1e-6)
	require.Zero(t, faithfulness.EnergyInside(mapOf(func(int, int) float32 { return -1 }), mask))

	empty := t.TempDir() + "/e.png"
	f, err = os.Create(empty)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewGray(image.Rect(0, 0, 4, 4))))
	require.NoError(t, f.Close())
	_, err = faithfulness.ReadMask(empty)
	require.ErrorContains(t, err, "nothing in it is marked")

	numbers := image.NewGray(image.Rect(0, 0, 4, 4))
	numbers.Pix[5] = 1
	f, err = os.Create(empty)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, numbers))
	require.NoError(t, f.Close())
	_, err = faithfulness.ReadMask(empty)
	require.ErrorContains(t, err, "has the level 1 of 255, so that it seems to hold numbers of classes")
	require.NotErrorIs(t, err, faithfulness.ErrUnmarked)
}

func TestEstimates(t *testing.T) {
	share := faithfulness.Share(8, 10) // Newcombe 1998
	require.InDelta(t, 0.490, share.Low, 0.001)
	require.InDelta(t, 0.943, share.High, 0.001)
	values := make([]float64, 100)
	for i := range values {
		values[i] = float64(i)
	}
	m := faithfulness.Mean(values)
	require.InDelta(t, 49.5, m.Value, 1e-9)
	half := 1.96 * 28.87 / 10 // the normal interval
	require.InDelta(t, 49.5-half, m.Low, 0.5)
	require.InDelta(t, 49.5+half, m.High, 0.5)
	require.Equal(t, m, faithfulness.Mean(values))
	require.True(t, math.IsNaN(faithfulness.Mean(nil).Value))
}

// Draws are averaged within their frame: they make no sample of their own.
func TestMeanOfDraws(t *testing.T) {
	e := faithfulness.MeanOfDraws([][]float64{{0, 1}, nil, {0.2, 0.5, 0.8}})
	require.InDelta(t, 0.5, e.Value, 1e-9)
	require.InDelta(t, 0, e.High-e.Low, 1e-9, "the frames are alike, whatever their draws")
	require.Equal(t, 2, e.N)
	require.InDelta(t, 2./3, faithfulness.MeanOfDraws([][]float64{{1, 1, 1}, {0}, {1}}).Value, 1e-9, "a frame of more draws does not count more")
	require.Zero(t, faithfulness.MeanOfDraws([][]float64{nil, {}}).N)
}

func TestRankCorrelation(t *testing.T) {
	a := []float32{1, 2, 3, 4, 5}
	require.InDelta(t, 1, faithfulness.RankCorrelation(a, []float32{-10, 20, -30, 40, 50}), 1e-9)
	require.InDelta(t, -1, faithfulness.RankCorrelation(a, []float32{5, 4, 3, 2, 1}), 1e-9)
	require.InDelta(t, 0.8, faithfulness.RankCorrelation(a, []float32{2, 1, 4, 3, 5}), 1e-9) // 1 - 6·4/(5·24)
	require.Zero(t, faithfulness.RankCorrelation(a, make([]float32, 5)))
}
