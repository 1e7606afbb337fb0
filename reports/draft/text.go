package draft

import (
	"cmp"
	"fmt"
	"strings"
)

// Unverified begins every text of a report that no person has verified.
const Unverified = "AI DRAFT - NOT VERIFIED"

// Text is d as plain text: what a message carries and a terminal shows. It has no control character but the line feed.
func Text(d Document) string {
	var b strings.Builder
	if d.Signature == nil || !d.Signature.Verified {
		b.WriteString(Unverified + "\n")
		if d.Language != "en" && d.Warning != "" {
			b.WriteString(d.Warning + "\n")
		}
		b.WriteByte('\n')
	}
	if d.Standing == Withdrawn {
		fmt.Fprintf(&b, "WITHDRAWN: %s\n\n", d.Reason)
	}
	b.WriteString(cmp.Or(d.Heading, d.Title.Meaning) + "\n")
	for _, n := range d.Notices {
		b.WriteString("! " + n + "\n")
	}
	for _, s := range d.Sections {
		fmt.Fprintf(&b, "\n%s\n%s\n", strings.ToUpper(s.Head), d.Said(s.Text))
	}
	if d.Signature != nil && d.Standing != Withdrawn {
		fmt.Fprintf(&b, "\n%s, %s\n", d.Signature.By.Name, moment(d.Signature.At, d.Location()))
	}
	return b.String()
}
