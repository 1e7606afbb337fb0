package dicomnode_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

const (
	studyFind  dicom.UID = "1.2.840.10008.5.1.4.1.2.2.1"
	studyMove  dicom.UID = "1.2.840.10008.5.1.4.1.2.2.2"
	studyGet   dicom.UID = "1.2.840.10008.5.1.4.1.2.2.3"
	worklist   dicom.UID = "1.2.840.10008.5.1.4.31"
	mpps       dicom.UID = "1.2.840.10008.3.1.2.3.3"
	commitment dicom.UID = "1.2.840.10008.1.20.1"

	commitmentInstance dicom.UID = "1.2.840.10008.1.20.1.1"

	queryLevel     dicom.Tag = 0x00080052
	transactionUID dicom.Tag = 0x00081195
)

// encode writes a data set in the transfer syntax.
func encode(t testing.TB, ds dicom.Dataset, uid dicom.UID) []byte {
	ts, ok := dicom.LookupTransferSyntax(uid)
	require.True(t, ok)
	b, err := ds.Append(nil, ts)
	require.NoError(t, err)
	return b
}

func decode(t testing.TB, r io.Reader, uid dicom.UID) *dicom.Attributes {
	ts, ok := dicom.LookupTransferSyntax(uid)
	require.True(t, ok)
	a, err := dicom.ReadAttributes(r, ts)
	require.NoError(t, err)
	return a
}

// serving returns a server with a service for one SOP class, besides storage.
func serving(class dicom.UID, service dicomnode.ServiceFunc) *dicomnode.Server {
	s := newServer(new(storing))
	s.Contexts = append(s.Contexts, dicomnode.ServiceContexts(class)...)
	s.Services = map[dicom.UID]dicomnode.Service{class: service}
	return s
}

func commandOf(field dimse.Field, class dicom.UID) dimse.Request {
	return dimse.Request{CommandField: field, SOPClassUID: class}
}

