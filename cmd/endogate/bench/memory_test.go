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
func watchMemory(pid int) (stop func() float64) { return watch(pid, 20*time.Millisecond, resident) }

func watch(pid int, every time.Duration, of func(pid int) float64) (stop func() float64) {
	var (
		wg   sync.WaitGroup
		peak float64
		done = make(chan struct{})
	)
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			peak = max(peak, of(pid))
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
func resident(pid int) float64 { return below(pid, "status", "VmRSS:") }

// taken is the memory of a process and all below it, in MB, with pages that they share once. It takes longer to tell.
func taken(pid int) float64 { return below(pid, "smaps_rollup", "Pss:") }

// below is the sum of a line of a process's file, in MB, over it and all below it.
func below(pid int, file, key string) float64 {
	sum := 0.0
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file)) // a process that has gone has none
	for line := range strings.Lines(string(content)) {
		if size, ok := strings.CutPrefix(line, key); ok {
			kibibytes, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 64)
			sum += kibibytes * 1024 / 1e6
		}
	}
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		for child := range strings.FieldsSeq(readLine(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))) {
			if id, err := strconv.Atoi(child); err == nil && command(id) != command(pid) { // one that has not begun its program yet has its parent's memory
				sum += below(id, file, key)
			}
		}
	}
	return sum
}

func command(pid int) string { return readLine(fmt.Sprintf("/proc/%d/cmdline", pid)) }
