package dicomnode_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// grammar writes associations by the rules of PS3.8 9.3, PS3.7 6.3 and PS3.5 7.1, and breaks a rule now and then.
type grammar struct {
	*rand.Rand
	patience int         // a rule is broken once in so many
	proposed []dicom.UID // abstract syntaxes, of contexts 1, 3, 5, …
}

func (g *grammar) slips() bool { return g.IntN(g.patience) == 0 }

func anyOf[T any](g *grammar, of ...T) T { return of[g.IntN(len(of))] }

// times repeats a rule.
func (g *grammar) times(least, most int, rule func() []byte) (b []byte) {
	for range least + g.IntN(most-least+1) {
		b = append(b, rule()...)
	}
	return b
}

// junk is a few bytes of no meaning.
func (g *grammar) junk() []byte {
	b := make([]byte, g.IntN(40))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// length is that of b, or a lie.
func (g *grammar) length(b []byte) uint64 {
	if g.slips() {
		return anyOf(g, 0, 1, uint64(len(b))+1, uint64(max(len(b), 1)-1), 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, g.Uint64())
	}
	return uint64(len(b))
}

func (g *grammar) pdu(typ byte, body []byte) []byte {
	if g.slips() {
		typ = byte(g.IntN(12))
	}
	return append(binary.BigEndian.AppendUint32([]byte{typ, 0}, uint32(g.length(body))), body...)
}

func (g *grammar) item(typ byte, body []byte) []byte {
	if g.slips() {
		typ = byte(g.Uint32())
	}
	return append(binary.BigEndian.AppendUint16([]byte{typ, 0}, uint16(g.length(body))), body...)
}

func (g *grammar) uid() []byte {
	if g.slips() {
		return anyOf(g, nil, []byte("1..2"), []byte("1.02.3\x00"), []byte(" 1.2"), []byte("abc"), bytes.Repeat([]byte("1."), 33+g.IntN(3000)), g.junk())
	}
	return []byte(anyOf(g, dicom.Verification, dicom.VLEndoscopicImageStorage, studyFind, commitment, dicom.ImplicitVRLittleEndian, dicom.ExplicitVRLittleEndian, "1.2.3.4"))
}

func (g *grammar) associate() []byte {
	b := []byte{0, 1, 0, 0}
	for _, title := range []string{"ENDOGATE", "SCOPE1"} { // called, calling
		if g.slips() {
			title = anyOf(g, "", "X", "endogate", "A\\B", string(g.junk()))
		}
		b = append(b, fmt.Sprintf("%-16.16s", title)...)
	}
	b = append(b, make([]byte, 32)...)
	b = append(b, g.item(0x10, []byte(pdu.ApplicationContext))...)
	id := byte(1)
	g.proposed = nil
	b = append(b, g.times(1, 6, func() []byte {
		class := anyOf(g, dicom.Verification, dicom.VLEndoscopicImageStorage, dicom.VLEndoscopicImageStorage, studyFind, commitment)
		if g.slips() {
			class = dicom.UID(g.uid())
		}
		g.proposed = append(g.proposed, class)
		syntaxes := g.times(1, 3, func() []byte { return g.item(0x40, g.uid()) })
		if !g.slips() {
			syntaxes = g.item(0x40, []byte(anyOf(g, dicom.ImplicitVRLittleEndian, dicom.ExplicitVRLittleEndian, dicom.ExplicitVRLittleEndian)))
		}
		head := []byte{id, 0, 0, 0}
		if id += 2; g.slips() {
			id = byte(g.Uint32())
		}
		return g.item(0x20, append(append(head, g.item(0x30, []byte(class))...), syntaxes...))
	})...)
	most := uint32(16384)
	if g.slips() {
		most = anyOf(g, uint32(0), 1, 6, 4096, 1<<20, 0xFFFFFFFF)
	}
	user := append(g.item(0x51, binary.BigEndian.AppendUint32(nil, most)), g.item(0x52, []byte("1.2.3"))...)
	if g.slips() {
		user = append(user, g.times(1, 3, func() []byte {
			sized := binary.BigEndian.AppendUint16(nil, uint16(g.IntN(80)))
			return g.item(anyOf[byte](g, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x5A), append(append(sized, g.uid()...), g.junk()...))
		})...)
	}
	return g.pdu(1, append(b, g.item(0x50, user)...))
}

// element is one of Implicit VR Little Endian.
func (g *grammar) element(tag dicom.Tag, value []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag>>16))
	b = binary.LittleEndian.AppendUint16(b, uint16(tag))
	return append(binary.LittleEndian.AppendUint32(b, uint32(g.length(value))), value...)
}