// finding answers a C-FIND with n matches, which repeat the patient that is asked for.
func finding(t testing.TB, n int) dicomnode.ServiceFunc {
	return func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		if req.CommandField != dimse.CFindRQ {
			return nil, dicomnode.ErrNotOffered
		}
		keys := decode(t, req.Dataset, req.TransferSyntax)
		for i := range n {
			match := encode(t, dicom.Dataset{
				queryLevel:             dicom.Text{"STUDY"},
				dicom.PatientID:        dicom.Text{keys.Text(dicom.PatientID)},
				dicom.StudyInstanceUID: dicom.Text{fmt.Sprintf("1.2.%d", i)},
			}, req.TransferSyntax)
			if err := req.Pending(&dicomnode.Response{Dataset: match}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

func findRequest(t testing.TB, a *dicomnode.Association, class dicom.UID) *dicomnode.Request {
	ts, err := a.TransferSyntax(class)
	require.NoError(t, err)
	keys := encode(t, dicom.Dataset{queryLevel: dicom.Text{"STUDY"}, dicom.PatientID: dicom.Text{"P7"}}, ts)
	return &dicomnode.Request{Request: commandOf(dimse.CFindRQ, class), Dataset: bytes.NewReader(keys)}
}

func TestService_pendingResponses(t *testing.T) {
	a := associate(t, serve(t, serving(studyFind, finding(t, 3))), dicomnode.ServiceContexts(studyFind))
	var found []string
	rsp, err := a.Send(t.Context(), findRequest(t, a, studyFind), func(rsp *dicomnode.Response) error {
		assert.Equal(t, dimse.PendingMatches, rsp.Status)
		match := decode(t, bytes.NewReader(rsp.Dataset), dicom.ExplicitVRLittleEndian)
		found = append(found, match.Text(dicom.PatientID)+" "+match.Text(dicom.StudyInstanceUID))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, dimse.Success, rsp.Status)
	require.Empty(t, rsp.Dataset)
	require.Equal(t, []string{"P7 1.2.0", "P7 1.2.1", "P7 1.2.2"}, found)
	require.NoError(t, a.Release(t.Context()))
}

// An operation that has no pending responses is not made to wait by them: they would hold up all that is behind it.
func TestService_pendingWhereNoneBelong(t *testing.T) {
	class := dicom.UID("1.2.840.10008.5.1.4.1.1.7")
	a := associate(t, serve(t, serving(class, dicomnode.ServiceFunc(func(ctx context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		for {
			if err := req.Pending(&dicomnode.Response{}); err != nil {
				return nil, err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}))), dicomnode.ServiceContexts(class))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req := &dicomnode.Request{Request: commandOf(dimse.CStoreRQ, class), Dataset: bytes.NewReader(nil), ResponseTimeout: 200 * time.Millisecond}
	req.SOPInstanceUID = "1.2.3"
	_, err := a.Send(ctx, req, nil)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, ctx.Err())
}

// Who has seen enough gets the final response, and the association goes on.
func TestService_cancelFromPending(t *testing.T) {
	a := associate(t, serve(t, serving(studyFind, finding(t, 1<<30))), append(dicomnode.ServiceContexts(studyFind), dicomnode.VerificationContexts()...))
	seen := 0
	rsp, err := a.Send(t.Context(), findRequest(t, a, studyFind), func(*dicomnode.Response) error {
		if seen++; seen == 5 {
			return errTest
		}
		return nil
	})
	require.ErrorIs(t, err, errTest)
	require.Equal(t, dimse.Canceled, rsp.Status)
	require.Equal(t, 5, seen, "what comes after the cancellation is dropped")
	status, err := a.Echo(t.Context())
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.Error(t, a.Cancel(), "nothing is under way")
	require.NoError(t, a.Release(t.Context()))
}

// Cancelling from another goroutine reaches a service that looks for it without any response.
func TestService_cancelFromElsewhere(t *testing.T) {
	begun := make(chan struct{})
	a := associate(t, serve(t, serving(studyMove, func(ctx context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		close(begun)
		for req.Canceled() == nil {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(tick):
			}
		}
		return &dicomnode.Response{Response: dimse.Response{SubOperations: &dimse.SubOperations{Remaining: 4, Completed: 3}}}, dicomnode.ErrCanceled
	})), dicomnode.ServiceContexts(studyMove))
	canceled := make(chan error, 1)
	go func() { <-begun; canceled <- a.Cancel() }()
	rsp, err := a.Send(t.Context(), &dicomnode.Request{Request: commandOf(dimse.CMoveRQ, studyMove), Dataset: strings.NewReader("ab")}, nil)
	require.NoError(t, err)
	require.NoError(t, <-canceled)
	require.Equal(t, dimse.Canceled, rsp.Status)
	require.Equal(t, &dimse.SubOperations{Remaining: 4, Completed: 3}, rsp.SubOperations)
}

// What a peer may send while it waits for its answer, and what not.
func TestService_interrupted(t *testing.T) {
	request := dicomtest.Request("SCOPE1", "ENDOGATE", []string{string(dicom.ImplicitVRLittleEndian)}, string(studyFind), string(dicom.Verification))
	find := dicomtest.Command(1, &dimse.Request{CommandField: dimse.CFindRQ, MessageID: 7, SOPClassUID: studyFind, HasDataset: true})
	keys := dicomtest.Fragment(1, true, encode(t, dicom.Dataset{dicom.PatientID: dicom.Text{"P7"}}, dicom.ImplicitVRLittleEndian))
	cancel := func(id uint16) *pdu.Data {
		return dicomtest.Command(1, &dimse.Request{CommandField: dimse.CCancelRQ, MessageID: id})
	}
	final := func(status dimse.Status) pdu.PDU {
		return dicomtest.Command(1, &dimse.Response{CommandField: 0x8020, MessageIDBeingRespondedTo: 7, SOPClassUID: studyFind, Status: status})
	}
	echo := dicomtest.Command(3, &dimse.Request{CommandField: dimse.CEchoRQ, MessageID: 8, SOPClassUID: dicom.Verification})
	for _, row := range []struct {
		name string
		in   []pdu.PDU
		want pdu.PDU
	}{
		{"cancelled with the request", []pdu.PDU{together(find, keys, cancel(7))}, final(dimse.Canceled)},
		{"cancelled in the next PDU", []pdu.PDU{find, keys, cancel(7)}, final(dimse.Canceled)},
		{"another request cancelled", []pdu.PDU{find, keys, cancel(6)}, final(dimse.Success)},
		{"a request", []pdu.PDU{find, keys, echo}, &pdu.Abort{Source: pdu.AbortServiceProvider, Reason: pdu.UnexpectedPDUParameter}},
		{"released", []pdu.PDU{find, keys, &pdu.ReleaseRQ{}}, &pdu.ReleaseRP{}},
		{"aborted", []pdu.PDU{find, keys, userAbort}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			arrived := make(chan struct{})
			p := dicomtest.Dial(t, serve(t, serving(studyFind, func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
				<-arrived
				time.Sleep(5 * tick) // for the kernel to hand the bytes over; where they matter, however long that takes
				for began := time.Now(); req.Canceled() == nil && !reflect.DeepEqual(row.want, final(dimse.Success)) && time.Since(began) < patience; {
					time.Sleep(tick)
				}
				return nil, req.Canceled()
			})))
			p.Associate(request)
			p.Send(row.in...)
			close(arrived)
			if row.want == nil {
				p.ExpectClosed()
				return
			}
			p.Expect(row.want)
		})
	}
}

// A service's errors, mistakes and panics are one request's failure.
func TestService_errors(t *testing.T) {
	for _, row := range []struct {
		name    string
		service dicomnode.ServiceFunc
		status  dimse.Status
		comment string
	}{
		{"error with a status", func(context.Context, *dicomnode.Request) (*dicomnode.Response, error) {
			return nil, &dimse.Error{Status: dimse.MoveDestinationUnknown, Comment: "who?", Err: errTest}
		}, dimse.MoveDestinationUnknown, "who?"},
		{"error without", func(context.Context, *dicomnode.Request) (*dicomnode.Response, error) { return nil, errTest }, dimse.ProcessingFailure, ""},
		{"operation that it has not", func(context.Context, *dicomnode.Request) (*dicomnode.Response, error) {
			return nil, dicomnode.ErrNotOffered
		}, dimse.UnrecognizedOperation, ""},
		{"status of its own", func(context.Context, *dicomnode.Request) (*dicomnode.Response, error) {
			return &dicomnode.Response{Response: dimse.Response{Status: dimse.CoercionOfDataElements, ErrorComment: "some"}}, nil
		}, dimse.CoercionOfDataElements, "some"},
		{"panic", func(context.Context, *dicomnode.Request) (*dicomnode.Response, error) { panic("x") }, dimse.ProcessingFailure, ""},
		{"pending at the end", func(context.Context, *dicomnode.Request) (*dicomnode.Response, error) {
			return &dicomnode.Response{Response: dimse.Response{Status: dimse.PendingMatches}}, nil
		}, dimse.ProcessingFailure, ""},
		{"pending that is final", func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
			return nil, req.Pending(&dicomnode.Response{Response: dimse.Response{Status: dimse.OutOfResources}})
		}, dimse.ProcessingFailure, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := associate(t, serve(t, serving(studyFind, row.service)), dicomnode.ServiceContexts(studyFind))
			for range 2 {
				rsp, err := a.Send(t.Context(), findRequest(t, a, studyFind), nil)
				require.NoError(t, err)
				require.Equal(t, row.status, rsp.Status)
				require.Equal(t, row.comment, rsp.ErrorComment)
				require.Equal(t, row.comment, a.ErrorComment())
			}
		})
	}
}

