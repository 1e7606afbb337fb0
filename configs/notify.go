package configs

import (
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
)

// Urgent says from when on what a model finds makes an examination go before others.
type Urgent struct {
	Class     string  `koanf:"class"` // of a model
	Threshold float64 `koanf:"threshold"`
	Frames    int     `koanf:"frames"` // at or above it; 0: one
}

// Notify is a rule of who is told of what.
type Notify struct {
	Name     string   `koanf:"name"`
	On       string   `koanf:"on"`       // urgent, review
	Kinds    []string `koanf:"kinds"`    // of reviews; none: all
	Findings []string `koanf:"findings"` // none: all
	To       []string `koanf:"to"`       // destinations of kind webhook, email or hl7
}

// reviewKinds are those that a person is asked about.
var reviewKinds = []string{"missed", "not-mentioned", "uncertain", "not-seen"}

// maxRules bounds the lists that each result is held against.
const maxRules = 100

func (c Config) validateNotify(v *faults) {
	var classes, names []string
	v.check(len(c.Urgent) <= maxRules, "urgent: more than %d entries", maxRules)
	v.check(len(c.Notify) <= maxRules, "notify: more than %d rules", maxRules)
	for i, u := range c.Urgent {
		v.check(u.Class != "", "urgent[%d].class: empty; name a class of a model, such as polyp", i)
		v.check(!slices.Contains(classes, u.Class), "urgent[%d].class: %q is there twice", i, u.Class)
		v.check(u.Threshold > 0 && u.Threshold <= 1, "urgent[%d].threshold: must be above 0 and at most 1", i)
		v.check(u.Frames >= 0, "urgent[%d].frames: must not be negative", i)
		classes = append(classes, u.Class)
	}
	if c.HTTP.URL != "" {
		v.page("http.url", c.HTTP.URL)
	}
	v.check(c.HTTP.URL != "" || len(c.Notify) == 0, "http.url: empty, and notify sends links to the page; write https://endogate.hospital")
	for i, n := range c.Notify {
		v.check(name.MatchString(n.Name), "notify[%d].name: %q; use letters, digits, - and _", i, n.Name)
		v.check(!slices.Contains(names, n.Name), "notify[%d].name: %q is there twice", i, n.Name)
		names = append(names, n.Name)
		switch n.On {
		case "urgent":
			v.check(len(c.Urgent) > 0, "notify[%d].on: urgent, and the list urgent is empty: nothing is", i)
			v.check(len(n.Kinds) == 0, "notify[%d].kinds: they are of reviews; leave them out", i)
			for _, f := range n.Findings {
				v.check(slices.Contains(classes, f), "notify[%d].findings: %q is not in the list urgent (%s)", i, f, strings.Join(classes, ", "))
			}
		case "review":
			for k, kind := range n.Kinds {
				v.check(slices.Contains(reviewKinds, kind), "notify[%d].kinds[%d]: %q; write one of %s", i, k, kind, strings.Join(reviewKinds, ", "))
			}
		default:
			v.check(false, "notify[%d].on: %q; write urgent or review", i, n.On)
		}
		v.check(len(n.To) > 0, "notify[%d].to: empty; name destinations of kind webhook, email or hl7", i)
		for k, to := range n.To {
			one := []string{to}
			v.check(len(c.Of(KindWebhook, one))+len(c.Of(KindEmail, one))+len(c.Of(KindHL7, one)) > 0,
				"notify[%d].to[%d]: %q is no destination of kind webhook, email or hl7", i, k, to)
			v.check(!slices.Contains(n.To[:k], to), "notify[%d].to[%d]: %q is there twice", i, k, to)
		}
	}
}

// page holds value to the beginning of a page's URL.
func (v *faults) page(key, value string) {
	u, err := url.Parse(value)
	v.check(err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil && u.RawQuery == "" && u.Fragment == "" && !strings.ContainsAny(value, "\\\"<> {}"),
		"%s: not the beginning of a page's URL; write https://endogate.hospital", key)
}

func (d Destination) validateEmail(v *faults, key string) {
	v.peer(key+".address", d.Address)
	v.check(!d.TLS.On, "%s.tls.on: security says whether TLS is spoken; leave it out", key)
	if d.Security != "" {
		v.oneOf(key+".security", d.Security, "starttls", "tls", "none")
	}
	host, _, _ := net.SplitHostPort(d.Address)
	v.check(d.Security != "none" || loopback(host), "%s.security: none, and mail to another machine is readable on the way; write starttls or tls", key)
	v.mailbox(key+".from", d.From)
	v.check(len(d.Recipients) > 0, "%s.recipients: empty; write who gets the notifications", key)
	for _, to := range d.Recipients {
		v.mailbox(key+".recipients", to)
	}
	v.check((d.User == "") == (d.PasswordFile == ""), "%s.user: goes with %[1]s.password_file; set both or none", key)
}

func (v *faults) mailbox(key, value string) {
	a, err := mail.ParseAddress(value)
	v.check(err == nil && a.Address == value && isASCII(value), "%s: %q is no mail address; write name@host", key, value)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
