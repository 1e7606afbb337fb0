package configs

import (
	"strings"

	"endogate/dicomnode/dicom"
)

// Live is a signal that the gateway watches.
type Live struct {
	Name      string        `koanf:"name"`
	Source    string        `koanf:"source"` // a device, rtsp://… or a file
	Listen    bool          `koanf:"listen"` // at the address of source, for one that sends by itself
	Model     string        `koanf:"model"`  // of models, by its name or folder; empty: the first
	CallingAE dicom.AETitle `koanf:"calling_ae"`
}

// maxLive bounds signals: each has a decoder and a model of its own.
const maxLive = 16

func (c Config) validateLive(v *faults) {
	v.check(len(c.Live) <= maxLive, "live: more than %d entries", maxLive)
	named := map[string]bool{}
	for i, l := range c.Live {
		v.check(l.Name != "" && len(l.Name) <= 64 && strings.Trim(l.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == "", "live[%d].name: %q; write up to 64 letters, digits, - and _", i, l.Name)
		v.check(!named[l.Name], "live[%d].name: %q is there twice", i, l.Name)
		named[l.Name] = true
		v.check(l.CallingAE.Valid(), "live[%d].calling_ae: %q; name the AE title that captures come from, by which routes take them", i, l.CallingAE)
		v.check(len(c.Models) > 0, "live[%d]: models is empty: a signal is watched by a model", i)
	}
}
