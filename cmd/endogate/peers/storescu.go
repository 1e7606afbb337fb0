package peers

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"endogate/cmd/endogate/installed"
)

// Called is the application entity a DCMTK SCU speaks to.
type Called struct {
	AETitle string
	Addr    string   // host:port
	Calling string   // the SCU's own title; default STORESCU
	Env     []string // added to the environment, such as TCP_NODELAY=1
}

// Storescu sends files, or folders of them, with DCMTK's storescu over one association and returns
// its exit status (0: all were stored) and what it printed. args come before the peer's address:
// -xs proposes JPEG lossless, -xy JPEG baseline, -xr RLE, -R only the presentation contexts needed.
func Storescu(t testing.TB, peer Called, args []string, files ...string) (status int, output string) {
	t.Helper()
	return scu(t, "storescu", peer, append([]string{"+sd"}, args...), files)
}

// Echoscu sends one C-ECHO with DCMTK's echoscu and returns its exit status and what it printed.
func Echoscu(t testing.TB, peer Called, args ...string) (status int, output string) {
	t.Helper()
	return scu(t, "echoscu", peer, args, nil)
}

func scu(t testing.TB, tool string, peer Called, args, files []string) (int, string) {
	t.Helper()
	installed.Require(t, tool)
	host, port, err := net.SplitHostPort(peer.Addr)
	if err != nil {
		t.Fatalf("peers: %s: %v", tool, err)
	}
	if peer.Calling == "" {
		peer.Calling = "STORESCU"
	}
	line := append([]string{"-aet", peer.Calling, "-aec", peer.AETitle}, args...)
	cmd := exec.CommandContext(t.Context(), tool, append(append(line, host, port), files...)...)
	cmd.Env = append(os.Environ(), peer.Env...)
	out, err := cmd.CombinedOutput()
	status := exitCode(err)
	if status < 0 {
		t.Fatalf("peers: %s: %v\n%s", tool, err, tail(string(out)))
	}
	return status, string(out)
}
