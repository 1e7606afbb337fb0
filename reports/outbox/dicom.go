package outbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"time"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// maxContexts is what one association can propose (PS3.8 9.3.2.2: odd IDs up to 255), beside Verification.
const maxContexts = 127

// Derived lists what the gateway makes, in the transfer syntaxes it can be sent in. It is proposed from the first
// association on, so that a report does not need another one than its heatmaps.
func Derived() []dicomnode.InstanceSyntax {
	var all []dicomnode.InstanceSyntax
	for _, class := range []dicom.UID{
		dicom.SecondaryCaptureImageStorage, dicom.Comprehensive3DSRStorage, dicom.ComprehensiveSRStorage,
		dicom.KeyObjectSelectionDocumentStorage, dicom.EncapsulatedPDFStorage,
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
	Called  dicom.AETitle
	Spool   Spool
	// Whose says whose a study is by now, for a peer that follows merges of patients: what the gateway made carries that
	// patient then. nil: objects are sent with the identity that their source has.
	Whose func(ctx context.Context, study dicom.UID) (ledger.Whose, error)

	// Begins is called before the bytes of an instance leave, Ended with what the peer has answered; nil: nobody wants to know.
	Begins func(context.Context, spool.Entry)
	Ended  func(spool.Entry, Outcome)

	assoc    *dicomnode.Association
	proposed []dicomnode.InstanceSyntax // what the association offers, and the next one will
	broken   map[string]int             // how often the association broke off amid an entry
}

// smallerPDUs are the lengths in which an object is tried amid which a peer breaks off again and again, while it answers otherwise: some
// cannot take PDUs as long as they advertise (PS3.8 D.1), and say nothing of it.
var smallerPDUs = []uint32{16 << 10, 4 << 10}

// Spool opens what is to be sent.
type Spool interface {
	Open(id string) (spool.Entry, io.ReadSeekCloser, error)
}

// Send streams the entry of m to the peer as it is. What the gateway made itself goes in Implicit VR Little Endian to
// a peer that takes nothing else.
func (s *DICOM) Send(ctx context.Context, m Message) Outcome {
	if m.Kind != ledger.KindDICOM {
		return Outcome{Class: Never, Reason: fmt.Sprintf("peer %s speaks DICOM: it cannot be sent %q", s.Called, m.Kind)}
	}
	entry, data, err := s.Spool.Open(m.Entry)
	if err != nil {
		return unreadable(err)
	}
	defer func(opened io.Closer) { _ = opened.Close() }(data)
	if s.Whose != nil && entry.Kind == spool.Derived {
		followed, err := s.follow(ctx, entry, data)
		if err != nil {
			return Outcome{Class: Later, Ours: true, Reason: "the patient whom its study is on by now cannot be told", Err: err}
		}
		data = followed
	}
	patience := m.patience(entry.Size)
	need := dicomnode.InstanceSyntax{SOPClassUID: entry.Header.SOPClassUID, TransferSyntaxUID: entry.TransferSyntaxUID}
	reused := s.assoc != nil
	outcome, err := s.store(ctx, need, entry, data, patience)
	if reused && ctx.Err() == nil && lost(err) {
		s.drop()
		if _, err := data.Seek(0, io.SeekStart); err != nil {
			return unreadable(err)
		}
		outcome, err = s.store(ctx, need, entry, data, patience)
	}
	if err != nil {
		outcome = s.failed(ctx, err, need)
		if outcome.Class == Later && lost(err) && s.breaksAgain(m.Entry) {
			outcome = s.smaller(ctx, outcome, need, entry, data, patience)
		}
	}
	if ts, _ := dicom.LookupTransferSyntax(need.TransferSyntaxUID); outcome.Class == SendAlternate && ts.Video && entry.Kind == spool.Derived {
		outcome.Reason += "; heatmap clips for it can be another form: clip: multi-frame (or off) at this destination"
	}
	return outcome
}

// breaksAgain counts, and is true the second time: one break is no reason to suspect the length, and more tries of the kind tell nothing more.
func (s *DICOM) breaksAgain(entry string) bool {
	if s.broken == nil || len(s.broken) >= maxCounted {
		s.broken = map[string]int{}
	}
	s.broken[entry]++
	return s.broken[entry] == 2
}

// smaller sends an object in smaller PDUs. What the peer answers to, whatever it answers, is what everything is sent in from then on.
func (s *DICOM) smaller(ctx context.Context, was Outcome, need dicomnode.InstanceSyntax, entry spool.Entry, data io.ReadSeeker, patience time.Duration) Outcome {
	before := s.Client.SendAtMost
	for _, length := range smallerPDUs {
		if int64(length) >= entry.Size || before > 0 && length >= before {
			continue // it makes no difference
		}
		if _, err := data.Seek(0, io.SeekStart); err != nil {
			was = unreadable(err)
			break
		}
		s.drop()
		s.Client.SendAtMost = length
		outcome, err := s.store(ctx, need, entry, data, patience)
		if err == nil {
			cmp.Or(s.Client.Log, slog.Default()).WarnContext(ctx, "peer breaks off where PDUs are longer, although it takes them by what it advertises: they are no longer from now on",
				"called_ae", s.Called, "address", s.Address, "bytes", length)
			return outcome
		}
		if was = s.failed(ctx, err, need); was.Class != Later || !lost(err) {
			break
		}
		was.Reason += fmt.Sprintf("; it breaks off where PDUs have %d bytes at most, too", length)
	}
	s.Client.SendAtMost = before
	s.drop()
	return was
}

// follow returns the data set of an object that was made here with the patient whom its study is on by now, where its
// source says another one (PS3.3 C.7.1.1). What is unknown of that patient, or DICOM does not take, is empty: nothing of the
// other one stays beside its ID.
func (s *DICOM) follow(ctx context.Context, entry spool.Entry, data io.ReadSeekCloser) (io.ReadSeekCloser, error) {
	whose, err := s.Whose(ctx, entry.Header.StudyInstanceUID)
	if err != nil || !whose.Other {
		return data, err
	}
	patient := dicom.Dataset{dicom.IssuerOfPatientIDQualifiersSequence: dicom.Text{}}
	for tag, value := range map[dicom.Tag]string{
		dicom.PatientID: whose.ID, dicom.IssuerOfPatientID: whose.Authority, dicom.PatientName: whose.Name,
		dicom.PatientBirthDate: whose.BirthDate, dicom.PatientSex: whose.Sex,
	} {
		patient[tag] = dicom.Text{}
		if value != "" && dicom.CheckText(dicom.VROf(tag), value) == nil {
			patient[tag] = dicom.Text{value}
		}
	}
	var followed bytes.Buffer
	if err := dicom.Replace(&followed, data, patient); err != nil {
		return nil, err
	}
	return inMemory{bytes.NewReader(followed.Bytes())}, nil
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

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

func (s *DICOM) store(ctx context.Context, need dicomnode.InstanceSyntax, entry spool.Entry, data io.Reader, patience time.Duration) (Outcome, error) {
	if err := s.associate(ctx, need); err != nil {
		return Outcome{}, err
	}
	request := &dicomnode.StoreRequest{
		SOPClassUID: entry.Header.SOPClassUID, SOPInstanceUID: entry.Header.SOPInstanceUID,
		TransferSyntax: entry.TransferSyntaxUID, Dataset: data, ResponseTimeout: patience,
	}
	if s.wantsImplicit(entry) {
		var implicit bytes.Buffer
		if err := dicom.WriteImplicit(&implicit, data); err != nil {
			return unreadable(err), nil
		}
		request.TransferSyntax, request.Dataset = dicom.ImplicitVRLittleEndian, &implicit
	}
	if s.Begins != nil && s.assoc.Accepted(request.SOPClassUID, request.TransferSyntax) {
		s.Begins(ctx, entry)
	}
	status, err := s.assoc.Store(ctx, request)
	if err != nil {
		return Outcome{}, err
	}
	outcome := answered(status, peerSays{s.assoc.ErrorComment(), s.assoc.OffendingElement()}, s.Called)
	if s.Ended != nil {
		s.Ended(entry, outcome)
	}
	return outcome, nil
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
	releasing, cancel := context.WithTimeout(ctx, restTimeout) // a peer that hangs at the release is left
	err := s.Rest(releasing)
	cancel()
	if err != nil && ctx.Err() != nil {
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
		return &noAssociation{err}
	}
	s.assoc = assoc
	return nil
}

// thereTimeout bounds the question whether a peer is there: one that takes longer to say so has no time for objects.
const thereTimeout = 10 * time.Second

// noAssociation is why there is none.
type noAssociation struct{ error }

func (e *noAssociation) Unwrap() error { return e.error }

// there reports whether the peer answers at all, after it has not answered to an object: a new association, and
// C-ECHO on it. One that does not do C-ECHO is there when it associates.
func (s *DICOM) there(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, thereTimeout)
	defer cancel()
	contexts := append(dicomnode.ContextsFor(s.proposed...), dicomnode.VerificationContexts()...)
	assoc, err := s.Client.Associate(ctx, s.Address, s.Called, contexts)
	if err != nil {
		return false
	}
	var refused *dicomnode.ContextError
	if _, err := assoc.Echo(ctx); err != nil && !errors.As(err, &refused) {
		_ = assoc.Abort()
		return false
	}
	s.assoc = assoc
	return true
}

// drop forgets an association that has ended.
func (s *DICOM) drop() {
	if s.assoc != nil {
		_ = s.assoc.Abort()
		s.assoc = nil
	}
}

// failed says what an error of the association means for the object that needed it.
func (s *DICOM) failed(ctx context.Context, err error, need dicomnode.InstanceSyntax) Outcome {
	var refused *dicomnode.ContextError
	var none *noAssociation
	switch {
	case errors.As(err, &none):
		return Outcome{Class: DestinationDown, Reason: unreachable(err, s.Called), Err: err}
	case errors.As(err, &refused) && !slices.ContainsFunc(s.assoc.Contexts, func(pc dicomnode.PresentationContext) bool { return pc.Result == dicomnode.ContextAccepted }):
		return Outcome{Err: err, Reason: fmt.Sprintf("peer %s accepts the association and none of what it is offered (%s): look at what it lets %s send",
			s.Called, contextAnswer(refused.Result), s.Client.AETitle)}
	case errors.As(err, &refused): // the association stands
		return Outcome{Class: SendAlternate, Err: err, Reason: fmt.Sprintf("peer %s does not accept %s in %s (%s)",
			s.Called, className(need.SOPClassUID), syntaxName(need.TransferSyntaxUID), contextAnswer(refused.Result))}
	}
	s.drop()
	var file *fs.PathError // of our disk, not of the connection
	switch {
	case errors.Is(err, spool.ErrCorrupt), errors.Is(err, spool.ErrNotFound), errors.As(err, &file):
		return unreadable(err)
	case errors.Is(err, dicomnode.ErrWrongResponse):
		return Outcome{Class: Never, Err: err, Reason: fmt.Sprintf(
			"peer %s answers with the number of another message, a fault of the peer: whether it has the object is not known", s.Called)}
	case ctx.Err() != nil:
		return Outcome{Err: err}
	}
	reason := fmt.Sprintf("association with %s broke off before the answer", s.Called)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = fmt.Sprintf("peer %s gave no answer to the object", s.Called)
	case errors.Is(err, dicomnode.ErrProtocol):
		reason = fmt.Sprintf("peer %s answers against the protocol, a fault of the peer: whether it has the object is not known", s.Called)
	}
	if !s.there(ctx) {
		return Outcome{Class: DestinationDown, Silent: true, Reason: reason, Err: err}
	}
	return Outcome{Class: Later, Silent: true, Reason: reason + ", and answers otherwise", Err: err}
}

