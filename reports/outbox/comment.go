package outbox

import (
	"fmt"
	"regexp"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// What a peer says in Error Comment (0000,0902) where its status alone misleads: archives answer A7xx for a patient that
// they do not know, and C000 for a database that is being restarted.
var (
	saysLater = regexp.MustCompile(`(?i)\b(try|retry|again|later|temporar(y|ily)|busy|time[d -]*out|timeout|lock(ed)?|maintenance|shut(ting)? ?down|starting|overload(ed)?|unavailable|offline)\b`)
	saysRoom  = regexp.MustCompile(`(?i)\b(disk|space|full|memory|resources?|quota|storage|connect(ion|ing)?|database|queue|i/o|too many)\b`)
	saysFault = regexp.MustCompile(`(?i)\b(patient ?(id)?|study|series|instance|object|sop|uid|attributes?|elements?|tags?|values?|vr|missing|invalid|illegal|mandatory|required|mismatch(ed)?|match(es)?|unknown|unsupported|supported|allowed|permitted|accepted|duplicate|already|exists?|reject(ed|ion)?|retention|corrupt(ed)?|pars(e|ing)|decod(e|ing)|syntax|character|charset|accession|issuer|authority|format)\b`)
)

// meaning is what a failure status means together with what is said beside it. The status holds, unless all that is said
// speaks for the other: of a lack of room or of something that passes, or of the object.
func meaning(s dimse.Status, said peerSays) Class {
	class := classOf(s)
	later, fault := saysLater.MatchString(said.comment), saysFault.MatchString(said.comment) || len(said.offending) > 0
	room := saysRoom.MatchString(said.comment)
	switch {
	case class == Later && s.Temporary() && fault && !later && !room:
		return Never
	case class == Never && s != dimse.InvalidSOPInstance && (later || room && !fault) && !refusedObject(s):
		return Later
	}
	return class
}

// peerSays is what a peer says beside a status.
type peerSays struct {
	comment   string
	offending []dicom.Tag // Offending Element (0000,0901)
}

// maxOffending bounds how many elements are named.
const maxOffending = 8

// named are the elements that the peer finds fault with: tags alone, which are no patient data.
func (p peerSays) named() string {
	var tags []string
	for _, tag := range p.offending[:min(len(p.offending), maxOffending)] {
		tags = append(tags, tag.String())
	}
	if len(tags) == 0 {
		return ""
	}
	return fmt.Sprintf("; it names %s", strings.Join(tags, ", "))
}
