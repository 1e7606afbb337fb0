package outbox

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/hl7/mllp"
	"endogate/hl7/mllp/mllptest"
)

// keepMessage puts a message into the spool, under the control ID of its turn.
func (s *stores) keepMessage(id string) Message {
	s.t.Helper()
	return s.keepBytes(mllptest.Message(id))
}

func (s *stores) keepBytes(message []byte) Message {
	s.t.Helper()
	e, err := s.spool.Append(spool.Entry{Kind: spool.Message, MediaType: "application/hl7-v2", At: time.Now()}, message)
	require.NoError(s.t, err)
	return Message{Kind: ledger.KindHL7, Entry: e.ID, Purpose: "oru"}
}

// Three messages are for a receiver that answers the first receipt of each in its own way, and a later one with AA: what is
// delivered and what is parked, how often the receiver got it, and that its bytes were the same each time.
func TestHL7_receivers(t *testing.T) {
	const short = 3 * time.Second // for an answer that comes late, or never
	tests := []struct {
		mode  string
		times int
		state ledger.DeliveryState
		code  string
		text  string
	}{
		{"aa", 1, ledger.DeliveryDone, "AA", ""},
		{"wrong-msa2", 2, ledger.DeliveryDone, "AA", ""},
		{"ae-without-text", 1, ledger.DeliveryParked, "AE", ""},
		{"ar-201-unsupported", 1, ledger.DeliveryParked, "AR", "Unsupported event code"},
		{"ca", 1, ledger.DeliveryDone, "CA", ""},
		{"cr", 1, ledger.DeliveryParked, "CR", ""},
		{"ack-crlf", 1, ledger.DeliveryDone, "AA", ""},
		{"ack-no-final-cr", 1, ledger.DeliveryDone, "AA", ""},
		{"late", 2, ledger.DeliveryDone, "AA", ""},
		{"close-after-frame", 2, ledger.DeliveryDone, "AA", ""},
		{"half-ack-then-close", 2, ledger.DeliveryDone, "AA", ""},
		{"ack-bytewise", 1, ledger.DeliveryDone, "AA", ""},
		{"keep-alives", 1, ledger.DeliveryDone, "AA", ""},
		{"two-acks", 1, ledger.DeliveryDone, "AA", ""},
		{"ack-then-lf", 1, ledger.DeliveryDone, "AA", ""},
		{"closes-after-each-ack", 1, ledger.DeliveryDone, "AA", ""},
		{"half-closes-after-ack", 1, ledger.DeliveryDone, "AA", ""},
		{"ack-bom", 1, ledger.DeliveryDone, "AA", ""},
		{"ack-spaces", 1, ledger.DeliveryDone, "AA", ""},
		{"nothing", 2, ledger.DeliveryDone, "AA", ""},
		{"no-ack-but-a-message", 2, ledger.DeliveryDone, "AA", ""},
		{"garbage", 2, ledger.DeliveryDone, "AA", ""},
	}
	require.Len(t, tests, len(mllptest.Modes(0)))
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if tt.mode == "late" || tt.mode == "nothing" {
				timeout = short
			}
			r := mllptest.Start(t, mllptest.Modes(short + time.Second)[tt.mode])
			deliveries, log := deliver(t, r.Addr, timeout, "1", "2", "3")
			for i, d := range deliveries {
				n, err := r.Times(fmt.Sprint(i + 1))
				require.NoError(t, err)
				if tt.mode == "half-closes-after-ack" && i > 0 && n == 2 {
					n = 1 // sent before the end of the connection was seen, and read there, though no answer could come
				}
				assert.Equal(t, tt.times, n)
				assert.Equal(t, tt.state, d.State, d.Reason)
				assert.Equal(t, ledger.Answer{Protocol: "hl7", Code: tt.code, Text: tt.text}, d.Answer)
				assert.Equal(t, tt.state == ledger.DeliveryParked, strings.Contains(d.Reason, r.Addr+" refuses the message: "+tt.code))
			}
			assert.NotContains(t, log, "Grønvold")
		})
	}
}

// A receiver that is not there is tried again, and gets everything once and in order when it is.
func TestHL7_receiverComesBack(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	var came *mllptest.Receiver
	deliveries, log := deliverTelling(t, address, time.Minute, func(fate Fate) {
		if fate == FateDown && came == nil {
			came = mllptest.StartAt(t, address, mllptest.AA)
		}
	}, "1", "2", "3")
	for _, d := range deliveries {
		assert.Equal(t, ledger.DeliveryDone, d.State)
	}
	assert.Contains(t, log, "cannot be reached")
	var ids []string
	for _, m := range came.Got() {
		ids = append(ids, mllptest.ControlID(m))
	}
	assert.Equal(t, []string{"1", "2", "3"}, ids)
}

// deliver runs an outbox until the messages are delivered or parked.
func deliver(t *testing.T, address string, timeout time.Duration, ids ...string) (ended []ledger.Delivery, log string) {
	t.Helper()
	return deliverTelling(t, address, timeout, func(Fate) {}, ids...)
}

