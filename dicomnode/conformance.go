package dicomnode

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
)

// Conformance writes, as Markdown, the presentation contexts that are accepted (SCP) and proposed (SCU): the tables of
// a conformance statement (PS3.2 annex A), taken from the same values that are negotiated with. The contexts of
// Verification are added to both, as Server and its callers do.
func Conformance(w io.Writer, scp, scu []PresentationContext) error {
	b := new(strings.Builder)
	var sets [][]dicom.UID
	for _, role := range []struct {
		name     string
		contexts []PresentationContext
	}{{"SCP (accepted)", scp}, {"SCU (proposed)", scu}} {
		fmt.Fprintf(b, "### %s\n\n| SOP class | UID | transfer syntaxes |\n|---|---|---|\n", role.name)
		for _, pc := range append(VerificationContexts(), role.contexts...) {
			fmt.Fprintf(b, "| %s | `%s` | set %c |\n", className(pc.AbstractSyntax), pc.AbstractSyntax, setOf(&sets, pc.TransferSyntaxes))
		}
		fmt.Fprintln(b)
	}
	for i, set := range sets {
		fmt.Fprintf(b, "### Transfer syntaxes, set %c\n\n| transfer syntax | UID |\n|---|---|\n", 'A'+i)
		for _, ts := range set {
			fmt.Fprintf(b, "| %s | `%s` |\n", syntaxName(ts), ts)
		}
		fmt.Fprintln(b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// setOf returns the letter of the set of transfer syntaxes, a new one if it has not come up.
func setOf(sets *[][]dicom.UID, syntaxes []dicom.UID) rune {
	i := slices.IndexFunc(*sets, func(s []dicom.UID) bool { return slices.Equal(s, syntaxes) })
	if i < 0 {
		i = len(*sets)
		*sets = append(*sets, syntaxes)
	}
	return rune('A' + i)
}

func className(uid dicom.UID) string {
	if c, ok := dicom.LookupSOPClass(uid); ok {
		return c.Name
	}
	return "private"
}

func syntaxName(uid dicom.UID) string {
	if ts, ok := dicom.LookupTransferSyntax(uid); ok {
		return ts.Name
	}
	return "private"
}
