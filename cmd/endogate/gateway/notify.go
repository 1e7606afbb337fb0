package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"endogate/configs"
	"endogate/dicomnode/ledger"
	"endogate/reports/notice"
	"endogate/reports/outbox"
)

// Notify is what the configuration says of urgent findings and of who is told.
func Notify(cfg configs.Config) (n ledger.Notify) {
	for _, u := range cfg.Urgent {
		n.Urgent = append(n.Urgent, ledger.Urgency{Class: u.Class, Threshold: u.Threshold, Frames: max(u.Frames, 1)})
	}
	for _, r := range cfg.Notify {
		n.Rules = append(n.Rules, ledger.NotifyRule(r))
	}
	return n
}

// checkUrgent holds the classes that are urgent against those of the models.
func (m *Models) checkUrgent(urgent []configs.Urgent) error {
	var known []string
	for _, b := range m.Bundles {
		known = append(known, b.ClassNames()...)
	}
	var errs []error
	for i, u := range urgent {
		if !slices.Contains(known, u.Class) {
			errs = append(errs, configs.Fault(fmt.Sprintf("urgent[%d].class", i), "%q is no class of the models (%s)", u.Class, strings.Join(known, ", ")))
		}
	}
	return errors.Join(errs...)
}

// CheckNotify holds the findings of reviews that somebody is to be told of against those that reports are read for. Words that cannot be
// loaded are another fault.
func CheckNotify(cfg configs.Config) error {
	o, err := Ontology(cfg.Reading)
	if err != nil {
		return nil
	}
	var errs []error
	for i, r := range cfg.Notify {
		for _, f := range r.Findings {
			if r.On == ledger.OnReview && !slices.Contains(o.Findings(), f) {
				errs = append(errs, configs.Fault(fmt.Sprintf("notify[%d].findings", i), "%q is no finding that reports are read for (%s)", f, strings.Join(o.Findings(), ", ")))
			}
		}
	}
	return errors.Join(errs...)
}

// notices writes what persons are told, for each destination.
type notices struct {
	writer notice.Writer
	of     func(ctx context.Context, id string) (ledger.Notice, error)
}

func (g *generation) noticeWriter() notice.Writer {
	zone, err := time.LoadLocation(g.cfg.Reports.TimeZone)
	if err != nil {
		zone = time.UTC // the configuration was checked
	}
	return notice.Writer{Page: strings.TrimRight(g.cfg.HTTP.URL, "/"), Location: zone}
}

// timeNotice measures how long it took from the first image with an urgent finding until somebody was told.
func (g *parts) timeNotice(ctx context.Context, d ledger.Delivery, fate outbox.Fate) {
	if d.Kind != ledger.KindNotice || fate == outbox.FateParked {
		return
	}
	if n, err := g.ledger.Notice(ctx, d.Entry); err == nil && !n.Received.IsZero() {
		g.metrics.Notified(n.Route, g.now().Sub(n.Received))
	}
}

func (n notices) written(write func(ledger.Notice) ([]byte, error)) func(context.Context, string) ([]byte, error) {
	return func(ctx context.Context, entry string) ([]byte, error) {
		one, err := n.of(ctx, entry)
		if err != nil {
			return nil, err
		}
		return write(one)
	}
}

func (n notices) forHL7(cfg configs.Config, d configs.Destination) func(context.Context, string) ([]byte, error) {
	to := notice.Receiver{Institution: cfg.Reports.InstitutionName, Application: d.Application, Facility: d.Facility, ProcessingID: cfg.HL7.ProcessingID}
	return n.written(func(one ledger.Notice) ([]byte, error) { return n.writer.HL7(one, to) })
}

func webhookSender(d configs.Destination, timeout time.Duration, n notices) (*outbox.Webhook, error) {
	client, err := httpClient(d, timeout)
	if err == nil {
		_, err = outbox.Key(d.KeyFile)
	}
	return &outbox.Webhook{URL: d.URL, KeyFile: d.KeyFile, Client: client, Body: n.written(n.writer.JSON)}, err
}

func emailSender(d configs.Destination, n notices) (*outbox.Email, error) {
	secured, err := clientTLS(d.TLS, d.Name)
	if err != nil {
		return nil, err
	}
	from := mail.Address{Name: "endogate", Address: d.From}
	var to []mail.Address
	for _, address := range d.Recipients {
		to = append(to, mail.Address{Address: address})
	}
	if d.PasswordFile != "" {
		_, err = outbox.Secret(d.PasswordFile)
	}
	return &outbox.Email{
		Address: d.Address, Security: outbox.Security(cmp.Or(d.Security, string(outbox.STARTTLS))), TLS: secured.Config, From: d.From, To: d.Recipients,
		User: d.User, PasswordFile: d.PasswordFile,
		Body: n.written(func(one ledger.Notice) ([]byte, error) { return n.writer.Mail(one, from, to) }),
	}, err
}

// reachWebhook connects and sends nothing: what is posted would be a notification.
func reachWebhook(ctx context.Context, d configs.Destination) error {
	if _, err := outbox.Key(d.KeyFile); err != nil {
		return err
	}
	u, err := url.Parse(d.URL)
	if err != nil {
		return err
	}
	address := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), u.Scheme))
	var conn net.Conn
	if u.Scheme == "https" {
		secured, failed := clientTLS(d.TLS, d.Name)
		if failed != nil {
			return failed
		}
		conn, err = secured.DialContext(ctx, "tcp", address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return err
	}
	return conn.Close()
}
