package dicom

import "strings"

// AETitle is an application entity title (PS3.5 table 6.2-1, VR AE) without its padding.
type AETitle string

// AETitleRule says what Valid wants, for the errors of whoever asks it.
const AETitleRule = "want 1 to 16 printable ASCII characters without backslash, and not blanks alone"

// Valid reports whether t is 1 to 16 characters of the default repertoire, no backslash or control character,
// and not blank at either end.
func (t AETitle) Valid() bool {
	return t != "" && string(t) == trimAETitle(string(t)) && CheckText("AE", string(t)) == nil
}

// UnmarshalText leaves blanks at either end out: they mean nothing (PS3.5 table 6.2-1). It does not check the title.
func (t *AETitle) UnmarshalText(text []byte) error {
	*t = AETitle(trimAETitle(string(text)))
	return nil
}

// ReadableAETitle is what a node calls itself, with ? for each byte that no AE title has: vendors put names of rooms there, in the
// character set of their own.
func ReadableAETitle(said string) AETitle {
	title := []byte(said)
	for i, b := range title {
		if b < ' ' || b > '~' || b == valueSeparator {
			title[i] = '?'
		}
	}
	return AETitle(title)
}

func trimAETitle(s string) string { return strings.Trim(s, " ") }
