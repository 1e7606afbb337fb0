package mllp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Files are those of TLS, as PEM.
type Files struct {
	CertFile string // ours
	KeyFile  string
	CAFile   string // what the other side's certificate must come from
}

// Server loads the configuration of a server: with CAFile, who connects needs a certificate from it.
func (f Files) Server() (*tls.Config, error) {
	c, err := f.load()
	switch {
	case err != nil:
		return nil, err
	case len(c.Certificates) == 0:
		return nil, errors.New("mllp: a server needs a certificate and its key")
	}
	if c.ClientCAs = c.RootCAs; c.ClientCAs != nil {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// Client loads the configuration of a client: without CAFile the server's certificate must be from one of those that the
// machine trusts; with CertFile, ours is shown to a server that asks.
func (f Files) Client() (*tls.Config, error) { return f.load() }

func (f Files) load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CertFile != "" || f.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("mllp: certificate and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if f.CAFile != "" {
		text, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, fmt.Errorf("mllp: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("mllp: %s: no certificate in it", f.CAFile)
		}
	}
	return c, nil
}
