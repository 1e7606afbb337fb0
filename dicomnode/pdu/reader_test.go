package pdu_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/pdu"
)

func header(t pdu.Type, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(t), 0}, n)
}

// stream is one of each PDU, the data PDU being as long as allowed.
func stream(t testing.TB, dataLength int) ([]byte, []pdu.PDU) {
	t.Helper()
	pdus := []pdu.PDU{
		&pdu.AssociateRQ{ProtocolVersion: 1, ApplicationContext: pdu.ApplicationContext, User: pdu.UserInformation{Unknown: []pdu.Item{{Type: 0x70, Data: bytes.Repeat([]byte{7}, 20000)}}}},
		&pdu.Data{PDVs: []pdu.PDV{{ContextID: 1, Command: true, Last: true, Data: []byte{1}}}},
		&pdu.Data{PDVs: []pdu.PDV{{ContextID: 1, Last: true, Data: bytes.Repeat([]byte{2}, dataLength-pdu.PDVHeaderLength)}}},
		&pdu.ReleaseRQ{}, &pdu.ReleaseRP{}, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 1}, &pdu.Abort{},
	}
	var b []byte
	for _, p := range pdus {
		var err error
		b, err = pdu.Append(b, p)
		require.NoError(t, err)
	}
	return b, pdus
}

func TestReader_anyWayTheBytesCome(t *testing.T) {
	const limit = 32 << 10
	in, want := stream(t, limit)
	for name, src := range map[string]io.Reader{
		"at once":         bytes.NewReader(in),
		"byte by byte":    iotest.OneByteReader(bytes.NewReader(in)),
		"in halves":       iotest.HalfReader(bytes.NewReader(in)),
		"end with a byte": iotest.DataErrReader(bytes.NewReader(in)),
	} {
		t.Run(name, func(t *testing.T) {
			r := pdu.NewReader(src)
			r.MaxDataLength = limit
			for i, w := range want {
				if i == 1 {
					r.Reserve(pdu.HeaderLength + limit)
				}
				require.NoError(t, r.Wait())
				got, err := r.Next()
				require.NoError(t, err)
				require.Equal(t, w, got)
			}
			require.Equal(t, io.EOF, r.Wait())
			_, err := r.Next()
			require.Equal(t, io.EOF, err)
		})
	}
}

func TestReader_endInsideAPDU(t *testing.T) {
	in, _ := stream(t, 1000)
	whole := map[int]bool{0: true}
	for at := 0; at < len(in); {
		at += pdu.HeaderLength + int(binary.BigEndian.Uint32(in[at+2:]))
		whole[at] = true
	}
	for n := range len(in) {
		if n > 100 && n < 20000 {
			continue // all inside one item
		}
		r := pdu.NewReader(bytes.NewReader(in[:n]))
		r.MaxDataLength = 1000
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if whole[n] {
			require.Equal(t, io.EOF, err, n)
		} else {
			require.Equal(t, io.ErrUnexpectedEOF, err, n)
		}
	}
}

// failing gives its bytes and then fails the test: the reader has to decide by what it has.
type failing struct {
	t *testing.T
	b []byte
}

func (f *failing) Read(p []byte) (int, error) {
	if len(f.b) == 0 {
		f.t.Error("read beyond the header")
		return 0, io.EOF
	}
	n := copy(p, f.b)
	f.b = f.b[n:]
	return n, nil
}

func TestReader_lengthIsCheckedBeforeTheBody(t *testing.T) {
	for _, row := range []struct {
		name   string
		in     []byte
		reason pdu.AbortReason
	}{
		{"request", header(pdu.TypeAssociateRQ, pdu.MaxAssociateLength+1), pdu.InvalidPDUParameterValue},
		{"answer", header(pdu.TypeAssociateAC, 0xFFFFFFFF), pdu.InvalidPDUParameterValue},
		{"data", header(pdu.TypeData, 16385), pdu.InvalidPDUParameterValue},
		{"release", header(pdu.TypeReleaseRQ, 5), pdu.InvalidPDUParameterValue},
		{"abort", header(pdu.TypeAbort, 1<<31), pdu.InvalidPDUParameterValue},
		{"type", header(0x47, 4), pdu.UnrecognizedPDU},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := pdu.NewReader(&failing{t, row.in})
			r.MaxDataLength = 16384
			_, err := r.Next()
			var e *pdu.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, row.reason, e.Reason)
			require.True(t, r.Complete(), "the answer is known without reading on")
			require.Equal(t, row.reason != pdu.UnrecognizedPDU, errors.Is(err, pdu.ErrTooLarge))
		})
	}
}

// A peer that announces a megabyte and sends six bytes gets no megabyte.
func TestReader_announcedBytesAreNotAllocated(t *testing.T) {
	in := append(header(pdu.TypeAssociateRQ, pdu.MaxAssociateLength), make([]byte, 5000)...)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := pdu.NewReader(bytes.NewReader(in)).Next()
			if err != io.ErrUnexpectedEOF {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	require.Less(t, allocated, int64(32<<10))
}

// Data PDUs cost no memory beyond the buffer.
func TestReader_dataWithoutAllocation(t *testing.T) {
	one, err := pdu.Append(nil, &pdu.Data{PDVs: []pdu.PDV{{ContextID: 1, Data: make([]byte, 16000)}}})
	require.NoError(t, err)
	src := &endless{b: one}
	r := pdu.NewReader(src)
	r.MaxDataLength = 16384
	r.Reserve(pdu.HeaderLength + 16384)
	n := testing.AllocsPerRun(1000, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	})
	require.Zero(t, n)
}

// endless repeats b.
type endless struct {
	b  []byte
	at int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m := copy(p[n:], e.b[e.at:])
		n, e.at = n+m, (e.at+m)%len(e.b)
	}
	return n, nil
}

func TestReader_peekConsumesNothing(t *testing.T) {
	in, _ := stream(t, 1000)
	r := pdu.NewReader(bytes.NewReader(in))
	for range 3 {
		typ, err := r.Peek()
		require.NoError(t, err)
		require.Equal(t, pdu.TypeAssociateRQ, typ)
	}
	p, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, pdu.TypeAssociateRQ, p.Type())
}

// TestReader_anotherProtocol: whoever has mixed up two ports is told so.
func TestReader_anotherProtocol(t *testing.T) {
	for in, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n": "pdu: unrecognised type 48H, as HTTP begins: is it the right port?",
		"GET / HTTP/1.1\r\n":           "pdu: unrecognised type 47H, as HTTP begins: is it the right port?",
		"\x15\x03\x03\x00\x02\x02\x28": "pdu: unrecognised type 15H, as TLS begins: is it the right port?",
		"\x0bMSH|^~\\&|":               "pdu: unrecognised type 0BH, as HL7 by MLLP begins: is it the right port?",
		"220 smtp":                     "pdu: unrecognised type 32H",
	} {
		_, err := pdu.NewReader(bytes.NewReader([]byte(in))).Next()
		require.EqualError(t, err, want)
	}
}
