package secure

import (
	"crypto/tls"
	"net"
	"os"
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
