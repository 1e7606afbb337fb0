package gateway_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// broker is a nats-server with JetStream as a hospital runs one: in another process than the gateway's.
type broker struct {
	t     *testing.T
	port  int
	store string
	srv   *server.Server
}

// newBroker returns a broker that is not up yet.
func newBroker(t *testing.T) *broker {
	b := &broker{t: t, port: peers.FreePort(t), store: filepath.Join(t.TempDir(), "broker")}
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: b.port, JetStream: true, StoreDir: b.store, JetStreamMaxStore: 4 << 30, NoLog: true, NoSigs: true,
	})
	require.NoError(b.t, err)
	b.srv = srv
	go srv.Start() // ends with Shutdown
	require.True(b.t, srv.ReadyForConnections(2*time.Minute))
}

func (b *broker) stop() {
	if b.srv != nil {
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
	}
}

func TestGateway_brokerRestartedAndWiped(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	broker := newBroker(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, "")+fmt.Sprintf("nats: {url: \"nats://127.0.0.1:%d\"}\njobs: {ack_wait: 2s}\n", broker.port))
	g.launch()
	g.watched()
	const each = 10
	studies := 0
	send := func() {
		t.Helper()
		storeAll(t, g.scp, polyps(t, studies, 1, each)...)
		studies++
	}

	send() // instances are taken without a broker, and their jobs stay open
	broker.start()
	g.waitFor("work to begin", func() bool { done, _ := g.analysed(); return done > 0 })
	broker.stop()
	send()
	broker.start()
	g.waitFor("work to go on", func() bool { done, _ := g.analysed(); return done > each })

	broker.stop()
	send()
	require.NoError(t, os.RemoveAll(broker.store))
	broker.start()
	g.waitFor("all to be analysed", func() bool { done, received := g.analysed(); return done == received && received == studies*each })
	g.waitDelivered(studies)
	assertEachOnce(t, g, scp, studies*each)
	installed.Tried(t, installed.Drill{Tried: "the broker not there at the start, stopped twice amid work, its store emptied once", Kept: studies * each, Memory: g.watch.Memory()})
}

// TestGateway_brokerOfThreeNodes breaks a cluster of three nodes in one way after the other while work comes: a node or all of them killed,
// hanging, or without what they had, the majority gone. Nobody who sends feels it, and nothing is lost or twice.
func TestGateway_brokerOfThreeNodes(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	brokers := peers.StartNATSCluster(t, 3)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, "")+fmt.Sprintf("nats: {url: %q, replicas: 3}\njobs: {ack_wait: 2s, max_deliver: 20}\n", brokers.URL()))
	g.start()
	g.watched()
	kill := func(nodes ...int) func() {
		for _, n := range nodes {
			brokers.Kill(n)
		}
		return func() {
			for _, n := range nodes {
				brokers.Start(n)
			}
		}
	}
	empty := func(nodes ...int) func() {
		start := kill(nodes...)
		for _, n := range nodes {
			require.NoError(t, os.RemoveAll(brokers.Dirs[n]))
		}
		return start
	}
	hang := func(nodes ...int) func() {
		for _, n := range nodes {
			require.NoError(t, syscall.Kill(brokers.PID(n), syscall.SIGSTOP))
		}
		return func() {
			for _, n := range nodes {
				require.NoError(t, syscall.Kill(brokers.PID(n), syscall.SIGCONT))
			}
		}
	}
	faults := []struct {
		name  string
		fault func() (repair func())
	}{
		{"the majority is killed", func() func() { return kill(0, 1) }},
		{"all are emptied", func() func() { return empty(0, 1, 2) }},
		{"each is killed in turn", func() func() { kill(0)(); kill(1)(); return kill(2) }},
		{"one hangs", func() func() { return hang(1) }},
		{"the majority hangs", func() func() { return hang(0, 2) }},
		{"one is emptied", func() func() { return empty(2) }},
		{"all are killed", func() func() { return kill(0, 1, 2) }},
		{"the majority is emptied", func() func() { return empty(1, 2) }},
	}
	faults = faults[:installed.Scaled(2, len(faults))]
	each, studies := installed.Scaled(4, 10), 0
	var names []string
	send := func() {
		storeAll(t, g.scp, polyps(t, studies, 1, each)...)
		studies++
	}
	for _, f := range faults {
		names = append(names, f.name)
		send()
		g.waitFor("work to go on: "+f.name, func() bool { done, _ := g.analysed(); return done > (studies-1)*each })
		repair := f.fault()
		send()
		if installed.Scaled(false, true) {
			time.Sleep(10 * time.Second) // so that those who wait for the broker give up waiting
		}
		repair()
		g.waitFor("all to be analysed: "+f.name, func() bool { done, received := g.analysed(); return done == received && received == studies*each })
	}
	g.waitDelivered(studies)
	assertEachOnce(t, g, scp, studies*each)
	assert.Empty(t, g.parked())
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("a broker of three nodes (nats-server, three replicas), %d faults amid work: %s", len(faults), strings.Join(names, ", ")),
		Kept:  studies * each, Memory: g.watch.Memory(),
	})
}

