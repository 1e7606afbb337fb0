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
	"strings"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
)

// usualClientPorts is where Linux begins to give ports to clients.
const usualClientPorts = 32768

// FreePort returns a loopback TCP port that nobody listens on, and that no other test is given before t ends, in whatever
// process: the UDP port of the same number, which nobody here uses, is held for as long and says so. It lies below the
// ports that the kernel gives to clients: a client that tries again and again to reach a peer that is down could otherwise
// be given that very port, and the peer could not come back.
func FreePort(t testing.TB) int {
	t.Helper()
	const lowest = 10240
	above := clientPorts()
	if above <= lowest {
		t.Fatalf("peers: free port: the kernel gives all from %d up to clients; raise net.ipv4.ip_local_port_range", above)
	}
	for range 1000 {
		addr := loopback(lowest + rand.IntN(above-lowest))
		reserved, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue // another test has it
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			_ = reserved.Close()
			continue // taken
		}
		ln.Close()
		t.Cleanup(func() { _ = reserved.Close() })
		return ln.Addr().(*net.TCPAddr).Port
	}
	t.Fatal("peers: free port: none of 1000 was")
	return 0
}

// clientPorts returns the first of the ports that the kernel gives to clients (ip(7), ip_local_port_range).
func clientPorts() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) == 0 {
		return usualClientPorts
	}
	first, err := strconv.Atoi(fields[0])
	if err != nil {
		return usualClientPorts
	}
	return first
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

// Wait polls, less and less often, until done returns true and fails the test when that takes longer than limit.
// what completes "waiting for …" in the failure's text.
func Wait(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for pause := 20 * time.Millisecond; !done(); pause = min(pause*5/4, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("peers: waited %v for %s in vain", limit, what)
		}
		time.Sleep(pause)
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
	const most = 16 << 10
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
