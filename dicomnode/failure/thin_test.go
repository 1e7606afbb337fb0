package failure

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// However many hosts there are, what is remembered of them is bounded, and nobody is forgotten while it matters.
func TestThinning_manyKinds(t *testing.T) {
	var th Thinning
	now := time.Unix(0, 0)
	written := 0
	for i := range 10 * thinKinds {
		if _, ok := th.Due(fmt.Sprint(i), now); ok {
			written++
		}
	}
	require.LessOrEqual(t, len(th.kinds), thinKinds+1)
	require.Equal(t, thinKinds+thinAfter, written)
	left, ok := th.Due("another", now.Add(thinFor))
	require.True(t, ok)
	require.Zero(t, left)
	require.Len(t, th.kinds, 1, "what is over is forgotten")
}
