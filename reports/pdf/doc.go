// Package pdf makes the page that people read: a report draft, or what was signed, as PDF (ISO 32000-1).
//
// A picture and its heatmap stand beside each finding, the machine's part is disclosed at the end, and every page says
// whose report it is and, until somebody verified it, that nobody has. The same document gives the same bytes: dates are the
// document's own. Text is searchable; of the fonts only the characters used are embedded.
//
// Latin, Greek and Cyrillic are set in Liberation Sans, which is in the binary; Chinese, Japanese and Korean in a font of the
// machine ([OpenFonts]).
//
// It is the only package that imports codeberg.org/go-pdf/fpdf. That library takes no font collection and panics at
// characters above U+FFFF: those are shown as U+FFFD. Text runs from left to right alone, and a character that no font
// has is shown as an empty box; it can still be searched. Tags for readers aloud (PDF/UA) are not written.
package pdf
