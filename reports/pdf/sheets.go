package pdf

import (
	"errors"

	"codeberg.org/go-pdf/fpdf"

	"endogate/reports/draft"
)

// maxSheets bounds the sheets of a finding: more are in the archive.
const maxSheets = 3

// sheets places those of the clips that key images are of, over the whole width. What they show, and that nobody has verified it, is written in them.
func (p *pages) sheets(images []draft.KeyImage) {
	if p.Sheet == nil {
		return
	}
	done := map[string]bool{"": true}
	for _, k := range images {
		uid := string(k.Frame.Sheet.SOPInstanceUID)
		if done[uid] || len(done) > maxSheets {
			continue
		}
		done[uid] = true
		m, err := p.Sheet(k.Frame)
		if err != nil && !errors.Is(err, ErrNoPicture) {
			panic(failed{err})
		}
		if err != nil || m == nil || m.Bounds().Empty() {
			continue
		}
		size := m.Bounds().Size()
		w := width
		h := w * float64(size.Y) / float64(size.X)
		if most := bottom - top - 2; h > most {
			w, h = w*most/h, most
		}
		p.room(h + 2)
		p.y += 1.5
		p.ImageOptions(p.embed(m, w), left, p.y, w, h, false, fpdf.ImageOptions{ImageType: "JPEG"}, 0, "")
		p.y += h
	}
}
