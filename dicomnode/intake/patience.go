package intake

import (
	"context"
	"time"
)

// patience is how long to wait before the next attempt: 1 s, and twice as long each time up to 1 min.
type patience time.Duration

func (p *patience) wait(ctx context.Context) {
	*p = patience(min(max(time.Second, 2*time.Duration(*p)), time.Minute))
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(*p)):
	}
}