// Every N-service with all it can carry, there and back.
func TestService_normalized(t *testing.T) {
	reply := encode(t, dicom.Dataset{dicom.PatientID: dicom.Text{"P8"}}, dicom.ExplicitVRLittleEndian)
	var got dimse.Request
	a := associate(t, serve(t, serving(mpps, func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		got = req.Request
		b, err := io.ReadAll(req.Dataset)
		if err != nil || req.HasDataset != (len(b) > 0) {
			return nil, fmt.Errorf("%d bytes: %w", len(b), err)
		}
		rsp := &dicomnode.Response{Dataset: reply}
		if req.SOPInstanceUID == "" {
			rsp.SOPInstanceUID = "1.2.3.4" // N-CREATE
		}
		return rsp, nil
	})), dicomnode.ServiceContexts(mpps))
	for _, row := range []struct {
		request dimse.Request
		dataset bool
	}{
		{dimse.Request{CommandField: dimse.NCreateRQ}, true},
		{dimse.Request{CommandField: dimse.NCreateRQ, SOPInstanceUID: "1.2.3.4"}, true},
		{dimse.Request{CommandField: dimse.NSetRQ, SOPInstanceUID: "1.2.3.4"}, true},
		{dimse.Request{CommandField: dimse.NGetRQ, SOPInstanceUID: "1.2.3.4", AttributeIdentifierList: []dicom.Tag{dicom.PatientID}}, false},
		{dimse.Request{CommandField: dimse.NActionRQ, SOPInstanceUID: "1.2.3.4", ActionTypeID: 9}, true},
		{dimse.Request{CommandField: dimse.NActionRQ, SOPInstanceUID: "1.2.3.4", ActionTypeID: 9}, false},
		{dimse.Request{CommandField: dimse.NDeleteRQ, SOPInstanceUID: "1.2.3.4"}, false},
	} {
		req := &dicomnode.Request{Request: row.request}
		req.SOPClassUID = mpps
		if row.dataset {
			req.Dataset = bytes.NewReader(reply)
		}
		rsp, err := a.Send(t.Context(), req, nil)
		require.NoError(t, err)
		want := req.Request
		want.MessageID, want.HasDataset = got.MessageID, row.dataset
		require.Equal(t, want, got)
		require.Equal(t, dimse.Success, rsp.Status)
		require.Equal(t, req.CommandField|dimse.ResponseBit, rsp.CommandField)
		require.Equal(t, mpps, rsp.SOPClassUID)
		require.Equal(t, dicom.UID("1.2.3.4"), rsp.SOPInstanceUID)
		require.Equal(t, req.ActionTypeID, rsp.ActionTypeID)
		require.Equal(t, reply, rsp.Dataset)
	}
}

