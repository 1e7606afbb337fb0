package intake

import (
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Route says what becomes of the instances that it matches.
type Route struct {
	Name          string
	Match         Match
	Models        []string // that analyse them, by the names of their manifests
	Destinations  []string // of what is made
	ForwardSource bool     // to the destinations as well
	Gate          ledger.Gate
}

// Match holds conditions on an instance: all that are given must hold, one value of each is enough.
type Match struct {
	Modality      []string
	SOPClass      []string
	CallingAE     []dicom.AETitle
	StationName   []string
	ProcedureCode []string
}

// Router finds the route of an instance: the first that matches, as configured.
type Router []Route

// Route returns the route of an instance that calling has sent, false when none matches.
func (r Router) Route(h dicom.Header, callingAE string) (Route, bool) {
	for _, route := range r {
		if route.Match.matches(h, callingAE) {
			return route, true
		}
	}
	return Route{}, false
}

func (m Match) matches(h dicom.Header, callingAE string) bool {
	for _, c := range m.conditions(h, callingAE) {
		if !c.holds {
			return false
		}
	}
	return true
}

// Unmet says which conditions do not hold for an instance that calling has sent: each by its key in the configuration, and what
// the instance has. None: it matches.
func (m Match) Unmet(h dicom.Header, callingAE string) (all []Unmet) {
	for _, c := range m.conditions(h, callingAE) {
		if !c.holds {
			all = append(all, Unmet{Key: c.key, Wants: m.wants(c.key), Has: c.has})
		}
	}
	return all
}

// Unmet is a condition of a route that does not hold.
type Unmet struct {
	Key   string   // modality, sop_class, calling_ae, station_name or procedure_code
	Wants []string // one of these
	Has   string   // of the instance; empty: it says nothing
}

type condition struct {
	key, has string
	holds    bool
}

func (m Match) conditions(h dicom.Header, callingAE string) [5]condition {
	return [...]condition{
		{"modality", h.Modality, oneCode(m.Modality, h.Modality)},
		{"sop_class", string(h.SOPClassUID), oneOf(m.SOPClass, string(h.SOPClassUID))},
		{"calling_ae", callingAE, oneOf(m.CallingAE, dicom.AETitle(callingAE))},
		{"station_name", h.StationName, oneOf(m.StationName, h.StationName)},
		{"procedure_code", h.ProcedureCode, oneOf(m.ProcedureCode, h.ProcedureCode)},
	}
}

// wants are the values of a key.
func (m Match) wants(key string) (all []string) {
	switch key {
	case "modality":
		return m.Modality
	case "sop_class":
		return m.SOPClass
	case "station_name":
		return m.StationName
	case "procedure_code":
		return m.ProcedureCode
	}
	for _, title := range m.CallingAE {
		all = append(all, string(title))
	}
	return all
}

// oneCode is oneOf for a code of upper case letters (CS), which some write in small ones.
func oneCode(allowed []string, value string) bool {
	return len(allowed) == 0 || slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, value) })
}

func oneOf[T comparable](allowed []T, value T) bool {
	return len(allowed) == 0 || slices.Contains(allowed, value)
}
