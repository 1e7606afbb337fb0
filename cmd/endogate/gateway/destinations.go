package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/secure"
	"endogate/hl7/mllp"
	"endogate/reports/outbox"
)

// Senders makes what hands over to each destination, in its protocol. Files that a destination names are read here. whose
// says whom studies are on, for destinations that follow merges; nil where nothing is sent.
//
// notices has what persons are told.
func Senders(cfg configs.Config, spool outbox.Spool, whose func(context.Context, dicom.UID) (ledger.Whose, error), notices notices) (map[string]outbox.Sender, error) {
	senders := map[string]outbox.Sender{}
	var errs []error
	for _, d := range cfg.Destinations {
		var err error
		switch d.Kind {
		case configs.KindDICOM:
			client, failed := dicomClient(cfg.DICOM.AETitle, d)
			if failed != nil {
				err = failed
				break
			}
			client.ResponseTimeout = cfg.Delivery.Timeout.Std()
			sender := &outbox.DICOM{
				Client:  client,
				Address: d.Address, Called: d.AETitle, Spool: spool,
			}
			if d.FollowsMerge {
				sender.Whose = whose
			}
			senders[d.Name] = sender
		case configs.KindHL7:
			sender, failed := hl7Sender(d, cfg.Delivery.Timeout.Std(), spool)
			sender.Notice = notices.forHL7(cfg, d)
			senders[d.Name], err = sender, failed
		case configs.KindFHIR:
			senders[d.Name], err = fhirSender(d, cfg.Delivery.Timeout.Std(), spool)
		case configs.KindWebhook:
			senders[d.Name], err = webhookSender(d, cfg.Delivery.Timeout.Std(), notices)
		case configs.KindEmail:
			senders[d.Name], err = emailSender(d, notices)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("destination %s: %w", d.Name, err))
		}
	}
	return senders, errors.Join(errs...)
}

func hl7Sender(d configs.Destination, timeout time.Duration, spool outbox.Spool) (*outbox.HL7, error) {
	client := &mllp.Client{Address: d.Address, Timeout: timeout}
	var err error
	if d.TLS.On {
		secured, failed := clientTLS(d.TLS, d.Name)
		client.Dial, err = secured.DialContext, failed
	}
	return &outbox.HL7{Client: client, Spool: spool}, err
}

func fhirSender(d configs.Destination, timeout time.Duration, spool outbox.Spool) (*outbox.FHIR, error) {
	client, err := httpClient(d, timeout)
	if err != nil {
		return nil, err
	}
	sender := &outbox.FHIR{Base: strings.TrimRight(d.URL, "/"), Client: client, Spool: spool}
	secret := ""
	switch {
	case d.TokenFile != "":
		secret = d.TokenFile
		sender.Token = func(context.Context, bool) (string, error) { return outbox.Secret(d.TokenFile) }
	case d.OAuth.TokenURL != "":
		secret = d.OAuth.SecretFile
		sender.Token = (&outbox.ClientCredentials{
			TokenURL: d.OAuth.TokenURL, ClientID: d.OAuth.ClientID, SecretFile: d.OAuth.SecretFile, Scope: d.OAuth.Scope, Client: client,
		}).Token
	}
	if secret != "" {
		_, err = outbox.Secret(secret)
	}
	return sender, err
}

// httpClient asks the server of a destination, and no other: it follows no redirect.
func httpClient(d configs.Destination, timeout time.Duration) (*http.Client, error) {
	secured, err := clientTLS(d.TLS, d.Name)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialTLSContext, transport.DialContext = secured.DialContext, (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport.TLSClientConfig = secured.Config() // through a proxy
	return &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// dicomClient speaks to a destination, by TLS where that is said.
func dicomClient(calling dicom.AETitle, d configs.Destination) (*dicomnode.Client, error) {
	client := &dicomnode.Client{AETitle: calling, Identity: presents(d.Identity)}
	if client.Identity != nil {
		if _, err := client.Identity(); err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
	}
	if d.TLS.On {
		secured, err := clientTLS(d.TLS, d.Name)
		if err != nil {
			return nil, err
		}
		client.Dial = secured.DialContext
	}
	return client, nil
}

// clientTLS makes connections with the files of c, as they are then.
func clientTLS(c configs.ClientTLS, destination string) (*secure.Dialer, error) {
	tell := func(err error) {
		slog.Error("files of TLS have changed and cannot be used: those from before are", "section", "destination "+destination, "reason", err)
	}
	d, err := secure.Files{CertFile: c.CertFile, KeyFile: c.KeyFile, CAFile: c.CAFile, Tell: tell}.Dialer()
	if err == nil {
		d.Timeout = 10 * time.Second
	}
	return d, err
}

// Reached is a destination's sign of life.
type Reached struct {
	OK   bool
	Said string // as its protocol writes it
	Took time.Duration
}

// Reach asks a destination whether it is there: C-ECHO of DICOM, a connection of HL7 and to a webhook, which have no question for that, a
// sign-in of e-mail, and /metadata of FHIR.
func Reach(ctx context.Context, calling dicom.AETitle, d configs.Destination) (r Reached, err error) {
	start := time.Now()
	defer func() { r.Took = max(r.Took, time.Since(start)) }()
	switch d.Kind {
	case configs.KindDICOM:
		client, err := dicomClient(calling, d)
		if err != nil {
			return r, err
		}
		status, took, err := client.Echo(ctx, d.Address, d.AETitle)
		return Reached{OK: err == nil && status == dimse.Success, Said: fmt.Sprintf("%04X", uint16(status)), Took: took}, err
	case configs.KindHL7:
		return Reached{OK: true, Said: "connected"}, connect(ctx, d)
	case configs.KindWebhook:
		return Reached{OK: true, Said: "connected"}, reachWebhook(ctx, d)
	case configs.KindEmail:
		sender, err := emailSender(d, notices{})
		if err != nil {
			return r, err
		}
		said, err := sender.Probe(ctx)
		return Reached{OK: err == nil, Said: said}, err
	}
	sender, err := fhirSender(d, 30*time.Second, nil)
	if err != nil {
		return Reached{}, err
	}
	defer func() { _ = sender.Rest(ctx) }()
	said, err := sender.Probe(ctx)
	return Reached{OK: err == nil, Said: said}, err
}

// connect opens a connection and closes it again.
func connect(ctx context.Context, d configs.Destination) error {
	sender, err := hl7Sender(d, 0, nil)
	if err != nil {
		return err
	}
	if err := sender.Client.Connect(ctx); err != nil {
		return err
	}
	return sender.Client.Close()
}