// A context may be for a meta SOP class: the service decides on the classes in it.
func TestService_metaSOPClass(t *testing.T) {
	const meta, printer dicom.UID = "1.2.840.10008.5.1.1.9", "1.2.840.10008.5.1.1.16"
	a := associate(t, serve(t, serving(meta, func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		assert.Equal(t, meta, req.AbstractSyntax)
		assert.Equal(t, printer, req.SOPClassUID)
		return nil, nil
	})), dicomnode.ServiceContexts(meta))
	req := &dicomnode.Request{Request: commandOf(dimse.NGetRQ, printer)}
	_, err := a.Send(t.Context(), req, nil)
	var missing *dicomnode.ContextError
	require.ErrorAs(t, err, &missing)
	req.AbstractSyntax = meta
	rsp, err := a.Send(t.Context(), req, nil)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, rsp.Status)
}

// getting answers C-GET with the instances, each by a C-STORE on the same association.
func getting(n int) dicomnode.ServiceFunc {
	return func(ctx context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		count := &dimse.SubOperations{Remaining: uint16(n)}
		rsp := &dicomnode.Response{Response: dimse.Response{SubOperations: count}}
		for i := range n {
			ds, h := dicomtest.Endoscopic(dicomtest.Options{TransferSyntax: dicom.ExplicitVRLittleEndian, Instance: i + 1})
			stored, err := req.Send(ctx, &dicomnode.Request{
				Request: dimse.Request{CommandField: dimse.CStoreRQ, SOPClassUID: h.SOPClassUID, SOPInstanceUID: h.SOPInstanceUID},
				Dataset: bytes.NewReader(ds),
			})
			if err != nil {
				return nil, err
			}
			count.Remaining--
			if stored.Status == dimse.Success {
				count.Completed++
			} else {
				count.Failed++
			}
			pending := *rsp
			if err := req.Pending(&pending); err != nil {
				return rsp, err
			}
		}
		return rsp, nil
	}
}

