package gateway_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
	"endogate/hl7/mllp"
	"endogate/hl7/mllp/mllptest"
)

// Both sides show certificates, where the configuration names them: senders to the gateway, and the gateway to receivers.
func TestGateway_messagesOverTLS(t *testing.T) {
	authority, stranger := securetest.NewAuthority(t), securetest.NewAuthority(t)
	files := func(a *securetest.Authority, name string) secure.Files {
		f := secure.Files{CAFile: authority.CAFile}
		f.CertFile, f.KeyFile = a.Issue(name)
		return f
	}
	ris, came := receiveTLS(t, files(authority, "ris"))
	ours := files(authority, "gateway")
	listen := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	names := fmt.Sprintf("ca_file: %q, cert_file: %q, key_file: %q", ours.CAFile, ours.CertFile, ours.KeyFile)
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [], forward_source: true, destinations: [pacs]}]
destinations:
  - {name: pacs, kind: dicom, ae_title: PACS, address: "127.0.0.1:1"}
  - {name: ris, kind: hl7, address: %q, tls: {on: true, %s}}
hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}], tls: {%s}}
`, ris, names, listen, names))
	g.start()
	for _, tt := range []struct {
		name  string
		files secure.Files
		taken bool
	}{
		{"its certificate is known", files(authority, "sender"), true},
		{"its certificate is of another authority", files(stranger, "sender"), false},
		{"it has none", secure.Files{CAFile: authority.CAFile}, false},
	} {
		config, err := tt.files.Client()
		require.NoError(t, err)
		client := &mllp.Client{Address: listen, Dial: (&tls.Dialer{Config: config}).DialContext, Timeout: time.Minute}
		answer, err := client.Exchange(t.Context(), order(1))
		assert.Equal(t, tt.taken, err == nil, tt.name)
		if tt.taken {
			assert.Contains(t, string(answer), "MSA|AA|")
		}
		require.NoError(t, client.Close())
	}
	storeAll(t, g.scp, drawn(dicomtest.Options{}))
	g.waitFor("the study to be in the ledger", func() bool { return len(g.studies()) == 1 })
	study := g.studies()[0].StudyInstanceUID
	g.Stop()
	g.outgoing(study, "ris", 1, 0, 2)
	g.start()
	for i := range 2 {
		assert.Equal(t, controlID(i)+" of CN=gateway", <-came)
	}
	g.waitFor("both to be acknowledged", func() bool { return g.destination("ris").Counts.Pending == 0 })
}

// receiveTLS runs a receiver that knows its senders by their certificates.
func receiveTLS(t *testing.T, files secure.Files) (address string, came chan string) {
	t.Helper()
	config, err := files.Server()
	require.NoError(t, err)
	came = make(chan string, 10)
	server := &mllp.Server{TLS: config, Allow: loopbacks, Log: slog.New(slog.DiscardHandler), Handler: func(_ context.Context, p mllp.Peer, message []byte) ([][]byte, error) {
		came <- mllptest.ControlID(message) + " of " + p.Subject
		return [][]byte{fmt.Appendf(nil, "MSH|^~\\&|RIS|H|ENDOGATE|H|20260102||ACK|a|P|2.5.1\rMSA|AA|%s\r", mllptest.ControlID(message))}, nil
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		assert.ErrorIs(t, <-stopped, mllp.ErrServerClosed)
	})
	return ln.Addr().String(), came
}
