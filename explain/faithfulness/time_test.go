package faithfulness

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"endogate/explain"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A clip that is right as long as one of two frames is there: whoever names both takes it down at once, and brings it back with one.
func TestFrameCurves(t *testing.T) {
	score := func(_ context.Context, there []bool) (float64, error) {
		if there[1] || there[2] {
			return 1, nil
		}
		return 0, nil
	}
	deletion, insertion, err := FrameCurves(t.Context(), score, []float32{0, 3, 2, 1})
	require.NoError(t, err)
	require.Equal(t, Curve{Scores: []float64{1, 1, 0, 0, 0}, Area: (1 + 0.5) / 4}, deletion)
	require.Equal(t, Curve{Scores: []float64{0, 1, 1, 1, 1}, Area: (0.5 + 3) / 4}, insertion)
	deletion, insertion, err = FrameCurves(t.Context(), score, []float32{3, 1, 0, 2})
	require.NoError(t, err)
	require.Equal(t, []float64{1, 1, 1, 1, 0}, deletion.Scores)
	require.Equal(t, []float64{0, 0, 0, 1, 1}, insertion.Scores)
	_, _, err = FrameCurves(t.Context(), score, []float32{float32(math.NaN()), 0, 0, 0})
	require.ErrorIs(t, err, explain.ErrNotFinite)
	_, _, err = FrameCurves(t.Context(), func(context.Context, []bool) (float64, error) { return 0, errors.New("no") }, []float32{1})
	require.ErrorContains(t, err, "no")
}

// Of any importance, the insertion of what is named least first is the deletion of what is named most first, backwards.
func TestFrameCurves_mirrored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "frames")
		weights := rapid.SliceOfN(rapid.Float64Range(0, 1), n, n).Draw(t, "weights")
		score := func(_ context.Context, there []bool) (sum float64, _ error) {
			for i, is := range there {
				if is {
					sum += weights[i] / float64(n)
				}
			}
			return sum, nil
		}
		importance := make([]float32, n) // all different
		for i, p := range rapid.Permutation(slices.Collect(func(yield func(int) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		})).Draw(t, "order") {
			importance[i] = float32(p + 1)
		}
		turned := make([]float32, n)
		for i, v := range importance {
			turned[i] = -v
		}
		deletion, _, err := FrameCurves(context.Background(), score, importance)
		require.NoError(t, err)
		_, insertion, err := FrameCurves(context.Background(), score, turned)
		require.NoError(t, err)
		slices.Reverse(insertion.Scores)
		require.InDeltaSlice(t, deletion.Scores, insertion.Scores, 1e-9)
		require.InDelta(t, deletion.Area, insertion.Area, 1e-9)
	})
}

func TestPointingInTime(t *testing.T) {
	for _, c := range []struct {
		name             string
		importance       []float32
		first, last, tol int
		hit              bool
		energy           float64
	}{
		{"inside", []float32{0, 1, 3, 0}, 2, 2, 0, true, 0.75},
		{"beside", []float32{0, 3, 1, 0}, 2, 2, 0, false, 0.25},
		{"beside, within a tolerance", []float32{0, 3, 1, 0}, 2, 2, 1, true, 0.25},
		{"the first of equal ones", []float32{2, 2}, 1, 1, 0, false, 0.5},
		{"nothing counts", []float32{0, 0}, 0, 1, 0, false, 0},
		{"against the class does not count", []float32{-5, 1}, 0, 0, 0, false, 0},
	} {
		require.Equal(t, c.hit, PointingInTime(c.importance, c.first, c.last, c.tol), c.name)
		require.InDelta(t, c.energy, EnergyInTime(c.importance, c.first, c.last), 1e-9, c.name)
	}
}
