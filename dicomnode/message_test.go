package dicomnode_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

const (
	verificationID = 1 // presentation contexts of storeRequest
	endoscopicID   = 3
	refusedID      = 5
)

var (
	storeRequest = dicomtest.Request("SCOPE1", "ENDOGATE", []string{string(dicom.ExplicitVRLittleEndian)},
		string(dicom.Verification), string(dicom.VLEndoscopicImageStorage), "1.2.840.10008.5.1.4.1.1.2")
	storeRQ = &dimse.Request{CommandField: dimse.CStoreRQ, HasDataset: true, MessageID: 9, SOPClassUID: dicom.VLEndoscopicImageStorage, SOPInstanceUID: "1.2.3"}
)

// storeRSP is the response to storeRQ.
func storeRSP(status dimse.Status, comment string) *pdu.Data {
	return dicomtest.Command(endoscopicID, &dimse.Response{
		CommandField:              dimse.CStoreRQ | dimse.ResponseBit,
		MessageIDBeingRespondedTo: 9, SOPClassUID: storeRQ.SOPClassUID, SOPInstanceUID: storeRQ.SOPInstanceUID,
		Status: status, ErrorComment: comment,
	})
}

func command(c dimse.Command) *pdu.Data { return dicomtest.Command(endoscopicID, c) }

func fragment(last bool, data string) *pdu.Data {
	return dicomtest.Fragment(endoscopicID, last, []byte(data))
}

// together puts the values of PDUs into one.
func together(pdus ...*pdu.Data) *pdu.Data {
	all := new(pdu.Data)
	for _, p := range pdus {
		all.PDVs = append(all.PDVs, p.PDVs...)
	}
	return all
}

// in cuts a command set into fragments of n bytes, a PDU each.
func in(n int, p *pdu.Data) []pdu.PDU {
	var out []pdu.PDU
	for rest := p.PDVs[0].Data; len(rest) > 0; {
		k := min(n, len(rest))
		out = append(out, &pdu.Data{PDVs: []pdu.PDV{{ContextID: endoscopicID, Command: true, Last: k == len(rest), Data: rest[:k]}}})
		rest = rest[k:]
	}
	return out
}