// TestGateway_brokerSaysWhy: a broker that is not there, one that does not let us in and one that is full are three things to
// do, and log, /readyz, page and doctor say which.
func TestGateway_brokerSaysWhy(t *testing.T) {
	t.Parallel()
	const down, unknown, full = "no nats-server answers", "does not accept us", "is full"
	for says, o := range map[string]*server.Options{
		down:    nil,
		unknown: {Username: "endogate", Password: "hush-hush", JetStream: true},
		full:    {JetStream: true, JetStreamMaxStore: 1 << 20},
	} {
		t.Run(says, func(t *testing.T) {
			port := peers.FreePort(t)
			if o != nil {
				o.Host, o.Port, o.NoLog, o.NoSigs, o.StoreDir = "127.0.0.1", -1, true, true, t.TempDir()
				srv, err := server.NewServer(o)
				require.NoError(t, err)
				srv.Start()
				t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
				require.True(t, srv.ReadyForConnections(2*time.Minute))
				port = srv.Addr().(*net.TCPAddr).Port
			}
			scp := peers.StartStoreSCP(t)
			g := newGateway(t, routeTo(scp.AETitle, scp.Addr, "")+fmt.Sprintf("nats: {url: \"nats://endogate:sesame@127.0.0.1:%d\"}\n", port))
			g.launch()
			require.Equal(t, dimse.Success, store(t, g.scp, polyps(t, 0, 1, 1)[0]), "nobody who sends feels it")
			only := func(where, text string) bool {
				for _, other := range []string{down, unknown, full} {
					if other != says && strings.Contains(text, other) {
						t.Errorf("%s says that it %s: %s", where, other, text)
					}
				}
				require.NotContains(t, text, "sesame", where)
				return strings.Contains(text, says)
			}
			reason := func(checks []admin.CheckResult) string {
				for _, c := range checks {
					if c.Name == "JetStream up" && !c.OK {
						return c.Reason
					}
				}
				return ""
			}
			g.waitFor("/readyz to say "+says, func() bool {
				code, answer := g.ready()
				require.Equal(t, http.StatusOK, code, "what comes is taken")
				return only("/readyz", reason(answer.Checks))
			})
			var page readiness
			g.get("/api/v1/status", &page)
			require.True(t, only("page", reason(page.Checks)))
			g.waitFor("the log to say "+says, func() bool { return only("log", g.Log()) })
			out, err := exec.Command(shipped.path(t), "doctor", "--timeout", "20s", "--config", g.config).CombinedOutput()
			require.Error(t, err)
			require.True(t, only("doctor", string(out)), string(out))
		})
	}
}

// assertEachOnce holds that every instance was analysed by one job, and that the PACS has one heatmap of each
// and every report that was made.
func assertEachOnce(t *testing.T, g *testGateway, scp *peers.StoreSCP, instances int) {
	t.Helper()
	received, jobs, reports := 0, 0, 0
	for _, s := range g.studies() {
		study := g.study(s.StudyInstanceUID)
		for _, instance := range study.Instances {
			received++
			for _, a := range instance.Analyses {
				jobs++
				assert.Equal(t, ledger.JobDone, a.State, a.Reason)
				assert.Len(t, a.Frames, 1)
			}
		}
		reports += len(reportsOf(study))
	}
	assert.Equal(t, instances, received)
	assert.Equal(t, instances, jobs, "one job of each instance")
	classes := classesOf(t, scp)
	assert.Equal(t, instances, classes["SC"], "one heatmap of each instance in the PACS: %v", classes)
	assert.Equal(t, reports, classes["SR3"], "every report in the PACS: %v", classes)
	assert.Equal(t, reports, classes["KO"], "and its key images: %v", classes)
}

// classesOf counts what storescp has by its abbreviation of the SOP class.
func classesOf(t *testing.T, scp *peers.StoreSCP) map[string]int {
	t.Helper()
	classes := map[string]int{}
	for _, path := range scp.Files(t) {
		class, _, _ := strings.Cut(filepath.Base(path), ".")
		classes[class]++
	}
	return classes
}

// The stream lives in the data folder beside spool and ledger, but nothing lives only there.
func TestGateway_streamDeletedWhileDown(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.apart = true
	g.start()
	const studies, each = 3, 10
	storeAll(t, g.scp, polyps(t, 0, studies, each)...)
	g.process.Kill()

	requireOpenWork(t, g, studies*each)
	stream := filepath.Join(g.dir, "data", "nats")
	require.DirExists(t, stream)
	require.NoError(t, os.RemoveAll(stream))

	g.start()
	g.waitDelivered(studies)
	assertEachOnce(t, g, scp, studies*each)
}

// requireOpenWork holds that a gateway which is down has not done everything; so many instances were sent to it.
func requireOpenWork(t *testing.T, g *testGateway, sent int) {
	t.Helper()
	l, err := ledger.Open(filepath.Join(g.dir, "data", "ledger.db"))
	require.NoError(t, err)
	open, err := l.OpenJobs(t.Context(), "", sent)
	require.NoError(t, err)
	position, err := l.Position(t.Context())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.True(t, len(open) > 0 || position < uint64(sent), "everything was done before the end")
}