func TestService_getOnTheSameAssociation(t *testing.T) {
	s := serving(studyGet, getting(5))
	for i := range s.Contexts {
		s.Contexts[i].Roles = dicomnode.RequestorIsBoth
	}
	addr := serve(t, s)
	stored := new(storing)
	class := dicom.VLEndoscopicImageStorage
	both := append(dicomnode.ServiceContexts(studyGet), dicomnode.ServiceContexts(class)...)
	both[1].Roles = dicomnode.RequestorIsBoth
	get := &dicomnode.Request{Request: commandOf(dimse.CGetRQ, studyGet)}
	client := &dicomnode.Client{AETitle: "SCOPE1", Services: map[dicom.UID]dicomnode.Service{class: dicomnode.Storage{Handler: stored}}}

	a, err := client.Associate(t.Context(), addr, "ENDOGATE", both)
	require.NoError(t, err)
	defer a.Abort()
	require.Equal(t, dicomnode.RequestorIsBoth, a.Contexts[1].Roles)
	var counts []dimse.SubOperations
	get.Dataset = strings.NewReader("ab")
	rsp, err := a.Send(t.Context(), get, func(rsp *dicomnode.Response) error {
		counts = append(counts, *rsp.SubOperations)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, dimse.Success, rsp.Status)
	require.Equal(t, &dimse.SubOperations{Completed: 5}, rsp.SubOperations)
	require.Len(t, counts, 5)
	require.Equal(t, dimse.SubOperations{Remaining: 4, Completed: 1}, counts[0])
	require.Equal(t, 5, stored.count())
	_, req := instance(dicomtest.Options{Instance: 99})
	status, err := a.Store(t.Context(), req) // and the other way round
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.NoError(t, a.Release(t.Context()))

	// The disk of the one who gets is full: it cancels while it stores.
	a = nil
	client.Services[class] = dicomnode.ServiceFunc(func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		assert.NoError(t, a.Cancel())
		return nil, &dimse.Error{Status: dimse.OutOfResources}
	})
	a, err = client.Associate(t.Context(), addr, "ENDOGATE", both)
	require.NoError(t, err)
	defer a.Abort()
	get.Dataset = strings.NewReader("ab")
	rsp, err = a.Send(t.Context(), get, nil)
	require.NoError(t, err)
	require.Equal(t, dimse.Canceled, rsp.Status)
	require.Equal(t, &dimse.SubOperations{Remaining: 4, Failed: 1}, rsp.SubOperations)

	// Without the role the instances cannot be sent.
	both[1].Roles = dicomnode.RequestorIsSCU
	a, err = client.Associate(t.Context(), addr, "ENDOGATE", both)
	require.NoError(t, err)
	defer a.Abort()
	get.Dataset = strings.NewReader("ab")
	rsp, err = a.Send(t.Context(), get, nil)
	require.NoError(t, err)
	require.Equal(t, dimse.ProcessingFailure, rsp.Status)
}

// Shutdown lets an operation end that waits for the peer in between.
func TestShutdown_finishesSubOperations(t *testing.T) {
	s := serving(studyGet, getting(2))
	for i := range s.Contexts {
		s.Contexts[i].Roles = dicomnode.RequestorIsBoth
	}
	addr := serve(t, s)
	class := dicom.VLEndoscopicImageStorage
	contexts := append(dicomnode.ServiceContexts(studyGet), dicomnode.ServiceContexts(class)...)
	contexts[1].Roles = dicomnode.RequestorIsSCP
	down := make(chan error, 1)
	var once sync.Once
	client := &dicomnode.Client{AETitle: "SCOPE1", Services: map[dicom.UID]dicomnode.Service{
		class: dicomnode.ServiceFunc(func(context.Context, *dicomnode.Request) (*dicomnode.Response, error) {
			once.Do(func() { go func() { down <- s.Shutdown(context.Background()) }() })
			time.Sleep(700 * time.Millisecond) // longer than who idles may stay
			return nil, nil
		}),
	}}
	a, err := client.Associate(t.Context(), addr, "ENDOGATE", contexts)
	require.NoError(t, err)
	defer a.Abort()
	rsp, err := a.Send(t.Context(), &dicomnode.Request{Request: commandOf(dimse.CGetRQ, studyGet), Dataset: strings.NewReader("ab")}, nil)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, rsp.Status)
	require.Equal(t, &dimse.SubOperations{Completed: 2}, rsp.SubOperations)
	require.NoError(t, a.Release(t.Context()))
	require.NoError(t, <-down)
}

