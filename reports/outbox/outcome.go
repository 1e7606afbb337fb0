package outbox

import (
	"strings"
	"time"
	"unicode"

	"endogate/dicomnode/ledger"
)

// Class says what came of handing something over, and so what is to be done next. The zero value is the careful one.
type Class int

// The classes.
const (
	Later           Class = iota // try this one again later; others go on
	Done                         // the peer has it
	DoneWithWarning              // the peer has it, and had something to say
	Sent                         // the peer has taken it, and commits to it later
	DestinationDown              // the destination cannot be reached, or takes nothing from us: all of its deliveries wait
	SendAlternate                // the peer does not take this kind: send the alternate, or ask again in a day
	Never                        // trying again changes nothing: the alternate, or a person
)

// String names the class in lower case.
func (c Class) String() string {
	return [...]string{"later", "done", "done with warning", "sent", "destination down", "send the alternate", "never"}[c]
}

// Delivered reports whether the peer has it.
func (c Class) Delivered() bool { return c == Done || c == DoneWithWarning || c == Sent }

// Outcome is what came of handing a message over, in whatever protocol.
type Outcome struct {
	Class    Class
	Protocol string // of the peer's answer: dicom, hl7, fhir; empty: it gave none
	Code     string // of the answer, as the protocol writes it
	Text     string // what the peer said with it. It may quote what was sent: stored and shown, never logged
	Reason   string // why it is not done, in our words: stored, shown and logged, so without patient data
	Err      error  // for the log; may be nil

	Within time.Duration // of Sent: time in which the peer is to commit, after which it is sent again
	After  time.Duration // of Later: not sooner, if the peer has said so; 0: it has not
	Ours   bool          // of Later: it lies with us, and says nothing of the destination
	Silent bool          // of Later and DestinationDown: this one was sent, and there was no answer to it: others go first
}

// answer is what the ledger keeps of o.
func (o Outcome) answer() ledger.Answer {
	return ledger.Answer{Protocol: o.Protocol, Code: o.Code, Text: readable(o.Text)}
}

// maxText bounds what is kept of a peer's words, in bytes.
const maxText = 1024

// readable makes a peer's words one line of text.
func readable(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return strings.Join(strings.Fields(text), " ")
}
