package hl7

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AckCode is what an acknowledgement says (table 0008).
type AckCode string

// The codes of table 0008: of the original mode and the application, then of the enhanced mode's accept acknowledgement.
const (
	AA AckCode = "AA"
	AE AckCode = "AE"
	AR AckCode = "AR"
	CA AckCode = "CA"
	CE AckCode = "CE"
	CR AckCode = "CR"
)

// CodeOf returns what an answer to a message says that was taken, or not for err's reason: AA, AE where its content is at
// fault, AR where its kind is not served, or where nothing is wrong with it: an error that is no *Error is one of ours, after
// which the same message may be sent again (table 0008).
func CodeOf(err error) AckCode {
	var e *Error
	switch {
	case err == nil:
		return AA
	case errors.As(err, &e) && !e.Code.Rejected():
		return AE
	}
	return AR
}

// commitOf is what the accept acknowledgement says of it: CR is of the kind alone, any other reason is CE (HL7 2.5.1 2.9.3.2).
func commitOf(err error) AckCode {
	switch ours := !errors.As(err, new(*Error)); CodeOf(err) {
	case AA:
		return CA
	case AR:
		if !ours {
			return CR
		}
	}
	return CE
}

// Fate is what became of a message.
type Fate struct {
	Accepted bool  // it was read and is in safe storage, whether or not what it asks for could be done
	Err      error // why it was not accepted, or else why nothing was done; nil: it was done
}

// Answers returns the acknowledgements that are due for in: none, one, or the accept and the application acknowledgement,
// each to be framed by itself (HL7 2.5.1 2.9.2, 2.9.3; MSH-15 and MSH-16, table 0155).
// An error that is no *Error is not shown to the sender.
func Answers(in *Message, fate Fate, at time.Time) []*Message {
	err, code := fate.Err, CodeOf(fate.Err)
	accept, application := conditions(in)
	if accept == "" && application == "" {
		return []*Message{Ack(in, code, err, at)}
	}
	var out []*Message
	refused := err
	if fate.Accepted {
		refused = nil
	}
	if due(accept, refused) {
		if out = append(out, Ack(in, commitOf(refused), refused, at)); refused != nil {
			return out // what was not accepted is not processed
		}
	}
	if due(application, err) {
		out = append(out, Ack(in, code, err, at))
	}
	return out
}

// conditions are MSH-15 and MSH-16. What is not of table 0155 says nothing: who gets no answer for it sends again and again.
func conditions(in *Message) (accept, application string) {
	of := func(path string) string {
		if c := strings.ToUpper(strings.TrimSpace(in.Get(path))); slices.Contains([]string{"AL", "NE", "ER", "SU"}, c) {
			return c
		}
		return ""
	}
	return of("MSH-15"), of("MSH-16")
}

// due reads a condition of table 0155.
func due(condition string, err error) bool {
	switch condition {
	case "AL":
		return true
	case "ER":
		return err != nil
	case "SU":
		return err == nil
	}
	return false
}

// Ack returns an acknowledgement of in: the parties swapped, MSA-2 its control ID, in its delimiters, version and character
// set, and for a fault an ERR segment as its version has it. The same message gets the same control ID, so that an
// answer given again is the same but for its time.
func Ack(in *Message, code AckCode, err error, at time.Time) *Message {
	m := &Message{Delimiters: in.Delimiters, charset: in.charset}
	header := in.segments[0]
	msh := &Segment{Name: "MSH", m: m, raw: []byte("MSH"), end: []byte{'\r'}}
	m.segments = []*Segment{msh}
	for _, n := range []int{2, 5, 6, 3, 4} {
		b, _ := header.field(n)
		msh.raw = append(append(msh.raw, m.Delimiters.Field), b...)
	}
	put := func(path, text string) {
		if m.Set(path, text) != nil { // no escape character, or none of this set: all we say is ASCII
			_ = m.Set(path, strings.Map(m.plain, text))
		}
	}
	version := in.version()
	put("MSH-7", FormatTime(at))
	put("MSH-9.1", "ACK")
	if event := in.Get("MSH-9.2"); event != "" {
		put("MSH-9.2", event)
		if version >= 23 {
			put("MSH-9.3", "ACK")
		}
	}
	id := sha256.Sum256(append(in.Bytes(), code...))
	put("MSH-10", "E"+strings.ToUpper(hex.EncodeToString(id[:9]))) // 20 characters at most in version 2.5
	m.copyField(msh, header, 11)
	put("MSH-12", "2.5.1")
	m.copyField(msh, header, 12)
	if accept, application := conditions(in); accept+application != "" {
		put("MSH-15", "NE")
		put("MSH-16", "NE")
	}
	m.copyField(msh, header, 18)
	msa := m.Add("MSA")
	put("MSA-1", string(code))
	_ = msa.set(Path{field: 2}, in.controlID())
	if err == nil {
		return m
	}
	fault := &Error{Code: ApplicationInternal, Text: "nothing is wrong with the message, but it cannot be taken now: send it again later"}
	errors.As(err, &fault)
	put("MSA-3", fault.Text)
	m.fault(put, fault, version)
	return m
}

