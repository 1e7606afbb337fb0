package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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
		if finding.Outline != analysis.HotRegion {
			text += " " + placed(finding.Outline, finding.Contours)
		}
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

// placed says where a network's own box or mask lies: left, top, right and bottom in the frame's pixels.
func placed(o analysis.Outline, contours [][][2]float64) string {
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for _, c := range contours {
		for _, p := range c {
			for i, v := range p {
				low[i], high[i] = min(low[i], v), max(high[i], v)
			}
		}
	}
	if len(contours) == 0 {
		return string(o) + " nowhere"
	}
	return fmt.Sprintf("%s [%g %g %g %g]", o, low[0], low[1], high[0], high[1])
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

// plain writes text to a terminal, where what somebody else has chosen (a name in an object, a message) must not be a command: control
// characters but those of lines and tables, and marks that turn the direction of text, become blanks.
type plain struct{ to io.Writer }

// onTerminal makes a file plain where it is a terminal; another file gets what is written.
func onTerminal(f *os.File) io.Writer {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return plain{f}
	}
	return f
}

func (p plain) Write(text []byte) (int, error) {
	clean := make([]byte, 0, len(text))
	for rest := text; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			clean = append(clean, ' ')
		} else {
			clean = append(clean, rest[:n]...) // also of a character that the next call ends
		}
		rest = rest[n:]
	}
	if _, err := p.to.Write(clean); err != nil {
		return 0, err
	}
	return len(text), nil
}
