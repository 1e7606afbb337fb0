package reports

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestSimplify(t *testing.T) {
	got := simplify(circle(300, 200, 90), 622, 529)
	assert.LessOrEqual(t, len(got), maxPoints)
	assert.InDelta(t, math.Pi*90*90, math.Abs(area(got)), 0.01*math.Pi*90*90)

	square := [][2]float64{{0, 0}, {5, 0}, {10, 0}, {10, 10}, {0, 10}, {0, 0}}
	assert.Equal(t, [][2]float64{{0, 0}, {10, 0}, {10, 10}, {0, 10}, {0, 0}}, simplify(square, 622, 529))
	assert.Nil(t, simplify([][2]float64{{1, 1}, {2, 2}, {1, 1}}, 10, 10), "no area")
	assert.Nil(t, simplify(nil, 10, 10))
	assert.Nil(t, simplify([][2]float64{{math.NaN(), 0}, {math.Inf(1), 0}, {0, 0}}, 10, 10))
}

func TestSimplify_any(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns, rows := rapid.IntRange(1, 2000).Draw(t, "columns"), rapid.IntRange(1, 2000).Draw(t, "rows")
		point := rapid.Custom(func(t *rapid.T) [2]float64 {
			return [2]float64{rapid.Float64Range(-10, 2010).Draw(t, "x"), rapid.Float64Range(-10, 2010).Draw(t, "y")}
		})
		got := simplify(rapid.SliceOfN(point, 0, 400).Draw(t, "polygon"), columns, rows)
		if got == nil {
			return
		}
		if len(got) < 4 || got[0] != got[len(got)-1] {
			t.Fatalf("open or too short: %v", got)
		}
		for _, p := range got {
			if p[0] < 0 || p[0] > float64(columns) || p[1] < 0 || p[1] > float64(rows) {
				t.Fatalf("%v lies outside", p)
			}
		}
	})
}