// What the server answers to messages, well and badly formed; "PIXELS" is what the handler must have got.
func TestMessages(t *testing.T) {
	find := &dimse.Request{CommandField: dimse.CFindRQ, MessageID: 4, SOPClassUID: dicom.VLEndoscopicImageStorage, HasDataset: true}
	unexpectedParameter := &pdu.Abort{Source: pdu.AbortServiceProvider, Reason: pdu.UnexpectedPDUParameter}
	long := command(storeRQ)
	long.PDVs[0].Data = append(long.PDVs[0].Data, make([]byte, dimse.MaxCommandLength)...)
	with := func(change func(rq *dimse.Request)) *pdu.Data {
		rq := *storeRQ
		change(&rq)
		return command(&rq)
	}
	for _, row := range []struct {
		name string
		in   []pdu.PDU
		want []pdu.PDU
		data string
	}{
		{"a PDU for each fragment", []pdu.PDU{command(storeRQ), fragment(false, "PIX"), fragment(true, "ELS")}, []pdu.PDU{storeRSP(0, "")}, "PIXELS"},
		{"all in one PDU", []pdu.PDU{together(command(storeRQ), fragment(false, "PIX"), fragment(true, "ELS"))}, []pdu.PDU{storeRSP(0, "")}, "PIXELS"},
		{"command in small fragments", append(in(7, command(storeRQ)), fragment(true, "PIXELS")), []pdu.PDU{storeRSP(0, "")}, "PIXELS"},
		{"empty fragments", []pdu.PDU{command(storeRQ), fragment(false, ""), fragment(false, "PIXELS"), fragment(true, "")}, []pdu.PDU{storeRSP(0, "")}, "PIXELS"},
		{"two messages in one PDU", []pdu.PDU{together(command(storeRQ), fragment(true, "PIXELS"), echoRQ)}, []pdu.PDU{storeRSP(0, ""), echoRSP}, "PIXELS"},

		{"unknown presentation context", []pdu.PDU{dicomtest.Command(99, storeRQ)}, []pdu.PDU{invalidValue}, ""},
		{"presentation context that was not accepted", []pdu.PDU{dicomtest.Command(refusedID, storeRQ)}, []pdu.PDU{invalidValue}, ""},
		{"data set without a command", []pdu.PDU{fragment(true, "PIXELS")}, []pdu.PDU{unexpectedParameter}, ""},
		{"data set inside a command", []pdu.PDU{in(7, command(storeRQ))[0], fragment(true, "PIXELS")}, []pdu.PDU{unexpectedParameter}, ""},
		{"command inside a data set", []pdu.PDU{command(storeRQ), fragment(false, "PIX"), echoRQ}, []pdu.PDU{unexpectedParameter}, ""},
		{"data set on another context", []pdu.PDU{command(storeRQ), dicomtest.Fragment(verificationID, true, []byte("PIXELS"))}, []pdu.PDU{unexpectedParameter}, ""},
		{"command on two contexts", []pdu.PDU{in(7, command(storeRQ))[0], dicomtest.Command(verificationID, storeRQ)}, []pdu.PDU{unexpectedParameter}, ""},
		{"P-DATA-TF without a value", []pdu.PDU{&pdu.Data{}}, []pdu.PDU{invalidValue}, ""},
		{"command set above 64 KiB", []pdu.PDU{long}, []pdu.PDU{invalidValue}, ""},
		{"command set above 64 KiB in fragments", in(30000, long), []pdu.PDU{invalidValue}, ""},
		{"garbage for a command", []pdu.PDU{&pdu.Data{PDVs: []pdu.PDV{{ContextID: endoscopicID, Command: true, Last: true, Data: []byte("garbage")}}}}, []pdu.PDU{userAbort}, ""},
		{"response to nothing", []pdu.PDU{storeRSP(0, "")}, []pdu.PDU{unexpectedParameter}, ""},
		{"other response to nothing", []pdu.PDU{command(&dimse.Response{CommandField: dimse.CFindRQ | dimse.ResponseBit})}, []pdu.PDU{unexpectedParameter}, ""},

		{
			"SOP class of another context",
			[]pdu.PDU{with(func(rq *dimse.Request) { rq.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2" }), fragment(true, "X"), echoRQ},
			[]pdu.PDU{dicomtest.Command(endoscopicID, &dimse.Response{
				CommandField:              dimse.CStoreRQ | dimse.ResponseBit,
				MessageIDBeingRespondedTo: 9, SOPClassUID: "1.2.840.10008.5.1.4.1.1.2", SOPInstanceUID: "1.2.3",
				Status: dimse.SOPClassNotSupported, ErrorComment: "SOP class is not that of the presentation context",
			}), echoRSP},
			"",
		},
		{"storing on the context of Verification", []pdu.PDU{
			dicomtest.Command(verificationID, &dimse.Request{CommandField: dimse.CStoreRQ, HasDataset: true, MessageID: 2, SOPClassUID: dicom.Verification, SOPInstanceUID: "1.2"}),
			dicomtest.Fragment(verificationID, true, []byte("X")),
		}, []pdu.PDU{dicomtest.Command(verificationID, &dimse.Response{
			CommandField:              dimse.CStoreRQ | dimse.ResponseBit,
			MessageIDBeingRespondedTo: 2, SOPClassUID: dicom.Verification, SOPInstanceUID: "1.2",
			Status: dimse.UnrecognizedOperation,
		})}, ""},
		{"no data set", []pdu.PDU{with(func(rq *dimse.Request) { rq.HasDataset = false }), echoRQ}, []pdu.PDU{storeRSP(dimse.CannotUnderstand, "no data set"), echoRSP}, ""},
		{
			"path for a UID",
			[]pdu.PDU{with(func(rq *dimse.Request) { rq.SOPInstanceUID = "../../etc/x" }), fragment(true, "X"), echoRQ},
			[]pdu.PDU{dicomtest.Command(endoscopicID, &dimse.Response{
				CommandField:              dimse.CStoreRQ | dimse.ResponseBit,
				MessageIDBeingRespondedTo: 9, SOPClassUID: dicom.VLEndoscopicImageStorage, SOPInstanceUID: "../../etc/x",
				Status: dimse.InvalidSOPInstance, ErrorComment: "SOP Instance UID is missing or wrong",
			}), echoRSP},
			"",
		},
		{
			"echo on the context of an image",
			[]pdu.PDU{command(&dimse.Request{CommandField: dimse.CEchoRQ, MessageID: 5, SOPClassUID: dicom.Verification})},
			[]pdu.PDU{command(&dimse.Response{CommandField: dimse.CEchoRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: 5, SOPClassUID: dicom.Verification, Status: dimse.SOPClassNotSupported, ErrorComment: "SOP class is not that of the presentation context"})},
			"",
		},
		{
			"service that is not offered",
			[]pdu.PDU{command(find), fragment(false, "X"), fragment(true, "Y"), echoRQ},
			[]pdu.PDU{command(&dimse.Response{CommandField: 0x8020, MessageIDBeingRespondedTo: 4, SOPClassUID: dicom.VLEndoscopicImageStorage, Status: dimse.UnrecognizedOperation}), echoRSP},
			"",
		},
		{
			"command nobody knows",
			[]pdu.PDU{command(&dimse.Request{CommandField: 0x0777, MessageID: 4}), echoRQ},
			[]pdu.PDU{command(&dimse.Response{CommandField: 0x8777, MessageIDBeingRespondedTo: 4, Status: dimse.UnrecognizedOperation}), echoRSP},
			"",
		},
		{"cancel of nothing", []pdu.PDU{command(&dimse.Request{CommandField: dimse.CCancelRQ, MessageID: 4}), echoRQ}, []pdu.PDU{echoRSP}, ""},

		{"release in the middle of a data set", []pdu.PDU{command(storeRQ), fragment(false, "PIX"), &pdu.ReleaseRQ{}}, []pdu.PDU{&pdu.ReleaseRP{}}, ""},
		{"abort in the middle of a data set", []pdu.PDU{command(storeRQ), fragment(false, "PIX"), userAbort}, nil, ""},
		{"end in the middle of a data set", []pdu.PDU{command(storeRQ), fragment(false, "PIX")}, nil, ""},
		{"end in the middle of a command", in(7, command(storeRQ))[:2], nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := new(storing)
			s := newServer(h)
			var log syncBuffer
			s.Log = slog.New(slog.NewTextHandler(&log, nil))
			p := dicomtest.Dial(t, serve(t, s))
			p.Associate(storeRequest)
			p.Send(row.in...)
			require.NoError(t, p.Conn.(*net.TCPConn).CloseWrite())
			require.Equal(t, row.want, p.Rest())
			if row.data == "" {
				require.Zero(t, h.count(), "nothing may pass for stored")
			} else {
				require.Equal(t, row.data, string(h.get("1.2.3")))
			}
			require.NotContains(t, log.String(), "PIXELS")
		})
	}
}

// The length of a P-DATA-TF PDU is bounded by what was advertised.
func TestMessages_PDUAboveTheAdvertisedLength(t *testing.T) {
	s := newServer(new(storing))
	s.MaxPDULength = 4096
	addr := serve(t, s)
	for length, want := range map[int][]pdu.PDU{4096: {storeRSP(0, "")}, 4097: {invalidValue}} {
		p := dicomtest.Dial(t, addr)
		ac := p.Associate(storeRequest)
		require.Equal(t, uint32(4096), ac.User.MaximumLength)
		p.Send(command(storeRQ), dicomtest.Fragment(endoscopicID, true, make([]byte, length-pdu.PDVHeaderLength)))
		require.NoError(t, p.Conn.(*net.TCPConn).CloseWrite())
		require.Equal(t, want, p.Rest())
	}
}

// Every way a handler can end, and what the peer hears of it.
func TestStore_handlerErrors(t *testing.T) {
	for _, row := range []struct {
		name    string
		err     error
		status  dimse.Status
		comment string
	}{
		{"nil", nil, dimse.Success, ""},
		{"typed", fmt.Errorf("receive: %w", &dimse.Error{Status: dimse.DataSetDoesNotMatchSOPClass, Comment: "class differs", Err: errTest}), dimse.DataSetDoesNotMatchSOPClass, "class differs"},
		{"warning", &dimse.Error{Status: dimse.ElementsDiscarded}, dimse.ElementsDiscarded, ""},
		{"disk full", &os.PathError{Op: "write", Path: "/var/Doe^John", Err: syscall.ENOSPC}, dimse.OutOfResources, ""},
		{"deadline", context.DeadlineExceeded, dimse.OutOfResources, ""},
		{"any other", errTest, dimse.ProcessingFailure, ""},
		{"long comment", &dimse.Error{Status: dimse.CannotUnderstand, Comment: strings.Repeat("x", 100)}, dimse.CannotUnderstand, strings.Repeat("x", 64)},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, req := instance(dicomtest.Options{})
			a := associate(t, serve(t, newServer(&storing{fails: row.err})), contextsFor(req))
			for range 2 { // the association goes on
				_, req := instance(dicomtest.Options{})
				status, err := a.Store(t.Context(), req)
				require.NoError(t, err)
				require.Equal(t, row.status, status)
				require.Equal(t, row.comment, a.ErrorComment())
			}
			require.NoError(t, a.Release(t.Context()))
		})
	}
}

