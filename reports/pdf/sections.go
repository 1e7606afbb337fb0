package pdf

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"endogate/reports/draft"
)

// Codes of the sections that something stands below (LOINC, PS3.16 CID 7001).
const (
	findingsCode  = "59776-5"
	keyImagesCode = "55113-5"
)

func cmpOr(a, b string) string { return cmp.Or(a, b) }

// sections writes what the document says, in the order of its template. The findings' pictures stand below the section of
// that name, or behind the last one where the template has none. What the gateway wrote of patient and order stands in the
// box above, and what it wrote of key images beside their findings: it is not said again.
func (p *pages) sections() {
	findings, pictures := false, false
	for _, s := range p.doc.Sections {
		switch {
		case s.Name == "header" && s.By.System:
		case s.Name == "disclosure":
		case s.Code.Value == findingsCode || s.Name == "findings":
			p.section(s)
			p.findingBlocks(s.Text != draft.ToBeCompleted)
			findings = true
		case s.Code.Value == keyImagesCode || s.Name == "key-images":
			if !s.By.System {
				p.section(s)
			} else if len(p.imagesOf("")) > 0 {
				p.heading(s.Head, 30)
			}
			p.strip(p.imagesOf(""), true)
			pictures = true
		default:
			p.section(s)
		}
	}
	if !findings {
		p.heading(p.say("findings"), 10)
		p.findingBlocks(false)
	}
	if !pictures && len(p.imagesOf("")) > 0 {
		p.heading(p.say("key-images"), 30)
		p.strip(p.imagesOf(""), true)
	}
}

// section writes a heading and its text; what nobody has written stands beside its heading.
func (p *pages) section(s draft.Section) {
	text := strings.ReplaceAll(strings.TrimSpace(s.Text), draft.ToBeCompleted, p.say("todo"))
	if text != "" && text != p.say("todo") {
		p.heading(s.Head, 2*style{size: body}.line())
		p.paragraph(left, width, style{body, ink, false}, text)
		return
	}
	h := style{medium, accent, true}
	head := p.fitted(width-45, h, s.Head)
	p.room(2 + h.line())
	p.y += 2
	p.at(left, p.y, h, head)
	p.at(left+p.measure(h)(head)+4, p.y+0.5, style{body, faint, false}, clean(text))
	p.y += h.line()
}

// disclosure says what the machine did. It stands in every document: in the words of its section, or of the document where
// the template has none.
func (p *pages) disclosure() {
	d, s := p.doc.Disclosure, style{small, ink, false}
	for _, section := range p.doc.Sections {
		if section.Name == "disclosure" && section.Text != draft.ToBeCompleted {
			p.heading(section.Head, 12)
			p.paragraph(left, width, s, section.Text)
			return
		}
	}
	p.heading(p.say("disclosure"), 20)
	p.paragraph(left, width, s, d.Text)
	p.y += 1
	p.models(d.Models)
	e := d.Frames
	p.paragraph(left, width, s, p.say("extent", "instances", strconv.Itoa(e.Instances), "analysed", strconv.Itoa(e.Analysed),
		"frames", strconv.Itoa(e.Frames), "skipped", strconv.Itoa(e.Skipped), "failed", strconv.Itoa(e.Failed), "retracted", strconv.Itoa(e.TakenBack)))
	var contradicting []string
	for _, c := range d.Contradicting {
		contradicting = append(contradicting, c.Meaning)
	}
	for _, l := range []struct {
		name  string
		items []string
	}{{p.say("masked"), d.Masked}, {p.say("skipped"), d.Skipped}, {p.say("failed"), d.Failed}, {p.say("retracted"), d.TakenBack}, {p.say("contradicting"), contradicting}} {
		if len(l.items) > 0 {
			p.paragraph(left, width, s, l.name+": "+strings.Join(l.items, "; "))
		}
	}
}

// models is a table: a row for each model.
func (p *pages) models(models []draft.ModelUse) {
	if len(models) == 0 {
		return
	}
	widths := []float64{34, 20, 24, 50, 38, 14}
	head := style{6.5, faint, true}
	p.row(widths, head, []string{p.say("model"), p.say("version"), p.say("route"), p.say("use"), p.say("thresholds"), p.say("frames")})
	for _, m := range models {
		var thresholds []string
		for _, class := range slices.Sorted(maps.Keys(m.Thresholds)) {
			thresholds = append(thresholds, class+" "+decimal(m.Thresholds[class]))
		}
		p.row(widths, style{small, ink, false}, []string{
			m.Name + "\n" + m.Manufacturer + "\n" + p.retraction(m.Retracted), m.Version, m.Route, m.IntendedUse, strings.Join(thresholds, ", "), strconv.Itoa(m.Analysed),
		})
	}
	p.y += 1
}

// row writes the cells of a table beside each other, over pages where one is long.
func (p *pages) row(widths []float64, s style, cells []string) {
	columns, n := make([][]string, len(cells)), 1
	for i, c := range cells {
		columns[i] = p.lines(widths[i]-2, s, clip(clean(c), 2000))
		n = max(n, len(columns[i]))
	}
	p.room(min(float64(n)*s.line(), 40))
	for line := range n {
		p.room(s.line())
		x := left
		for i := range columns {
			if line < len(columns[i]) {
				p.at(x, p.y, s, columns[i][line])
			}
			x += widths[i]
		}
		p.y += s.line()
	}
	p.hline(p.y + 0.3)
	p.y += 0.9
}

// signature ends the document: who signed, and where its images and data are.
func (p *pages) signature() {
	p.heading(p.say("signature"), style{size: body}.line())
	if p.doc.Signature == nil {
		p.paragraph(left, width, style{body, faint, false}, p.say("not-signed"))
	} else {
		p.paragraph(left, width, style{body, ink, false}, p.standing())
	}
	if len(p.Links) == 0 {
		return
	}
	p.heading(p.say("links"), style{size: body}.line())
	s := style{body, accent, false}
	for _, l := range p.Links {
		text := p.fitted(width, s, cmpOr(l.Text, l.URL))
		p.room(s.line())
		p.at(left, p.y, s, text)
		p.LinkString(left, p.y, p.measure(s)(text), s.line(), link(l.URL))
		p.y += s.line()
	}
}

// link is an address as the bytes of a PDF string: ASCII, everything else escaped.
func link(url string) string {
	var b strings.Builder
	for _, c := range []byte(url) {
		if c > ' ' && c < 0x7f {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
