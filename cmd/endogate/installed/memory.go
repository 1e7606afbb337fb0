package installed

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Memory is the resident memory of a process, or of several one after the other, in KiB.
type Memory struct {
	Idle int `json:"idle,omitzero"` // before; 0: not measured
	Peak int `json:"peak,omitzero"` // the most there was meanwhile
}

// Watch notes the resident memory of a process, twenty times a second until the test ends.
type Watch struct {
	mu   sync.Mutex
	pid  int
	seen Memory
}

// Watched begins a watch over the process that runs the test, with all that the test runs in it.
func Watched(t testing.TB) *Watch { return WatchedOver(t, os.Getpid()) }

// WatchedOver begins a watch over another process; with 0 over none yet.
func WatchedOver(t testing.TB, pid int) *Watch {
	w := &Watch{pid: pid}
	w.look()
	stop := make(chan struct{})
	var looks sync.WaitGroup
	looks.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-tick.C:
				w.look()
			case <-stop:
				tick.Stop()
				return
			}
		}
	})
	t.Cleanup(func() { close(stop); looks.Wait() })
	return w
}

// Over goes on with another process, in the place of one that ended.
func (w *Watch) Over(pid int) {
	w.mu.Lock()
	w.pid = pid
	w.mu.Unlock()
	w.look()
}

// Memory is what was seen so far: first, and the most of all.
func (w *Watch) Memory() Memory {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

func (w *Watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.pid))
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return // it has ended
	}
	if pages, _ := strconv.Atoi(string(fields[1])); pages > 0 {
		now := pages * os.Getpagesize() >> 10
		if w.seen.Idle == 0 {
			w.seen.Idle = now
		}
		w.seen.Peak = max(w.seen.Peak, now)
	}
}