// fault adds the ERR segment (HL7 2.5.1 2.15.5; before 2.5 its field 1 alone).
func (m *Message) fault(put func(path, text string), e *Error, version int) {
	var location []string
	if p, err := ParsePath(e.Path); err == nil {
		location = []string{p.segment, strconv.Itoa(max(p.occurrence, 1)), strconv.Itoa(p.field)}
	} else if e.Path != "" {
		location = []string{e.Path}
	}
	code := []string{strconv.Itoa(int(e.Code)), e.Code.String(), "HL70357"}
	if version < 25 {
		for i, v := range location {
			put(fmt.Sprintf("ERR-1.%d", i+1), v)
		}
		for i, v := range code {
			put(fmt.Sprintf("ERR-1.4.%d", i+1), v)
		}
		return
	}
	for i, v := range location {
		put(fmt.Sprintf("ERR-2.%d", i+1), v)
	}
	for i, v := range code {
		put(fmt.Sprintf("ERR-3.%d", i+1), v)
	}
	put("ERR-4", "E")
	put("ERR-8", e.Text)
}

// plain leaves out what a message without an escape character cannot say.
func (m *Message) plain(r rune) rune {
	d := m.Delimiters
	for _, c := range []byte{d.Field, d.Component, d.Repetition, d.Subcomponent, d.Escape, d.Truncation} {
		if c != 0 && r == rune(c) {
			return ' '
		}
	}
	return r
}

// copyField takes over a field as it stands, where there is one.
func (m *Message) copyField(to, from *Segment, n int) {
	if b, ok := from.field(n); ok && len(b) > 0 {
		_ = to.set(Path{field: n}, b)
	}
}

// controlID is what MSA-2 has to repeat: MSH-10, of a batch BHS-11 or FHS-11, as it stands.
func (m *Message) controlID() []byte {
	n := 10
	if m.segments[0].Name != "MSH" {
		n = 11
	}
	b, _ := m.segments[0].field(n)
	return append([]byte{}, b...)
}

// version is MSH-12 as a number: 21 to 29; 25 where it is none.
func (m *Message) version() int {
	v := m.Get("MSH-12")
	if len(v) >= 3 && v[0] == '2' && v[1] == '.' && isDigit(v[2]) {
		return 20 + int(v[2]-'0')
	}
	return 25
}

// Verdict is what an acknowledgement means for the message that it answers.
type Verdict int

// The verdicts: Again is tried again under the same control ID, Never is for a person to see to.
const (
	Again Verdict = iota
	Done
	Never
)

// Judge says what ack means for the message that was sent under controlID, and why, in our words: AA and CA are Done; CR is
// Never, as are AE and CE but for a record that is locked (206), and AR for a message of a kind, event, processing ID or version
// that the receiver does not serve (200 to 203); any other AR, another control ID and what is no acknowledgement is Again. What the receiver says of it is in
// MSA-3 and ERR. An ack that Parse gave with an error, as for the character set of its text, is judged by its codes.
func Judge(controlID string, ack *Message) (Verdict, string) {
	if ack == nil || ack.Segment("MSA") == nil {
		return Again, "the answer is no acknowledgement: it has no MSA"
	}
	if strings.TrimSpace(ack.Get("MSA-2")) != strings.TrimSpace(controlID) {
		return Again, "the answer is to another message: MSA-2 is not what was sent as MSH-10"
	}
	code, fault := AckCode(strings.ToUpper(strings.TrimSpace(ack.Get("MSA-1")))), ErrorCode(0)
	for _, path := range []string{"ERR[*]-3.1", "ERR[*]-1.4.1", "MSA-6.1"} { // since 2.5, before it, before 2.4
		for _, text := range ack.All(path) {
			if n, err := strconv.Atoi(text); err == nil && fault == 0 {
				fault = ErrorCode(n)
			}
		}
	}
	reason := string(code)
	if name := fault.String(); name != "" {
		reason = fmt.Sprintf("%s %d %s", code, fault, name)
	}
	switch code {
	case AA, CA:
		return Done, reason
	case CR:
		return Never, reason
	case AE, CE:
		if fault == ApplicationRecordLocked { // which passes
			return Again, reason
		}
		return Never, reason
	case AR:
		if fault.Rejected() {
			return Never, reason
		}
		return Again, reason
	}
	return Again, "the answer has no acknowledgement code of table 0008 in MSA-1"
}
