package pdf

import (
	"testing"

	"endogate/reports/draft"
)

func BenchmarkRender(b *testing.B) {
	o, doc := options(b), usual()
	picture, _ := pictures(doc.KeyImages[0])
	o.Picture = func(draft.KeyImage) (Picture, error) { return picture, nil }
	for b.Loop() {
		if _, err := Render(doc, o); err != nil {
			b.Fatal(err)
		}
	}
}
