package outbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestBackoff_defaults(t *testing.T) {
	var b Backoff
	var steps []time.Duration
	for attempt := 1; attempt <= 8; attempt++ {
		steps = append(steps, b.Delay(attempt, 0)*2)
	}
	second, minute := time.Second, time.Minute
	assert.Equal(t, []time.Duration{30 * second, minute, 2 * minute, 4 * minute, 8 * minute, 16 * minute, 30 * minute, 30 * minute}, steps)
	assert.Equal(t, 22*time.Second+500*time.Millisecond, b.Spent(1))
	assert.False(t, b.Exhausted(b.Spent(100_000_000)), "without Dead nothing is given up")
	b.Dead = 7 * 24 * time.Hour
	assert.False(t, b.Exhausted(b.Spent(400)))
	assert.True(t, b.Exhausted(b.Spent(500)), "after seven days")
}

func TestBackoff_bounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		duration := func(name string, most time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, name))
		}
		b := Backoff{First: duration("first", time.Hour), Last: duration("last", 24*time.Hour), Dead: duration("dead", 30*24*time.Hour)}
		full := b.defaults()
		attempt := rapid.IntRange(1, 100_000).Draw(t, "attempt")
		d := b.Delay(attempt, rapid.Float64Range(0, 0.999999).Draw(t, "jitter"))
		if d < full.First/2 || d > full.Last {
			t.Fatalf("%v is not between %v and %v", d, full.First/2, full.Last)
		}
		if next := b.Delay(attempt+1, 0); next < b.Delay(attempt, 0) {
			t.Fatalf("%v after %v", next, b.Delay(attempt, 0))
		}
		if b.Spent(attempt) > b.Spent(attempt+1) {
			t.Fatal("spent, and then not")
		}
		n := min(attempt, 2000)
		var spent time.Duration
		for i := 1; i <= n; i++ {
			spent += full.step(i)
		}
		if got := b.Spent(n); got < spent/4*3 || got > spent/4*3+3 {
			t.Fatalf("after %d attempts %v are said to be spent, steps are %v", n, got, spent)
		}
	})
}
