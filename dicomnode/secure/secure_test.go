package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/secure/securetest"
)

func TestFiles_faults(t *testing.T) {
	a := securetest.NewAuthority(t)
	certFile, keyFile := a.Issue("x")
	for name, f := range map[string]Files{
		"no certificate":       {},
		"key alone":            {KeyFile: keyFile},
		"no such file":         {CertFile: certFile, KeyFile: keyFile, CAFile: "nowhere"},
		"no certificate there": {CertFile: certFile, KeyFile: keyFile, CAFile: keyFile},
		"swapped":              {CertFile: keyFile, KeyFile: certFile},
	} {
		_, err := f.Server()
		require.Error(t, err, name)
	}
}

// A key with a passphrase and a file that is no PEM are named in words, with what makes them readable.
func TestFiles_unreadable(t *testing.T) {
	certFile, _ := securetest.NewAuthority(t).Issue("x")
	locked := filepath.Join(t.TempDir(), "locked.key")
	require.NoError(t, os.WriteFile(locked, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n"), 0o600))
	_, err := Files{CertFile: certFile, KeyFile: locked}.Server()
	require.ErrorContains(t, err, locked+" has a passphrase")
	binary := filepath.Join(t.TempDir(), "x.p12")
	require.NoError(t, os.WriteFile(binary, []byte{0x30, 0x82}, 0o600))
	_, err = Files{CertFile: binary, KeyFile: binary}.Server()
	require.ErrorContains(t, err, "a file in PEM begins with -----BEGIN")
}

// handshake connects to a listener of server's configuration; both errors are joined.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	failed := make(chan error, 1)
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			err = tls.Server(nc, server).Handshake()
			nc.Close()
		}
		failed <- err
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	config := client.Clone()
	config.ServerName = "127.0.0.1"
	conn := tls.Client(nc, config)
	err = conn.Handshake()
	if other := <-failed; err == nil {
		err = other
	}
	return conn.ConnectionState(), err
}

// TestFiles_renewed changes certificate and key on the disk: the next connection has the new ones, and what cannot be read
// changes nothing and is told.
func TestFiles_renewed(t *testing.T) {
	a := securetest.NewAuthority(t)
	certFile, keyFile := a.Issue("first")
	var told []error
	server, err := Files{CertFile: certFile, KeyFile: keyFile, CAFile: a.CAFile, Tell: func(err error) { told = append(told, err) }}.Server()
	require.NoError(t, err)
	ours, key := a.Issue("client")
	client, err := Files{CertFile: ours, KeyFile: key, CAFile: a.CAFile}.Client()
	require.NoError(t, err)
	named := func() string {
		t.Helper()
		state, err := handshake(t, server, client)
		require.NoError(t, err)
		return state.PeerCertificates[0].Subject.CommonName
	}
	require.Equal(t, "first", named())
	put := func(to, from string) {
		t.Helper()
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, text, 0o600))
		require.NoError(t, os.Chtimes(to, time.Time{}, time.Now().Add(time.Duration(len(told)+1)*time.Minute)))
	}
	newCert, newKey := a.Issue("second")
	put(certFile, newCert) // and the key is still the old one
	require.Equal(t, "first", named())
	require.Len(t, told, 1)
	put(keyFile, newKey)
	require.Equal(t, "second", named())

	expires, err := Files{CertFile: certFile, KeyFile: keyFile}.Expires()
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), expires, time.Minute)
	renewed, renewedKey := a.Issue("client2")
	put(ours, renewed)
	put(key, renewedKey)
	_, err = handshake(t, server, client)
	require.NoError(t, err, "a client's too")
}

// TestValid: a certificate is good between its times, and where its files can be read.
func TestValid(t *testing.T) {
	a, now := securetest.NewAuthority(t), time.Now()
	for says, end := range map[string]time.Time{"": now.Add(time.Hour), "is not good before": now.Add(48 * time.Hour), "was good until": now.Add(-time.Minute)} {
		cert, key := a.Until("x", end)
		err := Files{CertFile: cert, KeyFile: key}.Valid(now)
		if says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says)
		require.NoError(t, Files{CertFile: cert, KeyFile: key}.Valid(end.Add(-time.Second)))
	}
	require.Error(t, Files{CertFile: "none", KeyFile: "none"}.Valid(now))
}