// command is a request that belongs to a class.
func (g *grammar) command(class dicom.UID, withData bool) []byte {
	us := func(n uint16) []byte { return binary.LittleEndian.AppendUint16(nil, n) }
	even := func(b []byte) []byte { return append(b, make([]byte, len(b)%2)...) }
	field := map[dicom.UID]uint16{dicom.Verification: 0x0030, dicom.VLEndoscopicImageStorage: 0x0001, studyFind: 0x0020, commitment: 0x0130}[class]
	if g.slips() {
		field = anyOf[uint16](g, 0x0010, 0x0021, 0x0FFF, 0x0140, 0x8001, 0x8030, uint16(g.Uint32()))
	}
	dataType := uint16(0x0101)
	if withData != g.slips() {
		dataType = uint16(g.IntN(2))
	}
	var b []byte
	for _, e := range []struct {
		tag   dicom.Tag
		value []byte
	}{
		{0x0000_0002, even([]byte(class))},
		{0x0000_0100, us(field)},
		{0x0000_0110, us(uint16(g.Uint32()))},
		{0x0000_0700, us(uint16(g.IntN(4)))},
		{0x0000_0800, us(dataType)},
		{0x0000_1000, even([]byte("1.2.3.5"))},
		{0x0000_1008, us(uint16(g.IntN(3)))},
	} {
		switch {
		case g.slips(): // left out
		case g.slips(): // doubled, or with another value
			b = append(append(b, g.element(e.tag, e.value)...), g.element(e.tag, g.junk())...)
		default:
			b = append(b, g.element(e.tag, e.value)...)
		}
	}
	return append(g.element(0x0000_0000, binary.LittleEndian.AppendUint32(nil, uint32(len(b)))), b...)
}

// dataset is one of Explicit VR Little Endian, nested at most so deep.
func (g *grammar) dataset(depth int) []byte {
	tag := uint32(0x0008_0000)
	return g.times(0, 8, func() []byte {
		tag += uint32(g.IntN(0x8_0020))
		if g.slips() {
			tag = g.Uint32()
		}
		b := binary.LittleEndian.AppendUint16(nil, uint16(tag>>16))
		b = binary.LittleEndian.AppendUint16(b, uint16(tag))
		vr := anyOf(g, "UI", "LO", "PN", "US", "DA", "SQ", "OB", "UN", "OW", "UT")
		if g.slips() {
			vr = anyOf(g, "??", "\x00\x00", "  ", "ox", string(append(g.junk(), 1, 2)[:2]))
		}
		b = append(b, vr...)
		value := append(g.junk(), g.uid()...)
		switch {
		case vr == "SQ" && depth > 0:
			value = g.times(0, 3, func() []byte { return g.element(0xFFFE_E000, g.dataset(depth-1)) })
			if g.IntN(2) == 0 {
				b = append(b, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF)
				return append(append(b, value...), g.element(0xFFFE_E0DD, nil)...)
			}
			fallthrough
		case vr == "OB" || vr == "OW" || vr == "UN" || vr == "UT" || vr == "SQ":
			b = binary.LittleEndian.AppendUint32(append(b, 0, 0), uint32(g.length(value)))
		default:
			b = binary.LittleEndian.AppendUint16(b, uint16(g.length(value)))
		}
		return append(b, value...)
	})
}

// fragments is a command set or data set as P-DATA-TF PDUs.
func (g *grammar) fragments(context, control byte, b []byte) (all []byte) {
	for last := false; !last; {
		n := 1 + g.IntN(max(len(b), 1))
		if g.IntN(3) > 0 {
			n = len(b)
		}
		n = min(n, len(b))
		last = n == len(b)
		flags := control
		if last {
			flags |= 2
		}
		if g.slips() {
			flags = byte(g.Uint32())
		}
		body := append([]byte{context, flags}, b[:n]...)
		pdv := append(binary.BigEndian.AppendUint32(nil, uint32(g.length(body))), body...)
		all = append(all, g.pdu(4, pdv)...)
		b = b[n:]
	}
	return all
}

func (g *grammar) message() []byte {
	n := g.IntN(len(g.proposed))
	class, context := g.proposed[n], byte(2*n+1)
	if g.slips() {
		context = byte(g.Uint32())
	}
	withData := (class != dicom.Verification) != g.slips()
	b := g.fragments(context, 1, g.command(class, withData))
	if !withData {
		return b
	}
	data := g.dataset(3)
	if g.IntN(2) == 0 {
		data, _ = dicomtest.Endoscopic(dicomtest.Options{Rows: 4, Columns: 4, TransferSyntax: dicom.ExplicitVRLittleEndian})
	}
	return append(b, g.fragments(context, 0, data)...)
}

// association is one of some messages, with an end or without.
func (g *grammar) association() (b []byte, messages int) {
	b = g.associate()
	for range 1 + g.IntN(8) {
		b, messages = append(b, g.message()...), messages+1
	}
	return append(b, anyOf(g, g.pdu(5, make([]byte, 4)), g.pdu(7, make([]byte, 4)), nil)...), messages
}

// reading reads what it can of each data set.
type reading struct{ instances, read atomic.Int64 }

func (h *reading) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	if ts, ok := dicom.LookupTransferSyntax(req.TransferSyntax); ok {
		if _, err := dicom.ReadAttributes(req.Dataset, ts); err == nil {
			h.read.Add(1)
		}
	}
	_, err := io.Copy(io.Discard, req.Dataset)
	h.instances.Add(1)
	return err
}

