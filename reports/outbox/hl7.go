package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
	"endogate/hl7/mllp"
)

// HL7 sends messages of HL7 v2 over MLLP, one at a time on one connection, and each time with the same bytes, so that a
// receiver knows by MSH-10 what it has already. Its methods are not safe for use by several goroutines.
type HL7 struct {
	Client *mllp.Client
	Spool  Spool
	// Notice writes the notice of an entry for this receiver; nil: it gets none.
	Notice func(ctx context.Context, entry string) ([]byte, error)
}

// Send hands the entry of m over and returns when the receiver has acknowledged it, or will not.
func (s *HL7) Send(ctx context.Context, m Message) Outcome {
	var message []byte
	var err error
	switch {
	case m.Kind == ledger.KindNotice && s.Notice != nil:
		if message, err = s.Notice(ctx, m.Entry); err != nil {
			return unwritten(err)
		}
	case m.Kind != ledger.KindHL7:
		return Outcome{Class: Never, Reason: fmt.Sprintf("receiver %s speaks HL7: it cannot be sent %q", s.Client.Address, m.Kind)}
	default:
		if message, err = read(s.Spool, m.Entry); err != nil {
			return unreadable(err)
		}
	}
	if patience := m.patience(int64(len(message))); patience > 0 {
		s.Client.Timeout = patience
	}
	answer, err := s.Client.Exchange(ctx, message)
	if err != nil {
		return s.failed(ctx, err)
	}
	return s.acknowledged(answer)
}

// read returns the bytes of an entry that is no data set.
func read(from Spool, id string) ([]byte, error) {
	_, data, err := from.Open(id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = data.Close() }()
	return io.ReadAll(data)
}

// Rest closes the connection.
func (s *HL7) Rest(context.Context) error { return s.Client.Close() }

// acknowledged is the outcome of an acknowledgement of the message (HL7 v2.5.1 2.9.2, table 0008).
func (s *HL7) acknowledged(answer []byte) Outcome {
	ack, err := hl7.Parse(answer, hl7.Options{MaxBytes: len(answer)})
	if ack == nil {
		return Outcome{Reason: fmt.Sprintf("receiver %s answered with what cannot be read", s.Client.Address), Err: err}
	}
	o := Outcome{Protocol: ledger.KindHL7, Code: code(ack), Text: said(ack)}
	verdict, reason := hl7.Judge(ack.Get("MSA-2"), ack) // which message it acknowledges, the client has seen to
	switch verdict {
	case hl7.Done:
		o.Class = Done
		return o
	case hl7.Never:
		o.Class, o.Reason = Never, fmt.Sprintf("receiver %s refuses the message: %s", s.Client.Address, reason)
	default:
		o.Reason = fmt.Sprintf("receiver %s does not take the message now: %s", s.Client.Address, reason)
	}
	if o.Text == "" {
		o.Reason += "; it does not say why, its log may"
	}
	return o
}

// code is MSA-1, if it is of table 0008: a receiver may write anything.
func code(ack *hl7.Message) string {
	switch c := hl7.AckCode(strings.ToUpper(strings.TrimSpace(ack.Get("MSA-1")))); c {
	case hl7.AA, hl7.AE, hl7.AR, hl7.CA, hl7.CE, hl7.CR:
		return string(c)
	}
	return ""
}

// said is what the receiver says in words.
func said(ack *hl7.Message) string {
	var words []string
	for _, path := range []string{"MSA-3", "ERR-3.2", "ERR-7", "ERR-8"} {
		for _, text := range ack.All(path) {
			if text != "" {
				words = append(words, text)
			}
		}
	}
	return strings.Join(words, "; ")
}

// failed says what it means that there was no acknowledgement. HL7 has no question whether a receiver is there: one that a
// connection cannot be made to is not.
func (s *HL7) failed(ctx context.Context, err error) Outcome {
	o := Outcome{Silent: true, Err: err}
	switch {
	case ctx.Err() != nil:
		return o
	case errors.Is(err, mllp.ErrNoConnection):
		o.Class, o.Silent, o.Reason = DestinationDown, false, fmt.Sprintf("receiver %s cannot be reached: %s", s.Client.Address, err)
		return o
	case errors.Is(err, mllp.ErrNoControlID), errors.Is(err, mllp.ErrFrameBytes):
		o.Class, o.Silent, o.Reason = Never, false, fmt.Sprintf("it cannot be sent: %s", err)
		return o
	case errors.Is(err, mllp.ErrNoAnswer):
		o.Reason = "gave no answer to the message in time"
	case errors.Is(err, mllp.ErrWrongAnswer):
		o.Reason = "acknowledged another message or none"
	case errors.Is(err, mllp.ErrBrokenOff):
		o.Reason = "closed the connection before it acknowledged the message"
	default:
		o.Reason = "gave no acknowledgement that could be read"
	}
	o.Reason = fmt.Sprintf("receiver %s %s", s.Client.Address, o.Reason)
	if err := s.Client.Connect(ctx); err != nil {
		o.Class = DestinationDown
	}
	return o
}
