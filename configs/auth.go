package configs

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// Auth says who may ask the page and the API.
type Auth struct {
	Required Choice   `koanf:"required"` // auto: where http.listen is reachable from other machines
	Local    bool     `koanf:"local"`    // users of this gateway sign in with a password
	OIDC     OIDC     `koanf:"oidc"`
	Idle     Duration `koanf:"idle"`    // a session ends when it is not used for so long,
	Longest  Duration `koanf:"longest"` // and after so long in any case
}

// OIDC is a provider at which people sign in; no issuer: there is none.
type OIDC struct {
	Name             string              `koanf:"name"` // for the button
	Issuer           string              `koanf:"issuer"`
	ClientID         string              `koanf:"client_id"`
	ClientSecretFile string              `koanf:"client_secret_file"`
	RedirectURL      string              `koanf:"redirect_url"`
	CAFile           string              `koanf:"ca_file"` // PEM; empty: the system's authorities
	RolesClaim       string              `koanf:"roles_claim"`
	Roles            map[string][]string `koanf:"roles"` // values of the claim by role, or the other way round
}

// Audit is where the audit trail goes.
type Audit struct {
	KeyFile string `koanf:"key_file"` // what binds its entries; empty: audit.key in the data folder
	Syslog  Syslog `koanf:"syslog"`
}

// Syslog is a server for the audit trail, by TLS (RFC 5425); no address: there is none.
type Syslog struct {
	Address  string `koanf:"address"`
	CAFile   string `koanf:"ca_file"`
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
}

// Choice is yes, no, or as things are.
type Choice string

// The choices.
const (
	Automatic Choice = "auto"
	Yes       Choice = "true"
	No        Choice = "false"
)

// roleNames are the roles of package access.
var roleNames = []string{"viewer", "clinician", "operator", "administrator"}

// RoleOf returns the role of each value of the claim: roles are written by role, or by value.
func (o OIDC) RoleOf() (map[string]string, error) {
	of := map[string]string{}
	for key, values := range o.Roles {
		for _, value := range values {
			group, role := value, key
			if !slices.Contains(roleNames, key) && len(values) == 1 {
				group, role = key, value
			}
			if !slices.Contains(roleNames, role) {
				return nil, fmt.Errorf("%q: neither it nor its value is a role; write clinician: [value of the claim]; roles are %s", key, strings.Join(roleNames, ", "))
			}
			if of[group] != "" && of[group] != role {
				return nil, fmt.Errorf("%q: it has two roles; leave it under one", group)
			}
			of[group] = role
		}
	}
	return of, nil
}

// SignInRequired says whether nobody may ask who has not signed in.
func (c Config) SignInRequired() bool {
	return c.Auth.Required == Yes || c.Auth.Required == Automatic && c.HTTP.Remote()
}

// AccessDir and AuditDir are the folders of users and tokens, and of the audit trail.
func (c Config) AccessDir() string { return filepath.Join(c.DataDir, "access") }

// AuditDir is the folder of the audit trail.
func (c Config) AuditDir() string { return filepath.Join(c.DataDir, "audit") }

// AuditKey is the file of the key that binds the audit trail.
func (c Config) AuditKey() string {
	if c.Audit.KeyFile != "" {
		return c.Audit.KeyFile
	}
	return filepath.Join(c.DataDir, "audit.key")
}

