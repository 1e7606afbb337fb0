package configs

import (
	"net/url"
	"slices"
	"time"

	"endogate/hl7/oru"
)

// ofKind lists the keys of a destination besides name and kind, and the kinds that have them.
var ofKind = []struct {
	key   string
	kinds []Kind
	set   func(Destination) bool
}{
	{"address", []Kind{KindDICOM, KindHL7, KindEmail}, func(d Destination) bool { return d.Address != "" }},
	{"ae_title", []Kind{KindDICOM}, func(d Destination) bool { return d.AETitle != "" }},
	{"follows_merge", []Kind{KindDICOM}, func(d Destination) bool { return d.FollowsMerge }},
	{"pdf", []Kind{KindDICOM}, func(d Destination) bool { return d.PDF }},
	{"rejection_notes", []Kind{KindDICOM}, func(d Destination) bool { return d.RejectionNotes }},
	{"identity", []Kind{KindDICOM}, func(d Destination) bool { return d.Identity != Presents{} }},
	{"clip", []Kind{KindDICOM}, func(d Destination) bool { return d.Clip != "" }},
	{"application", []Kind{KindHL7}, func(d Destination) bool { return d.Application != "" }},
	{"facility", []Kind{KindHL7}, func(d Destination) bool { return d.Facility != "" }},
	{"rows", []Kind{KindHL7}, func(d Destination) bool { return len(d.Rows) > 0 }},
	{"statuses", []Kind{KindHL7}, func(d Destination) bool { return d.Statuses != Statuses{} }},
	{"results", []Kind{KindHL7}, func(d Destination) bool { return d.Results != Statuses{} }},
	{"template", []Kind{KindHL7}, func(d Destination) bool { return len(d.Template) > 0 }},
	{"url", []Kind{KindFHIR, KindWebhook}, func(d Destination) bool { return d.URL != "" }},
	{"token_file", []Kind{KindFHIR}, func(d Destination) bool { return d.TokenFile != "" }},
	{"oauth", []Kind{KindFHIR}, func(d Destination) bool { return d.OAuth != OAuth{} }},
	{"systems", []Kind{KindFHIR}, func(d Destination) bool { return len(d.Systems) > 0 }},
	{"drafts_after_signature", []Kind{KindHL7, KindFHIR}, func(d Destination) bool { return d.DraftsAfterSignature }},
	{"key_file", []Kind{KindWebhook}, func(d Destination) bool { return d.KeyFile != "" }},
	{"security", []Kind{KindEmail}, func(d Destination) bool { return d.Security != "" }},
	{"from", []Kind{KindEmail}, func(d Destination) bool { return d.From != "" }},
	{"recipients", []Kind{KindEmail}, func(d Destination) bool { return len(d.Recipients) > 0 }},
	{"user", []Kind{KindEmail}, func(d Destination) bool { return d.User != "" }},
	{"password_file", []Kind{KindEmail}, func(d Destination) bool { return d.PasswordFile != "" }},
	{"tls", []Kind{KindDICOM, KindHL7, KindFHIR, KindWebhook, KindEmail}, func(d Destination) bool { return d.TLS != ClientTLS{} }},
}

// Where is the destination's address for people to read: of a webhook without its path, which may be all that keeps others from it.
func (d Destination) Where() string {
	switch {
	case d.Address != "":
		return d.Address
	case d.Kind == KindWebhook:
		return withoutPath(d.URL)
	}
	return d.URL
}

func (d Destination) validate(v *faults, key string) {
	v.oneOf(key+".kind", string(d.Kind), string(KindDICOM), string(KindHL7), string(KindFHIR), string(KindWebhook), string(KindEmail))
	switch d.Kind {
	case KindDICOM:
		v.aeTitle(key+".ae_title", d.AETitle)
		v.peer(key+".address", d.Address)
		d.Identity.validate(v, key+".identity", d)
		v.check(d.Clip.known(), "%s.clip: %q: not one of %s", key, d.Clip, clipNames)
		v.check(d.TLS.On || d.TLS == ClientTLS{}, "%s.tls.on: false, and files are named that only TLS needs; write on: true", key)
	case KindHL7:
		v.peer(key+".address", d.Address)
		_, err := oru.NewWriter(d.ORU("", nil))
		for _, f := range leaves(err) {
			v.check(false, "%s.%s", key, f.what)
		}
		v.check(d.TLS.On || d.TLS == ClientTLS{}, "%s.tls.on: false, and files are named that only TLS needs; write on: true", key)
	case KindFHIR:
		v.endpoint(key+".url", d.URL)
		v.check(!d.TLS.On, "%s.tls.on: the url says whether TLS is spoken; leave it out", key)
		d.OAuth.validate(v, key+".oauth")
		for i, s := range d.Systems {
			uri, err := url.Parse(s.URI)
			v.check(err == nil && uri.IsAbs(), "%s.systems[%d].uri: %q is no absolute URI; write urn:oid:1.2.3 or https://…", key, i, s.URI)
			v.check(!slices.ContainsFunc(d.Systems[:i], func(o System) bool { return o.Authority == s.Authority }), "%s.systems[%d].authority: %q is there twice", key, i, s.Authority)
		}
		v.check(d.TokenFile == "" || d.OAuth == OAuth{}, "%s.token_file: a token that never changes and oauth exclude each other; leave one out", key)
	case KindWebhook:
		v.endpoint(key+".url", d.URL)
		v.check(d.KeyFile != "", "%s.key_file: empty; name the file with the key that notifications are signed with (openssl rand -base64 32)", key)
		v.check(!d.TLS.On, "%s.tls.on: the url says whether TLS is spoken; leave it out", key)
	case KindEmail:
		d.validateEmail(v, key)
	default:
		return
	}
	v.check((d.TLS.CertFile == "") == (d.TLS.KeyFile == ""), "%s.tls.cert_file: goes with %[1]s.tls.key_file; set both or none", key)
	for _, rule := range ofKind {
		v.check(!rule.set(d) || slices.Contains(rule.kinds, d.Kind), "%s.%s: kind %s has no such key", key, rule.key, d.Kind)
	}
}

// ORU is what the receiver d wants of messages from a gateway of an institution, whose times are those of a place.
func (d Destination) ORU(institution string, at *time.Location) oru.Options {
	o := oru.Options{
		Destination: d.Name, Institution: institution, Application: d.Application, Facility: d.Facility, Location: at,
		Rows: d.Rows, Statuses: oru.Codes(d.Statuses), Results: oru.Codes(d.Results),
	}
	for _, t := range d.Template {
		o.Template = append(o.Template, oru.Override(t))
	}
	return o
}

func (o OAuth) validate(v *faults, key string) {
	if o == (OAuth{}) {
		return
	}
	v.endpoint(key+".token_url", o.TokenURL)
	v.check(o.ClientID != "", "%s.client_id: empty; write the name under which the server knows the gateway", key)
	v.check(o.SecretFile != "", "%s.secret_file: empty; name the file that holds the client's secret", key)
}

// endpoint holds value to a URL whose server is known by its certificate, or is on this machine.
func (v *faults) endpoint(key, value string) {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		v.check(false, "%s: not a URL; write https://host/path", key)
		return
	}
	v.check(u.User == nil, "%s: holds a user or password; name a file with a token, or oauth", key)
	v.check(u.RawQuery == "" && u.Fragment == "", "%s: ends in a query or fragment; write it without", key)
	v.check(u.Scheme == "https" || loopback(u.Hostname()), "%s: http to another machine is readable on the way; write https", key)
}
