package dicomtest

import (
	"errors"
	"io"
	"net"
	"reflect"
	"runtime"
	"syscall"
	"testing"
	"time"

	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// patience is how long a Peer waits for the other side before the test has failed.
const patience = 20 * time.Second

// Peer is one end of a connection that speaks PDUs by hand, right or wrong. A method that does not get what it wants
// fails the test and ends the goroutine it is called in.
type Peer struct {
	Conn net.Conn
	t    testing.TB
	r    *pdu.Reader
}

// NewPeer returns a Peer on nc, which is closed at the end of the test.
func NewPeer(t testing.TB, nc net.Conn) *Peer {
	t.Cleanup(func() { _ = nc.Close() })
	p := &Peer{Conn: nc, t: t, r: pdu.NewReader(nc)}
	p.r.MaxDataLength = 1 << 24
	return p
}

// Dial connects to addr.
func Dial(t testing.TB, addr string) *Peer {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatalf("dicomtest: dial: %v", err)
	}
	return NewPeer(t, nc)
}

// Listen accepts one connection on a free loopback port and runs script on it. The test waits for the script's end.
func Listen(t testing.TB, script func(p *Peer)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("dicomtest: listen: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return // nobody came, and the test is over
		}
		p := &Peer{Conn: nc, t: t, r: pdu.NewReader(nc)}
		p.r.MaxDataLength = 1 << 24
		defer nc.Close()
		script(p)
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

func (p *Peer) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Errorf("dicomtest: peer: "+format, args...)
	runtime.Goexit()
}

// Write sends bytes as they are. That the other side has closed already is no failure.
func (p *Peer) Write(b []byte) {
	p.t.Helper()
	_ = p.Conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := p.Conn.Write(b); err != nil && !closed(err) {
		p.fail("write: %v", err)
	}
}

func closed(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

// Send sends PDUs in one write.
func (p *Peer) Send(pdus ...pdu.PDU) {
	p.t.Helper()
	var b []byte
	for _, q := range pdus {
		var err error
		if b, err = pdu.Append(b, q); err != nil {
			p.fail("%v", err)
		}
	}
	p.Write(b)
}

// Command returns a command set as the P-DATA-TF PDU of one fragment.
func Command(contextID uint8, c dimse.Command) *pdu.Data {
	return &pdu.Data{PDVs: []pdu.PDV{{ContextID: contextID, Command: true, Last: true, Data: dimse.Append(nil, c)}}}
}

// Fragment returns a fragment of a data set as a P-DATA-TF PDU.
func Fragment(contextID uint8, last bool, data []byte) *pdu.Data {
	return &pdu.Data{PDVs: []pdu.PDV{{ContextID: contextID, Last: last, Data: data}}}
}

// Receive returns the next PDU, valid until the following call.
func (p *Peer) Receive() pdu.PDU {
	p.t.Helper()
	_ = p.Conn.SetReadDeadline(time.Now().Add(patience))
	got, err := p.r.Next()
	if err != nil {
		p.fail("receive: %v", err)
	}
	return got
}

// Expect receives PDUs and compares them.
func (p *Peer) Expect(want ...pdu.PDU) {
	p.t.Helper()
	for _, w := range want {
		if got := p.Receive(); !reflect.DeepEqual(w, got) {
			p.fail("got %s %+v, want %s %+v", got.Type(), got, w.Type(), w)
		}
	}
}

// ReceiveCommand returns the next command set, which has to come in one fragment, and its context.
func (p *Peer) ReceiveCommand() (uint8, dimse.Command) {
	p.t.Helper()
	d, ok := p.Receive().(*pdu.Data)
	if !ok || len(d.PDVs) != 1 || !d.PDVs[0].Command || !d.PDVs[0].Last {
		p.fail("no command set in one fragment")
	}
	c, err := dimse.Decode(d.PDVs[0].Data)
	if err != nil {
		p.fail("%v", err)
	}
	return d.PDVs[0].ContextID, c
}

// ReceiveDataset returns the bytes of the next data set.
func (p *Peer) ReceiveDataset() []byte {
	p.t.Helper()
	var ds []byte
	for {
		d, ok := p.Receive().(*pdu.Data)
		if !ok {
			p.fail("no P-DATA-TF")
		}
		for _, v := range d.PDVs {
			if v.Command {
				p.fail("a command inside a data set")
			}
			ds = append(ds, v.Data...)
			if v.Last {
				return ds
			}
		}
	}
}

// ExpectClosed waits until the other side has closed the connection, with no further PDU.
func (p *Peer) ExpectClosed() {
	p.t.Helper()
	_ = p.Conn.SetReadDeadline(time.Now().Add(patience))
	got, err := p.r.Next()
	switch {
	case err == nil:
		p.fail("got %s %+v, want the end of the connection", got.Type(), got)
	case err != io.EOF && !closed(err):
		p.fail("waiting for the end of the connection: %v", err)
	}
}

// Rest reads until the other side closes and returns the PDUs, each a copy.
func (p *Peer) Rest() []pdu.PDU {
	p.t.Helper()
	var all []pdu.PDU
	for {
		_ = p.Conn.SetReadDeadline(time.Now().Add(patience))
		got, err := p.r.Next()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				p.fail("the other side neither answers nor closes")
			}
			return all
		}
		b, err := pdu.Append(nil, got)
		if err == nil {
			got, err = pdu.Decode(got.Type(), b[pdu.HeaderLength:])
		}
		if err != nil {
			p.fail("%v", err)
		}
		all = append(all, got)
	}
}

