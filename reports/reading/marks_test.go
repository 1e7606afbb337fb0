package reading

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMention_Marks: what is marked of a sentence is the term and the words that decided, however the text's lines were broken.
func TestMention_Marks(t *testing.T) {
	o, err := Load("")
	require.NoError(t, err)
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"No polyps were seen.", []string{"No", "polyps"}},
		{"Findings:\nThere is   no evidence\nof a sessile\n polyp, and no ulcer.", []string{"no evidence of", "sessile polyp"}},
		{`Kein Befund.\.br\Kein  Polyp im Kolon.`, []string{"Kein", "Polyp"}},
		{"A polyp was removed.", []string{"polyp"}},
		{"Indication: Polyps", []string{"Polyps"}},
	} {
		var got []string
		for _, f := range o.Read(tt.text, "").Findings {
			if f.Finding != "polyp" {
				continue
			}
			for _, m := range f.Mentions[0].Marks(tt.text) {
				got = append(got, f.Mentions[0].Sentence[m.Start:m.End])
			}
		}
		assert.Equal(t, tt.want, got, tt.text)
	}
}
