package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"endogate/cmd/endogate/access"
	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/secure"
)

// OpenAudit opens the audit trail of a configuration; several processes may have it open.
func OpenAudit(cfg configs.Config) (*audit.Log, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, err
	}
	key, err := audit.OpenKey(cfg.AuditKey())
	if err != nil {
		return nil, err
	}
	return audit.Open(cfg.AuditDir(), key, string(cfg.DICOM.AETitle), time.Now)
}

// openAudit begins the audit trail of this run.
func (g *parts) openAudit(ctx context.Context, life *lifecycle) (err error) {
	if g.trail, err = OpenAudit(g.start); err != nil {
		return err
	}
	if g.start.SignInRequired() && g.start.Audit.KeyFile == "" {
		g.log.Warn("the audit trail's key is in the data folder: who can write that can make the trail anew; set audit.key_file")
	}
	life.closes(func() error {
		defer g.trail.Close()
		return g.trail.Record(context.WithoutCancel(ctx), activity(audit.ApplicationStop))
	})
	if err := g.trail.Record(ctx, activity(audit.ApplicationStart)); err != nil {
		return err
	}
	s := g.start.Audit.Syslog
	if s.Address == "" {
		return nil
	}
	secured, err := secure.Files{CAFile: s.CAFile, CertFile: s.CertFile, KeyFile: s.KeyFile, Tell: g.unreadable("audit.syslog")}.Dialer()
	if err != nil {
		return fmt.Errorf("audit.syslog: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "-" // RFC 5424 6.2.4: of whom it is not known
	}
	forwarder := &audit.Forwarder{
		Log: g.trail, Address: s.Address, TLS: secured.Config, Host: host, Timeout: 10 * time.Second, Settle: 2 * time.Second, Logger: g.log,
		Backoff: failure.Backoff{First: time.Second, Last: time.Minute}.After,
	}
	life.loop("syslog", forwarder.Run)
	return nil
}

func activity(kind audit.Code) audit.Event {
	return audit.Event{ID: audit.ApplicationActivity, Type: kind, Action: audit.Execute, Participants: []audit.Participant{{ID: "endogate", Role: audit.Application}}}
}

// signIn is who may ask the page and the API, as the configuration has it.
func (g *parts) signIn() (*admin.SignIn, error) {
	store, err := access.Open(g.start.AccessDir(), g.now)
	if err != nil {
		return nil, err
	}
	a, h := g.start.Auth, g.start.HTTP
	in := &admin.SignIn{
		Store: store, Required: g.start.SignInRequired(), Local: a.Local, Secure: h.TLS.CertFile != "" || h.BehindTLS,
		Idle: a.Idle.Std(), Longest: a.Longest.Std(), Now: g.now, Record: g.trail.Record,
		Proxy: admin.Proxy{Header: h.TrustedProxyHeader, From: prefixes(h.TrustedProxies), Role: access.Role(h.TrustedProxyRole)},
	}
	if a.OIDC.Issuer != "" {
		if in.Provider, err = provider(a.OIDC); err != nil {
			return nil, err
		}
	}
	return in, nil
}

func prefixes(hosts []configs.Host) []netip.Prefix {
	var all []netip.Prefix
	for _, h := range hosts {
		all = append(all, h.Prefix)
	}
	return all
}

// CheckProvider opens what sign-ins at a provider need of this machine, as a start does.
func CheckProvider(o configs.OIDC) error {
	_, err := provider(o)
	return err
}

func provider(o configs.OIDC) (*admin.Provider, error) {
	p := &admin.Provider{Name: o.Name, Issuer: o.Issuer, ClientID: o.ClientID, RedirectURL: o.RedirectURL, RolesClaim: o.RolesClaim, Roles: map[string]access.Role{}}
	roles, err := o.RoleOf()
	if err != nil {
		return nil, fmt.Errorf("auth.oidc.roles: %w", err)
	}
	for value, role := range roles {
		p.Roles[value] = access.Role(role)
	}
	if o.ClientSecretFile != "" {
		secret, err := os.ReadFile(o.ClientSecretFile)
		if err != nil {
			return nil, configs.Fault("auth.oidc.client_secret_file", "%v; put the file there, readable by the gateway's user", err)
		}
		p.ClientSecret = strings.TrimSpace(string(secret))
	}
	transport, err := transportOf(o.CAFile)
	if err != nil {
		return nil, configs.Fault("auth.oidc.ca_file", "%v; put the file there, readable by the gateway's user", err)
	}
	p.Client = &http.Client{Transport: transport, Timeout: 15 * time.Second}
	return p, nil
}

// transportOf is for servers whose certificates come from an authority; without one, from those that the machine trusts.
func transportOf(caFile string) (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	secured, err := secure.Files{CAFile: caFile}.Client()
	transport.TLSClientConfig = secured
	return transport, err
}

// firstStart makes the administrator where nobody could sign in, and says how a password is set: once, by a link.
func (g *parts) firstStart(in *admin.SignIn) error {
	if !in.Required || !in.Local || in.Provider != nil || in.Proxy.Header != "" {
		return nil
	}
	users, err := in.Store.Users()
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.Password != "" {
			return nil
		}
	}
	const first = "admin"
	if err := in.Store.AddUser(first, access.Administrator); err != nil && !errors.Is(err, access.ErrExists) {
		return err
	}
	key, err := in.Store.SetupSecret(first, 24*time.Hour)
	if err != nil {
		return err
	}
	scheme := "http"
	if in.Secure {
		scheme = "https"
	}
	g.log.Warn("nobody can sign in yet: open this link, once and within a day, to set the password of the user "+first, "link", scheme+"://"+g.webAddr.String()+admin.SetUpPath(key))
	return nil
}

// pageTLS is the TLS of the page's listener; nil: it speaks without.
func pageTLS(t configs.HTTPTLS, tell func(error)) (*tls.Config, error) {
	if t.CertFile == "" {
		return nil, nil
	}
	secured, err := secure.Files{CertFile: t.CertFile, KeyFile: t.KeyFile, Tell: tell}.Server()
	if err != nil {
		return nil, fmt.Errorf("http.tls: %w", err)
	}
	return secured, nil
}
