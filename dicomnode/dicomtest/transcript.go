package dicomtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"endogate/dicomnode/pdu"
)

// Transcript is a recorded association: its PDUs in the order in which they passed.
type Transcript struct {
	Title string
	Flows []Flow
}

// Flow is one PDU and who sent it.
type Flow struct {
	Requestor bool // else the acceptor
	PDU       []byte
}

// ReadTranscript reads what WriteFile wrote.
func ReadTranscript(t testing.TB, file string) Transcript {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("dicomtest: transcript: %v (record it with -update)", err)
	}
	var tr Transcript
	for line := range strings.Lines(string(b)) {
		switch {
		case strings.HasPrefix(line, "# "):
			tr.Title += line[2:]
		case line[0] == '>' || line[0] == '<':
			tr.Flows = append(tr.Flows, Flow{Requestor: line[0] == '>'})
		case strings.TrimSpace(line) != "":
			digits := strings.Join(strings.Fields(line[10:58]), "")
			bytes, err := hex.DecodeString(digits)
			if err != nil || len(tr.Flows) == 0 {
				t.Fatalf("dicomtest: transcript %s: line %q: %v", file, line, err)
			}
			last := &tr.Flows[len(tr.Flows)-1]
			last.PDU = append(last.PDU, bytes...)
		}
	}
	return tr
}

// WriteFile writes the transcript as text: a line for each PDU, > from the requestor and < from the acceptor, and its
// bytes as hexdump -C prints them.
func (tr Transcript) WriteFile(t testing.TB, file string) {
	t.Helper()
	var b bytes.Buffer
	for line := range strings.Lines(strings.TrimSpace(tr.Title)) {
		fmt.Fprintf(&b, "# %s\n", strings.TrimSpace(line))
	}
	for _, f := range tr.Flows {
		direction := "<"
		if f.Requestor {
			direction = ">"
		}
		fmt.Fprintf(&b, "\n%s %s, %d bytes\n%s", direction, pdu.Type(f.PDU[0]), len(f.PDU), hex.Dump(f.PDU))
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatalf("dicomtest: transcript: %v", err)
	}
}

// Requestor returns the bytes that the requestor sent, one slice a PDU.
func (tr Transcript) Requestor() [][]byte {
	var out [][]byte
	for _, f := range tr.Flows {
		if f.Requestor {
			out = append(out, f.PDU)
		}
	}
	return out
}

// PlayRequestor connects to addr and plays the requestor: it sends what the requestor sent and compares what comes
// back with what the acceptor had answered.
func (tr Transcript) PlayRequestor(t testing.TB, addr string) {
	t.Helper()
	p := Dial(t, addr)
	tr.play(p, true)
	_ = p.Conn.Close()
}

// ListenAcceptor plays the acceptor of one association and returns its address.
func (tr Transcript) ListenAcceptor(t testing.TB) (addr string) {
	return Listen(t, func(p *Peer) { tr.play(p, false) })
}

func (tr Transcript) play(p *Peer, requestor bool) {
	p.t.Helper()
	for i, f := range tr.Flows {
		if f.Requestor == requestor {
			p.Write(f.PDU)
			continue
		}
		got := make([]byte, len(f.PDU))
		_ = p.Conn.SetReadDeadline(time.Now().Add(patience))
		if n, err := io.ReadFull(p.Conn, got); err != nil || !bytes.Equal(got, f.PDU) {
			p.fail("PDU %d of the transcript (%s): %v; got\n%swant\n%s", i+1, pdu.Type(f.PDU[0]), err, hex.Dump(got[:n]), hex.Dump(f.PDU))
		}
	}
}

// Record passes one association through to addr. The transcript is complete when both sides have closed, which stop waits for.
func Record(t testing.TB, addr string) (proxy string, stop func() Transcript) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("dicomtest: record: %v", err)
	}
	var (
		mu   sync.Mutex
		tr   Transcript
		done = make(chan struct{})
	)
	add := func(requestor bool) func([]byte) {
		return func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			tr.Flows = append(tr.Flows, Flow{requestor, b})
		}
	}
	go func() {
		defer close(done)
		requestor, err := ln.Accept()
		if err != nil {
			return
		}
		defer requestor.Close()
		acceptor, err := net.Dial("tcp", addr)
		if err != nil {
			t.Errorf("dicomtest: record: %v", err)
			return
		}
		defer acceptor.Close()
		var wg sync.WaitGroup
		wg.Go(func() { pass(t, acceptor, requestor, add(true)) })
		wg.Go(func() { pass(t, requestor, acceptor, add(false)) })
		wg.Wait()
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String(), func() Transcript {
		_ = ln.Close()
		<-done
		return tr
	}
}

// pass copies PDU by PDU, and then the end of the connection.
func pass(t testing.TB, to, from net.Conn, record func([]byte)) {
	r := bufio.NewReader(from)
	for {
		b := make([]byte, pdu.HeaderLength)
		_, err := io.ReadFull(r, b)
		if err == nil {
			b = append(b, make([]byte, binary.BigEndian.Uint32(b[2:]))...)
			_, err = io.ReadFull(r, b[pdu.HeaderLength:])
		}
		if err != nil {
			if err != io.EOF && !closed(err) {
				t.Errorf("dicomtest: record: %v", err)
			}
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite() // the other side may have closed already
			}
			return
		}
		record(b)
		if _, err := to.Write(b); err != nil && !errors.Is(err, net.ErrClosed) && !closed(err) {
			t.Errorf("dicomtest: record: %v", err)
		}
	}
}
