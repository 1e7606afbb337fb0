package pdf

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"endogate/reports/draft"
)

func (p *pages) verified() bool { return p.doc.Signature != nil && p.doc.Signature.Verified }

// title is the document's as its template names it.
func (p *pages) title() string {
	return cmp.Or(clean(p.doc.Heading), clean(p.doc.Title.Meaning), p.say("report"))
}

func (p *pages) patientName() string {
	return cmp.Or(clip(clean(personName(p.doc.Patient.Name)), 300), p.say("no-name"))
}

// patientNames has every writing of the name on a line of its own.
func (p *pages) patientNames() string {
	var lines []string
	for group := range strings.SplitSeq(p.doc.Patient.Name, "=") {
		if name := personName(group); name != "" {
			lines = append(lines, name)
		}
	}
	return cmp.Or(strings.Join(lines, "\n"), p.say("no-name"))
}

func (p *pages) author(a draft.Author) string {
	name := clip(clean(personName(a.Name)), 200)
	if a.Unauthenticated {
		return p.say("named", "name", name)
	}
	return name
}

func (p *pages) time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(p.Location).Format("2006-01-02 15:04 -07:00")
}

// standing says in one sentence how far the document has come.
func (p *pages) standing() string {
	state := map[draft.Standing]string{
		draft.Drafted: p.say("draft-state"), draft.Amending: p.say("amending-state"), draft.Signed: p.say("signed-state"),
		draft.Amended: p.say("amended-state"), draft.Withdrawn: p.say("withdrawn-state"),
	}[p.doc.Standing]
	s := p.doc.Signature
	if s == nil {
		return state
	}
	if p.doc.Standing == draft.Withdrawn { // by whom it was withdrawn, not by whom it is
		return p.say("withdrawn-mark") + " " + p.say("by", "by", p.author(s.By), "at", p.time(s.At)) + ". " + state
	}
	state = strings.TrimSuffix(state, ".") + " " + p.say("by", "by", p.author(s.By), "at", p.time(s.At)) + "."
	if s.Verified {
		return state + " " + p.say("verified")
	}
	return state + " " + p.say("unverified")
}

// header writes title, standing and the facts on patient, order and examination.
func (p *pages) header() {
	if p.Institution != "" {
		p.y = p.block(left, p.y, width, style{small, faint, false}, clip(p.Institution, 300))
	}
	p.y = p.block(left, p.y, width, style{large, accent, true}, clip(p.title(), 200)) + 1
	p.banner()
	p.facts()
}

// banner is the standing, in a colour that does not say it alone.
func (p *pages) banner() {
	text, paper, letters := p.standing(), cream, amber
	switch {
	case p.doc.Standing == draft.Withdrawn:
		letters = red
	case p.verified():
		paper, letters = pale, green
	}
	if r := p.doc.Predecessor; r != nil {
		text += " " + p.say("amends", "version", fmt.Sprintf("%d.%d", r.Number, r.Version))
	}
	reason := p.doc.Reason
	if p.doc.Signature != nil {
		reason = cmp.Or(p.doc.Signature.Reason, reason)
	}
	if reason != "" {
		text += "\n" + p.say("reason") + ": " + clip(reason, 2000)
	}
	p.boxed(text, paper, letters)
}

// boxed writes text on a coloured ground with a bar at its left.
func (p *pages) boxed(text string, paper, letters colour) {
	s := style{body, letters, false}
	lines := p.lines(width-7, s, text)
	h := float64(len(lines))*s.line() + 2.4
	p.room(min(h, bottom-top))
	p.box(left, p.y, width, h, paper)
	p.box(left, p.y, 1, h, letters)
	p.block(left+4, p.y+1, width-7, s, text)
	p.y += h + 1.5
}

type fact struct{ label, value string }

func (p *pages) facts() {
	d := p.doc
	id := d.Patient.ID
	if d.Patient.Issuer != "" && id != "" {
		id += " (" + d.Patient.Issuer + ")"
	}
	columns := [][]fact{
		{{p.say("patient"), p.patientNames()}, {p.say("id"), id}, {p.say("born"), date(d.Patient.BirthDate)}, {p.say("sex"), d.Patient.Sex}},
		p.orderFacts(),
		{
			{p.say("examination"), d.Examination.Description},
			{p.say("date"), p.span()},
			{p.say("station"), d.Examination.Station},
			{p.say("performer"), personName(d.Examination.Performer)},
			{p.say("images"), strconv.Itoa(d.Examination.Images)},
		},
	}
	const gap, pad = 4.0, 2.0
	w := (width - 2*pad - 2*gap) / 3
	var h float64
	draw := func(c []fact, x float64) float64 {
		y := p.y + pad
		for _, f := range c {
			if f.value == "" {
				continue
			}
			p.at(x, y, style{6.5, faint, false}, f.label)
			y += style{size: 6.5}.line()
			y = p.block(x, y, w, style{body, ink, false}, clip(clean(f.value), 240)) + 0.8
		}
		return y - p.y
	}
	for _, c := range columns { // once for the height
		h = max(h, p.height(c, w)+2*pad)
	}
	p.box(left, p.y, width, h, pale)
	for i, c := range columns {
		draw(c, left+pad+float64(i)*(w+gap))
	}
	p.y += h + 1.5
}

func (p *pages) height(c []fact, w float64) (h float64) {
	for _, f := range c {
		if f.value != "" {
			lines := p.lines(w, style{size: body}, clip(clean(f.value), 240))
			h += style{size: 6.5}.line() + float64(len(lines))*style{size: body}.line() + 0.8
		}
	}
	return h
}

func (p *pages) orderFacts() []fact {
	o := p.doc.Order
	if o == nil {
		return []fact{{p.say("order"), p.say("no-order")}, {p.say("accession"), p.doc.Examination.Accession}}
	}
	return []fact{
		{p.say("service"), o.Service.Meaning},
		{p.say("accession"), cmp.Or(o.Accession, p.doc.Examination.Accession)},
		{p.say("placer"), o.Placer},
		{p.say("reason"), o.Reason},
		{p.say("requester"), personName(o.Requester)},
		{p.say("referrer"), personName(o.Referrer)},
	}
}

// span is when the examination was, by its first and last image.
func (p *pages) span() string {
	e := p.doc.Examination
	from, to := p.time(e.StartedAt), e.EndedAt.In(p.Location).Format("15:04")
	if from == "" || e.EndedAt.IsZero() || from[11:16] == to {
		return from
	}
	return from[:16] + "–" + to + from[16:]
}

func (p *pages) notices() {
	for _, n := range p.doc.Notices {
		if n != "" {
			p.boxed(p.say("notices")+": "+clip(clean(n), 2000), cream, amber)
		}
	}
}
