//go:build bench

package bench_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watchMemory samples the resident memory of a process and its children until stop is called,
// which returns the largest sum in MB.
func watchMemory(pid int) (stop func() float64) {
	var (
		wg   sync.WaitGroup
		peak float64
		done = make(chan struct{})
	)
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, resident(pid))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() float64 {
		close(done)
		wg.Wait()
		return peak
	}
}

// resident is the resident memory of a process and all below it, in MB; shared pages count for each.
func resident(pid int) float64 {
	sum := 0.0
	for line := range strings.Lines(readLine(fmt.Sprintf("/proc/%d/status", pid))) {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 64)
			sum += kilobytes / 1000
		}
	}
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // a process that has gone has none
	for _, task := range tasks {
		for child := range strings.FieldsSeq(readLine(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))) {
			if id, err := strconv.Atoi(child); err == nil {
				sum += resident(id)
			}
		}
	}
	return sum
}
