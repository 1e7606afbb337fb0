package trial

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"endogate/explain"
	"endogate/inference/figures"
)

//go:embed page.html
var pageText string

// pageColours are those of maps in the page.
const pageColours = "jet"

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"diagram": diagram,
	"scale":   scale,
	"table": func(t figures.Table) []figures.Figure {
		return []figures.Figure{t.Precision, t.Recall, t.Specificity, t.Accuracy, t.MCC, t.F1}
	},
	"number": func(v float64) string { return fmt.Sprintf("%.3g", v) },
	"join": func(v []string) string {
		if len(v) == 0 {
			return "something else"
		}
		return strings.Join(v, ", ")
	},
	"value": func(f figures.Figure) string {
		if f.None != "" {
			return f.String()
		}
		return fmt.Sprintf("%.3f", f.Value)
	},
	"words":    words,
	"pictures": func(m Mistake) []shot { return m.pictures },
}).Parse(pageText))

// WriteHTML writes a page that stands alone: no script, and nothing is loaded from anywhere. It has pictures of frames.
func (r *Result) WriteHTML(w io.Writer) error { return page.Execute(w, r) }

// diagram is a reliability diagram: a dot for each bin, as large as it has frames, with the interval of its frequency.
func diagram(title string, r figures.Reliability) template.HTML {
	const side, edge = 150, 24
	var b strings.Builder
	at := func(v float64) float64 { return v * side }
	fmt.Fprintf(&b, `<svg viewBox="-%d -8 %d %d" role="img" aria-label="reliability of %s"><path class="frame" d="M0 0V%d H%d"/><path class="ideal" d="M0 %d L%d 0"/>`,
		edge, side+edge+8, side+edge+8, template.HTMLEscapeString(title), side, side, side, side)
	most := 1
	for _, bin := range r.Bins {
		most = max(most, bin.N)
	}
	for _, bin := range r.Bins {
		if bin.N == 0 {
			continue
		}
		x, f := at(bin.Confidence), bin.Frequency
		fmt.Fprintf(&b, `<path class="interval" d="M%.1f %.1f V%.1f"/><circle cx="%.1f" cy="%.1f" r="%.1f"><title>%d frames: said %.2f, so %s</title></circle>`,
			x, side-at(f.Low), side-at(f.High), x, side-at(f.Value), 2+4*float64(bin.N)/float64(most), bin.N, bin.Confidence, f)
	}
	for _, v := range []float64{0, 0.5, 1} {
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%g</text><text x="-4" y="%.0f" text-anchor="end">%g</text>`, at(v), side+12, v, side-at(v)+3, v)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// scale is the bar of colours of maps.
func scale() (template.HTML, error) {
	colours, err := explain.NamedColourMap(pageColours)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(`<svg class="scale" viewBox="0 0 256 10" role="img" aria-label="colours from little to most">`)
	for i := 0; i < 256; i += 4 {
		c := colours[i]
		fmt.Fprintf(&b, `<rect x="%d" width="4" height="10" fill="#%02x%02x%02x"/>`, i, c.R, c.G, c.B)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()), nil
}

// words are what stands under a figure: its interval, and why it is what it is.
func words(f figures.Figure) string {
	switch {
	case f.None != "":
		return f.None
	case f.Interval:
		return strings.TrimSuffix(fmt.Sprintf("[%.3f,\u00a0%.3f] %s", f.Low, f.High, f.Note), " ")
	}
	return f.Note
}
