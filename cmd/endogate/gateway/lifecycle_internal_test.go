package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A stop ends within drain, whatever a part does; which one hangs is said, and the stores below it are not closed.
func TestLifecycle_stopsWithinDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		life := newLifecycle(ctx)
		closed, free := false, make(chan struct{})
		life.closes(func() error { closed = true; return nil })
		life.loop("orderly", func(ctx context.Context) error { <-ctx.Done(); return nil })
		life.loop("hanging", func(context.Context) error { <-free; return nil })
		stop()
		begun := time.Now()
		err := life.wait(func() time.Duration { return 30 * time.Second })
		assert.Equal(t, 30*time.Second, time.Since(begun))
		require.ErrorIs(t, err, errHangs)
		assert.ErrorContains(t, err, ": hanging")
		assert.NotContains(t, err.Error(), "orderly")
		assert.False(t, closed)
		close(free)
	})
}