// committing answers N-ACTION, and reports on the same association that all is safe.
func committing(t testing.TB, told func(*dicomnode.Response, error)) dicomnode.ServiceFunc {
	return func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		if req.CommandField != dimse.NActionRQ {
			return nil, dicomnode.ErrNotOffered
		}
		asked := decode(t, req.Dataset, req.TransferSyntax)
		report := encode(t, dicom.Dataset{transactionUID: dicom.Text{asked.Text(transactionUID)}}, req.TransferSyntax)
		return &dicomnode.Response{Then: func(ctx context.Context, req *dicomnode.Request) error {
			rsp, err := req.Send(ctx, &dicomnode.Request{
				Request: dimse.Request{CommandField: dimse.NEventReportRQ, SOPClassUID: commitment, SOPInstanceUID: commitmentInstance, EventTypeID: 1},
				Dataset: bytes.NewReader(report),
			})
			told(rsp, err)
			return err
		}}, nil
	}
}

// reports collects what N-EVENT-REPORT says.
type reports struct {
	t  testing.TB
	mu sync.Mutex
	of []string
}

func (r *reports) Serve(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
	if req.CommandField != dimse.NEventReportRQ {
		return nil, dicomnode.ErrNotOffered
	}
	ds := decode(r.t, req.Dataset, req.TransferSyntax)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of = append(r.of, fmt.Sprintf("event %d of %s: %s", req.EventTypeID, req.SOPInstanceUID, ds.Text(transactionUID)))
	return nil, nil
}

func (r *reports) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.of...)
}

func actionRequest(t testing.TB, uid string) *dicomnode.Request {
	return &dicomnode.Request{
		Request:        dimse.Request{CommandField: dimse.NActionRQ, SOPClassUID: commitment, SOPInstanceUID: commitmentInstance, ActionTypeID: 1},
		TransferSyntax: dicom.ExplicitVRLittleEndian,
		Dataset:        bytes.NewReader(encode(t, dicom.Dataset{transactionUID: dicom.Text{uid}}, dicom.ExplicitVRLittleEndian)),
	}
}

// Storage Commitment on one association: the SCP reports after it has answered, whether the SCU waits for it, does
// something else or is about to release.
func TestService_eventsOnTheSameAssociation(t *testing.T) {
	told := make(chan dimse.Status, 10)
	addr := serve(t, serving(commitment, committing(t, func(rsp *dicomnode.Response, err error) {
		if err == nil {
			told <- rsp.Status
		}
	})))
	events := &reports{t: t}
	client := &dicomnode.Client{AETitle: "SCOPE1", Services: map[dicom.UID]dicomnode.Service{commitment: events}}
	a, err := client.Associate(t.Context(), addr, "ENDOGATE", append(dicomnode.ServiceContexts(commitment), dicomnode.VerificationContexts()...))
	require.NoError(t, err)
	defer a.Abort()
	action := func(uid string) {
		rsp, err := a.Send(t.Context(), actionRequest(t, uid), nil)
		require.NoError(t, err)
		require.Equal(t, dimse.Success, rsp.Status)
	}
	action("1.2.1")
	served, err := a.Serve(t.Context(), patience)
	require.NoError(t, err)
	require.True(t, served)
	require.Equal(t, dimse.Success, <-told)
	served, err = a.Serve(t.Context(), tick)
	require.NoError(t, err)
	require.False(t, served, "nothing has come, and that is no fault")

	action("1.2.2")
	status, err := a.Echo(t.Context()) // the report comes before or in place of the answer
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.Equal(t, dimse.Success, <-told)
	want := "event 1 of " + string(commitmentInstance) + ": "
	require.Equal(t, []string{want + "1.2.1", want + "1.2.2"}, events.all())
	require.NoError(t, a.Release(t.Context()))

	client.Services = nil // an SCU that does not listen refuses, and is none the worse for it
	a, err = client.Associate(t.Context(), addr, "ENDOGATE", dicomnode.ServiceContexts(commitment))
	require.NoError(t, err)
	defer a.Abort()
	action("1.2.3")
	served, err = a.Serve(t.Context(), patience)
	require.NoError(t, err)
	require.True(t, served)
	require.Equal(t, dimse.UnrecognizedOperation, <-told)
	require.NoError(t, a.Release(t.Context()))
}

