package gateway_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/secure/securetest"
)

// TestGateway_associationsOverTLS takes images and hands them on by TLS, each side with its certificate; in clear, and with a
// certificate of another title, nobody comes in.
func TestGateway_associationsOverTLS(t *testing.T) {
	t.Parallel()
	authority, stranger := securetest.NewAuthority(t), securetest.NewAuthority(t)
	cert, key := authority.Issue("gateway")
	pacsCert, pacsKey := authority.Issue("pacs")
	pacs := peers.StartStoreSCP(t, peers.StoreSCPOptions{Args: []string{"+tls", pacsKey, pacsCert, "+cf", authority.CAFile}})
	names := fmt.Sprintf("ca_file: %q, cert_file: %q, key_file: %q", authority.CAFile, cert, key)
	secured := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs], forward_source: true}]
destinations: [{name: pacs, kind: dicom, ae_title: STORESCP, address: %q, tls: {on: true, %s}}]
exam: {quiet: 1s}
`, pacs.Addr, names))
	g.replace(`peers: [{ae_title: "*", hosts: [127.0.0.0/8]}]`,
		fmt.Sprintf("tls: {listen: %q, %s}, peers: [{ae_title: SCOPE1, hosts: [127.0.0.0/8], certificate_names: [scope1]}, {ae_title: SCOPE2, hosts: [127.0.0.0/8], certificate_names: [scope2]}]", secured, names))
	g.start()
	file := drawn(dicomtest.Options{}).file(t, filepath.Join(t.TempDir(), "instance.dcm"))
	clear := func(title, to string) []string {
		return []string{"send", "--to", to, "--called", "ENDOGATE", "--calling", title, file}
	}
	send := func(title, to string, from *securetest.Authority, name string) []string {
		c, k := from.Issue(name)
		return append(clear(title, to), "--tls", "--tls-ca", authority.CAFile, "--tls-cert", c, "--tls-key", k)
	}
	assert.Contains(t, g.commandFails(clear("SCOPE1", g.scp)...), "rejected")
	assert.Contains(t, g.commandFails(send("SCOPE2", secured, authority, "scope1")...), "rejected")
	g.commandFails(send("SCOPE1", secured, stranger, "scope1")...)
	assert.Contains(t, g.command(send("SCOPE1", secured, authority, "scope1")...), "0000")
	g.waitFor("the image in the PACS", func() bool { return g.destination("pacs").Counts.Done > 0 })

	status, text := g.page(visitor(t), "/metrics", nil)
	require.Equal(t, 200, status)
	assert.Contains(t, text, `endogate_certificate_expires_timestamp_seconds{name="dicom.tls"}`)
	_, ready := g.page(visitor(t), "/readyz", nil)
	assert.Contains(t, ready, `"name":"an association over TLS is answered","ok":true`)
	silent, err := net.Dial("tcp", secured)
	require.NoError(t, err)
	defer silent.Close()
	assert.Contains(t, g.command(send("SCOPE1", secured, authority, "scope1")...), "0000", "whoever says nothing holds nobody up")
	assert.Contains(t, g.Log(), "came in clear")
	assert.Contains(t, g.Log(), "none of the names that are listed")

	assert.Contains(t, ready, `"name":"certificates are valid","ok":true`)
	for _, row := range []struct {
		end  time.Time
		says string
	}{{time.Now().Add(48 * time.Hour), "is not good before"}, {time.Now().Add(-time.Minute), "was good until"}} {
		newCert, newKey := authority.Until("gateway", row.end)
		copyFile(t, newKey, key)
		copyFile(t, newCert, cert)
		g.waitFor("the certificate to be told of", func() bool {
			_, ready := g.page(visitor(t), "/readyz", nil)
			return strings.Contains(ready, "dicom.tls: the certificate "+row.says)
		})
	}
}
