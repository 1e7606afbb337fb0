package dicomnode_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

var archive = &dicomnode.Client{AETitle: "ENDOGATE"}

// withPeer associates with a scripted acceptor, for an endoscopic image.
func withPeer(t *testing.T, script func(p *dicomtest.Peer)) (*dicomnode.Association, *dicomnode.StoreRequest) {
	t.Helper()
	addr := dicomtest.Listen(t, script)
	_, req := instance(dicomtest.Options{})
	a, err := archive.Associate(t.Context(), addr, "ARCHIVE", contextsFor(req))
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Abort() })
	return a, req
}

func TestAssociate_proposal(t *testing.T) {
	_, req := instance(dicomtest.Options{})
	got := make(chan *pdu.AssociateRQ, 1)
	addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
		got <- p.Accept()
		p.Expect(&pdu.ReleaseRQ{})
		p.Send(&pdu.ReleaseRP{})
	})
	a, err := archive.Associate(t.Context(), addr, "ARCHIVE", contextsFor(req))
	require.NoError(t, err)
	rq := <-got
	require.Equal(t, "ENDOGATE", rq.CallingAE)
	require.Equal(t, "ARCHIVE", rq.CalledAE)
	require.Equal(t, pdu.ApplicationContext, rq.ApplicationContext)
	require.Equal(t, dicomnode.DefaultMaxPDULength, rq.User.MaximumLength)
	require.Equal(t, string(dicom.ImplementationClassUID), rq.User.ImplementationClassUID)
	require.Equal(t, dicom.ImplementationVersionName, rq.User.ImplementationVersionName)
	require.Equal(t, []pdu.PresentationContextRQ{
		{ID: 1, AbstractSyntax: string(dicom.VLEndoscopicImageStorage), TransferSyntaxes: []string{string(dicom.ExplicitVRLittleEndian)}},
		{ID: 3, AbstractSyntax: string(dicom.Verification), TransferSyntaxes: []string{
			string(dicom.ExplicitVRLittleEndian), string(dicom.ImplicitVRLittleEndian), string(dicom.ExplicitVRBigEndian),
		}},
	}, rq.Contexts)
	require.True(t, a.Accepted(dicom.VLEndoscopicImageStorage, dicom.ExplicitVRLittleEndian))
	require.False(t, a.Accepted(dicom.VLEndoscopicImageStorage, dicom.ImplicitVRLittleEndian))
	require.False(t, a.Accepted(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian))
	require.NoError(t, a.Release(t.Context()))
	require.NoError(t, a.Release(t.Context()), "a second time does nothing")
	require.NoError(t, a.Abort())
}

// What a peer may answer to the contexts, and what is made of it.
func TestAssociate_strangeAnswers(t *testing.T) {
	explicit := string(dicom.ExplicitVRLittleEndian)
	for _, row := range []struct {
		name   string
		answer []pdu.PresentationContextAC
		want   dicomnode.ContextResult
	}{
		{"another transfer syntax than proposed", []pdu.PresentationContextAC{{ID: 1, TransferSyntax: string(dicom.JPEGBaseline8Bit)}}, dicomnode.ContextSyntaxNotProposed},
		{"no answer to the context", nil, dicomnode.ContextUnanswered},
		{"answer to another context", []pdu.PresentationContextAC{{ID: 7, TransferSyntax: explicit}}, dicomnode.ContextUnanswered},
		{"no reason", []pdu.PresentationContextAC{{ID: 1, Result: 2, TransferSyntax: explicit}}, dicomnode.ContextNoReason},
		{"user rejection", []pdu.PresentationContextAC{{ID: 1, Result: 1, TransferSyntax: explicit}}, dicomnode.ContextUserRejection},
		{"a reserved result", []pdu.PresentationContextAC{{ID: 1, Result: 77, TransferSyntax: explicit}}, 77},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, req := instance(dicomtest.Options{})
			addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
				ac := dicomtest.Answer(p.Receive().(*pdu.AssociateRQ))
				ac.Contexts = row.answer
				p.Send(ac)
				p.Expect(&pdu.ReleaseRQ{})
				p.Send(&pdu.ReleaseRP{})
			})
			a, err := archive.Associate(t.Context(), addr, "ARCHIVE", contextsFor(req)[:1])
			require.NoError(t, err)
			_, err = a.Store(t.Context(), req)
			var missing *dicomnode.ContextError
			require.ErrorAs(t, err, &missing)
			require.Equal(t, row.want, missing.Result)
			_, err = a.Echo(t.Context())
			require.ErrorAs(t, err, &missing, "Verification was not proposed")
			require.NoError(t, a.Release(t.Context()))
		})
	}
}

