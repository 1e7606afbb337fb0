package main

import (
	"fmt"
	"slices"
	"strings"

	"endogate/cmd/endogate/admin"
	"endogate/inference/analysis"
)

// findingsText is what a model saw in one frame, most probable first.
func findingsText(f admin.FrameResult) string {
	findings := slices.Clone(f.Findings)
	slices.SortFunc(findings, func(a, b analysis.Finding) int { return int(1e6 * (b.Probability - a.Probability)) })
	var parts []string
	for _, finding := range findings {
		text := fmt.Sprintf("%s %.3f", finding.Class, finding.Probability)
		if finding.Heatmap != "" {
			text += " (heatmap)"
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing above its threshold")
	}
	return strings.Join(append(parts, f.Notes...), ", ")
}

// eventText is one line of a timeline.
func eventText(e admin.Event) string {
	text := fmt.Sprintf("%s  %-14s %s", e.At.Local().Format("2006-01-02 15:04:05.000"), e.Step, e.SOPInstanceUID)
	if e.Destination != "" {
		text += "  to " + e.Destination
	}
	if e.Status != "" {
		text += "  status " + e.Status
	}
	if e.Detail != "" {
		text += "  " + e.Detail
	}
	if e.By != "" {
		text += "  (" + e.By + ")"
	}
	return text
}
