package intake

import (
	"slices"

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
	return oneOf(m.Modality, h.Modality) &&
		oneOf(m.SOPClass, string(h.SOPClassUID)) &&
		oneOf(m.CallingAE, dicom.AETitle(callingAE)) &&
		oneOf(m.StationName, h.StationName) &&
		oneOf(m.ProcedureCode, h.ProcedureCode)
}

func oneOf[T comparable](allowed []T, value T) bool {
	return len(allowed) == 0 || slices.Contains(allowed, value)
}
