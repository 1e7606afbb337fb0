//go:build bench

// Package bench_test measures endogate beside DCMTK's storescp and Orthanc on one machine in one run:
// durable ingest, delivery to stock peers, and the time from a received frame to its heatmap in a PACS.
//
// Rounds are interleaved, so that what else the machine does meets every receiver alike, and ratios are taken
// inside a round. It is no test: nothing fails because it is slow. make bench runs it; by hand
//
//	go test -tags bench ./cmd/endogate/bench -v -args -rounds 5
//
// needs bin/endogate. BENCH_DIR names the folder, and so the file system, that every receiver writes to.
package bench_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
)

var (
	rounds = flag.Int("rounds", 3, "interleaved rounds of each measurement")
	small  = flag.Int("small", 1000, "objects of 100 KB in a run")
	large  = flag.Int("large", 24, "objects of 4 MB in a run, at least two an association")
	frames = flag.Int("frames", 20, "frames whose way to a heatmap is measured")
	binary = flag.String("binary", "", "the gateway to measure; default bin/endogate of the module")
	only   = flag.String("receivers", "", "a pattern: measure ingest by endogate and the receivers whose names match it; default all")
	limit  = flag.Duration("limit", 5*time.Minute, "begin no further round after this time, but for the first of each measurement")
)

// begun is when the run began; the limit counts from it.
var begun = time.Now()

func TestMain(m *testing.M) {
	if where := os.Getenv(asBare); where != "" {
		fmt.Fprintln(os.Stderr, runBare(where))
		os.Exit(1)
	}
	flag.Parse()
	fmt.Print(machine())
	if err := enoughRoom(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// measuredDir is where the receivers write.
func measuredDir() string { return cmp.Or(os.Getenv("BENCH_DIR"), os.TempDir()) }

// enoughRoom reports a file system too small for what the receivers and the plain program keep until the end, and endogate's reserve.
func enoughRoom() error {
	perRound := int64(len(associations)**small)*100e3 + int64(largeCount(1)+largeCount(8)+largeCount(32))*4e6
	need := 6*int64(*rounds)*perRound + 3e9
	var s syscall.Statfs_t
	if err := syscall.Statfs(measuredDir(), &s); err != nil {
		return fmt.Errorf("%s: %w", measuredDir(), err)
	}
	if free := int64(s.Bavail) * s.Bsize; free < need {
		return fmt.Errorf("%s has %d MB free and %d are needed; set BENCH_DIR to another folder or lower -rounds, -small, -large",
			measuredDir(), free/1e6, need/1e6)
	}
	return nil
}

// eachRound calls f for every round there is time for, and for one in any case. It returns how many there were.
func eachRound(t *testing.T, f func(round int)) int {
	t.Helper()
	done := 0
	for done < *rounds && (done == 0 || time.Since(begun) < *limit) {
		f(done)
		done++
	}
	if done < *rounds {
		fmt.Printf("\nOut of time: %d of %d rounds.\n", done, *rounds)
	}
	return done
}

// folder returns a fresh folder on the measured file system. It is deleted after everything that t measures,
// as creating files after many deletes is slow on some file systems.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(measuredDir(), "endogate-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
