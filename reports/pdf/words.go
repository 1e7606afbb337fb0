package pdf

import "strings"

// say is what a page says of its own: the phrase label-NAME of the document's language, with its blanks filled in, which are
// given as name and value in turn.
func (p *pages) say(name string, blanks ...string) string {
	text := p.Label(p.doc.Language, name)
	var pairs []string
	for i := 0; i+1 < len(blanks); i += 2 {
		pairs = append(pairs, "{"+blanks[i]+"}", blanks[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