func TestStore_handlerPanics(t *testing.T) {
	var log syncBuffer
	s := newServer(handlerFunc(func(context.Context, *dicomnode.StoreRequest) error { panic("Doe^John") }))
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	_, req := instance(dicomtest.Options{})
	a := associate(t, serve(t, s), contextsFor(req))
	status, err := a.Store(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, dimse.ProcessingFailure, status)
	status, err = a.Echo(t.Context())
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.Contains(t, log.String(), "service panicked")
	require.NotContains(t, log.String(), "Doe")
}

// A handler that gives up early is answered for after the rest of the data set has been read, if that is not too much.
func TestStore_handlerGivesUpEarly(t *testing.T) {
	s := newServer(handlerFunc(func(_ context.Context, req *dicomnode.StoreRequest) error {
		_, err := io.CopyN(io.Discard, req.Dataset, 1000)
		if err != nil {
			return err
		}
		return &dimse.Error{Status: dimse.OutOfResources}
	}))
	var aborted []string
	s.Observe.Aborted = func(cause string) { aborted = append(aborted, cause) }
	addr := serve(t, s)
	_, req := instance(dicomtest.Options{})
	a := associate(t, addr, contextsFor(req))
	req.Dataset = io.LimitReader(zeros{}, 5<<20)
	status, err := a.Store(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, dimse.OutOfResources, status)

	req.Dataset = io.LimitReader(zeros{}, 1<<30)
	_, err = a.Store(t.Context(), req)
	var abort *dicomnode.AbortError
	require.ErrorAs(t, err, &abort)
	require.Equal(t, pdu.AbortServiceUser, abort.Source)
	require.Error(t, a.Err())
	require.Equal(t, []string{dicomnode.CauseRefused}, aborted)
}

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A handler sees the end of a broken connection as an error, never as the end of the data set.
func TestStore_brokenOffIsNoEnd(t *testing.T) {
	got := make(chan error, 1)
	s := newServer(handlerFunc(func(_ context.Context, req *dicomnode.StoreRequest) error {
		_, err := io.Copy(io.Discard, req.Dataset)
		got <- err
		return err
	}))
	p := dicomtest.Dial(t, serve(t, s))
	p.Associate(storeRequest)
	p.Send(command(storeRQ), fragment(false, "PIXELS"))
	require.NoError(t, p.Conn.Close())
	require.ErrorIs(t, <-got, io.ErrUnexpectedEOF)
}

