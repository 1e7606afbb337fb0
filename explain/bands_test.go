package explain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBands(t *testing.T) {
	for _, height := range []int{0, 1, 2, 3, 100} {
		done := make([]int, height)
		Bands(height, func(top, bottom int) {
			for y := top; y < bottom; y++ {
				done[y]++
			}
		})
		for y, n := range done {
			require.Equal(t, 1, n, "row %d of %d", y, height)
		}
	}
	require.PanicsWithValue(t, "boom", func() { Bands(100, func(int, int) { panic("boom") }) })
}