// Storage Commitment on an association of the SCP: it has to be the SCP of it, and says so.
func TestService_eventsOnAnotherAssociation(t *testing.T) {
	events := &reports{t: t}
	s := serving(commitment, events.Serve)
	for i := range s.Contexts {
		s.Contexts[i].Roles = dicomnode.RequestorIsBoth
	}
	addr := serve(t, s)
	event := func(a *dicomnode.Association) (*dicomnode.Response, error) {
		report := encode(t, dicom.Dataset{transactionUID: dicom.Text{"1.2.3"}}, dicom.ExplicitVRLittleEndian)
		return a.Send(t.Context(), &dicomnode.Request{
			Request: dimse.Request{CommandField: dimse.NEventReportRQ, SOPClassUID: commitment, SOPInstanceUID: commitmentInstance, EventTypeID: 2},
			Dataset: bytes.NewReader(report),
		}, nil)
	}
	contexts := dicomnode.ServiceContexts(commitment)
	a := associate(t, addr, contexts)
	_, err := event(a)
	var role *dicomnode.RoleError
	require.ErrorAs(t, err, &role)
	require.NoError(t, a.Err(), "nothing was sent")

	contexts[0].Roles = dicomnode.RequestorIsSCP
	a = associate(t, addr, contexts)
	require.Equal(t, dicomnode.RequestorIsSCP, a.Contexts[0].Roles)
	rsp, err := event(a)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, rsp.Status)
	require.Equal(t, uint16(2), rsp.EventTypeID)
	require.Equal(t, []string{"event 2 of " + string(commitmentInstance) + ": 1.2.3"}, events.all())
	_, err = a.Send(t.Context(), actionRequest(t, "1.2.3"), nil)
	require.ErrorAs(t, err, &role, "who is the SCP asks nothing")
}

// The roles that are answered to those proposed (PS3.7 D.3.3.4), and what becomes of the context.
func TestAssociate_roles(t *testing.T) {
	for _, row := range []struct {
		accepted, proposed dicomnode.Roles
		answered           *pdu.RoleSelection
		want               dicomnode.Roles
		result             dicomnode.ContextResult
	}{
		{dicomnode.RequestorIsSCU, dicomnode.RequestorIsSCU, nil, dicomnode.RequestorIsSCU, 0},
		{dicomnode.RequestorIsBoth, dicomnode.RequestorIsSCU, nil, dicomnode.RequestorIsSCU, 0},
		{dicomnode.RequestorIsSCU, dicomnode.RequestorIsBoth, &pdu.RoleSelection{SCU: true}, dicomnode.RequestorIsSCU, 0},
		{dicomnode.RequestorIsSCP, dicomnode.RequestorIsBoth, &pdu.RoleSelection{SCP: true}, dicomnode.RequestorIsSCP, 0},
		{dicomnode.RequestorIsBoth, dicomnode.RequestorIsBoth, &pdu.RoleSelection{SCU: true, SCP: true}, dicomnode.RequestorIsBoth, 0},
		{dicomnode.RequestorIsBoth, dicomnode.RequestorIsSCP, &pdu.RoleSelection{SCP: true}, dicomnode.RequestorIsSCP, 0},
		{dicomnode.RequestorIsSCU, dicomnode.RequestorIsSCP, &pdu.RoleSelection{}, 0, dicomnode.ContextUserRejection},
	} {
		t.Run(fmt.Sprintf("%s of %s", row.proposed, row.accepted), func(t *testing.T) {
			s := serving(commitment, new(reports).Serve)
			s.Contexts[len(s.Contexts)-1].Roles = row.accepted
			addr := serve(t, s)
			contexts := dicomnode.ServiceContexts(commitment)
			contexts[0].Roles = row.proposed
			a := associate(t, addr, contexts)
			require.Equal(t, row.result, a.Contexts[0].Result)
			if row.result == 0 {
				require.Equal(t, row.want, a.Contexts[0].Roles)
			}

			rq := dicomtest.Request("SCOPE1", "ENDOGATE", []string{string(dicom.ImplicitVRLittleEndian)}, string(commitment))
			var want []pdu.RoleSelection
			if row.answered != nil {
				row.answered.SOPClassUID = string(commitment)
				want = append(want, *row.answered)
				rq.User.Roles = []pdu.RoleSelection{{SOPClassUID: string(commitment), SCU: row.proposed != dicomnode.RequestorIsSCP, SCP: row.proposed != dicomnode.RequestorIsSCU}}
			}
			require.Equal(t, want, dicomtest.Dial(t, addr).Associate(rq).User.Roles)
		})
	}
}

