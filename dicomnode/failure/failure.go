// Package failure is what goes on after something has failed: how long to wait before the next try, what may be said of
// a panic, and how often the log is told.
package failure

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// Backoff is how long to wait after a failed try: First, and Factor times as long after each further one, up to Last.
type Backoff struct {
	First, Last time.Duration
	Factor      int // 0: 2
}

// After is the wait after try, counted from 1.
func (b Backoff) After(try int) time.Duration {
	factor := time.Duration(max(b.Factor, 2))
	wait := b.First
	for i := 1; i < try && wait < b.Last; i++ {
		wait *= factor
	}
	return min(wait, b.Last)
}

// Waits are the waits after tries that fail one after the other. It is used by one goroutine.
type Waits struct {
	Backoff
	failed int
}

// Next is the wait after one more that has failed.
func (w *Waits) Next() time.Duration {
	w.failed++
	return w.After(w.failed)
}

// Over says that a try went well: the next one to fail is the first again.
func (w *Waits) Over() { w.failed = 0 }

// Wait waits after one more that has failed, or for the end of ctx.
func (w *Waits) Wait(ctx context.Context) {
	timer := time.NewTimer(w.Next())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Reason is what may be said of a panic: what other code panics with may hold patient data.
func Reason(panicked any) string {
	if err, ok := panicked.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", panicked)
}
