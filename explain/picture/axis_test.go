package picture

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The axis of a timeline has no more steps than there is room for, whatever length a stream says that it has.
func TestAxisStep(t *testing.T) {
	for length, want := range map[float64]float64{0: 0.1, 1: 0.1, 60: 5, 3600: 300, 86400: 7200} {
		assert.InDelta(t, want, axisStep(length), 1e-9, "%g s", length)
	}
	for length := 1.0; length < 1e12; length *= 3 {
		assert.LessOrEqual(t, length/axisStep(length), 12.0, "%g s", length)
	}
}
