// Package clock says what a gateway may rely on of the time. The wall clock of a machine is set by hand, by NTP, by a hypervisor or a
// flat battery: it may be years off, and step back when it is set right. Four rules keep that from holding up or destroying anything:
//
//   - How long something takes is measured by the monotonic clock, which no step touches.
//   - A wait that is kept knows when it began, and one that began in the future is over ([Wait]): nothing is held for longer than it
//     was meant to be. In the ledger such waits begin anew when a step back is seen (ledger.BringBack).
//   - What is destroyed by its age goes by [Clock.Proven], which reaches the wall clock, but runs at most twice as fast as time passes.
//   - Order is that of numbers given in turn, never that of times.
//
// A step is seen by comparing the two clocks ([Clock.Look]); one made while the gateway was off, by the [Mark] that it left.
package clock

import (
	"sync"
	"time"
)

const (
	// Tolerance is the difference between the two clocks up to which they agree.
	Tolerance = time.Second
	// haste is how many times as fast as time passes Proven follows a wall clock that is ahead of it.
	haste = 2
)

// Clock is a wall clock and a monotonic one. Its methods may be called from any goroutine.
type Clock struct {
	wall    func() time.Time
	elapsed func() time.Duration

	mu     sync.Mutex
	ref    time.Time     // what the wall clock would have said when elapsed was 0, as of the last step
	seen   time.Duration // elapsed at the last look
	proven time.Time     // never goes back but in Settle
}

// System is the clock of this machine.
func System() *Clock {
	begun := time.Now()
	return New(time.Now, func() time.Duration { return time.Since(begun) })
}

// New is a clock that reads the two: the time of day, and for how long it has run, which never steps.
func New(wall func() time.Time, elapsed func() time.Duration) *Clock {
	c := &Clock{wall: wall, elapsed: elapsed}
	c.seen, c.proven = elapsed(), wall()
	c.ref = c.proven.Round(0).Add(-c.seen)
	return c
}

// Now is the time of day, with the monotonic reading that the machine's own has: so the difference of two of them is right.
func (c *Clock) Now() time.Time { return c.wall() }

// Proven is a time that has come for sure, at most Now: what is destroyed by its age is old enough by it. When the wall clock
// jumps ahead, by a step or because the machine was off, it follows twice as fast as time passes.
func (c *Clock) Proven() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.prove()
}

// prove is called with mu held.
func (c *Clock) prove() time.Time {
	now, elapsed := c.wall().Round(0), c.elapsed()
	if now.After(c.proven) {
		c.proven = earlier(now, c.proven.Add(haste*(elapsed-c.seen)))
	}
	c.seen = elapsed
	return earlier(now, c.proven)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Step is a change of the wall clock that time alone does not explain: ahead by more than nothing, or back. Ahead may also be
// that the machine slept.
type Step struct {
	By time.Duration
	To time.Time
}

// Back says that times may have been kept that are still to come.
func (s Step) Back() bool { return s.By < 0 }

// Look returns the step since the last look; false where there was none.
func (c *Clock) Look() (Step, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prove()
	now := c.wall().Round(0)
	ref := now.Add(-c.elapsed())
	by := ref.Sub(c.ref)
	if by.Abs() <= Tolerance {
		return Step{}, false
	}
	c.ref = ref
	return Step{By: by, To: now}, true
}

// Settle says that the wall clock is right, and what was proven before under another one is not.
func (c *Clock) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven = c.prove()
}

// Mark is what a gateway leaves for its next start.
type Mark struct {
	Wall   time.Time `json:"wall"`
	Proven time.Time `json:"proven"`
}

// Mark is what is known now.
func (c *Clock) Mark() Mark {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prove()
	return Mark{Wall: c.wall().Round(0).UTC(), Proven: c.proven.UTC()}
}

// Resume takes up the mark of before, if there is one, and returns the step back since it was made. How long the gateway was off nobody
// knows, so a step ahead is none; but Proven has to catch up.
func (c *Clock) Resume(m Mark) (Step, bool) {
	if m.Wall.IsZero() {
		return Step{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.wall().Round(0)
	c.proven, c.seen = m.Proven, c.elapsed()
	back := now.Sub(m.Wall)
	return Step{By: back, To: now}, back < -Tolerance
}

// Wait is a wait in memory that has a beginning and a length.
type Wait struct {
	Began time.Time
	For   time.Duration
}

// Over says at now that it has lasted its time, or began under a clock that has been set back since.
func (w Wait) Over(now time.Time) bool {
	lasted := now.Sub(w.Began)
	return lasted < 0 || lasted >= w.For
}

// Left is how long it lasts from now on.
func (w Wait) Left(now time.Time) time.Duration {
	if w.Over(now) {
		return 0
	}
	return w.For - now.Sub(w.Began)
}