// Read and WriteTo give the same bytes, however they are mixed.
func TestStore_datasetReadByPieces(t *testing.T) {
	want, req := instance(dicomtest.Options{Rows: 300, Columns: 300})
	var got bytes.Buffer
	s := newServer(handlerFunc(func(_ context.Context, req *dicomnode.StoreRequest) error {
		if _, err := io.CopyN(&got, iotest.OneByteReader(req.Dataset), 333); err != nil {
			return err
		}
		if _, err := io.Copy(&got, req.Dataset); err != nil {
			return err
		}
		if n, err := req.Dataset.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			return fmt.Errorf("after the end: %d %w", n, err)
		}
		return nil
	}))
	a := associate(t, serve(t, s), contextsFor(req))
	status, err := a.Store(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.True(t, bytes.Equal(want, got.Bytes()))
}

// However the data set's reader gives its bytes, fragment boundaries included, they arrive.
func TestStore_anyLengthAnyReader(t *testing.T) {
	h := new(storing)
	s := newServer(h)
	s.MaxPDULength = 4096
	addr := serve(t, s)
	_, req := instance(dicomtest.Options{})
	a := associate(t, addr, contextsFor(req))
	const fragment = 4096 - pdu.PDVHeaderLength
	for _, n := range []int{0, 1, fragment - 1, fragment, fragment + 1, 2 * fragment, 2*fragment + 1, 100_000} {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * 7)
		}
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader,
		} {
			req.Dataset = wrap(bytes.NewReader(want))
			status, err := a.Store(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, dimse.Success, status)
			require.True(t, bytes.Equal(want, h.get(req.SOPInstanceUID)), "%d bytes, %s", n, name)
		}
	}
}

