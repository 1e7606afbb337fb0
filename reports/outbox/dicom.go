package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/spool"
)

// maxContexts is what one association can propose (PS3.8 9.3.2.2: odd IDs up to 255).
const maxContexts = 128

// Derived lists what the gateway makes, in the transfer syntaxes it can be sent in. It is proposed from the first
// association on, so that a report does not need another one than its heatmaps.
func Derived() []dicomnode.InstanceSyntax {
	var all []dicomnode.InstanceSyntax
	for _, class := range []dicom.UID{
		dicom.SecondaryCaptureImageStorage, dicom.Comprehensive3DSRStorage, dicom.ComprehensiveSRStorage,
		dicom.KeyObjectSelectionDocumentStorage,
	} {
		all = append(all,
			dicomnode.InstanceSyntax{SOPClassUID: class, TransferSyntaxUID: dicom.ExplicitVRLittleEndian},
			dicomnode.InstanceSyntax{SOPClassUID: class, TransferSyntaxUID: dicom.ImplicitVRLittleEndian})
	}
	return all
}

// DICOM sends to an application entity with C-STORE. One association is used for many messages; a message that needs
// a presentation context it does not have gets a new one. Its methods are not safe for use by several goroutines.
type DICOM struct {
	Client  *dicomnode.Client
	Address string // host:port
	Called  dicomnode.AETitle
	Spool   Spool

	assoc    *dicomnode.Association
	proposed []dicomnode.InstanceSyntax // what the association offers, and the next one will
}

// Spool opens what is to be sent.
type Spool interface {
	Open(id string) (spool.Entry, io.ReadSeekCloser, error)
}

// Send streams the entry of m to the peer as it is. What the gateway made itself goes in Implicit VR Little Endian to
// a peer that takes nothing else.
func (s *DICOM) Send(ctx context.Context, m Message) (dimse.Status, error) {
	entry, data, err := s.Spool.Open(m.Entry)
	if err != nil {
		return 0, unreadable(err)
	}
	defer func() { _ = data.Close() }()
	need := dicomnode.InstanceSyntax{SOPClassUID: entry.Header.SOPClassUID, TransferSyntaxUID: entry.TransferSyntaxUID}
	reused := s.assoc != nil
	status, err := s.store(ctx, need, entry, data)
	if reused && ctx.Err() == nil && lost(err) {
		s.drop()
		if _, err := data.Seek(0, io.SeekStart); err != nil {
			return 0, unreadable(err)
		}
		status, err = s.store(ctx, need, entry, data)
	}
	switch {
	case err != nil:
		return 0, s.failed(ctx, err, need)
	default:
		return status, answered(status, s.Called)
	}
}

