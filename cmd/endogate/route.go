package main

import (
	"slices"

	"endogate/configs"
	"endogate/dicomnode/dicom"
)

// router finds the route of an instance: the first that matches, as configured.
type router []configs.Route

func (r router) route(h dicom.Header, callingAE string) (configs.Route, bool) {
	for _, route := range r {
		if matches(route.Match, h, callingAE) {
			return route, true
		}
	}
	return configs.Route{}, false
}

func matches(m configs.Match, h dicom.Header, callingAE string) bool {
	return oneOf(m.Modality, h.Modality) &&
		oneOf(m.SOPClass, string(h.SOPClassUID)) &&
		oneOf(m.CallingAE, callingAE) &&
		oneOf(m.StationName, h.StationName) &&
		oneOf(m.ProcedureCode, h.ProcedureCode)
}

func oneOf(allowed []string, value string) bool {
	return len(allowed) == 0 || slices.Contains(allowed, value)
}
