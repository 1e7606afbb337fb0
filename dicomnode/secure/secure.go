// Package secure is how all that is spoken with peers is kept from others: TLS after BCP 195 (RFC 8996, RFC 9325; PS3.15 B.12), with
// certificates that are read anew when their files change, so that a renewal needs no restart.
package secure

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Files are those of one side, as PEM.
type Files struct {
	CertFile string // ours
	KeyFile  string
	CAFile   string // what the other side's certificate must come from
	// Tell is told what cannot be read of files that have changed; the last that could be is used on.
	Tell func(error)
}

// Server is the configuration of a server: with CAFile, who connects needs a certificate from it. The files are read now,
// and again for a connection that comes after they have changed.
func (f Files) Server() (*tls.Config, error) {
	if f.CertFile == "" {
		return nil, errors.New("a server needs a certificate and its key")
	}
	k := &kept{files: f, build: f.server}
	if _, err := k.current(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := k.current()
		if err != nil && f.Tell != nil {
			f.Tell(err)
		}
		return c, nil
	}}, nil
}

func (f Files) server() (*tls.Config, error) {
	c, err := f.load()
	if err != nil {
		return nil, err
	}
	if c.ClientCAs = c.RootCAs; c.ClientCAs != nil {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// Client is the configuration of a client, with the files as they are now: without CAFile the server's certificate must be from
// one of those that the machine trusts; with CertFile, ours is shown to a server that asks.
func (f Files) Client() (*tls.Config, error) { return f.load() }

// Dialer makes the connections of a client, each with the files as they are then. It may be used from any goroutine.
type Dialer struct {
	kept *kept
	// Timeout is for connection and handshake; none: that of the context.
	Timeout time.Duration
}

// Dialer is that of a client of Files, which are read now to see whether they can be.
func (f Files) Dialer() (*Dialer, error) {
	d := &Dialer{kept: &kept{files: f, build: f.load}}
	_, err := d.kept.current()
	return d, err
}

// Config is what the files say now; where they cannot be used, what they said last.
func (d *Dialer) Config() *tls.Config {
	c, err := d.kept.current()
	if err != nil && d.kept.files.Tell != nil {
		d.kept.files.Tell(err)
	}
	return c
}

// DialContext connects and does the handshake. Errors are Advised.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: d.Timeout}, Config: d.Config()}).DialContext(ctx, network, address)
	return conn, Advised(err)
}

// advised is an error with what to do about it.
type advised struct {
	error
	advice string
}

func (a *advised) Error() string { return a.error.Error() + ": " + a.advice }
func (a *advised) Unwrap() error { return a.error }

// Advised is err, which a client met, and what to do about it where it is of TLS; of TLS 1.3 a server says only after the handshake that it
// takes no client without a certificate.
func Advised(err error) error {
	var already *advised
	if err == nil || errors.As(err, &already) {
		return err
	}
	advice := ""
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch text := err.Error(); {
	case errors.As(err, &unknown):
		advice = "name the authority that has signed it in tls.ca_file, and have the peer send the certificates between the two"
	case errors.As(err, &name):
		advice = "give the address as the certificate has it, or the peer a certificate for its address"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		advice = "renew it there, or see to the clocks of both"
	case errors.As(err, &record):
		advice = "what listens there does not speak TLS: see to the port, or have it spoken to without"
	case strings.Contains(text, "remote error: tls: certificate required"):
		advice = "the peer wants to see a certificate of ours: set tls.cert_file and tls.key_file"
	case strings.Contains(text, "remote error: tls: ") && strings.Contains(text, "certificate"):
		advice = "the peer does not take the certificate of tls.cert_file: have it trust its authority, or renew it"
	case strings.Contains(text, "remote error: tls: protocol version"), strings.Contains(text, "remote error: tls: handshake failure"),
		strings.Contains(text, "remote error: tls: insufficient security"):
		advice = "the two have no version or cipher suite in common: the peer needs TLS 1.2 with ECDHE and AES-GCM, or 1.3"
	default:
		return err
	}
	return &advised{err, advice}
}

// Config is that of any side, without files.
func Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, Renegotiation: tls.RenegotiateNever}
}

// suites of TLS 1.2 that keep a session secret when a key is lost later (RFC 9325 4.2); those of TLS 1.3 all do.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

func (f Files) load() (*tls.Config, error) {
	c := Config()
	if f.CertFile != "" || f.KeyFile != "" {
		pair, err := f.pair()
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if f.CAFile != "" {
		text, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, err
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in it", f.CAFile)
		}
	}
	return c, nil
}

// pair is our certificate with its key.
func (f Files) pair() (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
	if err == nil {
		return pair, nil
	}
	if key, _ := os.ReadFile(f.KeyFile); bytes.Contains(key, []byte("ENCRYPTED")) {
		return pair, fmt.Errorf("%s has a passphrase, for which a start cannot ask; take it off: openssl pkey -in %[1]s -out FILE", f.KeyFile)
	}
	if strings.Contains(err.Error(), "any PEM data") {
		err = fmt.Errorf("%w; a file in PEM begins with -----BEGIN (openssl x509 and openssl pkey make one of others)", err)
	}
	return pair, fmt.Errorf("certificate and key: %w", err)
}

// Expires is when our certificate does.
func (f Files) Expires() (time.Time, error) {
	pair, err := f.pair()
	if err != nil {
		return time.Time{}, err
	}
	return pair.Leaf.NotAfter, nil
}

// Valid says why our certificate is not good at a time: not yet, or not any more, or its files cannot be read. Nil: it is good.
func (f Files) Valid(at time.Time) error {
	pair, err := f.pair()
	switch {
	case err != nil:
		return err
	case at.Before(pair.Leaf.NotBefore):
		return fmt.Errorf("the certificate is not good before %s", pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	case at.After(pair.Leaf.NotAfter):
		return fmt.Errorf("the certificate was good until %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// kept is what was read of files, and when they were changed.
type kept struct {
	files Files
	build func() (*tls.Config, error)

	mu      sync.Mutex
	stamp   string
	config  *tls.Config
	refused string // the stamp of files that could not be used
	err     error
}

// current is what the files say; where they cannot be used now, the last that they said, and why.
func (k *kept) current() (*tls.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	stamp := k.files.stamp()
	switch stamp {
	case k.stamp:
		return k.config, nil
	case k.refused:
		return k.config, k.err
	}
	c, err := k.build()
	if err != nil {
		k.refused, k.err = stamp, err
		return k.config, err
	}
	k.stamp, k.config, k.refused, k.err = stamp, c, "", nil
	return c, nil
}

// stamp changes with the files.
func (f Files) stamp() string {
	stamp := "files"
	for _, path := range []string{f.CertFile, f.KeyFile, f.CAFile} {
		if info, err := os.Stat(path); err == nil {
			stamp += fmt.Sprintf(" %d/%d", info.ModTime().UnixNano(), info.Size())
		} else {
			stamp += " none"
		}
	}
	return stamp
}

// Names are those that a certificate has: of hosts and addresses, and the common name.
func Names(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return append(names, c.Subject.CommonName)
}