// A peer that ignores role selection leaves the default roles.
func TestAssociate_rolesNotAnswered(t *testing.T) {
	addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
		rq := p.Accept()
		assert.Equal(t, []pdu.RoleSelection{{SOPClassUID: string(commitment), SCP: true}}, rq.User.Roles)
		p.Expect(userAbort)
	})
	contexts := dicomnode.ServiceContexts(commitment)
	contexts[0].Roles = dicomnode.RequestorIsSCP
	a, err := archive.Associate(t.Context(), addr, "ARCHIVE", contexts)
	require.NoError(t, err)
	defer a.Abort()
	require.Equal(t, dicomnode.RequestorIsSCU, a.Contexts[0].Roles)
}

// A peer that asks on and never answers does not make the server remember more and more.
func TestService_thenIsBounded(t *testing.T) {
	request := dicomtest.Request("SCOPE1", "ENDOGATE", []string{string(dicom.ExplicitVRLittleEndian)}, string(commitment))
	p := dicomtest.Dial(t, serve(t, serving(commitment, committing(t, func(*dicomnode.Response, error) {}))))
	p.Associate(request)
	ds := encode(t, dicom.Dataset{transactionUID: dicom.Text{"1.2"}}, dicom.ExplicitVRLittleEndian)
	for id := range uint16(40) {
		p.Send(dicomtest.Command(1, &dimse.Request{
			CommandField: dimse.NActionRQ, MessageID: id, SOPClassUID: commitment, SOPInstanceUID: commitmentInstance, ActionTypeID: 1, HasDataset: true,
		}), dicomtest.Fragment(1, true, ds))
	}
	var last pdu.PDU
	answers := 0
	for ; answers < 25; answers++ {
		if last = p.Receive(); last.Type() == pdu.TypeAbort {
			break
		}
	}
	require.Equal(t, &pdu.Abort{Source: pdu.AbortServiceProvider, Reason: pdu.UnexpectedPDUParameter}, last)
	require.NoError(t, p.Conn.Close())
}

// What a response must not be: without end, on a command that was not sent.
func TestAssociation_datasetOfAResponseIsBounded(t *testing.T) {
	addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
		p.Accept()
		p.ReceiveCommand()
		p.ReceiveDataset()
		p.Send(dicomtest.Command(1, &dimse.Response{CommandField: 0x8020, MessageIDBeingRespondedTo: 1, Status: dimse.PendingMatches, HasDataset: true}))
		fragment := make([]byte, 100<<10)
		for range 200 {
			p.Send(dicomtest.Fragment(1, false, fragment))
		}
		got := p.Rest()
		assert.Equal(t, []pdu.PDU{&pdu.Abort{Source: pdu.AbortServiceProvider, Reason: pdu.InvalidPDUParameterValue}}, got)
	})
	a, err := archive.Associate(t.Context(), addr, "ARCHIVE", dicomnode.ServiceContexts(studyFind))
	require.NoError(t, err)
	_, err = a.Send(t.Context(), findRequest(t, a, studyFind), nil)
	require.ErrorContains(t, err, "above 16777216 bytes")
	require.Error(t, a.Err())
}

func TestServe_servicesAndContextsFit(t *testing.T) {
	for name, change := range map[string]func(s *dicomnode.Server){
		"a service that nobody can reach": func(s *dicomnode.Server) {
			s.Services = map[dicom.UID]dicomnode.Service{worklist: finding(t, 1)}
		},
		"a context without a service": func(s *dicomnode.Server) {
			s.Contexts, s.Handler = append(s.Contexts, dicomnode.ServiceContexts(worklist)...), nil
		},
	} {
		s := newServer(new(storing))
		s.Log = slog.New(slog.DiscardHandler)
		change(s)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.ErrorContains(t, s.Serve(ln), "dicomnode: server with", name)
	}
}