func TestAssociate_refusesToPropose(t *testing.T) {
	one := dicomnode.VerificationContexts()
	for name, try := range map[string]func() error{
		"our title":   func() error { _, err := (&dicomnode.Client{}).Associate(t.Context(), "", "X", one); return err },
		"their title": func() error { _, err := archive.Associate(t.Context(), "", "", one); return err },
		"no context":  func() error { _, err := archive.Associate(t.Context(), "", "X", nil); return err },
		"too many contexts": func() error {
			_, err := archive.Associate(t.Context(), "", "X", make([]dicomnode.PresentationContext, 129))
			return err
		},
	} {
		require.Error(t, try(), name)
	}
}

func TestAssociate_nobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	_, err = archive.Associate(t.Context(), ln.Addr().String(), "ARCHIVE", dicomnode.VerificationContexts())
	var op *net.OpError
	require.ErrorAs(t, err, &op)
}

// Cancelling ends an operation wherever it waits, with the cause; the peer gets an A-ABORT.
func TestAssociation_cancel(t *testing.T) {
	why := errors.New("shutting down")
	for _, row := range []struct {
		name   string
		script func(p *dicomtest.Peer, cancel func())
		run    func(ctx context.Context, a *dicomnode.Association, req *dicomnode.StoreRequest) error
	}{
		{"waiting for a response", func(p *dicomtest.Peer, cancel func()) {
			p.ReceiveCommand()
			p.ReceiveDataset()
			cancel()
			p.Expect(userAbort)
			p.ExpectClosed()
		}, func(ctx context.Context, a *dicomnode.Association, req *dicomnode.StoreRequest) error {
			_, err := a.Store(ctx, req)
			return err
		}},
		{"sending to a peer that does not read", func(p *dicomtest.Peer, cancel func()) {
			p.Receive()
			cancel()
		}, func(ctx context.Context, a *dicomnode.Association, req *dicomnode.StoreRequest) error {
			req.Dataset = zeros{}
			_, err := a.Store(ctx, req)
			return err
		}},
		{"waiting for A-RELEASE-RP", func(p *dicomtest.Peer, cancel func()) {
			p.Expect(&pdu.ReleaseRQ{})
			cancel()
			p.Expect(userAbort)
			p.ExpectClosed()
		}, func(ctx context.Context, a *dicomnode.Association, _ *dicomnode.StoreRequest) error {
			return a.Release(ctx)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			a, req := withPeer(t, func(p *dicomtest.Peer) {
				p.Accept()
				row.script(p, func() { cancel(why) })
			})
			require.ErrorIs(t, row.run(ctx, a, req), why)
			require.ErrorIs(t, a.Err(), why)
			_, err := a.Echo(t.Context())
			require.ErrorIs(t, err, dicomnode.ErrEnded)
		})
	}
	t.Run("associating", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
			p.Receive()
			cancel(why)
			p.Expect(userAbort)
			p.ExpectClosed()
		})
		_, err := archive.Associate(ctx, addr, "ARCHIVE", dicomnode.VerificationContexts())
		require.ErrorIs(t, err, why)
	})
}

// That the peer has ended an idle association is found out before anything is sent, and said with ErrEnded.
func TestAssociation_endedWhileIdle(t *testing.T) {
	for name, script := range map[string]func(p *dicomtest.Peer){
		"closed":   func(*dicomtest.Peer) {},
		"aborted":  func(p *dicomtest.Peer) { p.Send(userAbort) },
		"released": func(p *dicomtest.Peer) { p.Send(&pdu.ReleaseRQ{}); p.Expect(&pdu.ReleaseRP{}) },
		"talked":   func(p *dicomtest.Peer) { p.Send(echoRSP); p.Rest() },
	} {
		t.Run(name, func(t *testing.T) {
			begin := make(chan struct{})
			a, req := withPeer(t, func(p *dicomtest.Peer) {
				p.Accept()
				<-begin
				script(p)
			})
			close(begin)
			dataset := &countingReader{r: req.Dataset}
			req.Dataset = dataset
			var err error
			eventually(t, func() bool { // the peer's bytes have to have come
				if err = a.Err(); err == nil {
					err = a.Release(cancelled())
				}
				return a.Err() != nil
			}, "the end is not noticed")
			_, err = a.Store(t.Context(), req)
			require.ErrorIs(t, err, dicomnode.ErrEnded)
			require.Zero(t, dataset.n, "nothing was read to be sent, so the instance can be sent again")
		})
	}
}

