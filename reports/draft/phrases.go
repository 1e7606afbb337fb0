package draft

import "slices"

// phrases are what a language has to say, with the blanks that are filled in.
var phrases = map[string][]string{
	"not-provided": nil, "no-result": nil, "proposals": nil, "map": nil, "map-without-region": nil, "map-missing": nil, "chosen": nil,
	"decimal-mark": nil, "quoted": {"text"}, "open-sections": {"number"}, "label-todo": nil,
	"failed": nil, "not-analysed": nil, "all-retracted": nil,
	"retracted":        {"model", "reason"},
	"new-findings":     {"number"},
	"after-signature":  {"version", "date", "number"},
	"withdrawn-before": {"version", "date", "number"},
	"former-name":      {"version"},
	"order-cancelled":  nil, "not-sent": nil,

	// Notices of the moment (Input).
	"doubtful-name": nil, "gate-held": nil, "gate-corrected": nil, "gate-released": nil,
	"mismatch-patients": nil, "mismatch-patient": nil, "mismatch-birth_date": nil, "mismatch-name": nil, "mismatch-sex": nil,
	"mismatch-accession": nil, "mismatch-study": nil, "mismatch-contested": nil, "mismatch-cut": nil,

	"reason": {"number", "reason"},
	"masked": {"model", "left", "top", "right", "bottom"},

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

	"course":              {"image", "model", "from", "first", "to", "last"},
	"course-cecum":        {"image", "frames", "analysed", "from", "to"},
	"course-cecum-unseen": {"image", "frames", "analysed", "from", "to"},
	"course-insertion":    {"image", "time", "from", "first", "to", "last"},
	"course-withdrawal":   {"image", "time", "from", "first", "to", "last"},
	"course-part":         {"from", "to", "flagged", "frames"},
	"course-preparation":  {"image", "class", "parts"},

	"caption":         {"term", "probability", "image", "model"},
	"caption-own":     {"image"},
	"key-why":         {"model", "term", "probability", "threshold", "image", "where", "map", "chosen"},
	"where":           {"position", "share"},
	"where-box":       {"position", "share"},
	"where-mask":      {"position", "share"},
	"chosen-measured": {"sharpness", "exposure"},
	"chosen-by":       {"by"},
	"position":        {"sector", "hour"},
	"position-centre": nil, "position-wide": nil,
	"sector-1": nil, "sector-2": nil, "sector-3": nil, "sector-4": nil, "sector-5": nil, "sector-6": nil, "sector-7": nil, "sector-8": nil,

	"use":        {"model", "manufacturer", "digest", "route", "analysed", "use", "thresholds"},
	"extent":     {"instances", "analysed", "frames", "skipped", "failed", "retracted"},
	"explained":  {"explanation"},
	"skipped":    {"reason"},
	"failures":   {"reason"},
	"taken-back": {"reason"},
	"masked-out": {"region"},

	"group-lumen": nil, "group-contents": nil, "group-mucosa": nil, "group-flat": nil, "group-protruding": nil, "group-excavated": nil,
	"group-other": nil,

	// What a page says of its own (reports/pdf).
	"label-patient": nil, "label-born": nil, "label-sex": nil, "label-id": nil, "label-no-name": nil, "label-order": nil,
	"label-accession": nil, "label-placer": nil, "label-service": nil, "label-reason": nil, "label-requester": nil, "label-referrer": nil,
	"label-no-order": nil, "label-examination": nil, "label-date": nil, "label-station": nil, "label-performer": nil, "label-images": nil,
	"label-draft-state": nil, "label-signed-state": nil, "label-amended-state": nil, "label-amending-state": nil, "label-withdrawn-state": nil, "label-unverified": nil,
	"label-verified": nil, "label-watermark": nil, "label-letters": nil, "label-withdrawn-mark": nil, "label-report": nil, "label-findings": nil, "label-key-images": nil,
	"label-no-findings": nil, "label-no-frames": nil, "label-not-analysed": nil, "label-all-retracted": nil, "label-rejected": nil, "label-retracted": nil, "label-model": nil, "label-highest": nil,
	"label-threshold": nil, "label-size": nil, "label-site": nil, "label-low": nil, "label-much": nil, "label-high": nil,
	"label-no-picture": nil, "label-no-heatmap": nil, "label-hatched": nil, "label-disclosure": nil, "label-version": nil, "label-route": nil, "label-use": nil,
	"label-frames": nil, "label-thresholds": nil, "label-masked": nil, "label-skipped": nil, "label-failed": nil, "label-contradicting": nil,
	"label-signature": nil, "label-not-signed": nil, "label-notices": nil, "label-links": nil, "label-decision-proposed": nil, "label-decision-accepted": nil,
	"label-decision-rejected": nil, "label-decision-changed": nil,
	"label-by":       {"by", "at"},
	"label-named":    {"name"},
	"label-amends":   {"version"},
	"label-added":    {"by"},
	"label-flagged":  {"flagged", "analysed"},
	"label-proposal": {"proposal"},
	"label-frame":    {"number"},
	"label-instance": {"number"},
	"label-more":     {"number"},
	"label-extent":   {"instances", "analysed", "frames", "skipped", "failed", "retracted"},
	"label-page":     {"page", "pages"},
	"label-videos":   nil,
	"label-video":    {"number", "model"},

	"label-timeline":            {"model"},
	"label-timeline-unverified": nil,
	"label-timeline-counted":    {"analysed", "frames", "discounted"},
	"label-timeline-threshold":  {"value"},
	"label-timeline-weights":    {"value"},
	"label-timeline-discounted": {"why"},
	"label-timeline-none":       nil,
	"label-timeline-insertion":  {"time"},
	"label-timeline-withdrawal": {"time"},
	"label-poor-dark":           nil,
	"label-poor-overexposed":    nil,
	"label-poor-outside":        nil,
	"label-poor-blurred":        nil,
}

// Blanks of the text of a section, by who may write it.
var (
	orderBlanks = []string{
		"accession", "placer", "filler", "procedure-id", "service", "requester", "referrer",
		"reason", "date", "description", "performer", "station", "images", "duration",
	}
	gatewayBlanks = []string{"patient-name", "patient-id", "birth-date", "sex", "disclosure"}
	aiBlanks      = []string{"landmarks", "quality", "course", "findings", "not-flagged", "interventions", "impression", "key-images"}
)

func blanksOf(f Fill) []string {
	blanks := []string{"todo"}
	switch f {
	case FillGateway: // nobody else could complete it
		return slices.Concat(gatewayBlanks, orderBlanks)
	case FillAI:
		return append(append(blanks, aiBlanks...), orderBlanks...)
	case FillOrder:
		return append(blanks, orderBlanks...)
	}
	return blanks
}
