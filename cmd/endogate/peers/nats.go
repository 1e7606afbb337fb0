package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// NATSCluster is a cluster of nats-servers with JetStream, each a process of its own, of the release that the gateway has
// inside.
type NATSCluster struct {
	Dirs []string // the servers' stores

	t       testing.TB
	binary  string
	configs []string
	addrs   []string
	servers []*Process
}

// CompiledSo is the environment in which deploy/build.sh compiles C, so that what it has compiled is not compiled anew where tests with the race
// detector have another (deploy/unit.sh).
const CompiledSo = "CGO_CFLAGS=-O2 -g"

// natsServer is nats-server, built once and kept where go keeps what it builds.
var natsServer = sync.OnceValues(func() (string, error) {
	build := exec.Command("go", "tool", "-n", "nats-server")
	build.Env = append(os.Environ(), CompiledSo)
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
})

// StartNATSCluster starts n servers.
func StartNATSCluster(t testing.TB, n int) *NATSCluster {
	t.Helper()
	binary, err := natsServer()
	if err != nil {
		t.Fatalf("peers: %v", err)
	}
	c := &NATSCluster{t: t, binary: binary, servers: make([]*Process, n)}
	var routes []string
	for range n {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", FreePort(t)))
	}
	for i := range n {
		dir := t.TempDir()
		addr := loopback(FreePort(t))
		config := filepath.Join(dir, "nats.conf")
		text := fmt.Sprintf(`server_name: n%d
listen: %q
jetstream: {store_dir: %q, max_file_store: 8GB}
`, i, addr, filepath.Join(dir, "store"))
		if n > 1 {
			text += fmt.Sprintf("cluster: {name: test, listen: %q, routes: [%s]}\n", strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", "))
		}
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Dirs, c.configs, c.addrs = append(c.Dirs, filepath.Join(dir, "store")), append(c.configs, config), append(c.addrs, addr)
		c.Start(i)
	}
	return c
}

// Start starts server i, which is down.
func (c *NATSCluster) Start(i int) {
	c.t.Helper()
	c.servers[i] = Start(c.t, exec.Command(c.binary, "-c", c.configs[i]))
	c.servers[i].waitListening(c.t, c.addrs[i])
}

// Kill ends server i with SIGKILL.
func (c *NATSCluster) Kill(i int) { c.servers[i].Kill() }

// PID is the process id of server i.
func (c *NATSCluster) PID(i int) int { return c.servers[i].PID() }

// URL names all servers.
func (c *NATSCluster) URL() string { return "nats://" + strings.Join(c.addrs, ",nats://") }

// Addr is where server i listens.
func (c *NATSCluster) Addr(i int) string { return c.addrs[i] }

// Network is a way to a server that can be cut: then nothing passes, and nobody is told.
type Network struct {
	Addr string

	mu    sync.Mutex
	whole chan struct{} // closed while bytes pass
}

// StartNetwork leads connections to target, until the test ends.
func StartNetwork(t testing.TB, target string) *Network {
	t.Helper()
	ln, err := net.Listen("tcp", loopback(FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	n := &Network{Addr: ln.Addr().String(), whole: make(chan struct{})}
	close(n.whole)
	var conns sync.WaitGroup
	open := map[net.Conn]bool{}
	var mu sync.Mutex
	keep := func(c net.Conn) { mu.Lock(); defer mu.Unlock(); open[c] = true }
	conns.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			keep(near)
			keep(far)
			conns.Go(func() { n.pass(near, far) })
			conns.Go(func() { n.pass(far, near) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		n.Heal()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		conns.Wait()
	})
	return n
}

// Cut holds every byte back from now on.
func (n *Network) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.whole = make(chan struct{})
}

// Heal lets pass what was held back.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.whole:
	default:
		close(n.whole)
	}
}

func (n *Network) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		got, err := from.Read(b)
		n.mu.Lock()
		whole := n.whole
		n.mu.Unlock()
		<-whole
		if _, failed := to.Write(b[:got]); err != nil || failed != nil {
			return
		}
	}
}