// deliverTelling is deliver; tried is told of each attempt, one after the other.
func deliverTelling(t *testing.T, address string, timeout time.Duration, tried func(Fate), ids ...string) (ended []ledger.Delivery, log string) {
	t.Helper()
	s, q := newStores(t), newQueue()
	var waiting []*ledger.Delivery
	for _, id := range ids {
		d := q.add("ris", s.keepMessage(id).Entry, "")
		d.Kind, d.Purpose = ledger.KindHL7, "oru"
		waiting = append(waiting, d)
	}
	var lines bytes.Buffer
	o := &Outbox{
		Queue: q, Senders: map[string]Sender{"ris": &HL7{Client: &mllp.Client{Address: address, Timeout: timeout}, Spool: s.spool}},
		Backoff: Backoff{First: time.Millisecond, Last: 10 * time.Millisecond}, Timeout: timeout, Poll: 5 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&lines, nil)),
		Sent: func(_ string, fate Fate, _ time.Duration) { tried(fate) },
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- o.Run(ctx) }()
	require.Eventually(t, func() bool {
		for _, d := range waiting {
			if q.get(d).EndedAt.IsZero() {
				return false
			}
		}
		return true
	}, time.Minute, 5*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-stopped, context.Canceled)
	for _, d := range waiting {
		ended = append(ended, q.get(d))
	}
	return ended, lines.String()
}

func TestHL7_outcomes(t *testing.T) {
	tests := []struct {
		name   string
		mode   mllptest.Mode
		want   Class
		code   string
		text   string
		reason string // after the receiver's address
	}{
		{"AE with what is wrong", mllptest.Answer("AE|1|PID-5 Doe", "ERR|||101^Required field missing^HL70357|E||||no PID-3"), Never, "AE", "PID-5 Doe; Required field missing; no PID-3", "refuses the message: AE 101 Required field missing"},
		{"AR, an internal fault", mllptest.Answer("AR", "ERR|||207^Application internal error^HL70357|E"), Later, "AR", "Application internal error", "does not take the message now: AR 207 Application internal error"},
		{"AR without a fault", mllptest.Answer("AR"), Later, "AR", "", "does not take the message now: AR; it does not say why, its log may"},
		{"AR of a version before 2.5", mllptest.Answer("AR", "ERR|PID^1^5^203&Unsupported version id&HL70357"), Never, "AR", "", "refuses the message: AR 203 Unsupported version id; it does not say why, its log may"},
		{"CE", mllptest.Answer("CE"), Never, "CE", "", "refuses the message: CE; it does not say why, its log may"},
		{"lower case", mllptest.Answer("aa"), Done, "AA", "", ""},
		{"a code of nobody", mllptest.Answer("OK, Doe"), Later, "", "", "does not take the message now: the answer has no acknowledgement code of table 0008 in MSA-1; it does not say why, its log may"},
		{"a fault of nobody", mllptest.Answer("AE", "ERR|||Doe 999|E"), Never, "AE", "", "refuses the message: AE; it does not say why, its log may"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStores(t)
			r := mllptest.Start(t, func(c *mllptest.Conversation) { tt.mode(c) })
			sender := &HL7{Client: &mllp.Client{Address: r.Addr}, Spool: s.spool}
			defer func() { require.NoError(t, sender.Rest(t.Context())) }()
			o := sender.Send(t.Context(), s.keepMessage("1"))
			assert.Equal(t, tt.want, o.Class)
			assert.Equal(t, tt.code, o.Code)
			assert.Equal(t, "hl7", o.Protocol)
			if strings.Contains(tt.name, "with what is wrong") {
				assert.Contains(t, o.Text, "no PID-3")
			} else {
				assert.Equal(t, tt.text, o.Text)
			}
			if tt.reason == "" {
				assert.Empty(t, o.Reason)
			} else {
				assert.Equal(t, "receiver "+r.Addr+" "+tt.reason, o.Reason)
			}
		})
	}
}

func TestHL7_notSent(t *testing.T) {
	s := newStores(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	sender := &HL7{Client: &mllp.Client{Address: ln.Addr().String()}, Spool: s.spool}
	assert.Equal(t, DestinationDown, sender.Send(t.Context(), s.keepMessage("1")).Class)
	assert.Equal(t, Never, sender.Send(t.Context(), s.keepBytes([]byte("MSH|^~\\&|A||||||ACK||P\r"))).Class, "without a control ID")
	assert.Equal(t, Never, sender.Send(t.Context(), Message{Kind: ledger.KindHL7, Entry: "gone"}).Class)
	assert.Equal(t, Never, sender.Send(t.Context(), Message{Kind: ledger.KindDICOM, Entry: "x"}).Class)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := sender.Send(ctx, s.keepMessage("1"))
	assert.Empty(t, o.Reason, "that we stop is no fault of the receiver")
}
