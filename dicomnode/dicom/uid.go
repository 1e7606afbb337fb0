package dicom

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/google/uuid"
)

// UID is a unique identifier (PS3.5 9.1): digits and dots, at most 64 characters.
type UID string

// Valid reports whether u can name something: components of digits, separated by single dots, 64
// characters at most (PS3.5 9.1). Leading zeros, which the standard forbids, are let through: devices
// send them, and an instance is known by the UID it came with.
func (u UID) Valid() bool {
	if len(u) == 0 || len(u) > 64 {
		return false
	}
	for component := range strings.SplitSeq(string(u), ".") {
		if component == "" {
			return false
		}
		for _, c := range []byte(component) {
			if c < '0' || c > '9' {
				return false
			}
		}
	}
	return true
}

// MaxFileable is how many characters a Fileable UID has at most.
const MaxFileable = 128

// Fileable reports whether an instance can be kept under u, valid or not: letters, digits, and within them some marks and
// blanks, none that separates folders, values or the parts of a name. Devices send what is too long or no UID at all, and
// archives file it.
func (u UID) Fileable() bool {
	for i, c := range []byte(u) {
		word := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !word && (i == 0 || !strings.ContainsRune(" .,:;_+-{}()#", rune(c))) {
			return false
		}
	}
	return len(u) > 0 && len(u) <= MaxFileable
}

// derivedNamespace is the name space of every UID that endogate derives. It never changes:
// the same parts must give the same UID in every release.
var derivedNamespace = uuid.MustParse("6f9b2a52-0d7c-5b7e-9d55-3f6d1d1c0a01")

// DerivedUID returns the UID 2.25.<UUIDv5> named by kind and parts (PS3.5 B.2).
// Equal arguments give equal UIDs, so that whatever is made twice is the same object.
func DerivedUID(kind string, parts ...string) UID {
	var name strings.Builder
	fmt.Fprintf(&name, "v1|%s", kind)
	for _, part := range parts {
		name.WriteByte('|')
		name.WriteString(strings.NewReplacer(`\`, `\\`, `|`, `\p`).Replace(part))
	}
	id := uuid.NewSHA1(derivedNamespace, []byte(name.String()))
	return UID("2.25." + new(big.Int).SetBytes(id[:]).String())
}
