package audit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
)

// rsyslog is Debian's, with TLS of both sides (RFC 5425), which writes what it gets to a file as it came.
type rsyslog struct {
	t       *testing.T
	file    string
	address string
	config  string
}

func newRsyslog(t *testing.T, a *securetest.Authority) *rsyslog {
	t.Helper()
	installed.Require(t, "/usr/sbin/rsyslogd", "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so")
	dir := t.TempDir()
	cert, key := a.Issue("syslog")
	port := peers.FreePort(t)
	r := &rsyslog{t: t, file: filepath.Join(dir, "messages"), address: fmt.Sprintf("127.0.0.1:%d", port), config: filepath.Join(dir, "rsyslog.conf")}
	text := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="64k" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer=["gateway"])
template(name="asis" type="string" string="%%rawmsg%%\n")
input(type="imtcp" port="%d" address="127.0.0.1")
*.* action(type="omfile" file=%q template="asis")
`, dir, a.CAFile, cert, key, port, r.file)
	require.NoError(t, os.WriteFile(r.config, []byte(text), 0o600))
	return r
}

// start runs it until stop.
func (r *rsyslog) start() (stop func()) {
	r.t.Helper()
	cmd := exec.Command("/usr/sbin/rsyslogd", "-n", "-f", r.config, "-i", r.config+".pid")
	cmd.Stderr = os.Stderr
	require.NoError(r.t, cmd.Start())
	var once sync.Once
	stop = func() { once.Do(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }) }
	r.t.Cleanup(stop)
	return stop
}

func (r *rsyslog) kept() string {
	text, _ := os.ReadFile(r.file) // not there yet
	return string(text)
}

// TestForwarder_rsyslog sends a trail to a server that nobody here wrote: while it is not there, when it is, and when it comes
// back with a certificate that was renewed; what it has is held against the trail.
func TestForwarder_rsyslog(t *testing.T) {
	a := securetest.NewAuthority(t)
	server := newRsyslog(t, a)
	cert, key := a.Issue("gateway")
	secured, err := secure.Files{CertFile: cert, KeyFile: key, CAFile: a.CAFile}.Dialer()
	require.NoError(t, err)
	p := fresh(t)
	l := p.open(t)
	f := &Forwarder{
		Log: l, Address: server.address, TLS: secured.Config, Host: "gateway", Timeout: 5 * time.Second, Settle: 50 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Backoff: func(int) time.Duration { return 50 * time.Millisecond },
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, f.Run(ctx)) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	big := signedIn("anna")
	big.Why = strings.Repeat("é<&>", 4000) // 30 KB, as PS3.15 A.6 wants a receiver to take
	record := func(n int) {
		for range n {
			require.NoError(t, l.Record(t.Context(), signedIn("anna")))
		}
		require.NoError(t, l.Record(t.Context(), big))
	}
	arrived := func(n int) { // some perhaps twice
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			heads, err := Heads(strings.NewReader(server.kept()))
			require.NoError(t, err)
			different := map[Head]bool{}
			for _, h := range heads {
				different[h] = true
			}
			if len(different) >= n {
				return
			}
			require.True(t, time.Now().Before(end), "%d of %d have come", len(different), n)
		}
	}
	record(20) // nobody is there
	stop := server.start()
	arrived(21)
	stop()
	record(20)
	server.start()
	arrived(42)
	heads, err := Heads(strings.NewReader(server.kept()))
	require.NoError(t, err)
	v, err := p.verify(t, heads...)
	require.NoError(t, err)
	assert.EqualValues(t, 42, v.Entries)
	assert.Equal(t, 42, v.Heads, "all of them, and each as it was")
	for line := range strings.Lines(server.kept()) {
		require.True(t, strings.HasPrefix(line, "<85>1 "), "%.100s", line)
		require.True(t, strings.HasSuffix(strings.TrimSpace(line), "</AuditMessage>"), "none is cut")
	}
}
