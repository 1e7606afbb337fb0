package dicomnode

import (
	"errors"
	"fmt"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("dicomnode: server closed")

// ErrEnded says that the association had ended before anything of a request was sent: it was released, aborted or
// lost while it stood idle. The request can be made again on a new association at once.
var ErrEnded = errors.New("association has ended")

// RejectError is an A-ASSOCIATE-RJ (PS3.8 table 9-21): ours to a peer, or a peer's to us.
type RejectError struct {
	Result pdu.RejectResult
	Source pdu.RejectSource
	Reason pdu.RejectReason
}

// Error gives the meaning and the three numbers.
func (e *RejectError) Error() string {
	return "dicomnode: association rejected, " + e.pdu().String()
}

// Temporary reports whether asking again later can help.
func (e *RejectError) Temporary() bool { return e.Result == pdu.RejectedTransient }

func (e *RejectError) pdu() *pdu.AssociateRJ {
	return &pdu.AssociateRJ{Result: e.Result, Source: e.Source, Reason: e.Reason}
}

// AbortError is an A-ABORT from the peer (PS3.8 table 9-26).
type AbortError struct {
	Source pdu.AbortSource
	Reason pdu.AbortReason
}

// Error gives source and reason.
func (e *AbortError) Error() string {
	return "dicomnode: association aborted " + (&pdu.Abort{Source: e.Source, Reason: e.Reason}).String()
}

// Temporary returns true: an abort says nothing about the instance.
func (e *AbortError) Temporary() bool { return true }

// ContextError says that no presentation context for a SOP class in a transfer syntax was accepted.
type ContextError struct {
	SOPClassUID       dicom.UID
	TransferSyntaxUID dicom.UID
	Result            ContextResult // as the peer answered, or did instead; ContextAccepted when it was not proposed, or another syntax was taken
}

// Error names the pair and the peer's answer.
func (e *ContextError) Error() string {
	why := e.Result.String()
	if e.Result == ContextAccepted {
		why = "not proposed, or accepted in another one"
	}
	return fmt.Sprintf("dicomnode: no presentation context for %s in %s: %s", e.SOPClassUID, e.TransferSyntaxUID, why)
}

// Temporary returns false: the peer will not take it on the next association either.
func (e *ContextError) Temporary() bool { return false }

// RoleError says that the role in which a request is sent was not accepted for a SOP class (PS3.7 D.3.3.4).
type RoleError struct {
	SOPClassUID dicom.UID
	Request     dimse.Field
}

// Error names the SOP class and the request.
func (e *RoleError) Error() string {
	return fmt.Sprintf("dicomnode: %s of %s: the peer has not accepted us in the role for it", e.Request, e.SOPClassUID)
}

// Temporary returns false: the peer will not accept it on the next association either.
func (e *RoleError) Temporary() bool { return false }

// violation is something the peer sent that the protocol forbids, with the A-ABORT that answers it.
type violation struct {
	source pdu.AbortSource
	reason pdu.AbortReason
	what   string
}

// Is makes a violation ErrProtocol.
func (v *violation) Is(target error) bool { return target == ErrProtocol }

func (v *violation) Error() string { return "dicomnode: peer broke the protocol: " + v.what }

// violates is a violation of the upper layer protocol.
func violates(reason pdu.AbortReason, format string, args ...any) error {
	return &violation{pdu.AbortServiceProvider, reason, fmt.Sprintf(format, args...)}
}

// ErrProtocol says that what the peer sent is against the protocol, beyond what is put up with.
var ErrProtocol = errors.New("peer broke the protocol")

// ErrWrongResponse says that a peer answered with the number of another message than it was sent.
var ErrWrongResponse = errors.New("answer to another message")

// errReleaseRequested: the peer sent A-RELEASE-RQ.
var errReleaseRequested = errors.New("released by the peer")
