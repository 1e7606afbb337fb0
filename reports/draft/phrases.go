package draft

// phrases are what a language has to say, with the blanks that are filled in.
var phrases = map[string][]string{
	"not-provided": nil, "no-result": nil, "proposals": nil, "map": nil, "map-without-region": nil, "map-missing": nil, "chosen": nil,
	"failed":           nil,
	"retracted":        {"model", "reason"},
	"new-findings":     {"number"},
	"after-signature":  {"version", "date", "number"},
	"withdrawn-before": {"version", "date", "number"},
	"reason":           {"number", "reason"},
	"masked":           {"model", "left", "top", "right", "bottom"},

	"finding-proposed":      {"term"},
	"finding-accepted":      {"term", "by"},
	"finding-changed":       {"term", "by", "proposal"},
	"finding-own":           {"term", "by"},
	"finding-retracted":     {"reason"},
	"details":               {"site", "size", "paris"},
	"images":                {"images"},
	"why-finding":           {"model", "term", "flagged", "analysed", "probability", "threshold"},
	"why-landmark":          {"model", "term", "flagged", "analysed", "probability", "threshold"},
	"why-quality":           {"model", "term", "flagged", "analysed", "probability", "threshold"},
	"landmark":              {"term", "image", "why"},
	"quality":               {"why"},
	"possible-intervention": {"term", "image"},
	"not-flagged":           {"model", "terms", "analysed"},
	"contradicting":         {"terms"},

	"caption":         {"term", "probability", "image"},
	"caption-own":     {"image"},
	"key-why":         {"model", "term", "probability", "threshold", "image", "where", "map", "chosen"},
	"where":           {"position", "share"},
	"chosen-measured": {"sharpness", "exposure"},
	"chosen-by":       {"by"},
	"position":        {"sector", "hour"},
	"position-centre": nil, "position-wide": nil,
	"sector-1": nil, "sector-2": nil, "sector-3": nil, "sector-4": nil, "sector-5": nil, "sector-6": nil, "sector-7": nil, "sector-8": nil,

	"use":        {"model", "manufacturer", "digest", "route", "analysed", "use", "thresholds"},
	"extent":     {"instances", "analysed", "frames", "skipped", "failed"},
	"skipped":    {"reason"},
	"failures":   {"reason"},
	"masked-out": {"region"},

	"group-lumen": nil, "group-contents": nil, "group-mucosa": nil, "group-flat": nil, "group-protruding": nil, "group-excavated": nil,
	"group-other": nil,

	"label-patient": nil, "label-patient-id": nil, "label-birth-date": nil, "label-sex": nil, "label-accession": nil, "label-date": nil,
	"label-requester": nil, "label-performer": nil, "label-station": nil, "label-notices": nil, "label-signed": nil, "label-amended": nil,
	"label-withdrawn": nil, "label-unauthenticated": nil, "label-reason": nil, "label-source": nil, "label-heatmap": nil,
	"label-legend": nil, "label-page": nil,
}

// Blanks of the text of a section, by who may write it.
var (
	orderBlanks = []string{
		"patient-name", "patient-id", "birth-date", "sex", "accession", "placer", "filler", "procedure-id", "service", "requester", "referrer",
		"reason", "date", "description", "performer", "station", "images", "duration",
	}
	aiBlanks = []string{"landmarks", "quality", "findings", "not-flagged", "interventions", "impression", "key-images", "disclosure"}
)

func blanksOf(f Fill) []string {
	blanks := []string{"todo"}
	switch f {
	case FillAI:
		return append(append(blanks, aiBlanks...), orderBlanks...)
	case FillOrder:
		return append(blanks, orderBlanks...)
	}
	return blanks
}
