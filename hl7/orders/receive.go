package orders

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/hl7"
)

// Sender is an application that may send messages, and what is known of its ways.
type Sender struct {
	Application       string         // MSH-3.1; * is any
	Hosts             []netip.Prefix // that it may send from
	Charset           string         // of its text, in place of a MSH-18 that is missing or wrong (table 0211)
	Authority         string         // assigning authority (PID-3.4) of the identifier to take of several, and of one that names none; empty: the first
	FillerIsAccession bool           // OBR-3 is the accession number where OBR-18 and IPC-1 are empty
	Zone              *time.Location // of times that state none; nil: UTC
}

func (s Sender) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// Ledger is what the receiver needs of the ledger.
type Ledger interface {
	TakeMessage(ctx context.Context, m ledger.Inbound) (ledger.Taken, error)
}

// Receiver takes messages. Its fields are set before the first call of Handle, which may be called from any goroutine.
type Receiver struct {
	Spool        *spool.Spool
	Ledger       Ledger
	Senders      []Sender     // none listed is nobody
	Ready        func() error // an error: nothing is taken over now; nil: always
	ProcessingID string       // MSH-11 of the messages that are for this gateway: P, or T, D
	Now          func() time.Time
	Log          *slog.Logger
	// Changed is called after a message has changed the orders of studies that are in the ledger. It may be nil.
	Changed func(studies []dicom.UID)
	// Read says which findings the text of a report names, and false where it cannot be read; nil: reports are kept and not read.
	Read func(text string) (ledger.ReportReading, bool)
	// Reporters says that who has written a report is kept with what it says.
	Reporters bool
	// Reported is called after a report was taken. It may be nil.
	Reported func()
	// Observe is called for every message with its kind, or "other", and what it was answered. It may be nil.
	Observe func(kind string, code hl7.AckCode)
	// Late is called with the number of studies of which a message has cancelled the order too late: work was done, or under
	// way. It may be nil.
	Late func(studies int)

	repeated failure.Thinning
}

// Allow returns the hosts that any of the senders may come from.
func (r *Receiver) Allow() (hosts []netip.Prefix) {
	for _, s := range r.Senders {
		hosts = append(hosts, s.Hosts...)
	}
	return hosts
}

