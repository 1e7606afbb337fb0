package dicomnode

import (
	"fmt"
	"slices"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pdu"
)

// ContextResult is the answer to a proposed presentation context (PS3.8 table 9-18).
type ContextResult uint8

// Results of PS3.8 table 9-18.
const (
	ContextAccepted              ContextResult = 0
	ContextUserRejection         ContextResult = 1
	ContextNoReason              ContextResult = 2
	AbstractSyntaxNotSupported   ContextResult = 3
	TransferSyntaxesNotSupported ContextResult = 4
)

// String returns the wording of PS3.8 table 9-18.
func (r ContextResult) String() string {
	names := [...]string{"accepted", "user rejection", "no reason", "abstract syntax not supported", "transfer syntaxes not supported"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reserved result %d", uint8(r))
}

// PresentationContext is an abstract syntax with transfer syntaxes (PS3.8 7.1.1.13): what a Server accepts,
// what a Client proposes (ID is then chosen by Associate), or what was negotiated.
type PresentationContext struct {
	ID               uint8
	AbstractSyntax   dicom.UID
	TransferSyntaxes []dicom.UID   // of an accepted context, the one that was agreed on
	Result           ContextResult // of a negotiated context
}

// uncompressed are the transfer syntaxes of the contexts that carry no pixels.
var uncompressed = []dicom.UID{dicom.ExplicitVRLittleEndian, dicom.ImplicitVRLittleEndian, dicom.ExplicitVRBigEndian}

// VerificationContexts returns the context of C-ECHO. A Server accepts it whether it is listed or not.
func VerificationContexts() []PresentationContext {
	return []PresentationContext{{AbstractSyntax: dicom.Verification, TransferSyntaxes: slices.Clone(uncompressed)}}
}

// StorageContexts returns a context for each class with every transfer syntax of dicom.TransferSyntaxes,
// for a Server that keeps what it gets as it is.
func StorageContexts(classes []dicom.SOPClass) []PresentationContext {
	var syntaxes []dicom.UID
	for _, ts := range dicom.TransferSyntaxes {
		syntaxes = append(syntaxes, ts.UID)
	}
	var contexts []PresentationContext
	for _, class := range classes {
		contexts = append(contexts, PresentationContext{AbstractSyntax: class.UID, TransferSyntaxes: syntaxes})
	}
	return contexts
}

// InstanceSyntax is what decides which presentation context an instance needs.
type InstanceSyntax struct{ SOPClassUID, TransferSyntaxUID dicom.UID }

// ContextsFor returns what to propose for sending instances as they are: one context for each pair of SOP class
// and transfer syntax, because the acceptor takes one syntax of a context and a data set is never transcoded.
// Associate takes 128 contexts at most.
func ContextsFor(instances ...InstanceSyntax) []PresentationContext {
	var contexts []PresentationContext
	seen := make(map[InstanceSyntax]bool)
	for _, i := range instances {
		if seen[i] {
			continue
		}
		seen[i] = true
		contexts = append(contexts, PresentationContext{AbstractSyntax: i.SOPClassUID, TransferSyntaxes: []dicom.UID{i.TransferSyntaxUID}})
	}
	return contexts
}

// answer decides on one proposed context. Of the transfer syntaxes that both sides have it takes the one that the
// requestor lists first: that is the one it holds the data set in, so that nothing is transcoded on the way.
func answer(supported []PresentationContext, pc pdu.PresentationContextRQ) PresentationContext {
	out := PresentationContext{ID: pc.ID, AbstractSyntax: dicom.UID(pc.AbstractSyntax), Result: AbstractSyntaxNotSupported}
	for _, s := range supported {
		if s.AbstractSyntax != out.AbstractSyntax {
			continue
		}
		out.Result = TransferSyntaxesNotSupported
		for _, ts := range pc.TransferSyntaxes {
			if slices.Contains(s.TransferSyntaxes, dicom.UID(ts)) {
				out.Result, out.TransferSyntaxes = ContextAccepted, []dicom.UID{dicom.UID(ts)}
				return out
			}
		}
	}
	return out
}

// contextTable finds the accepted contexts of an association by their ID.
type contextTable map[uint8]PresentationContext

func accepted(contexts []PresentationContext) contextTable {
	t := make(contextTable)
	for _, pc := range contexts {
		if pc.Result == ContextAccepted {
			t[pc.ID] = pc
		}
	}
	return t
}
