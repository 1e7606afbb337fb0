package dicomnode

// AETitle is an application entity title (PS3.5 table 6.2-1, VR AE) without its padding.
type AETitle string

// Valid reports whether t is 1 to 16 characters of the default repertoire, no backslash or control character,
// and not blank at either end.
func (t AETitle) Valid() bool {
	if len(t) == 0 || len(t) > 16 || t[0] == ' ' || t[len(t)-1] == ' ' {
		return false
	}
	for _, c := range []byte(t) {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}
