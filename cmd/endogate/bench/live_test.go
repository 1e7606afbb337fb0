//go:build bench

package bench_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"endogate/cmd/endogate/peers"
	"endogate/inference/analysis"
)

// TestLive has a moving clip of real frames watched at its own speed of 25 frames a second, by the demo model. A round takes the length of the signal for
// each size, whatever the machine.
func TestLive(t *testing.T) {
	root := peers.Root(t)
	var rows [][]string
	for _, size := range []string{"640x480", "1280x720", "1920x1080"} {
		var rate, median, late, dropped series
		clip := movingClip(t, size)
		done := eachRound(t, func(int) {
			cmd := exec.Command(cmp.Or(*binary, filepath.Join(root, "bin", "endogate")), "watch", clip, "--model", filepath.Join(root, "testdata", "models", "demo"), "--json")
			var complaints bytes.Buffer
			cmd.Stderr = &complaints
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("watch: %v: %s", err, complaints.String())
			}
			var latencies []float64
			var first, last analysis.Live
			for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
				if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
					t.Fatal(err)
				}
				if latencies = append(latencies, last.Latency); len(latencies) == 1 {
					first = last
				}
			}
			slices.Sort(latencies)
			n := len(latencies)
			rate = append(rate, float64(n-1)/last.At.Sub(first.At).Seconds())
			median, late = append(median, latencies[(n-1)/2]), append(late, latencies[(n-1)*95/100])
			dropped = append(dropped, float64(last.Dropped))
		})
		rows = append(rows, []string{size, rate.String(), median.String(), late.String(), dropped.String(), fmt.Sprint(done)})
	}
	table("A signal of 25 frames a second watched for 15 s, demo model, decoding included in what the machine does",
		[]string{"pixels", "frames/s analysed", "p50 ms", "p95 ms", "dropped of 375", "rounds"}, rows)
}

// movingClip is 15 s that move over frames of an examination, with ten of them.
func movingClip(t *testing.T, size string) string {
	t.Helper()
	file := filepath.Join(folder(t), "clip-"+size+".mp4")
	arguments := []string{"-nostdin", "-v", "error", "-y"}
	var columns, rows int
	if _, err := fmt.Sscanf(size, "%dx%d", &columns, &rows); err != nil {
		t.Fatal(err)
	}
	graph, joined := "", ""
	names := []string{"cecum-1", "polyp-0017b7c7", "ileum-1", "polyp-035a608d", "bbps-2-3-1", "polyp-050ffdb1", "bbps-0-1-1", "polyp-06c4d061", "impacted-stool-1", "cecum-2"}
	for i, name := range names {
		arguments = append(arguments, "-loop", "1", "-framerate", "25", "-t", "1.5", "-i", filepath.Join(peers.Root(t), "testdata", "frames", name+".jpg"))
		graph += fmt.Sprintf("[%d:v]scale=%d:%d,crop=%d:%d:'20+19*sin(n/12)':'20+19*cos(n/15)',setsar=1[v%d];", i, columns+40, rows+40, columns, rows, i)
		joined += fmt.Sprintf("[v%d]", i)
	}
	graph += fmt.Sprintf("%sconcat=n=%d:v=1[o]", joined, len(names))
	arguments = append(arguments, "-filter_complex", graph, "-map", "[o]", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", file)
	if out, err := exec.Command("ffmpeg", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	return file
}
