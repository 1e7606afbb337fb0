package durable

import (
	"slices"
	"sync"
)

// Group is how those that commit at the same time share one sync. One of them leads at a time: it commits for all that wait,
// then hands over to the first of those that came meanwhile. One that is alone never waits for company. The zero value is
// ready; it is not copied.
type Group[T any] struct {
	mu      sync.Mutex
	idle    *sync.Cond // of no leader; nil: nobody waits for it
	queue   []waiting[T]
	leading bool
	stopped bool
}

type waiting[T any] struct {
	item T
	turn chan bool // true: lead the next group; false: done
}

// Take removes from those that wait as many as fit says, at least one, and returns them in the order they came. fit is
// called with all of them.
type Take[T any] func(fit func(waiting []T) int) []T

// Do returns once item is committed: by the caller, for whom lead is called then, or by another that leads. lead takes its
// group once, item first, and commits it; what it changes may be changed by one leader at a time. Do reports false, and item
// is not committed, after Stop.
func (g *Group[T]) Do(item T, lead func(take Take[T])) bool {
	w := waiting[T]{item, make(chan bool, 1)}
	g.mu.Lock()
	if g.stopped {
		g.mu.Unlock()
		return false
	}
	g.queue = append(g.queue, w)
	follows := g.leading
	g.leading = true
	g.mu.Unlock()
	if follows && !<-w.turn {
		return true
	}
	var group []waiting[T]
	lead(func(fit func([]T) int) []T {
		group = g.take(fit)
		return items(group)
	})
	g.handOver()
	for _, w := range group[1:] {
		w.turn <- false
	}
	return true
}

func (g *Group[T]) take(fit func([]T) int) []waiting[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := max(1, min(len(g.queue), fit(items(g.queue))))
	group := slices.Clone(g.queue[:n])
	g.queue = g.queue[n:]
	return group
}

func items[T any](queue []waiting[T]) []T {
	all := make([]T, len(queue))
	for i, w := range queue {
		all[i] = w.item
	}
	return all
}

// handOver lets the first that waits lead, or leaves nobody leading.
func (g *Group[T]) handOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > 0 {
		g.queue[0].turn <- true
		return
	}
	g.queue, g.leading = nil, false
	if g.idle != nil {
		g.idle.Broadcast()
	}
}

// Stop refuses what comes from now on and returns when what came before is committed. It reports false if it was called
// before.
func (g *Group[T]) Stop() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.stopped, g.idle = true, sync.NewCond(&g.mu)
	for g.leading {
		g.idle.Wait()
	}
	return true
}

// Waiting is how many wait for a leader.
func (g *Group[T]) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}
