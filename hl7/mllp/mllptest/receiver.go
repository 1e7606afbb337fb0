// Package mllptest plays receivers of HL7 messages whose acknowledgements are odd, as some in the field are. It splits
// frames by itself, so that no fault of package mllp hides another.
package mllptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Mode answers the first receipt of a message. Later ones are answered AA.
type Mode func(c *Conversation)

// Conversation is a message that was received, and where it is to be answered.
type Conversation struct {
	Message []byte
	Conn    net.Conn
}

// Ack is the acknowledgement of the message with the code: MSH and MSA, and what segments follow.
func (c *Conversation) Ack(code string, more ...string) string {
	return c.About(ControlID(c.Message), code, more...)
}

// About is an acknowledgement of the message with the control ID.
func (c *Conversation) About(id, code string, more ...string) string {
	h := strings.Split(strings.SplitN(string(c.Message), "\r", 2)[0], "|")
	msh := "MSH|^~\\&|" + strings.Join([]string{h[4], h[5], h[2], h[3], "20260101101500", "", "ACK^R01^ACK", "a" + id, "P", "2.5.1"}, "|")
	return strings.Join(append([]string{msh, "MSA|" + code + "|" + id}, more...), "\r") + "\r"
}

// Write writes the message in a frame.
func (c *Conversation) Write(message string) { c.Raw("\x0b" + message + "\x1c\r") }

// Raw writes bytes as they are. That the sender may be gone is what some modes are for.
func (c *Conversation) Raw(b string) { _, _ = io.WriteString(c.Conn, b) }

// Close closes the connection.
func (c *Conversation) Close() { _ = c.Conn.Close() }

// End ends our side of the connection: what comes is read on.
func (c *Conversation) End() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// AA is the mode of a receiver that has nothing odd.
func AA(c *Conversation) { c.Write(c.Ack("AA")) }

// Answer is the mode of one that answers so.
func Answer(code string, more ...string) Mode {
	return func(c *Conversation) { c.Write(c.Ack(code, more...)) }
}

// Modes are the receivers of the field, by name. What is late comes after wait.
func Modes(wait time.Duration) map[string]Mode {
	return map[string]Mode{
		"aa":                 AA,
		"wrong-msa2":         func(c *Conversation) { c.Write(c.About("20260101XYZ", "AA")) },
		"ae-without-text":    Answer("AE"),
		"ar-201-unsupported": Answer("AR", "ERR|||201^Unsupported event code^HL70357|E"),
		"ca":                 Answer("CA"),
		"cr":                 Answer("CR"),
		"ack-crlf":           func(c *Conversation) { c.Write(strings.ReplaceAll(c.Ack("AA"), "\r", "\r\n")) },
		"ack-no-final-cr":    func(c *Conversation) { c.Write(strings.TrimSuffix(c.Ack("AA"), "\r")) },
		"late":               func(c *Conversation) { time.Sleep(wait); AA(c) },
		"close-after-frame":  (*Conversation).Close,
		"half-ack-then-close": func(c *Conversation) {
			c.Raw(("\x0b" + c.Ack("AA"))[:40])
			c.Close()
		},
		"ack-bytewise": func(c *Conversation) {
			for _, b := range []byte("\x0b" + c.Ack("AA") + "\x1c\r") {
				c.Raw(string(rune(b)))
			}
		},
		"ack-bom":    func(c *Conversation) { c.Write("\ufeff" + c.Ack("AA")) },
		"ack-spaces": func(c *Conversation) { c.Write(strings.Replace(c.Ack("AA"), "|AA|", "|AA | ", 1)) },
		"keep-alives": func(c *Conversation) {
			c.Raw("\x0b\x1c\r\x0b\r\x1c\r")
			AA(c)
		},
		"two-acks":              func(c *Conversation) { AA(c); AA(c) },
		"ack-then-lf":           func(c *Conversation) { AA(c); c.Raw("\n") },
		"closes-after-each-ack": func(c *Conversation) { AA(c); c.Close() },
		"half-closes-after-ack": func(c *Conversation) { AA(c); c.End() },
		"nothing":               func(*Conversation) {},
		"no-ack-but-a-message": func(c *Conversation) {
			c.Write("MSH|^~\\&|RIS|H|ENDOGATE|H|20260101101500||ADT^A08|x1|P|2.5.1\rPID|1||1\r")
		},
		"garbage": func(c *Conversation) { c.Raw("HTTP/1.1 400 Bad Request\r\n\r\n"); c.Close() },
	}
}