// lost reports whether an association ended while it stood idle, or just as it was used again. A new one finds out
// whether the peer is there; sending an instance twice does no harm (PS3.4 B.3: it is known by its UID).
func lost(err error) bool {
	var aborted *dicomnode.AbortError
	return errors.Is(err, dicomnode.ErrEnded) || errors.As(err, &aborted) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Rest releases the association.
func (s *DICOM) Rest(ctx context.Context) error {
	if s.assoc == nil {
		return nil
	}
	assoc := s.assoc
	s.assoc = nil
	return assoc.Release(ctx)
}

func (s *DICOM) store(ctx context.Context, need dicomnode.InstanceSyntax, entry spool.Entry, data io.Reader) (dimse.Status, error) {
	if err := s.associate(ctx, need); err != nil {
		return 0, err
	}
	request := &dicomnode.StoreRequest{
		SOPClassUID: entry.Header.SOPClassUID, SOPInstanceUID: entry.Header.SOPInstanceUID,
		TransferSyntax: entry.TransferSyntaxUID, Dataset: data,
	}
	if s.wantsImplicit(entry) {
		var implicit bytes.Buffer
		if err := dicom.WriteImplicit(&implicit, data); err != nil {
			return 0, unreadable(err)
		}
		request.TransferSyntax, request.Dataset = dicom.ImplicitVRLittleEndian, &implicit
	}
	return s.assoc.Store(ctx, request)
}

// wantsImplicit reports whether the peer takes an object of ours in the default transfer syntax only (PS3.5 10.1).
func (s *DICOM) wantsImplicit(entry spool.Entry) bool {
	class := entry.Header.SOPClassUID
	return entry.Kind == spool.Derived && entry.TransferSyntaxUID == dicom.ExplicitVRLittleEndian &&
		!s.assoc.Accepted(class, dicom.ExplicitVRLittleEndian) && s.assoc.Accepted(class, dicom.ImplicitVRLittleEndian)
}

// associate makes sure that there is an association that was offered need.
func (s *DICOM) associate(ctx context.Context, need dicomnode.InstanceSyntax) error {
	if s.assoc != nil && slices.Contains(s.proposed, need) {
		return nil
	}
	if err := s.Rest(ctx); err != nil && ctx.Err() != nil {
		return err
	}
	if s.proposed == nil {
		s.proposed = Derived()
	}
	if !slices.Contains(s.proposed, need) {
		if len(s.proposed) == maxContexts { // the one that was asked for longest ago makes room
			s.proposed = slices.Delete(s.proposed, len(Derived()), len(Derived())+1)
		}
		s.proposed = append(s.proposed, need)
	}
	assoc, err := s.Client.Associate(ctx, s.Address, s.Called, dicomnode.ContextsFor(s.proposed...))
	if err != nil {
		return &Error{Class: Down, Reason: unreachable(err, s.Called), Err: err}
	}
	s.assoc = assoc
	return nil
}

// drop forgets an association that has ended.
func (s *DICOM) drop() {
	if s.assoc != nil {
		_ = s.assoc.Abort()
		s.assoc = nil
	}
}

// failed gives an error of the association its class.
func (s *DICOM) failed(ctx context.Context, err error, need dicomnode.InstanceSyntax) error {
	var e *Error
	var refused *dicomnode.ContextError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &refused): // the association stands
		return &Error{Class: Refused, Err: err, Reason: fmt.Sprintf("peer %s does not accept %s in %s (%s)",
			s.Called, className(need.SOPClassUID), syntaxName(need.TransferSyntaxUID), contextAnswer(refused.Result))}
	}
	s.drop()
	switch {
	case errors.Is(err, spool.ErrCorrupt), errors.Is(err, spool.ErrNotFound):
		return unreadable(err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &Error{Class: Temporary, Reason: fmt.Sprintf("association with %s broke off before the answer", s.Called), Err: err}
}

func unreadable(err error) *Error {
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return &Error{Class: Permanent, Reason: "its bytes are no longer in the spool", Err: err}
	case errors.Is(err, spool.ErrCorrupt):
		return &Error{Class: Permanent, Reason: "its bytes in the spool are damaged", Err: err}
	}
	return &Error{Class: Temporary, Reason: "the spool cannot be read", Err: err}
}

// answered gives a status of the peer its class; nil when the peer has the instance.
func answered(status dimse.Status, peer dicomnode.AETitle) error {
	class, delivered := classOf(status)
	switch {
	case delivered:
		return nil
	case class == Refused:
		return &Error{Class: Refused, Status: status, Answered: true, Reason: fmt.Sprintf("peer %s does not accept the SOP class (%s)", peer, status)}
	}
	// The peer's Error Comment is left out: it may quote the data set.
	return &Error{Class: class, Status: status, Answered: true, Reason: fmt.Sprintf("peer %s answered %s", peer, status)}
}

// unreachable says why there is no association. A permanent reject counts as down too: it is about our AE title or
// theirs, not about any one object.
func unreachable(err error, peer dicomnode.AETitle) string {
	var rejected *dicomnode.RejectError
	if errors.As(err, &rejected) {
		return fmt.Sprintf("peer %s rejects the association: %s", peer, rejected)
	}
	return fmt.Sprintf("peer %s cannot be reached: %s", peer, err)
}

func contextAnswer(r dicomnode.ContextResult) string {
	if r == dicomnode.ContextAccepted {
		return "it chose another syntax"
	}
	return r.String()
}

func className(uid dicom.UID) string {
	for _, class := range dicom.StorageSOPClasses {
		if class.UID == uid {
			return class.Name
		}
	}
	return string(uid)
}

func syntaxName(uid dicom.UID) string {
	if ts, ok := dicom.LookupTransferSyntax(uid); ok {
		return ts.Name
	}
	return string(uid)
}
