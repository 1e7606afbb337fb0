package failure

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBackoff(t *testing.T) {
	for _, row := range []struct {
		b    Backoff
		want []time.Duration
	}{
		{Backoff{First: time.Second, Last: 7 * time.Second}, []time.Duration{1e9, 2e9, 4e9, 7e9, 7e9}},
		{Backoff{First: time.Second, Last: time.Minute, Factor: 4}, []time.Duration{1e9, 4e9, 16e9, 60e9, 60e9}},
		{Backoff{First: time.Minute, Last: time.Second}, []time.Duration{1e9, 1e9}},
	} {
		for i, want := range row.want {
			assert.Equal(t, want, row.b.After(i+1))
		}
		assert.Equal(t, row.b.Last, row.b.After(1<<40), "no overflow")
	}
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Waits{Backoff: Backoff{First: time.Second, Last: time.Minute}}
		begun := time.Now()
		for range 3 {
			w.Wait(t.Context())
		}
		assert.Equal(t, 7*time.Second, time.Since(begun))
		w.Over()
		w.Wait(t.Context())
		assert.Equal(t, 8*time.Second, time.Since(begun))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		w.Wait(ended)
		assert.Equal(t, 8*time.Second, time.Since(begun))
	})
}

func TestReason(t *testing.T) {
	assert.Equal(t, "string", Reason("Müller"))
	func() {
		defer func() { assert.Contains(t, Reason(recover()), "index out of range") }()
		var none []int
		_ = none[len(none)]
	}()
}
