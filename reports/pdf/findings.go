package pdf

import (
	"fmt"
	"slices"
	"strings"

	"endogate/inference/analysis"
	"endogate/reports/draft"
)

const pairGap = 2.0 // between a frame and its heatmap

// findingBlocks writes each finding that stands with its pictures beside it, and a line for each that a person rejected.
func (p *pages) findingBlocks() {
	n := 0
	var rejected []string
	for _, f := range p.doc.Findings {
		if f.Decision == draft.Rejected {
			rejected = append(rejected, fmt.Sprintf("%s (%s %s, p %s): %s", f.Code.Meaning, f.Model.Name, f.Model.Version, decimal(f.Probability), p.author(f.By)))
			continue
		}
		n++
		p.finding(n, f)
	}
	if n == 0 {
		p.paragraph(left, width, style{body, ink, false}, p.noFindings)
	}
	if len(rejected) > 0 {
		p.y += 1
		p.paragraph(left, width, style{small, faint, false}, p.words.rejected+": "+strings.Join(rejected, "; ")+".")
	}
}

// imagesOf lists the key images of a finding; of none where id is empty, or names a finding that is not there.
func (p *pages) imagesOf(id string) (out []draft.KeyImage) {
	for _, k := range p.doc.KeyImages {
		known := slices.ContainsFunc(p.doc.Findings, func(f draft.Finding) bool { return f.ID == k.Finding && f.Decision != draft.Rejected })
		rejected := slices.ContainsFunc(p.doc.Findings, func(f draft.Finding) bool { return f.ID == k.Finding && f.Decision == draft.Rejected })
		if id == k.Finding && known || id == "" && !known && !rejected {
			out = append(out, k)
		}
	}
	return out
}

// finding writes what is said of a finding at the left, its first key image at the right, the others below.
func (p *pages) finding(n int, f draft.Finding) {
	images := p.imagesOf(f.ID)
	textWidth := width
	const pair = 2*42 + pairGap
	if len(images) > 0 {
		textWidth = width - pair - 5
	}
	parts := p.says(n, f, images)
	h := 0.0
	for _, part := range parts {
		h += float64(len(p.lines(textWidth, part.style, part.text))) * part.style.line()
	}
	var beside drawing
	if len(images) > 0 {
		beside = p.drawn(images[0], 42, false)
	}
	p.room(min(max(h, beside.height)+2, bottom-top))
	p.y += 1.5
	page, y := p.PageNo(), p.y
	if len(images) > 0 {
		p.draw(beside, right-pair, p.y)
	}
	for _, part := range parts {
		p.paragraph(left, textWidth, part.style, part.text)
	}
	if p.PageNo() == page {
		p.y = max(p.y, y+beside.height)
	}
	if len(images) > 1 {
		p.strip(images[1:])
	}
	p.y += 1
	p.room(1)
	p.hline(p.y)
}

type part struct {
	style style
	text  string
}

// says is a finding in words: what and where, how the person decided, and what the model said.
func (p *pages) says(n int, f draft.Finding, images []draft.KeyImage) []part {
	plain, quiet := style{body, ink, false}, style{small, faint, false}
	parts := []part{{style{medium, ink, true}, fmt.Sprintf("%d. %s", n, cmpOr(clean(f.Code.Meaning), f.Class))}}
	add := func(s style, text string) {
		if text = strings.TrimSpace(text); text != "" {
			parts = append(parts, part{s, text})
		}
	}
	decision := style{small, map[draft.Decision]colour{draft.Accepted: green, draft.Changed: accent}[f.Decision], true}
	if f.Decision == draft.Proposed {
		decision.colour = amber
	}
	by := p.words.decision[f.Decision]
	if f.Decision != draft.Proposed && f.By.Name != "" {
		by += " – " + p.author(f.By)
	}
	add(decision, by)
	var facts []string
	for _, v := range []struct{ label, value string }{
		{p.site, cmpOr(f.SiteText, f.Site.Meaning)}, {p.size, millimetres(f.SizeMM)}, {"Paris", f.Paris},
	} {
		if v.value != "" {
			facts = append(facts, v.label+": "+v.value)
		}
	}
	add(plain, strings.Join(facts, "  ·  "))
	add(plain, f.Text)
	if f.Proposal != nil {
		add(plain, fmt.Sprintf(p.proposal, f.Proposal.Meaning))
	}
	add(plain, f.Why)
	if f.Model != (analysis.Model{}) {
		add(quiet, fmt.Sprintf("%s %s %s: %s %s, %s %s, "+p.flagged, p.model, f.Model.Name, f.Model.Version,
			p.highest, decimal(f.Probability), p.threshold, decimal(f.Threshold), f.Flagged, f.Analysed))
	} else {
		add(quiet, fmt.Sprintf(p.words.added, p.author(f.By)))
	}
	if len(images) > 0 {
		add(quiet, images[0].Why)
	}
	return parts
}

func millimetres(v float64) string {
	if v <= 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", v), "0"), ".") + " mm"
}
