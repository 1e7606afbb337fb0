// Package pdf makes the page that people read: a report draft, or what was signed, as PDF (ISO 32000-1).
//
// A picture and its heatmap stand beside each finding, the machine's part is disclosed at the end, and every page says
// whose report it is and, until somebody verified it, that nobody has. The same document gives the same bytes: dates are the
// document's own. Text is searchable; of the fonts only the characters used are embedded.
//
// Latin, Greek and Cyrillic are set in Liberation Sans, which is in the binary; other scripts in a font of the machine
// ([OpenFonts]). What runs from right to left is set so, in lines that run from left to right; Arabic letters are joined where the font has
// their shapes as characters. Where some letters cannot be set as they should be (no font has them, they are above U+FFFF, or of a script
// such as Devanagari whose letters change place), every page says so below: they are boxes, or side by side. They can still be searched.
//
// It is the only package that imports codeberg.org/go-pdf/fpdf. That library takes no font collection and panics at
// characters above U+FFFF: those are shown as U+FFFD. Tags for readers aloud (PDF/UA) are not written.
package pdf