// A source that breaks off is not sent as if it were whole, not even when its error is io.ErrUnexpectedEOF.
func TestStore_sourceBreaksOff(t *testing.T) {
	h := new(storing)
	addr := serve(t, newServer(h))
	for _, broken := range []error{errTest, io.ErrUnexpectedEOF} {
		_, req := instance(dicomtest.Options{})
		a := associate(t, addr, contextsFor(req))
		req.Dataset = io.MultiReader(bytes.NewReader(make([]byte, 300_000)), iotest.ErrReader(broken))
		_, err := a.Store(t.Context(), req)
		require.ErrorIs(t, err, broken)
		require.Error(t, a.Err())
	}
	require.Zero(t, h.count())
}

// The observer hears of everything that the metrics count.
func TestObserver(t *testing.T) {
	accepted, stored, aborted := make(chan struct{}, 8), make(chan dicomnode.StoreResult, 8), make(chan string, 8)
	s := newServer(new(storing))
	s.Observe = dicomnode.Observer{
		Accepted: func() { accepted <- struct{}{} },
		Stored:   func(r dicomnode.StoreResult) { stored <- r },
		Aborted:  func(cause string) { aborted <- cause },
	}
	addr := serve(t, s)
	ds, req := instance(dicomtest.Options{})
	a := associate(t, addr, contextsFor(req))
	<-accepted
	_, err := a.Store(t.Context(), req)
	require.NoError(t, err)
	got := <-stored
	require.Equal(t, int64(len(ds)), got.Bytes)
	require.Equal(t, dimse.Success, got.Status)
	require.Positive(t, got.Elapsed)
	require.NoError(t, a.Abort())
	require.Equal(t, dicomnode.CausePeer, <-aborted)

	p := dicomtest.Dial(t, addr)
	p.Associate(storeRequest)
	p.Write(unknownType)
	require.Equal(t, dicomnode.CauseProtocol, <-aborted)
	p = dicomtest.Dial(t, addr)
	p.Associate(storeRequest)
	require.NoError(t, p.Conn.Close())
	require.Equal(t, dicomnode.CauseLost, <-aborted)
}
