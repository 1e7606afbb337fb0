package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"endogate/cmd/endogate/access"
	"endogate/cmd/endogate/admin"
	"endogate/configs"
)

// answerLimit bounds what is read of a gateway's answer.
const answerLimit = 4 << 20

// askGateway asks the API of the gateway that runs, which alone writes its ledger. Who can read the data folder proves it by
// a token that is valid for as long as the answer takes; an address that somebody names is sent none. A body that is not nil goes as JSON.
func askGateway(ctx context.Context, cfg configs.Config, to, method, path string, body, into any) error {
	ours := to == ""
	if ours {
		to = reachable(cfg.HTTP.Listen)
	} else if _, _, err := net.SplitHostPort(to); err != nil || strings.Contains(to, "/") {
		return usageError(fmt.Sprintf("%q is no address of a gateway's API; write HOST:PORT, such as 127.0.0.1:8080", to))
	}
	text := []byte{}
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	client, scheme, err := pageClient(cfg)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, scheme+"://"+to+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set(admin.ActionHeader, "endogate")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if ours && cfg.SignInRequired() {
		store, err := access.Open(cfg.AccessDir(), time.Now)
		if err != nil {
			return err
		}
		token, made, err := store.CreateToken("command", access.Administrator, nil, 10*time.Minute)
		if err != nil {
			return err
		}
		defer func() { _ = store.RevokeToken(made.ID) }() // it expires
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the query, which may name a patient
		}
		return fmt.Errorf("no gateway answers at %s: %w; is it running, and is that its http.listen? --config says where it is", to, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusAccepted {
		var fault struct {
			Error struct{ What, Why, Next string }
		}
		if json.Unmarshal(text, &fault) != nil || fault.Error.What == "" {
			return fmt.Errorf("%s answered %s; is it the gateway's http.listen?", to, answer.Status)
		}
		return fmt.Errorf("%s: %s; %s", fault.Error.What, fault.Error.Why, fault.Error.Next)
	}
	return json.Unmarshal(text, into)
}

// pageClient speaks to the page of a configuration's gateway, and to it alone: over TLS it takes the certificate that the
// configuration names, under whatever name it is reached.
func pageClient(cfg configs.Config) (*http.Client, string, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // which would see the token
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if cfg.HTTP.TLS.CertFile == "" {
		return client, "http", nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.HTTP.TLS.CertFile, cfg.HTTP.TLS.KeyFile)
	if err != nil {
		return nil, "", fmt.Errorf("http.tls: %w", err)
	}
	transport.TLSClientConfig = &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, // in place of which:
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, pair.Certificate[0]) {
				return errors.New("it is not the certificate of http.tls.cert_file")
			}
			return nil
		},
	}
	return client, "https", nil
}
