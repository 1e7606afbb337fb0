package installed

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWatch: the most there was is kept when it is given back, and when the process has ended.
func TestWatch(t *testing.T) {
	w := Watched(t)
	before := w.Memory()
	require.NotZero(t, before.Idle)
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	most := w.Memory()
	assert.Equal(t, before.Idle, most.Idle)
	assert.GreaterOrEqual(t, most.Peak, before.Idle+60<<10)
	assert.NotZero(t, held[0])

	other := WatchedOver(t, 0)
	assert.Zero(t, other.Memory(), "of nobody")
	sleeping := exec.Command("sleep", "60")
	require.NoError(t, sleeping.Start())
	other.Over(sleeping.Process.Pid)
	require.NoError(t, sleeping.Process.Kill())
	require.Error(t, sleeping.Wait())
	after := other.Memory()
	assert.NotZero(t, after.Idle)
	assert.Less(t, after.Peak, most.Peak)
	other.Over(sleeping.Process.Pid)
	assert.Equal(t, after, other.Memory(), "it is gone")
}