// TestHostile_grammar throws messages at a server that follow the rules but for a few: each association ends, nothing
// panics, nothing is left of them, and the server serves on.
func TestHostile_grammar(t *testing.T) {
	memory := installed.Watched(t)
	messages := int64(installed.Scaled(2_000, 600_000))
	var panics atomic.Int64
	h := new(reading)
	s := newServer(h)
	s.Contexts = append(s.Contexts, dicomnode.ServiceContexts(studyFind, commitment)...)
	s.Services = map[dicom.UID]dicomnode.Service{studyFind: dicomnode.ServiceFunc(chatting), commitment: dicomnode.ServiceFunc(chatting)}
	s.MaxAssociations, s.MaxPerPeer = 64, 64
	s.Log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("panic")) {
			panics.Add(1)
			t.Errorf("%s", p)
		}
		return len(p), nil
	}), &slog.HandlerOptions{Level: slog.LevelWarn}))
	addr := serve(t, s)
	stillServes(t, addr)
	goroutines := runtime.NumGoroutine()

	var sent, associations atomic.Int64
	wave := func(upTo int64, seed uint64) {
		var wg sync.WaitGroup
		for w := range 8 {
			g := &grammar{Rand: rand.New(rand.NewPCG(seed, uint64(w)))}
			from := &net.TCPAddr{IP: net.IPv4(127, 0, byte(seed), byte(w+1))}
			wg.Go(func() {
				for n := 0; sent.Load() < upTo; n++ {
					from.IP[len(from.IP)-2] = byte(n >> 12) // a port is not free again at once
					g.patience = anyOf(g, 50, 300, 2000, 10_000)
					b, messages := g.association()
					sent.Add(int64(messages))
					associations.Add(1)
					throwFrom(t, from, addr, b)
				}
			})
		}
		wg.Wait()
	}
	wave(messages/10, 1)
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines are left")
	before := heap()
	wave(messages, 2)
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines are left")
	after := heap()
	stillServes(t, addr)
	require.Less(t, after-before, int64(4<<20), "memory is kept")
	require.Zero(t, panics.Load())
	require.NotZero(t, h.read.Load(), "some follow the rules so far that a data set is read")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("%d DIMSE messages by a grammar that breaks its rules, in %d associations; %d reached a handler, %d data sets could be read: no panic, heap %+d KiB",
			sent.Load(), associations.Load(), h.instances.Load(), h.read.Load(), (after-before)>>10), Memory: memory.Memory(),
	})
}

// throwFrom sends bytes from a local address, says that no more will come, and waits for the end of the connection.
func throwFrom(t *testing.T, from net.Addr, addr string, b []byte) {
	nc, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", addr)
	if !assert.NoError(t, err) {
		return
	}
	defer nc.Close()
	done := make(chan struct{})
	go func() { // the server may close before it has read everything
		defer close(done)
		_, _ = nc.Write(b)
		_ = nc.(*net.TCPConn).CloseWrite()
	}()
	_ = nc.SetReadDeadline(time.Now().Add(patience))
	_, err = io.Copy(io.Discard, nc)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("the server neither answers nor closes")
	}
	<-done
}

// TestHostile_associations: associations one after the other, ended in every way, leave nothing behind.
func TestHostile_associations(t *testing.T) {
	memory := installed.Watched(t)
	n := installed.Scaled(300, 10_000)
	addr, _ := hostileServer(t, io.Discard)
	goroutines := runtime.NumGoroutine()
	random := rand.New(rand.NewPCG(3, 4))
	associations := func(n int) (answered int) {
		for range n {
			_, req := instance(dicomtest.Options{})
			client := &dicomnode.Client{AETitle: "SCOPE1", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				from := net.IPv4(127, 0, byte(1+random.IntN(200)), byte(1+random.IntN(200)))
				return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext(ctx, network, address)
			}}
			a, err := client.Associate(t.Context(), addr, "ENDOGATE", contextsFor(req))
			require.NoError(t, err)
			if random.IntN(2) == 0 {
				status, err := a.Store(t.Context(), req)
				require.NoError(t, err)
				require.Equal(t, dimse.Success, status)
			} else {
				status, err := a.Echo(t.Context())
				require.NoError(t, err)
				require.Equal(t, dimse.Success, status)
			}
			answered++
			if random.IntN(3) == 0 {
				_ = a.Abort()
			} else {
				require.NoError(t, a.Release(t.Context()))
			}
		}
		return answered
	}
	associations(n / 10)
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines are left")
	before := heap()
	answered := associations(n)
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines are left")
	after := heap()
	require.Less(t, after-before, int64(2<<20), "memory is kept")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("%d associations with an echo or an instance each, a third of them aborted: heap %+d KiB", n, (after-before)>>10), Kept: answered, Memory: memory.Memory(),
	})
}
