package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/inference"
	"endogate/inference/analysis"
)

// Algorithm names the network whose results an object shows. IHE AI Results wants the same values wherever an object
// speaks of it (contributing equipment, observer context, algorithm identification): all are rendered from here.
type Algorithm struct {
	analysis.Model
	Number  int // position in the configuration, from 1: gives the heatmap series its number
	Classes []analysis.Class
	Explain analysis.Explanation // how its heatmaps are made; zero is grad-CAM at the last layer
}

// AlgorithmOf names the model of a bundle that stands at number, from 1, in the configuration.
func AlgorithmOf(b *inference.Bundle, number int) Algorithm {
	return Algorithm{Model: b.Made(), Number: number, Classes: b.Classes, Explain: b.Explain.Explanation}
}

// Validate reports what would keep a from standing in a data set.
func (a Algorithm) Validate() error { return validate(a.Model) }

func validate(a analysis.Model) error {
	for _, field := range []struct{ name, value string }{
		{"manufacturer", a.Manufacturer},
		{"name", a.Name},
		{"version", a.Version},
	} {
		if v := field.value; v == "" || len([]rune(v)) > 64 || strings.ContainsFunc(v, forbidden) {
			return permanentError{fmt.Errorf("reports: algorithm %s %q: 1 to 64 characters without backslash or control character are needed", field.name, v)}
		}
	}
	return nil
}

func forbidden(r rune) bool { return r == '\\' || unicode.IsControl(r) }

// deviceUIDOf identifies name, version and weights: a retrained network is another device.
func deviceUIDOf(a analysis.Model) dicom.UID {
	return dicom.DerivedUID("device", a.Name, a.Version, a.Digest)
}

// class returns the class of that name.
func (a Algorithm) class(name string) (analysis.Class, bool) {
	i := slices.IndexFunc(a.Classes, func(c analysis.Class) bool { return c.Name == name })
	if i < 0 {
		return analysis.Class{}, false
	}
	return a.Classes[i], true
}

// region is where the network looks: the site of its first class that has one.
func (a Algorithm) region() dicom.Code {
	for _, c := range a.Classes {
		if c.Site != (dicom.Code{}) {
			return c.Site
		}
	}
	return dicom.Code{}
}

// contributor is a network with what it did: what it explained, in words, besides classifying.
type contributor struct {
	analysis.Model
	explained string
}

// contributing is the item of Contributing Equipment Sequence (PS3.3 C.12.1.1.5) for the network.
func contributing(a contributor, at time.Time) dataset {
	ds := dataset{}
	ds.items(tag.PurposeOfReferenceCodeSequence, coded(processingEquipment))
	ds.set(tag.Manufacturer, a.Manufacturer)
	ds.set(tag.ManufacturerModelName, a.Name)
	ds.set(tag.SoftwareVersions, a.Version)
	ds.set(tag.DeviceUID, string(deviceUIDOf(a.Model)))
	ds.set(tag.ContributionDateTime, at.Format("20060102150405-0700"))
	did := "Classification"
	if a.explained != "" {
		did += "; explanation: " + a.explained
	}
	ds.set(tag.ContributionDescription, clip(printable(did), 1024))
	return ds
}

// Equipment is the gateway itself, the equipment that makes the objects (PS3.3 C.7.5.1, C.7.5.2). No field but
// InstitutionName may be empty.
type Equipment struct {
	Manufacturer    string
	ModelName       string
	SerialNumber    string
	SoftwareVersion string
	StationName     string // at most 16 characters
	InstitutionName string // where it stands
}

func (q Equipment) set(ds dataset) {
	ds.set(tag.Manufacturer, clip(q.Manufacturer, 64))
	ds.set(tag.ManufacturerModelName, clip(q.ModelName, 64))
	ds.set(tag.DeviceSerialNumber, clip(q.SerialNumber, 64))
	ds.set(tag.SoftwareVersions, clip(q.SoftwareVersion, 64))
	ds.set(tag.StationName, clip(q.StationName, 16))
	ds.optional(tag.InstitutionName, clip(q.InstitutionName, 64))
}