func unreadable(err error) Outcome {
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return Outcome{Class: Never, Reason: "its bytes are no longer in the spool", Err: err}
	case errors.Is(err, spool.ErrCorrupt):
		return Outcome{Class: Never, Reason: "its bytes in the spool are damaged", Err: err}
	}
	return Outcome{Class: Later, Ours: true, Reason: "the spool cannot be read: see to the disk of the data folder", Err: err}
}

// answered is the outcome of a peer's answer.
func answered(status dimse.Status, said peerSays, peer dicom.AETitle) Outcome {
	o := Outcome{Class: meaning(status, said), Protocol: ledger.KindDICOM, Code: fmt.Sprintf("%04X", uint16(status)), Text: said.comment}
	switch {
	case o.Class == SendAlternate:
		o.Reason = fmt.Sprintf("peer %s does not accept the SOP class (%s)", peer, status)
	case o.Class == Never && (refusedObject(status) || status.Temporary()):
		o.Reason = fmt.Sprintf("peer %s answered %s, and does not accept the object", peer, o.Code)
	case o.Class == Later && classOf(status) == Never:
		o.Reason = fmt.Sprintf("peer %s answered %s, and says that it passes", peer, status)
	case !o.Class.Delivered():
		o.Reason = fmt.Sprintf("peer %s answered %s", peer, status)
	}
	if !o.Class.Delivered() {
		o.Reason += said.named()
	}
	return o
}

// refusedObject are dcm4chee's own codes, among those for a lack of room: it does not take an object for its patient ID
// or its retention.
func refusedObject(s dimse.Status) bool { return s>>4 == 0xA77 }

// classOf is what a status of C-STORE means for the delivery. Warnings are successes (PS3.4 table B.2-1). So is a
// duplicate: an earlier try has arrived, and its answer was lost.
func classOf(s dimse.Status) Class {
	switch {
	case s.Class() == dimse.ClassWarning:
		return DoneWithWarning
	case s.Class() == dimse.ClassSuccess, s == dimse.DuplicateSOPInstance:
		return Done
	case refusedObject(s):
		return Never
	case s.Temporary(), s.Class() == dimse.ClassCancel, s == dimse.DuplicateInvocation:
		return Later
	case s == dimse.NotAuthorized: // we are not, whatever the object
		return DestinationDown
	case s == dimse.SOPClassNotSupported:
		return SendAlternate
	}
	return Never
}

// unreachable says why there is no association. A permanent reject counts as down too: it is about our AE title or
// theirs, not about any one object.
func unreachable(err error, peer dicom.AETitle) string {
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
