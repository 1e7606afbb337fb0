package pdf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"endogate/inference/analysis"
	"endogate/reports/draft"
)

const pairGap = 2.0 // between a frame and its heatmap

// findingBlocks writes each finding that stands with its pictures beside it, and in small print those that a person rejected
// or that were taken back. Landmarks and notes on quality stand in sections of their own: here they have their pictures
// alone. said: the section has said in words what the models saw.
func (p *pages) findingBlocks(said bool) {
	n := 0
	var rejected, taken []string
	for _, f := range p.doc.Findings {
		switch {
		case f.TakenBack():
			taken = append(taken, p.brief(f)+" – "+clean(f.Retracted))
		case !f.Stands():
			rejected = append(rejected, p.brief(f)+" – "+p.author(f.By))
		case f.Role == analysis.RoleFinding || f.Role == "" || len(p.imagesOf(f.ID)) > 0:
			n++
			p.finding(n, f, said)
		}
	}
	switch {
	case n > 0 || said:
	case p.doc.Disclosure.Nothing() != "":
		label := map[string]string{"failed": "no-frames"}[p.doc.Disclosure.Nothing()]
		p.paragraph(left, width, style{body, ink, false}, p.say(cmpOr(label, p.doc.Disclosure.Nothing())))
	default:
		p.paragraph(left, width, style{body, ink, false}, p.say("no-findings"))
	}
	for _, out := range []struct {
		name  string
		lines []string
	}{{"rejected", rejected}, {"retracted", taken}} {
		if len(out.lines) > 0 {
			p.y += 1
			p.paragraph(left, width, style{small, faint, false}, p.say(out.name)+": "+strings.Join(out.lines, "; ")+".")
		}
	}
}

// called is what the document's language calls a finding.
func (p *pages) called(f draft.Finding) string {
	if p.Called != nil {
		return cmpOr(clean(p.Called(p.doc.Language, f)), f.Class)
	}
	return cmpOr(clean(f.Code.Meaning), f.Class)
}

// brief is a finding in one line.
func (p *pages) brief(f draft.Finding) string {
	text := p.called(f)
	if f.Model.Name != "" {
		text += fmt.Sprintf(" (%s %s, %s)", f.Model.Name, f.Model.Version, decimal(f.Probability))
	}
	return text
}

func (p *pages) retraction(reason string) string {
	if reason == "" {
		return ""
	}
	return p.say("retracted") + ": " + reason
}

// imagesOf lists the key images of a finding; those of none, or of one that is not there, where id is empty.
func (p *pages) imagesOf(id string) (out []draft.KeyImage) {
	for _, k := range p.doc.ShownImages() {
		known := slices.ContainsFunc(p.doc.Findings, func(f draft.Finding) bool { return f.ID == k.Finding })
		if known && id == k.Finding || !known && id == "" {
			out = append(out, k)
		}
	}
	return out
}

// finding writes what is said of a finding at the left, its first key image at the right, the others below.
func (p *pages) finding(n int, f draft.Finding, said bool) {
	images := p.imagesOf(f.ID)
	first, more := len(images) > 0 && p.drawnCount < maxPictures, images
	textWidth := width
	const pair = 2*42 + pairGap
	if first {
		textWidth = width - pair - 5
	}
	parts := p.says(n, f, images, said)
	h := 0.0
	for _, part := range parts {
		h += float64(len(p.lines(textWidth, part.style, part.text))) * part.style.line()
	}
	var beside drawing
	if first {
		beside, more = p.drawn(images[0], 42, false), images[1:]
	}
	p.room(min(max(h, beside.height)+2, bottom-top))
	p.y += 1.5
	page, y := p.PageNo(), p.y
	if first {
		p.draw(beside, right-pair, p.y)
	}
	for _, part := range parts {
		p.paragraph(left, textWidth, part.style, part.text)
	}
	if p.PageNo() == page {
		p.y = max(p.y, y+beside.height)
	}
	if len(more) > 0 {
		p.strip(more, false)
	}
	p.sheets(images)
	p.y += 1
	p.room(1)
	p.hline(p.y)
}

type part struct {
	style style
	text  string
}

// says is a finding in words: what and where, how the person decided, and what the model said.
func (p *pages) says(n int, f draft.Finding, images []draft.KeyImage, said bool) []part {
	plain, quiet := style{body, ink, false}, style{small, faint, false}
	parts := []part{{style{medium, ink, true}, fmt.Sprintf("%d. %s", n, p.called(f))}}
	add := func(s style, text string) {
		if text = strings.TrimSpace(text); text != "" {
			parts = append(parts, part{s, text})
		}
	}
	decision := style{small, map[draft.Decision]colour{draft.Accepted: green, draft.Changed: accent}[f.Decision], true}
	if !f.Decided() {
		decision.colour = amber
	}
	by := p.say("decision-" + string(f.Decision))
	if f.Decided() && f.By.Name != "" {
		by += " – " + p.author(f.By)
	}
	add(decision, by)
	var facts []string
	for _, v := range []struct{ label, value string }{
		{p.say("site"), cmpOr(f.SiteText, p.called(draft.Finding{Code: f.Site}))}, {p.say("size"), millimetres(f.SizeMM)}, {"Paris", f.Paris},
	} {
		if v.value != "" {
			facts = append(facts, v.label+": "+v.value)
		}
	}
	add(plain, strings.Join(facts, "  ·  "))
	add(plain, f.Text)
	add(style{body, red, false}, p.retraction(f.Retracted))
	if f.Proposal != nil {
		add(plain, p.say("proposal", "proposal", p.called(draft.Finding{Code: *f.Proposal})))
	}
	switch {
	case f.Model == (analysis.Model{}):
		add(quiet, p.say("added", "by", p.author(f.By)))
	case !said:
		add(plain, f.Why)
		add(quiet, fmt.Sprintf("%s %s %s: %s %s, %s %s, %s", p.say("model"), f.Model.Name, f.Model.Version, p.say("highest"), decimal(f.Probability),
			p.say("threshold"), decimal(f.Threshold), p.say("flagged", "flagged", strconv.Itoa(f.Flagged), "analysed", strconv.Itoa(f.Analysed))))
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
