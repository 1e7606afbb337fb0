//go:build bench

package bench_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// cell is one receiver at one number of associations.
type cell struct {
	rate, megabytes, p99, memory series
	cpu                          series // microseconds of processor time an object, until all is shown
}

var associations = []int{1, 8, 32}

// TestIngest measures how fast objects are taken in; the sender is our own SCU with objects in memory.
func TestIngest(t *testing.T) {
	dir := folder(t)
	for _, size := range []struct {
		template template
		count    func(associations int) int
	}{
		{smallTemplate(t), func(int) int { return *small }},
		{largeTemplate(t), largeCount},
	} {
		t.Run(size.template.name, func(t *testing.T) { ingest(t, filepath.Join(dir, size.template.name), size.template, size.count) })
	}
}

func largeCount(associations int) int { return max(*large, 2*associations) }

func ingest(t *testing.T, dir string, tpl template, count func(associations int) int) {
	candidates := append(receivers(t, dir, nodelay), receiver{
		name: plainName, durable: true,
		alone: func(size, count, group int) sent { return plain(t, dir, size, count, group, false) },
	}, receiver{
		name: plainOverName, durable: true,
		alone: func(size, count, group int) sent { return plain(t, dir, size, count, group, true) },
	})
	wanted := regexp.MustCompile(*only)
	candidates = slices.DeleteFunc(candidates, func(r receiver) bool { return r.name != endogateName && !wanted.MatchString(r.name) })
	cells := map[string]map[int]*cell{}
	for _, r := range candidates {
		cells[r.name] = map[int]*cell{}
		for _, n := range associations {
			cells[r.name][n] = &cell{}
		}
	}
	eachRound(t, func(round int) {
		for _, n := range associations {
			for i := range candidates {
				r := candidates[(i+round)%len(candidates)] // nobody is always first
				cells[r.name][n].add(measure(t, r, tpl, count(n), n))
			}
		}
	})
	printIngest(tpl, candidates, cells)
}

// run is one measurement.
type run struct {
	sent
	memory    float64
	processor float64 // seconds
}

func measure(t *testing.T, r receiver, tpl template, count, associations int) run {
	t.Helper()
	_, objects := tpl.study(count)
	if r.alone != nil {
		return run{sent: r.alone(objects[0].size(), count, associations)}
	}
	before := r.received()
	spent := processorTime(t, []int{r.pid})
	stop := watchMemory(r.pid)
	s, err := send(t.Context(), r, tpl, objects, associations)
	memory := stop()
	if err != nil {
		t.Fatal(err)
	}
	r.settle(t, before, count)
	return run{s, memory, processorTime(t, []int{r.pid}) - spent}
}

func (c *cell) add(r run) {
	c.rate = append(c.rate, r.perSecond())
	c.megabytes = append(c.megabytes, r.megabytes())
	c.p99 = append(c.p99, milliseconds(r.percentile(99)))
	c.memory = append(c.memory, r.memory)
	c.cpu = append(c.cpu, r.processor*1e6/float64(len(r.took)))
}

func printIngest(tpl template, candidates []receiver, cells map[string]map[int]*cell) {
	perAssociation := func(unit string) []string {
		head := []string{"receiver", "durable"}
		for _, n := range associations {
			head = append(head, fmt.Sprintf("%s, %d", unit, n))
		}
		return head
	}
	var rates, throughput, ratios, limits, spent [][]string
	for _, r := range candidates {
		rate := []string{r.name, yesNo(r.durable)}
		volume := []string{r.name, yesNo(r.durable)}
		ratio := []string{"endogate ÷ " + r.name, yesNo(r.durable)}
		limit := []string{bareName + " ÷ " + r.name, yesNo(r.durable)}
		cpu := []string{r.name, yesNo(r.durable)}
		for _, n := range associations {
			c := cells[r.name][n]
			rate = append(rate, c.rate.String())
			volume = append(volume, c.megabytes.String())
			ratio = append(ratio, cells[endogateName][n].rate.over(c.rate).String())
			if bare := cells[bareName][n]; bare != nil {
				limit = append(limit, bare.rate.over(c.rate).String())
			}
			cpu = append(cpu, c.cpu.String())
		}
		eight, most := cells[r.name][8], cells[r.name][32]
		rates = append(rates, append(rate, eight.p99.String(), most.memory.String()))
		throughput = append(throughput, volume)
		if r.alone == nil {
			spent = append(spent, cpu)
		}
		if r.name != endogateName {
			ratios = append(ratios, ratio)
		}
		if r.name != endogateName && r.name != bareName {
			limits = append(limits, limit)
		}
	}
	table("Ingest of "+tpl.name+" objects by associations, objects/s: median [lowest–highest]",
		append(perAssociation("objects/s"), "p99 ms at 8", "peak RSS MB of its processes at 32"), rates)
	table("The same in MB/s", perAssociation("MB/s"), throughput)
	table("Processor time of its processes, until it shows what came, µs an object", perAssociation("µs"), spent)
	table("Ratios of "+tpl.name+" ingest, taken inside each round", perAssociation("ratio"), append(ratios, limits...))
}
