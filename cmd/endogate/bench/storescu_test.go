//go:build bench

package bench_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"endogate/cmd/endogate/peers"
)

// TestStorescu measures ingest from DCMTK's storescu, one process an association, start and parsing included:
// first with TCP_NODELAY=1 on both sides, then as installed, where Nagle's algorithm meets delayed acknowledgements.
func TestStorescu(t *testing.T) {
	tpl := smallTemplate(t)
	t.Run("nodelay", func(t *testing.T) {
		storescu(t, tpl, "Ingest of 100 KB objects from storescu, TCP_NODELAY=1 on both sides, objects/s", nodelay, []int{1, 8}, max(8, *small/2))
	})
	t.Run("stock", func(t *testing.T) {
		storescu(t, tpl, "The same with peers as installed (Nagle's algorithm on), objects/s", nil, []int{1}, max(8, *small/10))
	})
}

func storescu(t *testing.T, tpl template, title string, env []string, processes []int, count int) {
	dir := folder(t)
	candidates := receivers(t, dir, env)
	rates := map[string]map[int]series{}
	for _, r := range candidates {
		rates[r.name] = map[int]series{}
	}
	eachRound(t, func(round int) {
		for _, n := range processes {
			for i := range candidates {
				r := candidates[(i+round)%len(candidates)]
				rates[r.name][n] = append(rates[r.name][n], storescuRate(t, r, tpl, env, count, n))
			}
		}
	})
	head := []string{"receiver"}
	for _, n := range processes {
		head = append(head, fmt.Sprintf("objects/s, %d", n), fmt.Sprintf("endogate ÷ it, %d", n))
	}
	var rows [][]string
	for _, r := range candidates {
		row := []string{r.name}
		for _, n := range processes {
			ratio := "–"
			if r.name != endogateName {
				ratio = rates[endogateName][n].over(rates[r.name][n]).String()
			}
			row = append(row, rates[r.name][n].String(), ratio)
		}
		rows = append(rows, row)
	}
	table(title, head, rows)
}

// storescuRate sends count new instances from a number of storescu processes.
func storescuRate(t *testing.T, r receiver, tpl template, env []string, count, processes int) float64 {
	t.Helper()
	path := tpl.file(t, t.TempDir())
	before := r.received()
	each := count / processes
	args := []string{"-xy", "+II", "--repeat", strconv.Itoa(each)} // +II: all UIDs new
	called := peers.Called{AETitle: r.aeTitle, Addr: r.addr, Env: env}
	var wg sync.WaitGroup
	begin := time.Now()
	for range processes {
		wg.Go(func() {
			if status, out := peers.Storescu(t, called, args, path); status != 0 {
				t.Errorf("storescu to %s ended with %d: %s", r.name, status, out)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	if t.Failed() {
		t.FailNow()
	}
	r.settle(t, before, each*processes)
	return float64(each*processes) / took.Seconds()
}
