package faithfulness

import (
	"context"
	"math"
	"slices"

	"endogate/explain"
)

// FrameScorer gives the score, 0 to 1, of the explained class of a clip of which some frames are there and the others are null frames.
type FrameScorer func(ctx context.Context, there []bool) (float64, error)

// FrameCurves returns the deletion curve of a clip, on which frames become null frames in the order of what is said of how much they count, and
// the insertion curve, on which they come to a clip of null frames. Ties keep the order of time. Both begin and end with the whole clip and with
// none of it, or the other way round: a clip has as many steps as frames. Values that are not finite are an error.
func FrameCurves(ctx context.Context, score FrameScorer, importance []float32) (deletion, insertion Curve, err error) {
	order := make([]int, len(importance))
	for i, v := range importance {
		if v != v || math.IsInf(float64(v), 0) {
			return deletion, insertion, explain.ErrNotFinite
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := importance[a], importance[b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	if deletion, err = frameCurve(ctx, score, order, true); err != nil {
		return deletion, insertion, err
	}
	insertion, err = frameCurve(ctx, score, order, false)
	return deletion, insertion, err
}

// frameCurve scores a clip while its frames go, or come.
func frameCurve(ctx context.Context, score FrameScorer, order []int, goes bool) (c Curve, err error) {
	there := slices.Repeat([]bool{goes}, len(order))
	for k := range len(order) + 1 {
		if k > 0 {
			there[order[k-1]] = !goes
		}
		s, err := score(ctx, slices.Clone(there))
		if err != nil {
			return Curve{}, err
		}
		c.Scores = append(c.Scores, s)
		if k > 0 {
			c.Area += (c.Scores[k-1] + s) / 2 / float64(len(order))
		}
	}
	return c, nil
}

// PointingInTime reports whether the frame that counts most, the first of equal ones, is one of those that decide, from first to last, or
// within a tolerance of them, in frames (the pointing game of Zhang et al. 2018, in time). Where nothing counts it is false.
func PointingInTime(importance []float32, first, last, tolerance int) bool {
	best := -1
	for i, v := range importance {
		if v > 0 && (best < 0 || v > importance[best]) {
			best = i
		}
	}
	return best >= 0 && best >= first-tolerance && best <= last+tolerance
}

// EnergyInTime is the share of what frames count that those from first to last have, 0 to 1; 0 where nothing counts.
func EnergyInTime(importance []float32, first, last int) float64 {
	inside, all := 0.0, 0.0
	for i, v := range importance {
		all += float64(max(v, 0))
		if i >= first && i <= last {
			inside += float64(max(v, 0))
		}
	}
	if all == 0 {
		return 0
	}
	return inside / all
}