// Request returns an A-ASSOCIATE-RQ that proposes each abstract syntax in the transfer syntaxes, with IDs 1, 3, 5, …
func Request(calling, called string, transferSyntaxes []string, abstractSyntaxes ...string) *pdu.AssociateRQ {
	rq := &pdu.AssociateRQ{
		ProtocolVersion: pdu.ProtocolVersion, CallingAE: calling, CalledAE: called, ApplicationContext: pdu.ApplicationContext,
		User: pdu.UserInformation{MaximumLength: 16384, ImplementationClassUID: "1.2.3"},
	}
	for i, as := range abstractSyntaxes {
		rq.Contexts = append(rq.Contexts, pdu.PresentationContextRQ{ID: uint8(2*i + 1), AbstractSyntax: as, TransferSyntaxes: transferSyntaxes})
	}
	return rq
}

// Answer returns an A-ASSOCIATE-AC that accepts every context of rq in its first transfer syntax.
func Answer(rq *pdu.AssociateRQ) *pdu.AssociateAC {
	ac := &pdu.AssociateAC{
		ProtocolVersion: rq.ProtocolVersion, CallingAE: rq.CallingAE, CalledAE: rq.CalledAE, ApplicationContext: rq.ApplicationContext,
		User: pdu.UserInformation{MaximumLength: 16384, ImplementationClassUID: "1.2.3"},
	}
	for _, pc := range rq.Contexts {
		ac.Contexts = append(ac.Contexts, pdu.PresentationContextAC{ID: pc.ID, TransferSyntax: pc.TransferSyntaxes[0]})
	}
	return ac
}

// Associate sends rq and returns the answer, which has to be an A-ASSOCIATE-AC.
func (p *Peer) Associate(rq *pdu.AssociateRQ) *pdu.AssociateAC {
	p.t.Helper()
	p.Send(rq)
	got := p.Receive()
	ac, ok := got.(*pdu.AssociateAC)
	if !ok {
		p.fail("got %s %+v, want A-ASSOCIATE-AC", got.Type(), got)
	}
	return ac
}

// Accept receives an A-ASSOCIATE-RQ and answers it with Answer.
func (p *Peer) Accept() *pdu.AssociateRQ {
	p.t.Helper()
	rq, ok := p.Receive().(*pdu.AssociateRQ)
	if !ok {
		p.fail("no A-ASSOCIATE-RQ")
	}
	p.Send(Answer(rq))
	return rq
}
