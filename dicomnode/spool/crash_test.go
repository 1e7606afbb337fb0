package spool

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const crashDirEnv = "ENDOGATE_SPOOL_CRASH_DIR"

// crashChild commits entries and releases most of them, compacts beside it, and writes a line for each entry that was
// acknowledged and is not to be released, until it is killed.
func crashChild(dir string) {
	s, err := Open(dir, Options{InlineLimit: 20_000})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.o.SegmentSize = 300_000
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

func TestCrash_kill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]string{}
	for round := range 10 {
		for line := range killedChild(t, dir, 1+rand.IntN(100)) {
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
			require.NoError(t, err)
			require.Greater(t, e.Seq, last)
			last = e.Seq
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
		require.NoError(t, s.Close())
	}
	require.NotEmpty(t, acknowledged)
}

// killedChild runs crashChild, kills it after some lines, and returns the lines.
func killedChild(t *testing.T, dir string, lines int) map[string]bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashDirEnv+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	deadline := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	got := map[string]bool{}
	for in := bufio.NewScanner(out); in.Scan(); {
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