// TestDialer_renewed changes all that a client has on the disk, also whom it trusts: the next connection goes by that.
func TestDialer_renewed(t *testing.T) {
	before, after := securetest.NewAuthority(t), securetest.NewAuthority(t)
	dir := t.TempDir()
	put := func(name, from string) string {
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		to := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(to, text, 0o600))
		require.NoError(t, os.Chtimes(to, time.Time{}, time.Now().Add(time.Duration(len(from))*time.Hour)))
		return to
	}
	renew := func(from *securetest.Authority, name string) Files {
		c, k := from.Issue(name)
		return Files{CertFile: put("c", c), KeyFile: put("k", k), CAFile: put("ca", from.CAFile)}
	}
	listening := func(a *securetest.Authority) string {
		c, k := a.Issue("server")
		config, err := Files{CertFile: c, KeyFile: k, CAFile: a.CAFile}.Server()
		require.NoError(t, err)
		ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
		require.NoError(t, err)
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = nc.Write([]byte("x")) // after the handshake
				_ = nc.Close()
			}
		}()
		return ln.Addr().String()
	}
	var told []error
	f := renew(before, "client")
	f.Tell = func(err error) { told = append(told, err) }
	d, err := f.Dialer()
	require.NoError(t, err)
	first, second := listening(before), listening(after)
	try := func(address string) error {
		nc, err := d.DialContext(t.Context(), "tcp", address)
		if err == nil {
			_, err = nc.Read(make([]byte, 1))
			err = errors.Join(err, nc.Close())
		}
		return err
	}
	require.NoError(t, try(first))
	require.Error(t, try(second))
	renew(after, "a client with a longer name")
	require.NoError(t, try(second))
	require.Error(t, try(first))
	require.NoError(t, os.WriteFile(f.CAFile, []byte("cut o"), 0o600))
	require.Empty(t, told)
	require.NoError(t, try(second), "what was there before is used on")
	require.NotEmpty(t, told)
	_, err = Files{CAFile: f.CAFile}.Dialer()
	require.Error(t, err)
}

// TestServer_refuses holds who may not connect.
func TestServer_refuses(t *testing.T) {
	a, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	certFile, keyFile := a.Issue("server")
	server, err := Files{CertFile: certFile, KeyFile: keyFile, CAFile: a.CAFile}.Server()
	require.NoError(t, err)
	files := func(from *securetest.Authority, end time.Time) Files {
		c, k := from.Until("client", end)
		return Files{CertFile: c, KeyFile: k, CAFile: a.CAFile}
	}
	for _, tt := range []struct {
		name   string
		files  Files
		change func(*tls.Config)
		good   bool
	}{
		{"right", files(a, time.Now().Add(time.Hour)), func(*tls.Config) {}, true},
		{"TLS 1.2", files(a, time.Now().Add(time.Hour)), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
		{"TLS 1.1", files(a, time.Now().Add(time.Hour)), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		{"no forward secrecy", files(a, time.Now().Add(time.Hour)), func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, false},
		{"expired", files(a, time.Now().Add(-time.Minute)), func(*tls.Config) {}, false},
		{"another authority", files(other, time.Now().Add(time.Hour)), func(*tls.Config) {}, false},
		{"none", Files{CAFile: a.CAFile}, func(*tls.Config) {}, false},
	} {
		client, err := tt.files.Client()
		require.NoError(t, err)
		tt.change(client)
		_, err = handshake(t, server, client)
		assert.Equal(t, tt.good, err == nil, "%s: %v", tt.name, err)
	}
}

// A client is told what to do about each way in which TLS does not come to be, once.
func TestAdvised(t *testing.T) {
	a := securetest.NewAuthority(t)
	files := func(certFile, keyFile string) Files {
		return Files{CertFile: certFile, KeyFile: keyFile, CAFile: a.CAFile}
	}
	server := func(change func(*tls.Config), f Files) *tls.Config {
		pair, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		require.NoError(t, err)
		c := &tls.Config{Certificates: []tls.Certificate{pair}}
		change(c)
		return c
	}
	as := func(*tls.Config) {}
	good, ours := files(a.Issue("127.0.0.1")), files("", "")
	stranger := Files{CAFile: securetest.NewAuthority(t).CAFile}
	for _, c := range []struct {
		name   string
		server *tls.Config // nil: one that speaks no TLS
		client Files
		want   string
	}{
		{"works", server(as, good), ours, ""},
		{"another authority", server(as, good), stranger, "name the authority that has signed it in tls.ca_file"},
		{"another name", server(as, good), ours, "give the address as the certificate has it"},
		{"expired", server(as, files(a.Until("127.0.0.1", time.Now().Add(-time.Hour)))), ours, "renew it there"},
		{"no TLS", nil, ours, "does not speak TLS"},
		{"wants our certificate", server(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, good), ours, "set tls.cert_file and tls.key_file"},
		{"does not take our certificate", server(func(c *tls.Config) {
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		}, good), good, "does not take the certificate of tls.cert_file"},
		{"old", server(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, good), ours, "no version or cipher suite in common"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go func() {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			if c.server == nil {
				_, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				return
			}
			_ = tls.Server(nc, c.server).Handshake()
			_, _ = nc.Read(make([]byte, 1)) // until the client has read what was wrong
		}()
		address := ln.Addr().String()
		if c.name == "another name" {
			address = strings.Replace(address, "127.0.0.1", "localhost", 1)
		}
		d, err := c.client.Dialer()
		require.NoError(t, err)
		nc, err := d.DialContext(t.Context(), "tcp", address)
		if err == nil { // of TLS 1.3 it is read what the server thinks
			require.NoError(t, nc.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
			_, err = nc.Read(make([]byte, 1))
			nc.Close()
		}
		ln.Close()
		err = Advised(Advised(err))
		if c.want == "" {
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded, c.name)
			continue
		}
		assert.ErrorContains(t, err, c.want, c.name)
		assert.Equal(t, 1, strings.Count(err.Error(), c.want), c.name)
	}
}
