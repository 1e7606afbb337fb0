package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"endogate/configs"
	"endogate/dicomnode/secure"
)

// Certificate is one of ours, and what it is for: the section of the configuration that names it.
type Certificate struct {
	Name   string
	Files  secure.Files
	Server bool
}

// Certificates are all of a configuration.
func Certificates(cfg configs.Config) []Certificate {
	all := []Certificate{
		{"dicom.tls", DICOMTLS(cfg.DICOM.TLS), true},
		{"http.tls", secure.Files{CertFile: cfg.HTTP.TLS.CertFile, KeyFile: cfg.HTTP.TLS.KeyFile}, true},
		{"hl7.tls", MessageTLS(cfg.HL7.TLS), true},
		{"nats", secure.Files{CertFile: cfg.NATS.CertFile, KeyFile: cfg.NATS.KeyFile, CAFile: cfg.NATS.CAFile}, false},
		{"audit.syslog", secure.Files{CertFile: cfg.Audit.Syslog.CertFile, KeyFile: cfg.Audit.Syslog.KeyFile, CAFile: cfg.Audit.Syslog.CAFile}, false},
	}
	for _, d := range cfg.Destinations {
		all = append(all, Certificate{"destination " + d.Name, secure.Files{CertFile: d.TLS.CertFile, KeyFile: d.TLS.KeyFile, CAFile: d.TLS.CAFile}, false})
	}
	var ours []Certificate
	for _, c := range all {
		if c.Files.CertFile != "" {
			ours = append(ours, c)
		}
	}
	return ours
}

// expiries are when the certificates of a configuration expire, of those that can be read.
func expiries(cfg configs.Config) map[string]time.Time {
	all := map[string]time.Time{}
	for _, c := range Certificates(cfg) {
		if at, err := c.Files.Expires(); err == nil {
			all[c.Name] = at
		}
	}
	return all
}

// certified is an error while a certificate of ours is not good: peers that look at it turn away from us.
func (g *parts) certified(context.Context) (err error) {
	for _, c := range Certificates(g.current().cfg) {
		if not := c.Files.Valid(g.now()); not != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w: put one that is in the place of its files, or see to the clock", c.Name, not))
		}
	}
	return err
}
