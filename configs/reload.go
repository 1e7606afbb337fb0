package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// fixed are the keys, or the sections of keys, that count from the start of a gateway to its end, and why.
var fixed = map[string]string{
	"data_dir":                  "everything that is kept lies in it",
	"log":                       "the log is opened at the start",
	"dicom.ae_title":            "what is under way is made and sent under it",
	"dicom.listen":              "the listener is opened at the start",
	"dicom.tls":                 "the listener is opened at the start; what is in its files is read anew without one",
	"http.listen":               "the listener is opened at the start",
	"http.allow_remote":         "the listener is opened at the start",
	"http.tls":                  "the listener is opened at the start; what is in its files is read anew without one",
	"http.behind_tls":           "sessions are given out under it",
	"http.origins":              "the listener is opened at the start",
	"http.hosts":                "the listener is opened at the start",
	"http.trusted_proxy_header": "sessions are given out under it",
	"http.trusted_proxies":      "sessions are given out under it",
	"http.trusted_proxy_role":   "sessions are given out under it",
	"auth":                      "sessions are given out under it; users and tokens are no part of the file, and count at once",
	"audit":                     "the trail is opened at the start",
	"hl7.listen":                "the listener is opened at the start",
	"hl7.tls":                   "the listener is opened at the start; what is in its files is read anew without one",
	"nats":                      "jobs that are under way are on that broker",
	"spool.reserve":             "the spool is opened at the start",
	"spool.inline_limit":        "the spool is opened at the start",
	"spool.segment_size":        "the spool is opened at the start",
	"onnxruntime.library":       "a process loads it once",
	"live":                      "signals are connected at the start",
}

// NeedsRestart says why a change of a key counts from the next start on; empty: it counts from the next reload on.
func NeedsRestart(key string) string {
	for section, why := range fixed {
		if key == section || strings.HasPrefix(key, section+".") {
			return why
		}
	}
	return ""
}

// Reloaded is c as a gateway that runs with running can take it over: what needs a restart stays as running has it. The error is that of
// Validate: of a configuration that holds only with what needs a restart.
func (c Config) Reloaded(running Config) (Config, error) {
	keep("", reflect.ValueOf(&c).Elem(), reflect.ValueOf(running))
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("without what needs a restart the rest does not hold; restart: %w", err)
	}
	return c, nil
}

// keep sets what needs a restart below key to what it was.
func keep(key string, is, was reflect.Value) {
	settings(key, is, func(key string, v reflect.Value) {
		if NeedsRestart(key) != "" {
			v.Set(at(key, was))
		}
	})
}

// at is the leaf or list of a configuration under a key.
func at(key string, v reflect.Value) reflect.Value {
	for tag := range strings.SplitSeq(key, ".") {
		for field, value := range v.Fields() {
			if field.Tag.Get("koanf") == tag {
				v = value
				break
			}
		}
	}
	return v
}

// Change is a key whose value differs.
type Change struct {
	Setting        // as it is now,
	Was     string // and before
	Restart string // why it counts from the next start on; empty: it counts from the next reload on
}

// Changes are the keys of which settings now read differ from those in force.
func Changes(inForce, now []Setting) (all []Change) {
	for _, s := range now {
		i := slices.IndexFunc(inForce, func(was Setting) bool { return was.Key == s.Key })
		if i < 0 || !s.Equal(inForce[i]) {
			c := Change{Setting: s, Restart: NeedsRestart(s.Key)}
			if i >= 0 {
				c.Was = inForce[i].Value
			}
			all = append(all, c)
		}
	}
	return all
}

// ReloadedSettings are those in force after a reload of now: what needs a restart is as it was.
func ReloadedSettings(inForce, now []Setting) []Setting {
	all := slices.Clone(now)
	for i, s := range all {
		if NeedsRestart(s.Key) == "" {
			continue
		}
		if k := slices.IndexFunc(inForce, func(was Setting) bool { return was.Key == s.Key }); k >= 0 {
			all[i] = inForce[k]
		}
	}
	return all
}

// Digest names what settings say, with what is not shown of them: SHA-256, 64 hexadecimal digits.
func Digest(all []Setting) string {
	h := sha256.New()
	for _, s := range all {
		_, _ = fmt.Fprintf(h, "%q=%q\n", s.Key, s.whole) // a hash takes all
	}
	return hex.EncodeToString(h.Sum(nil))
}
