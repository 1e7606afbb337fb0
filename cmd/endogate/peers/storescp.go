package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
)

// StoreSCPOptions say how DCMTK's storescp runs. The zero value takes every storage SOP class
// in every transfer syntax, one association at a time, as installed (with Nagle's algorithm).
type StoreSCPOptions struct {
	Dir     string      // where the files go; default: the test's temporary folder
	AETitle string      // default STORESCP
	Accept  []dicom.UID // SOP classes to accept beside Verification; none = every class DCMTK knows
	Fork    bool        // a process per association
	Args    []string    // further arguments, such as +B
	Env     []string    // added to the environment, such as TCP_NODELAY=1
}

// StoreSCP is a running storescp.
type StoreSCP struct {
	AETitle string
	Addr    string // host:port
	Dir     string

	args    []string
	env     []string
	process *Process
}

// StartStoreSCP starts a storescp and waits until it listens.
func StartStoreSCP(t testing.TB, options ...StoreSCPOptions) *StoreSCP {
	t.Helper()
	installed.Require(t, "storescp")
	var opt StoreSCPOptions
	if len(options) > 0 {
		opt = options[0]
	}
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	if opt.AETitle == "" {
		opt.AETitle = "STORESCP"
	}
	port := FreePort(t)
	args := []string{"-aet", opt.AETitle, "-od", opt.Dir}
	if len(opt.Accept) > 0 {
		args = append(args, "-xf", profile(t, opt.Accept), "Default")
	} else {
		args = append(args, "+xa")
	}
	if opt.Fork {
		args = append(args, "--fork")
	}
	args = append(append(args, opt.Args...), strconv.Itoa(port))
	s := &StoreSCP{AETitle: opt.AETitle, Addr: loopback(port), Dir: opt.Dir, args: args, env: opt.Env}
	s.Start(t)
	return s
}

// Start starts storescp again on its port and folder.
func (s *StoreSCP) Start(t testing.TB) {
	t.Helper()
	cmd := exec.Command("storescp", s.args...)
	cmd.Env = append(os.Environ(), s.env...)
	s.process = Start(t, cmd)
	s.process.waitListening(t, s.Addr)
}

// Kill ends storescp at once; what it has written stays.
func (s *StoreSCP) Kill() { s.process.Kill() }

// PID is the process id of the listener; with Fork its children do the work.
func (s *StoreSCP) PID() int { return s.process.PID() }

// Files returns the file of every instance received by SOP Instance UID.
func (s *StoreSCP) Files(t testing.TB) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatalf("peers: storescp: %v", err)
	}
	files := map[string]string{}
	for _, e := range entries {
		// storescp's names: an abbreviation of the SOP class, a dot, the UID
		if _, uid, ok := strings.Cut(e.Name(), "."); ok {
			files[uid] = filepath.Join(s.Dir, e.Name())
		}
	}
	return files
}

// profile writes an association negotiation profile that knows only these SOP classes.
func profile(t testing.TB, accept []dicom.UID) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, "[[TransferSyntaxes]]\n[Any]")
	for i, uid := range []string{
		"1.2.840.10008.1.2.1", "1.2.840.10008.1.2",
		"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70",
		"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
		"1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.5",
	} {
		fmt.Fprintf(&b, "TransferSyntax%d = %s\n", i+1, uid)
	}
	fmt.Fprintln(&b, "[[PresentationContexts]]\n[Accepted]")
	for i, uid := range append([]dicom.UID{"1.2.840.10008.1.1"}, accept...) {
		fmt.Fprintf(&b, "PresentationContext%d = %s\\Any\n", i+1, uid)
	}
	fmt.Fprintln(&b, "[[Profiles]]\n[Default]\nPresentationContexts = Accepted")
	path := filepath.Join(t.TempDir(), "storescp.cfg")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatalf("peers: storescp: %v", err)
	}
	return path
}
