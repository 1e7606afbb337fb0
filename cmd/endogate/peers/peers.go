// Package peers starts the peers that endogate is tested against: Orthanc, DCMTK's
// storescp and storescu, senders and receivers of HL7, and the OHIF viewer in a headless Chromium. Only tests import it.
//
// Every peer runs as a child process on free loopback ports with its files in the test's
// temporary folder, and is killed by its process id when the test ends.
package peers

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
)

// FreePort returns a loopback TCP port that nobody listened on a moment ago. It lies below the ports that the
// kernel gives to clients (32768 up by default): a client that tries again and again to reach a peer that is down
// could otherwise be given that very port, and the peer could not come back.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", loopback(16384+rand.IntN(16384)))
		if err != nil {
			continue // taken
		}
		defer ln.Close()
		return ln.Addr().(*net.TCPAddr).Port
	}
	t.Fatal("peers: free port: none of 100 was")
	return 0
}

// Root returns the root folder of the module, found from the working folder upwards.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("peers: root: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("peers: root: no go.mod above the working folder")
		}
		dir = filepath.Dir(dir)
	}
}

// Wait polls until done returns true and fails the test when that takes longer than limit.
// what completes "waiting for …" in the failure's text.
func Wait(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("peers: waited %v for %s in vain", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Run runs a tool that must succeed and returns what it printed to both of its outputs.
func Run(t testing.TB, tool string, args ...string) string {
	t.Helper()
	installed.Require(t, tool)
	out, err := exec.Command(tool, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("peers: %s: %v\n%s", tool, err, tail(string(out)))
	}
	return string(out)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func listens(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// tail returns the last lines of a log, enough to see why a peer gave up.
func tail(log string) string {
	const most = 4 << 10
	if len(log) > most {
		log = "…" + log[len(log)-most:]
	}
	return log
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}
