package pdf

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// What runs from right to left is turned round on paper, and numbers, names from left to right and brackets beside it are not.
func TestVisual(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"from left to right", "Nováková, Jana (P-12)", "Nováková, Jana (P-12)"},
		{"a name", "כהן, דוד", "דוד ,ןהכ"},
		{"an ID behind it", "דוד · ID 4711-22", "דוד"[4:6] + "דוד"[2:4] + "דוד"[0:2] + " · ID 4711-22"},
		{"digits behind it", "אב 4711", "4711 בא"},
		{"digits with separators", "אב 12/34-56.7", "12/34-56.7 בא"},
		{"digits before it", "4711 אב", "4711 בא"},
		{"in brackets", "אב (4711)", "(4711) בא"},
		{"the other writing in brackets", "אב (Cohen)", "בא (Cohen)"},
		{"in brackets itself", "Cohen (אב)", "Cohen (בא)"},
		{"amid a sentence", "says אב גד, not", "says דג בא, not"},
		{"a percentage", "אב 12%", "12% בא"},
		{"marks stay on their letter", "שָׁב", "בשָׁ"},
	} {
		assert.Equal(t, row.want, string(visual([]rune(row.in))), row.name)
	}
}

// Arabic letters have the shape that their place in a word asks for, and those of a font that has no shapes are as they were.
func TestJoined(t *testing.T) {
	all := func(rune) bool { return true }
	for in, want := range map[string]string{
		"محمد":      "\uFEE3\uFEA4\uFEE4\uFEAA", // beginning, within, within, end
		"دار":       "\uFEA9\uFE8D\uFEAD",       // none of them joins the next one
		"سلام":      "\uFEB3\uFEFC\uFEE1",       // lam and alef are one
		"لا":        "\uFEFB",
		"ب":         "\uFE8F",
		"مُحمد":     "\uFEE3\u064F\uFEA4\uFEE4\uFEAA", // a mark is between none
		"پری":       "\uFB58\uFEAE\uFBFC",             // Persian
		"Cohen כהן": "Cohen כהן",
	} {
		assert.Equal(t, want, string(joined([]rune(in), all)), in)
		assert.Equal(t, in, string(joined([]rune(in), func(rune) bool { return false })), in)
	}
}
