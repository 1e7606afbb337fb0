package gateway_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/clock"
)

// setClock is a clock that is off by what it was set to.
type setClock struct {
	off   atomic.Int64
	begun time.Time
}

func newSetClock() *setClock { return &setClock{begun: time.Now()} }

func (c *setClock) set(off time.Duration) { c.off.Store(int64(off)) }

// now is what time.Now says on a machine whose clock was set: another time of day, the same monotonic reading.
func (c *setClock) now() time.Time {
	type layout struct { // of time.Time
		wall uint64
		ext  int64
		loc  *time.Location
	}
	here := time.Now()
	set := here.Add(time.Duration(c.off.Load()))
	(*layout)(unsafe.Pointer(&set)).ext = (*layout)(unsafe.Pointer(&here)).ext
	return set
}

// clock is one for a gateway: each start of a process has its own.
func (c *setClock) clock() *clock.Clock {
	return clock.New(c.now, func() time.Duration { return time.Since(c.begun) })
}

// TestSetClock: as after a step, the times of day differ by it, and the time between them is right.
func TestSetClock(t *testing.T) {
	c := newSetClock()
	before := c.now()
	c.set(-30 * 365 * 24 * time.Hour)
	after := c.now()
	assert.Less(t, after.Sub(before), time.Minute)
	assert.GreaterOrEqual(t, after.Sub(before), time.Duration(0))
	assert.InDelta(t, -30*365*24, after.Round(0).Sub(before.Round(0)).Hours(), 1)
}

// TestGateway_clockSteps sets the clock while an examination is not yet reported on and while what was made of one waits for an
// archive that is away: all of it is made and delivered once, within the usual times, and the step is said.
func TestGateway_clockSteps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	t.Parallel()
	steps := []struct {
		name       string
		off, right time.Duration // what the clock is off by at first, and then
		stopped    bool          // while it is set
	}{
		{"a year ahead, set right", year, 0, false},
		{"a year ahead, set right while stopped", year, 0, true},
		{"right, set a year ahead", 0, year, false},
		{"right, set forty days ahead while stopped", 0, 40 * 24 * time.Hour, true},
		{"thirty years behind, set right", -30 * year, 0, false},
		{"right, set back an hour", 0, -time.Hour, false},
	}
	watch := installed.Watched(t)
	steps = steps[:installed.Scaled(3, len(steps))]
	var kept atomic.Int64
	t.Run("step", func(t *testing.T) {
		for _, tt := range steps {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				scp := peers.StartStoreSCP(t)
				g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
				c := newSetClock()
				g.clock = c.clock
				c.set(tt.off)
				g.start()
				scp.Kill()
				storeAll(t, g.scp, polyps(t, 0, 1, 3)...)
				g.waitFor("deliveries to wait for the archive", func() bool { return g.destination("pacs").LastError != "" && allReported(g) && len(g.studies()) == 1 })
				storeAll(t, g.scp, polyps(t, 1, 1, 3)...) // its report is not due yet
				if tt.stopped {
					g.Stop()
				}
				c.set(tt.right)
				if tt.stopped {
					g.start()
				}
				scp.Start(t)
				g.waitDelivered(2)
				assertEachOnce(t, g, scp, 6)
				assert.Empty(t, g.parked())
				if !tt.stopped || tt.right < tt.off { // how long it was off nobody knows
					g.waitFor("the step to be said", func() bool {
						_, answer := g.ready()
						return says(answer, "the clock ") && strings.Contains(g.Log(), "the clock was set")
					})
				}
				kept.Add(int64(len(scp.Files(t))))
			})
		}
	})
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("the clock set by an hour to thirty years, ahead and back, running and stopped, %d ways, with a report to be made and deliveries waiting", len(steps)), Kept: int(kept.Load()), Memory: watch.Memory(),
	})
}

// says looks for a check that speaks of something.
func says(r readiness, what string) bool {
	for _, check := range r.Checks {
		if strings.Contains(check.Reason, what) {
			return true
		}
	}
	return false
}
