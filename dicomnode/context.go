package dicomnode

import (
	"fmt"
	"slices"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// ContextResult is the answer to a proposed presentation context (PS3.8 table 9-18).
type ContextResult uint16

// Results of PS3.8 table 9-18.
const (
	ContextAccepted              ContextResult = 0
	ContextUserRejection         ContextResult = 1
	ContextNoReason              ContextResult = 2
	AbstractSyntaxNotSupported   ContextResult = 3
	TransferSyntaxesNotSupported ContextResult = 4
)

// What a peer says instead of a result; beyond the octet that results have.
const (
	ContextUnanswered        ContextResult = 0x100
	ContextSyntaxNotProposed ContextResult = 0x101
)

// String returns the wording of PS3.8 table 9-18, or what the peer did instead.
func (r ContextResult) String() string {
	names := [...]string{"accepted", "user rejection", "no reason", "abstract syntax not supported", "transfer syntaxes not supported"}
	switch {
	case int(r) < len(names):
		return names[r]
	case r == ContextUnanswered:
		return "left out of its answer, a fault of the peer"
	case r == ContextSyntaxNotProposed:
		return "accepted in a transfer syntax that was not proposed, a fault of the peer"
	}
	return fmt.Sprintf("reserved result %d", uint16(r))
}

// PresentationContext is an abstract syntax with transfer syntaxes (PS3.8 7.1.1.13): what a Server accepts,
// what a Client proposes (ID is then chosen by Associate), or what was negotiated.
type PresentationContext struct {
	ID               uint8
	AbstractSyntax   dicom.UID
	TransferSyntaxes []dicom.UID   // of an accepted context, the one that was agreed on
	Result           ContextResult // of a negotiated context
	Roles            Roles         // accepted at most, proposed, or negotiated; of all contexts of an abstract syntax
}

// Roles says which role the requestor of an association has; the acceptor has the other one (PS3.7 D.3.3.4).
type Roles uint8

// The zero value is what holds unless anything else is negotiated.
const (
	RequestorIsSCU Roles = iota
	RequestorIsSCP
	RequestorIsBoth
)

// String names the roles of the requestor.
func (r Roles) String() string { return [...]string{"SCU", "SCP", "SCU and SCP"}[r] }

func (r Roles) scu() bool { return r != RequestorIsSCP }
func (r Roles) scp() bool { return r != RequestorIsSCU }

// allows reports whether the requestor, or else the acceptor, may send a request: an N-EVENT-REPORT as the SCP,
// any other as the SCU (PS3.7 10.1.1).
func (r Roles) allows(field dimse.Field, byRequestor bool) bool {
	if (field == dimse.NEventReportRQ) == byRequestor {
		return r.scp()
	}
	return r.scu()
}

// rolesOf is what the contexts have together for an abstract syntax; the default if there is none.
func rolesOf(contexts []PresentationContext, abstractSyntax dicom.UID) (scu, scp bool) {
	for _, pc := range contexts {
		if pc.AbstractSyntax == abstractSyntax {
			scu, scp = scu || pc.Roles.scu(), scp || pc.Roles.scp()
		}
	}
	return scu || !scp, scp
}

// withRoles returns the context as it is with the roles that the acceptor has agreed to; with none it is of no use.
func (pc PresentationContext) withRoles(scu, scp bool) PresentationContext {
	switch {
	case scu && scp:
		pc.Roles = RequestorIsBoth
	case scp:
		pc.Roles = RequestorIsSCP
	case scu:
		pc.Roles = RequestorIsSCU
	case pc.Result == ContextAccepted:
		pc.Result = ContextUserRejection
	}
	return pc
}

// uncompressed are the transfer syntaxes of the contexts that carry no pixels.
var uncompressed = []dicom.UID{dicom.ExplicitVRLittleEndian, dicom.ImplicitVRLittleEndian, dicom.ExplicitVRBigEndian}

// VerificationContexts returns the context of C-ECHO. A Server accepts it whether it is listed or not.
func VerificationContexts() []PresentationContext {
	return []PresentationContext{{AbstractSyntax: dicom.Verification, TransferSyntaxes: slices.Clone(uncompressed)}}
}

// ServiceContexts returns a context for each SOP class that has data sets without pixels, in the transfer syntaxes that
// dicom.Dataset.Append writes.
func ServiceContexts(classes ...dicom.UID) []PresentationContext {
	var contexts []PresentationContext
	for _, uid := range classes {
		contexts = append(contexts, PresentationContext{
			AbstractSyntax: uid, TransferSyntaxes: []dicom.UID{dicom.ExplicitVRLittleEndian, dicom.ImplicitVRLittleEndian},
		})
	}
	return contexts
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

// contextTable is the accepted contexts of an association.
type contextTable []PresentationContext

func accepted(contexts []PresentationContext) contextTable {
	return slices.DeleteFunc(slices.Clone(contexts), func(pc PresentationContext) bool { return pc.Result != ContextAccepted })
}

func (t contextTable) find(id uint8) (PresentationContext, bool) {
	for _, pc := range t {
		if pc.ID == id {
			return pc, true
		}
	}
	return PresentationContext{}, false
}
