//go:build bench

package bench_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"endogate/cmd/endogate/peers"
)

// receiver is a storage SCP under measurement.
type receiver struct {
	name    string
	durable bool // synced before the response
	aeTitle string
	addr    string
	pid     int
	// received returns how many instances it shows.
	received func() int
	web      string                                                               // of endogate: where its page and API are
	process  *peers.Process                                                       // of endogate
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil: without TLS
	alone    func(size, count, group int) sent                                    // of what receives nothing: writes count objects in groups; nil for a receiver
}

// settle waits until the receiver shows n instances more, so that what it does after its responses is done
// before another is measured. before is what received returned before they were sent.
func (r receiver) settle(t *testing.T, before, n int) {
	t.Helper()
	peers.Wait(t, time.Minute, fmt.Sprintf("%s to show %d instances", r.name, n), func() bool { return r.received()-before == n })
}

// nodelay makes DCMTK and Orthanc set TCP_NODELAY: otherwise a 40 ms timer is measured and not the receiver.
var nodelay = []string{"TCP_NODELAY=1"}

// receivers starts what is compared, endogate first, all writing below dir.
func receivers(t *testing.T, dir string, env []string) []receiver {
	t.Helper()
	return []receiver{
		endogate(t, filepath.Join(dir, "endogate"), ""),
		bare(t, filepath.Join(dir, "bare")),
		storescp(t, filepath.Join(dir, "storescp"), "storescp --fork", env),
		storescp(t, filepath.Join(dir, "storescp-b"), storescpPlus, env, "+B", "-pdu", "131072"),
		orthanc(t, filepath.Join(dir, "orthanc"), env),
	}
}

// The names that ratios are taken to.
const (
	endogateName = "endogate"
	storescpPlus = "storescp --fork +B -pdu 131072"
	orthancName  = "Orthanc, default settings"
)

// endogate starts bin/endogate serve; more is YAML below the listeners.
func endogate(t *testing.T, dir, more string) receiver {
	t.Helper()
	return endogateWith(t, dir, "", "", more)
}

// endogateWith is endogate with more keys of dicom, and of its one peer.
func endogateWith(t *testing.T, dir, dicom, peer, more string) receiver {
	t.Helper()
	mkdir(t, dir)
	scp, web := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	config := filepath.Join(dir, "endogate.yaml")
	text := fmt.Sprintf(`data_dir: %q
dicom: {listen: %q, max_per_peer: 64, peers: [{ae_title: "*", hosts: [127.0.0.0/8]%s}]%s}
http: {listen: %q}
%s`, filepath.Join(dir, "data"), scp, peer, dicom, web, more)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t), "serve", "--config", config)
	cmd.Dir = peers.Root(t)
	process := peers.Start(t, cmd)
	peers.Wait(t, time.Minute, "endogate to be ready", func() bool {
		if process.Exited() {
			t.Fatalf("endogate ended at its start:\n%s", process.Log())
		}
		return getJSON("http://"+web+"/readyz", nil) == nil
	})
	return receiver{
		name: endogateName, durable: true, aeTitle: "ENDOGATE", addr: scp, pid: process.PID(), web: "http://" + web, process: process,
		received: func() (n int) {
			var answer struct {
				Studies []struct {
					InstanceCount int `json:"instance_count"`
				} `json:"studies"`
			}
			if err := getJSON("http://"+web+"/api/v1/studies?limit=500", &answer); err != nil {
				t.Fatal(err)
			}
			for _, study := range answer.Studies {
				n += study.InstanceCount
			}
			return n
		},
	}
}

// program is the endogate that is measured.
func program(t *testing.T) string {
	t.Helper()
	path := cmp.Or(*binary, filepath.Join(peers.Root(t), "bin", "endogate"))
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; make build makes it", err)
	}
	return path
}

// getJSON gets a URL that has to answer with 200; into may be nil.
func getJSON(url string, into any) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func storescp(t *testing.T, dir, name string, env []string, args ...string) receiver {
	t.Helper()
	mkdir(t, dir)
	s := peers.StartStoreSCP(t, peers.StoreSCPOptions{Dir: dir, Fork: true, Args: args, Env: env})
	return receiver{
		name: name, aeTitle: s.AETitle, addr: s.Addr, pid: s.PID(),
		received: func() int { return len(s.Files(t)) },
	}
}

func orthanc(t *testing.T, dir string, env []string) receiver {
	t.Helper()
	mkdir(t, dir)
	o := peers.StartOrthanc(t, peers.OrthancOptions{Dir: dir, Env: env, Setting: map[string]any{"Plugins": []string{}}})
	return receiver{
		name: orthancName, durable: true, aeTitle: o.AETitle, addr: o.Addr, pid: o.PID(),
		received: func() int { return o.Count(t) },
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}
