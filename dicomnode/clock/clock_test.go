package clock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// machine has the two clocks of a machine, of which one may be set.
type machine struct {
	set     time.Time
	elapsed time.Duration
}

func (m *machine) clock() *Clock {
	return New(func() time.Time { return m.set.Add(m.elapsed) }, func() time.Duration { return m.elapsed })
}

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// TestLook says each step once, with its sign, and says nothing of time that passes.
func TestLook(t *testing.T) {
	for _, by := range []time.Duration{365 * 24 * time.Hour, -365 * 24 * time.Hour, 2 * time.Second, -2 * time.Second, time.Millisecond, 0} {
		m := &machine{set: start}
		c := m.clock()
		m.elapsed += 3 * time.Hour
		_, stepped := c.Look()
		require.False(t, stepped)
		m.set = m.set.Add(by)
		step, stepped := c.Look()
		require.Equal(t, by.Abs() > Tolerance, stepped, by)
		if stepped {
			require.Equal(t, Step{By: by, To: start.Add(3*time.Hour + by)}, step)
			require.Equal(t, by < 0, step.Back())
		}
		_, stepped = c.Look()
		require.False(t, stepped)
	}
}

// TestLook_creeps sees many small steps that make a large one.
func TestLook_creeps(t *testing.T) {
	m := &machine{set: start}
	c := m.clock()
	var sum time.Duration
	for range 10 {
		m.set = m.set.Add(-400 * time.Millisecond)
		step, _ := c.Look()
		sum += step.By
	}
	require.InDelta(t, -4*time.Second, sum, float64(Tolerance))
}

// TestProven: whatever is done to the clock, it never says that more time has passed than twice what has, nor more than the
// clock says; it does not go back; and it reaches a clock that is left alone.
func TestProven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{set: start}
		c := m.clock()
		highest := start
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			m.set = m.set.Add(time.Duration(rapid.Int64Range(-4e8, 4e8).Draw(t, "step")) * time.Second)
			m.elapsed += time.Duration(rapid.Int64Range(0, 1e5).Draw(t, "passes")) * time.Second
			c.Look()
			if rapid.Bool().Draw(t, "starts again") {
				mark := c.Mark()
				c = m.clock()
				c.Resume(mark)
			}
			proven := c.Proven()
			require.False(t, proven.After(c.Now()))
			require.False(t, proven.After(start.Add(2*m.elapsed)), "%v after %v", proven.Sub(start), m.elapsed)
			if proven.After(highest) {
				highest = proven
			}
		}
		if behind := c.Now().Sub(c.Proven()); behind > 0 {
			m.elapsed += behind
			c.Proven()
			m.elapsed += behind
			require.True(t, c.Now().Equal(c.Proven()))
		}
	})
}

func TestResume(t *testing.T) {
	m := &machine{set: start}
	c := m.clock()
	_, back := c.Resume(Mark{})
	require.False(t, back)
	require.True(t, start.Equal(c.Proven()), "nothing is known of before")
	step, back := c.Resume(Mark{Wall: start.Add(time.Hour), Proven: start.Add(-time.Hour)})
	require.True(t, back)
	require.Equal(t, -time.Hour, step.By)
	_, back = c.Resume(Mark{Wall: start.Add(-time.Hour), Proven: start.Add(-time.Hour)})
	require.False(t, back)
	require.True(t, c.Proven().Equal(start.Add(-time.Hour)), "how long it was off is not proven")
}

func TestWait(t *testing.T) {
	w := Wait{Began: start, For: time.Minute}
	for after, left := range map[time.Duration]time.Duration{
		-365 * 24 * time.Hour: 0, -time.Second: 0, 0: time.Minute, time.Second: 59 * time.Second, time.Minute: 0, time.Hour: 0,
	} {
		require.Equal(t, left, w.Left(start.Add(after)), after)
		require.Equal(t, left == 0, w.Over(start.Add(after)), after)
	}
	require.True(t, Wait{}.Over(start))
}
