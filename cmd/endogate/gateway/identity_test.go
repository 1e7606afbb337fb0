package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/access"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/secure/securetest"
)

// storedBy counts who stored.
type storedBy struct{ gateway, others atomic.Int32 }

func (s *storedBy) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	if req.User == "endogate" {
		s.gateway.Add(1)
	} else {
		s.others.Add(1)
	}
	return nil
}

// TestGateway_identities has modalities say who they are, over TLS and on this machine, and the gateway say it to a PACS that
// asks.
func TestGateway_identities(t *testing.T) {
	t.Parallel()
	installed.Require(t, "storescu")
	const passcode = "sesame-0815"
	hash, err := access.HashPasscode(passcode)
	require.NoError(t, err)
	secret := filepath.Join(t.TempDir(), "passcode")
	require.NoError(t, os.WriteFile(secret, []byte(passcode+"\n"), 0o600))

	stored := &storedBy{}
	pacs, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &dicomnode.Server{
		AETitle: "PACS", Contexts: dicomnode.StorageContexts(dicom.StorageSOPClasses), Handler: stored, Log: slog.New(slog.DiscardHandler),
		Peers: []dicomnode.Peer{{AETitle: "ENDOGATE", Hosts: loopbacks, Identity: &dicomnode.IdentityPolicy{Required: true, Verify: func(_ context.Context, p dicomnode.Presented) (string, error) {
			if p.Type == dicomnode.IdentityPasscode && string(p.Primary) == "endogate" && string(p.Secondary) == passcode {
				return "endogate", nil
			}
			return "", &dicomnode.IdentityError{Reason: "wrong"}
		}}}},
	}
	go func() { _ = server.Serve(pacs) }()
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })

	authority := securetest.NewAuthority(t)
	cert, key := authority.Issue("gateway")
	files := fmt.Sprintf("ca_file: %q, cert_file: %q, key_file: %q", authority.CAFile, cert, key)
	secured := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs], forward_source: true}]
destinations: [{name: pacs, kind: dicom, ae_title: PACS, address: %q, identity: {user: endogate, passcode_file: %q, confirm: true}}]
exam: {quiet: 1s}
`, pacs.Addr(), secret))
	g.replace(`peers: [{ae_title: "*", hosts: [127.0.0.0/8]}]`, fmt.Sprintf(`tls: {listen: %q, %s}, peers: [
  {ae_title: SCOPE1, hosts: [127.0.0.0/8], certificate_names: [scope1], identity: {policy: required, users: [{name: anna, passcode_hash: %q}, {name: bert, passcode_file: %q}, {name: room1}]}},
  {ae_title: OLD, hosts: [127.0.0.0/8], clear_text: true, identity: {policy: optional, users: [{name: anna, passcode_hash: %[3]q}]}}]`, secured, files, hash, secret))
	g.start()
	file := drawn(dicomtest.Options{}).file(t, filepath.Join(t.TempDir(), "instance.dcm"))
	scopeCert, scopeKey := authority.Issue("scope1")
	scu := func(title, to string, options ...string) (string, error) {
		host, port, err := net.SplitHostPort(to)
		require.NoError(t, err)
		args := append([]string{"-aet", title, "-aec", "ENDOGATE"}, options...)
		if to == secured {
			args = append(args, "+tls", scopeKey, scopeCert, "+cf", authority.CAFile)
		}
		out, err := exec.CommandContext(t.Context(), "storescu", append(args, host, port, file)...).CombinedOutput()
		return string(out), err
	}
	for _, tt := range []struct {
		title, to string
		options   []string
		good      bool
	}{
		{"SCOPE1", secured, []string{"-usr", "anna", "-pwd", passcode, "-rsp"}, true},
		{"SCOPE1", secured, []string{"-usr", "bert", "-pwd", passcode, "-rsp"}, true},
		{"SCOPE1", secured, []string{"-usr", "room1", "-rsp"}, true},
		{"SCOPE1", secured, []string{"-usr", "anna", "-pwd", "wrong"}, false},
		{"SCOPE1", secured, []string{"-usr", "anna"}, false},
		{"SCOPE1", secured, []string{"-usr", "mallory", "-pwd", passcode}, false},
		{"SCOPE1", secured, []string{"-kt", secret}, false},
		{"SCOPE1", secured, nil, false},
		{"OLD", g.scp, nil, true},
		{"OLD", g.scp, []string{"-usr", "anna", "-pwd", passcode, "-rsp"}, true},
		{"OLD", g.scp, []string{"-usr", "anna", "-pwd", "wrong"}, false},
	} {
		out, err := scu(tt.title, tt.to, tt.options...)
		assert.Equal(t, tt.good, err == nil, "%s %v: %s", tt.title, tt.options, out)
	}
	send := []string{"send", "--to", secured, "--called", "ENDOGATE", "--calling", "SCOPE1", "--tls", "--tls-ca", authority.CAFile, "--tls-cert", scopeCert, "--tls-key", scopeKey, file}
	assert.Contains(t, g.command(append(send, "--user", "anna", "--passcode-file", secret, "--confirm")...), "0000")
	assert.Contains(t, g.commandFails(send...), "no reason given")
	g.waitFor("the image in the PACS", func() bool { return g.destination("pacs").Counts.Done > 0 })
	assert.Positive(t, stored.gateway.Load())
	assert.Zero(t, stored.others.Load())
	for _, why := range []string{"name or passcode is wrong", "no user identity is presented", "Kerberos ticket: it is not taken of this peer"} {
		assert.Contains(t, g.Log(), why)
	}
	require.NoError(t, os.WriteFile(secret, []byte("another\n"), 0o600))
	out, err := scu("SCOPE1", secured, "-usr", "bert", "-pwd", "another")
	assert.NoError(t, err, "a passcode is changed without a restart: %s", out)
	g.Stop()
	for _, text := range []string{passcode, hash, "mallory"} {
		assert.NotContains(t, g.Log(), text)
		assert.NotContains(t, strings.Join(g.everything(), "\n"), text)
	}
}

// everything is what the data folder holds, file by file.
func (g *testGateway) everything() (all []string) {
	g.t.Helper()
	require.NoError(g.t, filepath.WalkDir(filepath.Join(g.dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var text []byte
			text, err = os.ReadFile(path)
			all = append(all, string(text))
		}
		return err
	}))
	return all
}
