package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

const (
	crashDirEnv  = "ENDOGATE_SPOOL_CRASH_DIR"
	crashStepEnv = "ENDOGATE_SPOOL_CRASH_STEP" // between two durable points, where it is killed; "": the parent kills
)

// crashChild commits entries and releases most of them, compacts beside it, and writes a line for each entry that was
// acknowledged and is not to be released, until it is killed.
func crashChild(dir string) {
	s, err := Open(dir, Options{InlineLimit: 20_000})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.o.SegmentSize = 300_000
	s.MakeAhead()
	s.prepare()
	at, begun := os.Getenv(crashStepEnv), time.Now()
	after := time.Duration(rand.IntN(150)) * time.Millisecond // once it has some work behind it
	s.hook = func(name string) error {
		if name == at && time.Since(begun) > after {
			fmt.Println(stepReached + name)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	for range 4 {
		go func() {
			for {
				e, err := put(s, randomBytes(rand.IntN(30_000)))
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				if e.Seq%4 > 0 {
					if err := s.Release(e.ID); err != nil {
						fmt.Fprintln(os.Stderr, err)
						os.Exit(1)
					}
					continue
				}
				// One write call a line: it is out of the process when it returns.
				fmt.Printf("%s %d %s\n", e.ID, e.Seq, e.Digest)
			}
		}()
	}
	for {
		if _, err := s.Compact(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// crashSteps are all that the child comes to.
var crashSteps = append(slices.Clone(largeSteps), "compact:written", "compact:renamed", "compact:synced")

// stepReached begins the last line of a child that is killed at a step.
const stepReached = "killed at "

// TestCrash_kill kills a process that writes, at any time and at each step between two durable points.
func TestCrash_kill(t *testing.T) {
	dir := quickDir(t) // a kill takes nothing of what a file system was told
	acknowledged, released, kept := map[string]string{}, map[string]bool{}, 0
	rounds := installed.Scaled(24, 450)
	steps, memory := map[string]int{}, installed.WatchedOver(t, 0)
	for round := range rounds {
		lines, step := 1+rand.IntN(60), ""
		if round%2 == 1 {
			lines, step = 0, crashSteps[round/2%len(crashSteps)]
		}
		for line := range killedChild(t, memory, dir, lines, step) {
			if name, at := strings.CutPrefix(line, stepReached); at {
				steps[name]++
			}
			var id, digest string
			var seq uint64
			if n, _ := fmt.Sscanf(line, "%s %d %s", &id, &seq, &digest); n == 3 && len(digest) == 64 {
				acknowledged[id] = digest
			}
		}
		s, err := Open(dir, Options{})
		require.NoError(t, err)
		found := map[string]bool{}
		last := uint64(0)
		for e, err := range s.Entries(0) {
			require.Greater(t, e.Seq, last)
			last = e.Seq
			if errors.Is(err, ErrGone) && (e.Seq%4 > 0 || released[e.ID]) {
				continue
			}
			require.NoError(t, err)
			_, data, err := readAll(s, e.ID)
			require.NoError(t, err, "round %d: no half entry", round)
			require.Equal(t, e.Digest, hexDigest(data))
			found[e.ID] = true
		}
		for id, digest := range acknowledged {
			require.True(t, found[id], "round %d: acknowledged entry is lost", round)
			e, _, err := readAll(s, id)
			require.NoError(t, err)
			require.Equal(t, digest, e.Digest)
		}
		requireEmpty(t, s.tmpDir())
		require.Empty(t, s.Recovered().Damaged)
		if round%25 == 24 { // they have been held; what is kept for ever makes each round slower than the one before
			for id := range found {
				released[id] = true
				require.NoError(t, s.Release(id))
			}
			kept += len(acknowledged)
			clear(acknowledged)
		}
		require.NoError(t, s.Close())
	}
	kept += len(acknowledged)
	require.NotZero(t, kept)
	require.Len(t, steps, min(len(crashSteps), rounds/2), "each step is come to")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("kill -9 of a process that fills and compacts the spool, %d times: half at any time, half at one of %d steps between two durable points", rounds, len(steps)),
		Kept:  kept, Memory: memory.Memory(),
	})
}

// killedChild runs crashChild, kills it after some lines, or lets it kill itself at a step, and returns the lines.
func killedChild(t *testing.T, memory *installed.Watch, dir string, lines int, step string) map[string]bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashDirEnv+"="+dir, crashStepEnv+"="+step)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	deadline := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	got := map[string]bool{}
	for in := bufio.NewScanner(out); in.Scan(); {
		if len(got) == 0 {
			memory.Over(cmd.Process.Pid)
		}
		got[in.Text()] = true
		if len(got) == lines {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait())
	require.Empty(t, stderr.String())
	require.GreaterOrEqual(t, len(got), lines)
	return got
}
