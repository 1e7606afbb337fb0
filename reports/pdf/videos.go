package pdf

import (
	"errors"
	"strconv"
)

// videos shows what models said of videos over time, below each other.
func (p *pages) videos() {
	if p.Timeline == nil {
		return
	}
	first := true
	for _, v := range p.doc.Videos {
		img, err := p.Timeline(v)
		if errors.Is(err, ErrNoPicture) {
			continue
		}
		if err != nil {
			panic(failed{err})
		}
		size := img.Bounds().Size()
		high := width * float64(size.Y) / float64(max(size.X, 1))
		s := style{small, faint, false}
		if first {
			p.heading(p.say("videos"), high+s.line())
			first = false
		}
		p.paragraph(left, width, s, p.say("video", "number", strconv.Itoa(v.Number), "model", v.Model.Name+" "+v.Model.Version))
		p.room(high + 2)
		p.one(p.embed(img, width), left, p.y, drawing{w: width, h: high}, "")
		p.y += high + 2
	}
}
