//go:build bench

package bench_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine describes what the figures depend on.
func machine() string {
	dir := measuredDir()
	var b strings.Builder
	fmt.Fprintf(&b, "## Benchmarks, %s\n\n", time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "%d processors, %s, %s\n", runtime.NumCPU(), kernel(), runtime.Version())
	fmt.Fprintf(&b, "load before the run: %s\n", readLine("/proc/loadavg"))
	fmt.Fprintf(&b, "%s; %s\n", version("storescp"), version("/usr/sbin/Orthanc"))
	fmt.Fprintf(&b, "receivers write to %s (%s); one writer appends 100 KB and syncs in %s\n", dir, fileSystem(dir), syncedAppend(dir))
	if fileSystem(dir) == "ext" && !journaled() {
		fmt.Fprint(&b, "\nThis file system has no journal: a sync costs little here, and creating files becomes slow after many deletes. "+
			"For figures that carry over, set BENCH_DIR to a folder on a journaled file system.\n")
	}
	return b.String()
}

func kernel() string {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return "unknown kernel"
	}
	var release []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	return "Linux " + string(release)
}

func readLine(path string) string {
	text, _ := os.ReadFile(path) // absent reads as empty
	return strings.TrimSpace(string(text))
}

// version is the first line that a program says about itself.
func version(program string) string {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return program + " is not installed"
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	return strings.Trim(string(line), "$ ")
}

// fileSystem names the type of file system of a folder, as far as it matters here.
func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return "unknown"
	}
	names := map[int64]string{0xef53: "ext", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs", 0x794c7630: "overlay"}
	return cmp.Or(names[int64(s.Type)], fmt.Sprintf("type %#x", s.Type))
}

// journaled tells whether any ext4 of the machine has a journal.
func journaled() bool {
	entries, err := os.ReadDir("/proc/fs/jbd2")
	return err == nil && len(entries) > 0
}

// syncedAppend is the median time to append 100 KB to a file and sync it: what a durable receiver cannot be faster than.
func syncedAppend(dir string) string {
	path := filepath.Join(dir, fmt.Sprintf("endogate-bench-%d", os.Getpid()))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err.Error()
	}
	defer os.Remove(path)
	defer f.Close()
	var took []time.Duration
	for range 100 {
		begin := time.Now()
		if _, err := f.Write(make([]byte, 100_000)); err != nil {
			return err.Error()
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return err.Error()
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)/2].Round(10 * time.Microsecond).String()
}