// Handle takes a message and returns what it is answered, once all that it does is durable. Where this gateway is at fault
// the answer says to send it again (AR or CE, 207); a sender that wants no answers is told so by an error, which ends the connection.
func (r *Receiver) Handle(ctx context.Context, host netip.Addr, message []byte) (answers [][]byte, err error) {
	m, parseErr := hl7.Parse(message, hl7.Options{})
	if m == nil { // nobody can be answered by its content
		r.refused(host, "other", parseErr)
		m, _ = hl7.Parse([]byte(`MSH|^~\&|||||||||P|2.5.1`), hl7.Options{})
		return r.answers(m, "other", hl7.Fate{Err: parseErr}), nil
	}
	if m.Get("MSH-9.1") == "ACK" || m.Segment("MSA") != nil {
		r.observe("ACK", "")
		r.Log.Warn("hl7: an acknowledgement came that nobody waits for", "host", host.String())
		return nil, nil // it must not be acknowledged (HL7 2.5.1 2.9.2)
	}
	sender, err := r.sender(m, host)
	if err != nil {
		return r.answers(m, "other", hl7.Fate{Err: err}), nil
	}
	if sender.Charset != "" {
		m, parseErr = hl7.Parse(message, hl7.Options{Charset: sender.Charset})
	}
	kind, err := r.check(m, parseErr)
	if err != nil {
		r.refused(host, "other", err)
		return r.answers(m, "other", hl7.Fate{Err: err}), nil
	}
	fate, err := r.take(ctx, m, message, kind, sender, host)
	if err == nil {
		return r.answers(m, kind.name(m), fate), nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	r.notTaken(host, err)
	if answers = r.answers(m, kind.name(m), hl7.Fate{Err: err}); len(answers) == 0 {
		return nil, err
	}
	return answers, nil
}

// notTaken tells of a message that could not be kept; its sender may try again a thousand times.
func (r *Receiver) notTaken(host netip.Addr, err error) {
	if left, ok := r.repeated.Due("not taken "+host.String(), time.Now()); ok {
		r.Log.Error("hl7: a message is not taken over: its sender is told to send it again", "host", host.String(), "err", err, "left_out", left)
	}
}

// TooLarge returns what a message is answered that has more bytes than are taken, of which this is the beginning.
func (r *Receiver) TooLarge(beginning []byte) []byte {
	m, _ := hl7.Parse(beginning, hl7.Options{})
	if m == nil {
		return nil
	}
	fault := &hl7.Error{Code: hl7.ApplicationInternal, Text: "the message is larger than this gateway takes (hl7.max_message)"}
	for _, answer := range r.answers(m, "other", hl7.Fate{Err: fault}) {
		return answer
	}
	return nil
}

// sender finds who has sent m among those that may.
func (r *Receiver) sender(m *hl7.Message, host netip.Addr) (Sender, error) {
	s, ok := r.listed(m, host)
	if !ok {
		r.Log.Warn("hl7: a message was refused: hl7.senders does not list its application for this host", "host", host.String())
		return Sender{}, &hl7.Error{Code: hl7.TableValueNotFound, Path: "MSH-3", Text: "this application may not send from this host: list it in hl7.senders"}
	}
	return s, nil
}

// listed is the first sender that is listed for the application of m and the host.
func (r *Receiver) listed(m *hl7.Message, host netip.Addr) (Sender, bool) {
	application := m.Get("MSH-3.1")
	i := slices.IndexFunc(r.Senders, func(s Sender) bool {
		return (s.Application == application || s.Application == "*") && slices.ContainsFunc(s.Hosts, func(p netip.Prefix) bool { return p.Contains(host) })
	})
	if i < 0 {
		return Sender{}, false
	}
	return r.Senders[i], true
}

var version = regexp.MustCompile(`^2\.[1-9](\.[0-9])?$`)

// check holds that m is a message for this gateway, of a kind that it reads.
func (r *Receiver) check(m *hl7.Message, parseErr error) (Kind, error) {
	id := m.Get("MSH-11.1")
	switch {
	case parseErr != nil:
		return Kind{}, parseErr
	case id != "" && !strings.EqualFold(id, r.ProcessingID):
		return Kind{}, &hl7.Error{Code: hl7.UnsupportedProcessingID, Path: "MSH-11", Text: "this gateway takes messages of processing ID " + r.ProcessingID + " (hl7.processing_id)"}
	case m.Get("MSH-12") != "" && !version.MatchString(m.Get("MSH-12.1")):
		return Kind{}, &hl7.Error{Code: hl7.UnsupportedVersionID, Path: "MSH-12", Text: "this gateway reads versions 2.1 to 2.9"}
	}
	kind, err := kindOf(m)
	if err == nil && strings.TrimSpace(m.Get("MSH-10")) == "" {
		err = missing("MSH-10", "a message needs its control ID")
	}
	return kind, err
}

// take makes a message durable with all that it does. One that cannot be read is kept, too, to be looked at, but not accepted.
func (r *Receiver) take(ctx context.Context, m *hl7.Message, message []byte, kind Kind, sender Sender, host netip.Addr) (hl7.Fate, error) {
	if r.Ready != nil {
		if err := r.Ready(); err != nil {
			return hl7.Fate{}, err
		}
	}
	asked, fault := kind.read(m, sender)
	fate := hl7.Fate{Accepted: fault == nil, Err: fault}
	in := inbound(m, kind, asked, fault, message)
	in.At = r.Now()
	if fault == nil {
		in.Readings = r.readings(m, sender, r.Reporters)
	}
	entry, err := r.keep(in, message, host)
	if err != nil {
		return hl7.Fate{}, err
	}
	in.Entry = entry.ID
	ctx = ledger.By(ctx, ledger.Actor{Kind: ledger.ActorPeer, Name: in.Application})
	taken, err := r.Ledger.TakeMessage(ctx, in)
	if err != nil {
		return hl7.Fate{}, err // the entry is released at the next start: the sender was told nothing
	}
	if taken.Again != "" {
		if err := r.Spool.Release(entry.ID); err != nil {
			r.Log.Error("hl7: the second copy of a message is not released from the spool", "entry", entry.ID, "err", err)
		}
	}
	if taken.Answer.Code != string(hl7.AA) && fault == nil {
		path := "ORC"
		switch kind.Type {
		case "ADT":
			path = "PID"
		case "ORU":
			path = "OBR"
		}
		fate.Err = &hl7.Error{Code: hl7.UnknownKeyIdentifier, Path: path, Text: taken.Answer.Text}
	}
	if fate.Err != nil {
		r.refused(host, in.Type, fate.Err)
	}
	r.Log.Info("hl7: message taken", "type", in.Type, "application", in.Application, "answer", taken.Answer.Code, "entry", entry.ID, "again", taken.Again != "")
	if taken.Contested {
		r.Log.Warn("hl7: orders of different patients have one accession number: see the messages of this type, correct one of the orders", "application", in.Application, "entry", entry.ID)
	}
	if taken.Late > 0 {
		r.Log.Warn("hl7: an order was cancelled too late: what was made stays, tell who has it; the timeline of its study says what", "application", in.Application, "entry", entry.ID)
		if r.Late != nil {
			r.Late(taken.Late)
		}
	}
	if r.Reported != nil && len(in.Readings) > 0 {
		r.Reported()
	}
	if r.Changed != nil && len(taken.Changed) > 0 {
		r.Changed(taken.Changed)
	}
	return fate, nil
}

// identity is the digest of what makes a message another one than those of the same control ID: its bytes, but for the time
// at which it was sent (MSH-7), which is another one when it is sent again.
func identity(m *hl7.Message, message []byte) string {
	header, rest := message, []byte(nil)
	if end := bytes.IndexAny(message, "\r\n"); end >= 0 {
		header, rest = message[:end], message[end:]
	}
	sum := sha256.New()
	for i, field := range bytes.Split(header, []byte{m.Delimiters.Field}) {
		if i != 6 { // MSH-1 is the delimiter itself
			sum.Write(field)
			sum.Write([]byte{m.Delimiters.Field})
		}
	}
	sum.Write(rest)
	return hex.EncodeToString(sum.Sum(nil))
}

// refused tells of a message that is answered with a fault: its code and where, and nothing of its content.
func (r *Receiver) refused(host netip.Addr, kind string, fault error) {
	code, path := hl7.ErrorCode(0), ""
	var e *hl7.Error
	if errors.As(fault, &e) {
		code, path = e.Code, e.Path
	}
	r.Log.Warn("hl7: message refused", "type", kind, "host", host.String(), "code", int(code), "meaning", code.String(), "field", path)
}

// inbound is what the ledger is told of a message.
func inbound(m *hl7.Message, kind Kind, asked asked, fault error, message []byte) ledger.Inbound {
	in := ledger.Inbound{
		Message: ledger.Message{
			Application: m.Get("MSH-3.1"), Facility: m.Get("MSH-4.1"), ControlID: m.Get("MSH-10"),
			Digest: identity(m, message), Size: int64(len(message)), Type: kind.name(m), Note: asked.note, Subjects: asked.subjects,
			Answer: ledger.Answer{Protocol: "hl7", Code: string(hl7.CodeOf(fault))},
		},
		Patients: asked.patients, Orders: asked.orders,
	}
	var e *hl7.Error
	if errors.As(fault, &e) {
		in.Answer.Text = fmt.Sprintf("%d %s: %s", e.Code, e.Path, e.Text)
	}
	return in
}

// MediaType is that of the bytes of a message (HL7's own name for the encoding).
const MediaType = "x-application/hl7-v2+er7"

// keep makes the bytes of a message durable.
func (r *Receiver) keep(in ledger.Inbound, message []byte, host netip.Addr) (spool.Entry, error) {
	record, err := json.Marshal(map[string]string{
		"protocol": "hl7", "sender": in.Application, "control_id": in.ControlID, "type": in.Type, "digest": in.Digest,
	})
	if err != nil {
		return spool.Entry{}, err
	}
	w, err := r.Spool.Create()
	if err != nil {
		return spool.Entry{}, err
	}
	defer func() { _ = w.Abort() }() // nothing happens after Commit
	if _, err := w.Write(message); err != nil {
		return spool.Entry{}, err
	}
	return w.Commit(spool.Entry{Kind: spool.Message, MediaType: MediaType, Record: record, RemoteAddr: host.String(), At: in.At})
}

// answers are the acknowledgements that are due.
func (r *Receiver) answers(m *hl7.Message, kind string, fate hl7.Fate) [][]byte {
	r.observe(kind, hl7.CodeOf(fate.Err))
	var out [][]byte
	for _, a := range hl7.Answers(m, fate, r.Now()) {
		out = append(out, a.Bytes())
	}
	return out
}

func (r *Receiver) observe(kind string, code hl7.AckCode) {
	if r.Observe != nil {
		r.Observe(kind, code)
	}
}
