//go:build bench

package bench_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"endogate/cmd/endogate/peers"
)

var (
	jobs  = flag.Int("jobs", 60, "frames of 100 KB that workers analyse in a run")
	apart = flag.String("apart", "1,2,4", "numbers of workers apart that are measured")
)

// TestWorkers has frames analysed by the worker in the gateway, and by one, two and four workers that are processes of their
// own on a nats-server, all of one thread. On one machine they share its processors: what counts there is the processor time
// that a job takes, wherever it is spent.
func TestWorkers(t *testing.T) {
	bundle := resNet(t)
	tpl := smallTemplate(t)
	type way struct {
		name    string
		workers int // apart; 0: in the gateway
	}
	ways := []way{{"in the gateway", 0}}
	for number := range strings.SplitSeq(*apart, ",") {
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("-apart: %v", err)
		}
		ways = append(ways, way{number + " apart", n})
	}
	perSecond, cpu := make([]series, len(ways)), make([][]series, len(ways)) // cpu: of gateway, workers, broker and all, a job
	done := eachRound(t, func(int) {
		for i, w := range ways {
			if cpu[i] == nil {
				cpu[i] = make([]series, 4)
			}
			rate, spent := analyse(t, bundle, tpl, w.workers)
			perSecond[i] = append(perSecond[i], rate)
			for part, seconds := range spent {
				cpu[i][part] = append(cpu[i][part], seconds)
			}
		}
	})
	var rows [][]string
	for i, w := range ways {
		rows = append(rows, []string{
			w.name, perSecond[i].String(), cpu[i][0].String(), cpu[i][1].String(), cpu[i][2].String(), cpu[i][3].String(),
			cpu[i][3].over(cpu[0][3]).String(), perSecond[i].over(perSecond[0]).String(),
		})
	}
	table(fmt.Sprintf("Workers of one thread, grad-CAM on ResNet-50 at 224 × 224, %d frames of 100 KB, %d rounds", *jobs, done), []string{
		"worker", "jobs/s", "CPU ms a job: gateway", "workers", "broker", "all", "all ÷ in the gateway", "jobs/s ÷ in the gateway",
	}, rows)
}

// analyse sends frames to a fresh gateway and returns how many it has analysed in a second, and the milliseconds of
// processor time that each took in gateway, workers and broker, and all together.
func analyse(t *testing.T, bundle string, tpl template, workers int) (rate float64, spent [4]float64) {
	t.Helper()
	dir := folder(t)
	pacs := newSink(t)
	config := fmt.Sprintf("models: [{dir: %q}]\nroutes: [{name: endoscopy, match: {modality: [ES]}, models: [resnet50], destinations: [sink]}]\n"+
		"destinations: [{name: sink, kind: dicom, ae_title: SINK, address: %q}]\nexam: {quiet: 1h}\n", bundle, pacs.addr)
	pids := make([][]int, 3)
	var started []*peers.Process
	if workers == 0 {
		config += "jobs: {workers: 1}\n"
	} else {
		brokers := peers.StartNATSCluster(t, 1)
		config += fmt.Sprintf("jobs: {workers: 0}\nnats: {url: %q}\n", brokers.URL())
		pids[2] = []int{brokers.PID(0)}
		for i := range workers {
			path := filepath.Join(dir, fmt.Sprintf("worker%d.yaml", i))
			text := fmt.Sprintf("nats: {url: %q}\nmodels: [{dir: %q}]\njobs: {workers: 1}\n", brokers.URL(), bundle)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p := peers.Start(t, exec.Command(program(t), "work", "--config", path))
			started, pids[1] = append(started, p), append(pids[1], p.PID())
		}
	}
	gateway := endogate(t, filepath.Join(dir, "endogate"), config)
	started = append(started, gateway.process)
	pids[0] = []int{gateway.pid}
	run := func(n int) time.Duration {
		begin := time.Now()
		study, objects := tpl.study(n)
		if _, err := send(t.Context(), gateway, tpl, objects, 1); err != nil {
			t.Fatal(err)
		}
		for i := range n { // every frame has its heatmap; to ask the gateway would cost it something
			if _, err := pacs.wait(t.Context(), study); err != nil {
				t.Fatalf("heatmap %d of %d did not come: %v", i+1, n, err)
			}
		}
		return time.Since(begin)
	}
	run(2 * max(workers, 1)) // the first run of a network is slower
	before := [3]float64{}
	for part := range pids {
		before[part] = processorTime(t, pids[part])
	}
	took := run(*jobs)
	for part := range pids {
		spent[part] = (processorTime(t, pids[part]) - before[part]) * 1000 / float64(*jobs)
		spent[3] += spent[part]
	}
	for _, p := range started {
		p.Kill()
	}
	return float64(*jobs) / took.Seconds(), spent
}

// processorTime is what processes, and the children that they have waited for, have spent so far, in seconds.
func processorTime(t *testing.T, pids []int) (seconds float64) {
	t.Helper()
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		for _, field := range fields[11:15] { // utime and stime, of its own and of its children, in hundredths
			ticks, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			seconds += float64(ticks) / 100
		}
	}
	return seconds
}

// resNet is a bundle of ResNet-50 at full size, with constant weights: it finds class 0 in everything.
func resNet(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	network, err := os.ReadFile(filepath.Join(peers.Root(t), "explain/testdata/light/light_resnet50.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest strings.Builder
	manifest.WriteString(`name: resnet50
version: 1.0.0
kind: still
intended_use: measuring
manufacturer: endogate
input: {name: gpu_0/data_0, layout: NCHW, size: [224, 224], channels: RGB, resize: bilinear-antialias, scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}
output: {name: gpu_0/softmax_1, activation: softmax}
explain: {method: gradcam, layer: last}
classes:
`)
	for class := range 1000 {
		role, threshold := "normal", 1.0
		if class == 0 {
			role, threshold = "finding", 0.0005
		}
		fmt.Fprintf(&manifest, "  - {name: c%d, threshold: %g, role: %s, finding: {code: \"1\", scheme: 99X, meaning: x}}\n", class, threshold, role)
	}
	for name, content := range map[string][]byte{"model.onnx": network, "model.yaml": []byte(manifest.String())} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