func (c Config) validateAuth(v *faults) {
	a := c.Auth
	v.oneOf("auth.required", string(a.Required), string(Automatic), string(Yes), string(No))
	v.check(!c.SignInRequired() || a.Local || a.OIDC.Issuer != "" || c.HTTP.TrustedProxyHeader != "",
		"auth.required: it is so, and nobody could sign in; set auth.local, auth.oidc or http.trusted_proxy_header")
	h := c.HTTP
	v.check(!h.Remote() || c.SignInRequired() || h.AllowRemote,
		"http.listen: %q is reachable from the network and auth.required is false; listen on 127.0.0.1, have people sign in, or set http.allow_remote", h.Listen)
	v.check(!h.Remote() || h.TLS.CertFile != "" || h.BehindTLS || h.AllowRemote,
		"http.listen: %q is reachable from the network and speaks without TLS; set http.tls, http.behind_tls where a proxy does it, or http.allow_remote", h.Listen)
	v.check((h.TLS.CertFile == "") == (h.TLS.KeyFile == ""), "http.tls: cert_file and key_file go together; set both or none")
	for i, host := range h.Hosts {
		v.check(host != "" && !strings.ContainsAny(host, ":/ *"), "http.hosts[%d]: %q is no name of a machine; write it without scheme, port and path: endogate.hospital", i, host)
	}
	v.check(!strings.ContainsAny(h.TrustedProxyHeader, " :\t"), "http.trusted_proxy_header: %q is no name of a header; write one such as X-Remote-User", h.TrustedProxyHeader)
	for i, origin := range h.Origins {
		u, err := url.Parse(origin)
		plain := err == nil && u.Host != "" && !strings.Contains(u.Host, "*") && origin == strings.ToLower(u.Scheme+"://"+u.Host)
		v.check(plain && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())),
			"http.origins[%d]: not an origin as browsers send it, without a path and a * (http is for the loopback address alone); write https://viewer.hospital", i)
	}
	v.check(h.TrustedProxyHeader == "" || len(h.TrustedProxies) > 0, "http.trusted_proxies: empty; list the addresses of the proxy that sets http.trusted_proxy_header")
	v.check(h.TrustedProxyRole == "" || slices.Contains(roleNames, h.TrustedProxyRole), "http.trusted_proxy_role: %q: not one of %s", h.TrustedProxyRole, strings.Join(roleNames, ", "))
	v.check(a.Idle > 0 && a.Idle <= a.Longest, "auth.idle: must be above zero and at most auth.longest")
	a.OIDC.validate(v)
	v.check(c.Audit.Syslog.Address == "" || c.Audit.Syslog.CAFile != "", "audit.syslog.ca_file: empty; name the authority of the syslog server's certificate")
	v.check((c.Audit.Syslog.CertFile == "") == (c.Audit.Syslog.KeyFile == ""), "audit.syslog: cert_file and key_file go together; set both or none")
	if c.Audit.Syslog.Address != "" {
		v.peer("audit.syslog.address", c.Audit.Syslog.Address)
	}
}

func (o OIDC) validate(v *faults) {
	if o.Issuer == "" {
		v.check(o.ClientID+o.ClientSecretFile+o.RedirectURL == "" && len(o.Roles) == 0, "auth.oidc.issuer: empty; name the provider, such as https://login.example/realms/hospital")
		return
	}
	for key, text := range map[string]string{"issuer": o.Issuer, "redirect_url": o.RedirectURL} {
		u, err := url.Parse(text)
		safe := err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
		v.check(safe, "auth.oidc.%s: not an https URL (http is for the loopback address alone)", key)
	}
	v.check(strings.HasSuffix(o.RedirectURL, "/signin/callback"), "auth.oidc.redirect_url: must end in /signin/callback, under the name that people reach the page by")
	v.check(o.ClientID != "", "auth.oidc.client_id: empty; write what the provider calls this gateway")
	v.check(o.RolesClaim != "", "auth.oidc.roles_claim: empty; name the claim with the groups of a person, such as groups or realm_access.roles")
	v.check(len(o.Roles) > 0, "auth.oidc.roles: empty; nobody would have a role; write clinician: [endoscopy]")
	_, err := o.RoleOf()
	v.check(err == nil, "auth.oidc.roles: %v", err)
	for _, role := range slices.Sorted(maps.Keys(o.Roles)) {
		v.check(len(o.Roles[role]) > 0, "auth.oidc.roles: %q has no value", role)
	}
}
