package gateway_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
)

// Orders come from senders that nobody here wrote, and reports go to such receivers: python3-hl7 and node-hl7, each both ways.
func TestGateway_otherSendersAndReceivers(t *testing.T) {
	listen := peers.FreePort(t)
	type receiver struct {
		name    string
		port    int
		process *peers.Process
	}
	var receivers []receiver
	var names, destinations []string
	for name, command := range map[string]func(testing.TB, string, ...string) *exec.Cmd{"server.py": peers.PythonHL7, "server.js": peers.NodeHL7} {
		r := receiver{name: strings.ReplaceAll(name, ".", "-"), port: peers.FreePort(t)}
		r.process = peers.Start(t, command(t, name, strconv.Itoa(r.port)))
		peers.Wait(t, time.Minute, name+" to listen", func() bool {
			require.False(t, r.process.Exited(), r.process.Log())
			nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
			if err == nil {
				_ = nc.Close()
			}
			return err == nil
		})
		receivers = append(receivers, r)
		names = append(names, r.name)
		destinations = append(destinations, fmt.Sprintf("  - {name: %s, kind: hl7, address: \"127.0.0.1:%d\"}\n", r.name, r.port))
	}
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [%s]}]
destinations:
%sexam: {quiet: 1s}
hl7: {listen: "127.0.0.1:%d", senders: [{application: RIS, hosts: [127.0.0.0/8]}]}
`, strings.Join(names, ", "), strings.Join(destinations, ""), listen))
	g.start()

	var files []string
	for i := range 6 {
		path := filepath.Join(t.TempDir(), strconv.Itoa(i))
		require.NoError(t, os.WriteFile(path, order(i), 0o600))
		files = append(files, path)
	}
	port := strconv.Itoa(listen)
	for i, sender := range []*exec.Cmd{
		peers.PythonHL7(t, "client.py", append([]string{"blocking", port}, files[:2]...)...),
		peers.PythonHL7(t, "client.py", append([]string{"stream", port}, files[2:4]...)...),
		peers.NodeHL7(t, "client.js", append([]string{port}, files[4:]...)...),
	} {
		out, err := sender.CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Equal(t, fmt.Sprintf("AA|m%d\nAA|m%d\n", 100_000+2*i, 100_001+2*i), string(out))
	}
	var answer struct{ Total int }
	g.get("/api/v1/orders", &answer)
	assert.Equal(t, 6, answer.Total)

	g.send(sample(t, "study1-01*")...)
	for _, r := range receivers {
		g.waitFor("the report to be taken by "+r.name, func() bool { return g.destination(r.name).Counts.Done == 1 })
		assert.Len(t, strings.Split(strings.TrimSpace(r.process.Log()), "\n"), 1, r.name)
	}
}
