package dicomnode_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
)

// serveTLS is serve over TLS, with peers who show a certificate of the authority.
func serveTLS(t *testing.T, s *dicomnode.Server, a *securetest.Authority) string {
	t.Helper()
	cert, key := a.Issue("endogate")
	config, err := secure.Files{CertFile: cert, KeyFile: key, CAFile: a.CAFile}.Server()
	require.NoError(t, err)
	return serveOn(t, s, func(ln net.Listener) net.Listener { return tls.NewListener(ln, config) })
}

// TestInterop_storescuTLS has DCMTK come with certificates that are right and wrong.
func TestInterop_storescuTLS(t *testing.T) {
	installed.Require(t, "storescu", "openssl")
	a, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	h := new(storing)
	s := newServer(h)
	s.RequireTLS, s.Peers = true, []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: loopback, Names: []string{"scope1.example"}}, {AETitle: "SCOPE2", Hosts: loopback}}
	addr := serveTLS(t, s, a)
	ds, req := instance(dicomtest.Options{})
	file := filepath.Join(t.TempDir(), "instance.dcm")
	writePart10(t, file, ds, req)
	for _, tt := range []struct {
		name, title, certificate string
		from                     *securetest.Authority
		trusts                   *securetest.Authority
		end                      time.Time
		good                     bool
	}{
		{"right", "SCOPE1", "scope1.example", a, a, time.Now().Add(time.Hour), true},
		{"another name", "SCOPE1", "scope2.example", a, a, time.Now().Add(time.Hour), false},
		{"no name is listed", "SCOPE2", "anything", a, a, time.Now().Add(time.Hour), true},
		{"expired", "SCOPE1", "scope1.example", a, a, time.Now().Add(-time.Minute), false},
		{"another authority", "SCOPE1", "scope1.example", other, a, time.Now().Add(time.Hour), false},
		{"the peer trusts another", "SCOPE1", "scope1.example", a, other, time.Now().Add(time.Hour), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert, key := tt.from.Until(tt.certificate, tt.end)
			host, port, err := net.SplitHostPort(addr)
			require.NoError(t, err)
			out, err := dcmtk(t, "storescu", "-aet", tt.title, "-aec", "ENDOGATE", "+tls", key, cert, "+cf", tt.trusts.CAFile, host, port, file)
			assert.Equal(t, tt.good, err == nil && !strings.Contains(out, "E:"), "%s", out)
		})
	}
	for _, options := range [][]string{{"-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"}, {"-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"}, {"-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"}} {
		cert, key := a.Issue("scope1.example")
		out, err := exec.Command("openssl", append([]string{"s_client", "-connect", addr, "-cert", cert, "-key", key, "-brief"}, options...)...).CombinedOutput()
		assert.Error(t, err, "%v: %s", options, out)
	}
	cert, key := a.Issue("scope1.example")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	renegotiates := exec.CommandContext(ctx, "openssl", "s_client", "-connect", addr, "-cert", cert, "-key", key, "-tls1_2")
	var out bytes.Buffer
	renegotiates.Stdout, renegotiates.Stderr = &out, &out
	stdin, err := renegotiates.StdinPipe() // stays open: it is the other side that ends this
	require.NoError(t, err)
	require.NoError(t, renegotiates.Start())
	_, err = io.WriteString(stdin, "R\n")
	require.NoError(t, err)
	require.Error(t, renegotiates.Wait())
	assert.Regexp(t, "RENEGOTIATING\\n.*SSL alert number", out.String())
	assert.Equal(t, ds, h.get(req.SOPInstanceUID))
}

// TestTLS_clearText lets who must come by TLS not come without, but for whom that is listed.
func TestTLS_clearText(t *testing.T) {
	s := newServer(new(storing))
	s.RequireTLS, s.Peers = true, []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: loopback}, {AETitle: "OLD", Hosts: loopback, Clear: true}}
	addr := serve(t, s)
	for title, good := range map[string]bool{"SCOPE1": false, "OLD": true} {
		a, err := (&dicomnode.Client{AETitle: dicom.AETitle(title)}).Associate(t.Context(), addr, "ENDOGATE", dicomnode.VerificationContexts())
		if !good {
			require.ErrorAs(t, err, new(*dicomnode.RejectError))
			continue
		}
		require.NoError(t, err)
		require.NoError(t, a.Release(t.Context()))
	}
}

// TestTLS_silentHandshakes has a listed peer come in while others say nothing of TLS.
func TestTLS_silentHandshakes(t *testing.T) {
	a := securetest.NewAuthority(t)
	s := newServer(new(storing))
	s.RequireTLS, s.ARTIM = true, time.Minute
	addr := serveTLS(t, s, a)
	for range 20 {
		nc, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer nc.Close()
	}
	cert, key := a.Issue("scope")
	config, err := secure.Files{CertFile: cert, KeyFile: key, CAFile: a.CAFile}.Client()
	require.NoError(t, err)
	client := &dicomnode.Client{AETitle: "SCOPE1", Dial: (&tls.Dialer{Config: config}).DialContext}
	ds, req := instance(dicomtest.Options{})
	assoc, err := client.Associate(t.Context(), addr, "ENDOGATE", contextsFor(req))
	require.NoError(t, err)
	req.Dataset = bytes.NewReader(ds)
	status, err := assoc.Store(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.NoError(t, assoc.Release(t.Context()))
}

// TestInterop_storescpTLS delivers to DCMTK over TLS, and not to one of another authority.
func TestInterop_storescpTLS(t *testing.T) {
	installed.Require(t, "storescp")
	a, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	cert, key := a.Issue("pacs")
	addr, _ := storescp(t, "+tls", key, cert, "+cf", a.CAFile)
	for _, tt := range []struct {
		from, trusts *securetest.Authority
		good         bool
	}{{a, a, true}, {other, a, false}, {a, other, false}} {
		cert, key := tt.from.Issue("endogate")
		config, err := secure.Files{CertFile: cert, KeyFile: key, CAFile: tt.trusts.CAFile}.Client()
		require.NoError(t, err)
		client := &dicomnode.Client{AETitle: "ENDOGATE", Dial: (&tls.Dialer{Config: config}).DialContext}
		ds, req := instance(dicomtest.Options{})
		assoc, err := client.Associate(t.Context(), addr, "PACS", contextsFor(req))
		if !tt.good {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		req.Dataset = bytes.NewReader(ds)
		status, err := assoc.Store(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, dimse.Success, status)
		require.NoError(t, assoc.Release(t.Context()))
	}
}