// Receiver is one, until the test ends.
type Receiver struct {
	Addr string
	Each bool // closes after each answer, of later receipts too

	mode Mode
	wg   sync.WaitGroup

	mu    sync.Mutex
	got   [][]byte
	conns int
	open  map[net.Conn]struct{}
}

// Start listens on a port of its own.
func Start(t testing.TB, mode Mode) *Receiver {
	t.Helper()
	return StartAt(t, "127.0.0.1:0", mode)
}

// StartAt listens where it is told.
func StartAt(t testing.TB, address string, mode Mode) *Receiver {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	require.NoError(t, err)
	return StartOn(t, ln, mode)
}

// StartOn takes connections of ln, and closes it.
func StartOn(t testing.TB, ln net.Listener, mode Mode) *Receiver {
	t.Helper()
	r := &Receiver{Addr: ln.Addr().String(), mode: mode, open: map[net.Conn]struct{}{}}
	r.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns++
			r.open[nc] = struct{}{}
			r.mu.Unlock()
			r.wg.Go(func() { r.talk(nc) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		r.mu.Lock()
		for nc := range r.open {
			_ = nc.Close()
		}
		r.mu.Unlock()
		r.wg.Wait()
	})
	return r
}

func (r *Receiver) talk(nc net.Conn) {
	defer nc.Close()
	var in []byte
	part := make([]byte, 1<<16)
	for {
		for !bytes.Contains(in, []byte("\x1c\r")) {
			n, err := nc.Read(part)
			if in = append(in, part[:n]...); err != nil {
				return
			}
		}
		i := bytes.Index(in, []byte("\x1c\r"))
		message := bytes.TrimLeft(slices.Clone(in[:i]), "\x0b")
		in = in[i+2:]
		c := &Conversation{Message: message, Conn: nc}
		if r.keep(message) {
			r.mode(c)
		} else {
			AA(c)
		}
		if r.Each {
			return
		}
	}
}

// keep reports whether it is the first receipt of the message.
func (r *Receiver) keep(message []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := !slices.ContainsFunc(r.got, func(m []byte) bool { return ControlID(m) == ControlID(message) })
	r.got = append(r.got, message)
	return first
}

// Got are the messages received, in order.
func (r *Receiver) Got() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// Times is how often the message with the control ID was received; an error when its bytes were not the same each time.
func (r *Receiver) Times(id string) (int, error) {
	n := 0
	var first []byte
	for _, m := range r.Got() {
		if ControlID(m) != id {
			continue
		}
		if n++; first != nil && !bytes.Equal(first, m) {
			return n, errors.New("other bytes under the same control ID")
		}
		first = m
	}
	return n, nil
}

// Connections is how many there were.
func (r *Receiver) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

// ControlID is MSH-10 of a message that separates fields by |.
func ControlID(message []byte) string {
	h := strings.Split(strings.SplitN(string(message), "\r", 2)[0], "|")
	if len(h) < 10 {
		return ""
	}
	return h[9]
}

// Message is one to send, an ORU of the control ID.
func Message(id string) []byte {
	return []byte(fmt.Sprintf("MSH|^~\\&|ENDOGATE|ENDO|RIS|HOSP|20260102101500||ORU^R01^ORU_R01|%s|P|2.5.1|||NE|AL||UNICODE UTF-8\rPID|1||1^^^HOSP^MR||Grønvold^Åse\r", id))
}