// cancelled returns a context that is over: an operation with it does nothing but look whether the association stands.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// A response that does not belong to the request is no answer.
func TestAssociation_wrongResponses(t *testing.T) {
	for name, rsp := range map[string]dimse.Command{
		"another message": &dimse.Response{CommandField: dimse.CStoreRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: 2},
		"another service": &dimse.Response{CommandField: dimse.CFindRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: 1},
	} {
		t.Run(name, func(t *testing.T) {
			a, req := withPeer(t, func(p *dicomtest.Peer) {
				p.Accept()
				p.ReceiveCommand()
				p.ReceiveDataset()
				p.Send(dicomtest.Command(1, rsp))
				p.Expect(&pdu.Abort{Source: pdu.AbortServiceProvider, Reason: pdu.UnexpectedPDUParameter})
			})
			status, err := a.Store(t.Context(), req)
			require.Error(t, err)
			require.NotEqual(t, dimse.Success, status)
		})
	}
}

// A response to C-STORE has no data set (PS3.7 9.3.1.2). Where a peer says that it has one, nobody waits for it; where one
// comes, at once or late, it is passed over.
func TestAssociation_responseSaysDataset(t *testing.T) {
	for name, row := range map[string]struct{ at, late bool }{
		"none comes": {}, "with the response": {at: true}, "with the next response": {late: true},
	} {
		t.Run(name, func(t *testing.T) {
			stray := dicomtest.Fragment(1, true, []byte("identifier"))
			a, req := withPeer(t, func(p *dicomtest.Peer) {
				p.Accept()
				for id := range uint16(3) {
					p.ReceiveCommand()
					p.ReceiveDataset()
					if row.late && id > 0 {
						p.Send(stray)
					}
					p.Send(dicomtest.Command(1, &dimse.Response{CommandField: dimse.CStoreRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: id + 1, HasDataset: true}))
					if row.at {
						p.Send(stray)
					}
				}
				p.Expect(&pdu.ReleaseRQ{})
				p.Send(&pdu.ReleaseRP{})
				p.ExpectClosed()
			})
			want, _ := instance(dicomtest.Options{Rows: 20, Columns: 20})
			for range 3 {
				req.Dataset = bytes.NewReader(want)
				status, err := a.Store(t.Context(), req)
				require.NoError(t, err)
				require.Equal(t, dimse.Success, status)
			}
			require.NoError(t, a.Release(t.Context()))
		})
	}
}

// What the peer receives is the request as it was given, numbered from 1.
func TestAssociation_request(t *testing.T) {
	want, req := instance(dicomtest.Options{Rows: 200, Columns: 200})
	req.MoveOriginatorAETitle, req.MoveOriginatorMessageID, req.Priority = "MOVER", 77, dimse.PriorityLow
	addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
		p.Accept()
		for id := range uint16(2) {
			pc, c := p.ReceiveCommand()
			assert.Equal(t, uint8(1), pc)
			assert.Equal(t, &dimse.Request{
				CommandField: dimse.CStoreRQ, HasDataset: true,
				MessageID: id + 1, Priority: dimse.PriorityLow, SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID,
				MoveOriginatorApplicationEntityTitle: "MOVER", MoveOriginatorMessageID: 77,
			}, c)
			ds := p.ReceiveDataset()
			if id == 0 {
				assert.Equal(t, want, ds)
			}
			p.Send(dicomtest.Command(1, &dimse.Response{CommandField: dimse.CStoreRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: id + 1, Status: dimse.CoercionOfDataElements, ErrorComment: "changed"}))
		}
	})
	a, err := archive.Associate(t.Context(), addr, "ARCHIVE", contextsFor(req))
	require.NoError(t, err)
	defer a.Abort()
	for range 2 {
		status, err := a.Store(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, dimse.CoercionOfDataElements, status)
		require.Equal(t, "changed", a.ErrorComment())
	}
}

func TestAssociation_refusesToSend(t *testing.T) {
	a, req := withPeer(t, func(p *dicomtest.Peer) { p.Accept(); p.Rest() })
	for _, uid := range []dicom.UID{"", "../x", "1.2/x"} {
		bad := *req
		bad.SOPInstanceUID = uid
		_, err := a.Store(t.Context(), &bad)
		require.Error(t, err)
	}
	bad := *req
	bad.Dataset = nil
	_, err := a.Store(t.Context(), &bad)
	require.Error(t, err)
	require.NoError(t, a.Err(), "nothing was sent")
}

// Abort from another goroutine ends a request that is under way.
func TestAssociation_abortUnderARequest(t *testing.T) {
	waiting := make(chan struct{})
	a, req := withPeer(t, func(p *dicomtest.Peer) {
		p.Accept()
		p.ReceiveCommand()
		p.ReceiveDataset()
		close(waiting)
		p.Expect(userAbort)
	})
	failed := make(chan error, 1)
	go func() { _, err := a.Store(context.Background(), req); failed <- err }()
	<-waiting
	require.NoError(t, a.Abort())
	require.Error(t, <-failed)
	require.Error(t, a.Err())
}
