package durable

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// all takes whoever waits.
func all(waiting []int) int { return len(waiting) }

func TestGroup_sharesACommit(t *testing.T) {
	var g Group[int]
	var mu sync.Mutex
	var groups [][]int
	begun, goOn := make(chan struct{}), make(chan struct{})
	commit := func(fit func([]int) int) func(Take[int]) {
		return func(take Take[int]) {
			group := take(fit)
			mu.Lock()
			groups = append(groups, group)
			first := len(groups) == 1
			mu.Unlock()
			if first {
				close(begun)
				<-goOn
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { assert.True(t, g.Do(0, commit(all))) })
	<-begun
	for i := 1; i <= 5; i++ { // they come while the first is on its way
		wg.Go(func() { assert.True(t, g.Do(i, commit(func([]int) int { return 3 }))) })
		require.Eventually(t, func() bool { return g.Waiting() == i }, 2*time.Minute, time.Millisecond)
	}
	close(goOn)
	wg.Wait()
	assert.Equal(t, [][]int{{0}, {1, 2, 3}, {4, 5}}, groups)

	assert.True(t, g.Do(6, commit(func([]int) int { return 0 })), "one at least is taken")
	assert.Equal(t, []int{6}, groups[3])
}

func TestGroup_stop(t *testing.T) {
	var g Group[int]
	begun, goOn := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { g.Do(1, func(take Take[int]) { take(all); close(begun); <-goOn }) })
	<-begun
	stopped := make(chan bool)
	go func() { stopped <- g.Stop() }()
	require.Eventually(t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.stopped
	}, 2*time.Minute, time.Millisecond)
	require.False(t, g.Do(2, func(Take[int]) { t.Error("committed after the stop") }))
	select {
	case <-stopped:
		t.Error("it does not wait for what is on its way")
	default:
	}
	close(goOn)
	require.True(t, <-stopped)
	require.False(t, g.Stop())
	wg.Wait()
}

// Whatever happens at the same time, each is committed once, and by one leader at a time.
func TestGroup_many(t *testing.T) {
	var g Group[int]
	done := make([]int, 2000)
	var leaders int // looked at and changed by the leader alone: the race detector sees more than one
	var wg sync.WaitGroup
	for i := range done {
		wg.Go(func() {
			g.Do(i, func(take Take[int]) {
				leaders++
				for _, item := range take(func(w []int) int { return len(w)/2 + 1 }) {
					done[item]++
				}
			})
		})
	}
	wg.Wait()
	require.True(t, g.Stop())
	for i, n := range done {
		require.Equal(t, 1, n, i)
	}
	require.LessOrEqual(t, leaders, len(done))
}
