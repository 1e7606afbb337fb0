package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/pdu"
	"endogate/dicomnode/spool"
	"endogate/inference/analysis"
)

// stores are a real spool and a real ledger.
type stores struct {
	t      testing.TB
	spool  *spool.Spool
	ledger *ledger.Ledger
	n      int
}

func newStores(t testing.TB) *stores {
	t.Helper()
	s := &stores{t: t}
	var err error
	s.spool, err = spool.Open(filepath.Join(t.TempDir(), "spool"), spool.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.spool.Close()) })
	s.ledger, err = ledgertest.Open(filepath.Join(t.TempDir(), "ledger.db"), ledger.Open)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.ledger.Close()) })
	return s
}

// keep puts an instance of a SOP class into the spool.
func (s *stores) keep(class, syntax dicom.UID) spool.Entry {
	s.t.Helper()
	s.n++
	uid := "2.25." + strconv.Itoa(1000+s.n)
	ds := dicom.Dataset{
		dicom.SOPClassUID: dicom.Text{string(class)}, dicom.SOPInstanceUID: dicom.Text{uid},
		dicom.StudyInstanceUID: dicom.Text{"2.25.1"}, dicom.SeriesInstanceUID: dicom.Text{"2.25.2"},
	}
	w, err := s.spool.Create()
	require.NoError(s.t, err)
	_, err = w.Write(dicomtest.Encode(ds, dicom.ExplicitVRLittleEndian))
	require.NoError(s.t, err)
	e, err := w.Commit(spool.Entry{
		Kind: spool.Derived, TransferSyntaxUID: syntax, At: time.Now(),
		Header: dicom.Header{SOPInstance: dicom.SOPInstance{
			SOPClassUID: class, SOPInstanceUID: dicom.UID(uid), StudyInstanceUID: "2.25.1", SeriesInstanceUID: "2.25.2",
		}},
	})
	require.NoError(s.t, err)
	return e
}

func object(e spool.Entry, destinations ...string) ledger.Object {
	return ledger.Object{
		Entry: e.ID, Instance: e.Header.SOPInstance, TransferSyntaxUID: e.TransferSyntaxUID, Purpose: "heatmap",
		Rank: ledger.RankHeatmap, Destinations: destinations,
	}
}

func dicomMessage(e spool.Entry) Message { return Message{Kind: ledger.KindDICOM, Entry: e.ID} }

// outgoing makes a source in the ledger whose job gives objects.
func (s *stores) outgoing(objects ...ledger.Object) {
	s.t.Helper()
	ctx := s.t.Context()
	source := s.keep(dicom.VLEndoscopicImageStorage, dicom.ExplicitVRLittleEndian)
	_, err := s.ledger.Receive(ctx, []ledger.Receipt{{
		ID: source.ID, Seq: source.Seq, Header: source.Header, TransferSyntaxUID: source.TransferSyntaxUID,
		At: source.At, Size: source.Size, Digest: source.Digest, Models: []string{"m"},
	}}, source.Seq)
	require.NoError(s.t, err)
	job := ledger.JobID(source.ID, "m")
	_, err = s.ledger.StartJob(ctx, job, time.Now())
	require.NoError(s.t, err)
	require.NoError(s.t, s.ledger.FinishJob(ctx, job, analysis.Model{}, nil, objects, time.Now()))
}

// counting counts the connections that a client makes.
func (s *stores) sender(addr, called string, made *int) *DICOM {
	client := &dicomnode.Client{AETitle: "ENDOGATE", ConnectTimeout: 5 * time.Second, ResponseTimeout: 20 * time.Second}
	client.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		*made++
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return &DICOM{Client: client, Address: addr, Called: dicom.AETitle(called), Spool: s.spool}
}

// peer is a scripted application entity.
type peer struct {
	addr  string
	abort func()      // ends every association at once
	ended chan string // why an association ended without release

	mu     sync.Mutex
	status dimse.Status
	last   []byte // data set
	breaks bool   // abort instead of an answer
	silent bool   // no answer
}

func (p *peer) Store(ctx context.Context, req *dicomnode.StoreRequest) error {
	last, err := io.ReadAll(req.Dataset)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = last
	if p.breaks {
		go p.abort()
		<-ctx.Done()
		return ctx.Err()
	}
	if p.silent {
		p.mu.Unlock() // another association may ask
		<-ctx.Done()
		p.mu.Lock()
		return ctx.Err()
	}
	if p.status == dimse.Success {
		return nil
	}
	return &dimse.Error{Status: p.status, Comment: "Müller^Jörgen is not known here"}
}

func (p *peer) answers(s dimse.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = s
}

func startPeer(t *testing.T, classes ...dicom.UID) *peer {
	t.Helper()
	return startPeerIdle(t, time.Minute, classes...)
}

// startPeerIdle starts a peer that aborts an association after idle without a message.
func startPeerIdle(t *testing.T, idle time.Duration, classes ...dicom.UID) *peer {
	t.Helper()
	p := &peer{ended: make(chan string, 100)}
	var contexts []dicomnode.PresentationContext
	for _, class := range classes {
		contexts = append(contexts, dicomnode.PresentationContext{AbstractSyntax: class, TransferSyntaxes: []dicom.UID{dicom.ExplicitVRLittleEndian}})
	}
	srv := &dicomnode.Server{
		AETitle: "PACS", Contexts: contexts, Handler: p, Log: slog.New(slog.DiscardHandler),
		Peers: []dicomnode.Peer{{Hosts: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}, IdleTimeout: idle,
		Observe: dicomnode.Observer{Aborted: func(cause string) { p.ended <- cause }},
	}
	p.abort = func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = srv.Shutdown(ctx)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
		assert.ErrorIs(t, <-done, dicomnode.ErrServerClosed)
	})
	return p
}

func TestDICOM_statuses(t *testing.T) {
	s, p := newStores(t), startPeer(t, dicom.SecondaryCaptureImageStorage)
	made := 0
	sender := s.sender(p.addr, "PACS", &made)
	defer func() { assert.NoError(t, sender.Rest(context.Background())) }()
	e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
	for status, class := range map[dimse.Status]Class{
		dimse.OutOfResources: Later, 0xA7FF: Later, dimse.ProcessingFailure: Later, dimse.ResourceLimitation: Later,
		dimse.DataSetDoesNotMatchSOPClass: Never, 0xC123: Never, 0xA777: Never, dimse.NotAuthorized: DestinationDown,
		dimse.SOPClassNotSupported: SendAlternate,
	} {
		p.answers(status)
		o := sender.Send(t.Context(), dicomMessage(e))
		assert.Equal(t, class, o.Class, status)
		assert.Equal(t, ledger.Answer{Protocol: "dicom", Code: status.String()[:4], Text: "M?ller^J?rgen is not known here"}, o.answer())
		assert.NotContains(t, o.Reason, "ller", "the peer's comment may name a patient")
	}
	p.answers(0xA777)
	assert.Equal(t, "peer PACS answered A777, and does not accept the object", sender.Send(t.Context(), dicomMessage(e)).Reason, "there is room")
	for status, class := range map[dimse.Status]Class{
		dimse.Success: Done, dimse.DuplicateSOPInstance: Done, dimse.CoercionOfDataElements: DoneWithWarning,
		dimse.ElementsDiscarded: DoneWithWarning, dimse.DataSetDoesNotMatchSOPClassWarning: DoneWithWarning,
	} {
		p.answers(status)
		o := sender.Send(t.Context(), dicomMessage(e))
		assert.Equal(t, class, o.Class, status)
		assert.Equal(t, status.String()[:4], o.Code)
		assert.Empty(t, o.Reason)
	}
	assert.Equal(t, 1, made, "one association for all")
}

// What a peer does instead of refusing a context is told as that.
func TestDICOM_strangeContexts(t *testing.T) {
	for _, row := range []struct {
		want   string
		answer func(*pdu.AssociateAC)
	}{
		{
			"peer PACS does not accept Comprehensive 3D SR Storage in Explicit VR Little Endian (accepted in a transfer syntax that was not proposed, a fault of the peer)",
			func(ac *pdu.AssociateAC) {
				for i := range ac.Contexts[1:] {
					ac.Contexts[1+i].TransferSyntax = string(dicom.ExplicitVRBigEndian)
				}
			},
		},
		{
			"peer PACS does not accept Comprehensive 3D SR Storage in Explicit VR Little Endian (left out of its answer, a fault of the peer)",
			func(ac *pdu.AssociateAC) { ac.Contexts = ac.Contexts[:1] },
		},
	} {
		addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
			ac := dicomtest.Answer(p.Receive().(*pdu.AssociateRQ))
			row.answer(ac)
			p.Send(ac)
			p.Expect(&pdu.ReleaseRQ{})
			p.Send(&pdu.ReleaseRP{})
		})
		s, made := newStores(t), 0
		sender := s.sender(addr, "PACS", &made)
		assert.Equal(t, row.want, sender.Send(t.Context(), dicomMessage(s.keep(dicom.Comprehensive3DSRStorage, dicom.ExplicitVRLittleEndian))).Reason)
		require.NoError(t, sender.Rest(t.Context()))
	}
}

// TestDICOM_contexts: an association is used as long as it has what a message needs.
func TestDICOM_contexts(t *testing.T) {
	s := newStores(t)
	p := startPeer(t, dicom.SecondaryCaptureImageStorage, dicom.ComprehensiveSRStorage, dicom.VLEndoscopicImageStorage)
	made := 0
	sender := s.sender(p.addr, "PACS", &made)
	send := func(class, syntax dicom.UID) Outcome {
		return sender.Send(t.Context(), dicomMessage(s.keep(class, syntax)))
	}
	sent := func(class, syntax dicom.UID) {
		t.Helper()
		require.Equal(t, Done, send(class, syntax).Class)
	}
	explicit := dicom.ExplicitVRLittleEndian
	sent(dicom.SecondaryCaptureImageStorage, explicit)
	sent(dicom.ComprehensiveSRStorage, explicit)
	assert.Equal(t, 1, made, "what we make ourselves is proposed at once")

	failure := send(dicom.Comprehensive3DSRStorage, explicit)
	assert.Equal(t, SendAlternate, failure.Class)
	assert.Equal(t, "peer PACS does not accept Comprehensive 3D SR Storage in Explicit VR Little Endian (abstract syntax not supported)", failure.Reason)
	sent(dicom.SecondaryCaptureImageStorage, explicit)
	assert.Equal(t, 1, made, "a refusal leaves the association standing")

	sent(dicom.VLEndoscopicImageStorage, explicit)
	assert.Equal(t, 2, made, "a class that was not proposed")
	assert.Contains(t, send(dicom.VLEndoscopicImageStorage, dicom.JPEGBaseline8Bit).Reason, "in JPEG Baseline (Process 1) (transfer syntaxes not supported)")
	assert.Equal(t, 3, made)
	sent(dicom.SecondaryCaptureImageStorage, explicit)
	sent(dicom.VLEndoscopicImageStorage, explicit)
	assert.Equal(t, 3, made, "it now has all of them")

	require.NoError(t, sender.Rest(t.Context()))
	sent(dicom.SecondaryCaptureImageStorage, explicit)
	assert.Equal(t, 4, made)

	for i := range 2 * maxContexts { // more kinds of objects than an association has room for
		require.Equal(t, SendAlternate, send(dicom.UID(fmt.Sprintf("2.25.7.%d", i)), explicit).Class)
	}
	sent(dicom.SecondaryCaptureImageStorage, explicit)
	require.NoError(t, sender.Rest(t.Context()))
}

func TestStoreSCP_implicitOnly(t *testing.T) {
	s := newStores(t)
	scp := peers.StartStoreSCP(t, peers.StoreSCPOptions{Args: []string{"+xi"}})
	made := 0
	sender := s.sender(scp.Addr, scp.AETitle, &made)
	e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
	assert.Equal(t, "0000", sender.Send(t.Context(), dicomMessage(e)).Code)
	file := scp.Files(t)[string(e.Header.SOPInstanceUID)]
	assert.Contains(t, peers.Run(t, "dcmdump", file), "Little Endian Implicit")
	require.NoError(t, sender.Rest(t.Context()))
}

func TestDICOM_down(t *testing.T) {
	s := newStores(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	made := 0
	e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
	failure := s.sender(ln.Addr().String(), "PACS", &made).Send(t.Context(), dicomMessage(e))
	assert.Equal(t, DestinationDown, failure.Class)
	assert.Contains(t, failure.Reason, "connection refused")

	p := startPeer(t, dicom.SecondaryCaptureImageStorage)
	failure = s.sender(p.addr, "OTHER", &made).Send(t.Context(), dicomMessage(e))
	assert.Equal(t, DestinationDown, failure.Class, "our configuration or theirs, not the object")
	assert.Contains(t, failure.Reason, "rejects the association")
}

// TestDICOM_idle: a peer that ends the association between two messages costs nothing but a new one.
func TestDICOM_idle(t *testing.T) {
	s, p := newStores(t), startPeerIdle(t, 20*time.Millisecond, dicom.SecondaryCaptureImageStorage)
	made := 0
	sender := s.sender(p.addr, "PACS", &made)
	e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
	for range 3 {
		require.Equal(t, Done, sender.Send(t.Context(), dicomMessage(e)).Class)
		assert.Equal(t, dicomnode.CauseTimeout, <-p.ended)
	}
	assert.Equal(t, 3, made)
	sender.drop()
}

// TestDICOM_brokenOff: without an answer nobody knows whether the peer has it, but it is there.
func TestDICOM_brokenOff(t *testing.T) {
	s, p := newStores(t), startPeer(t, dicom.SecondaryCaptureImageStorage)
	p.breaks = true
	made := 0
	e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
	sender := s.sender(p.addr, "PACS", &made)
	o := sender.Send(t.Context(), dicomMessage(e))
	assert.Equal(t, DestinationDown, o.Class, "it has ended")
	assert.Empty(t, o.answer())
	assert.Equal(t, "association with PACS broke off before the answer", o.Reason)
}

// TestDICOM_silent: a peer that gives no answer to an object is asked whether it is there.
func TestDICOM_silent(t *testing.T) {
	for name, classes := range map[string][]dicom.UID{
		"answers C-ECHO":  {dicom.SecondaryCaptureImageStorage, dicom.Verification},
		"only associates": {dicom.SecondaryCaptureImageStorage},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := newStores(t), startPeer(t, classes...)
			p.silent = true
			made := 0
			sender := s.sender(p.addr, "PACS", &made)
			sender.Client.ResponseTimeout = 100 * time.Millisecond
			e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
			o := sender.Send(t.Context(), dicomMessage(e))
			assert.Equal(t, Later, o.Class)
			assert.True(t, o.Silent)
			assert.Equal(t, "peer PACS gave no answer to the object, and answers otherwise", o.Reason)
			p.mu.Lock()
			p.silent = false
			p.mu.Unlock()
			assert.Equal(t, Done, sender.Send(t.Context(), dicomMessage(e)).Class)
			assert.Equal(t, 2, made, "the association that it answered on is used")
			require.NoError(t, sender.Rest(t.Context()))
		})
	}
}

// TestDICOM_messageIDs: one request is outstanding at a time, so that an answer to message 0 is to it; one to a request
// before is passed over. Any other is a fault of the peer, and the object is not sent for ever.
func TestDICOM_messageIDs(t *testing.T) {
	for _, row := range []struct {
		name string
		ids  []uint16 // of the answers to each request, from its own
		uid  dicom.UID
		want Class
	}{
		{"zero", []uint16{0}, "", Done},
		{"zero, of another instance", []uint16{0}, "1.2.3", Never},
		{"of a request to come", []uint16{7}, "", Never},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
				p.Accept()
				for _, id := range row.ids {
					p.ReceiveCommand()
					p.ReceiveDataset()
					p.Send(dicomtest.Command(1, &dimse.Response{
						CommandField: dimse.CStoreRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: id, Status: dimse.Success, SOPInstanceUID: row.uid,
					}))
				}
				p.Rest()
			})
			s := newStores(t)
			e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
			sender := s.sender(addr, "PACS", new(int))
			o := sender.Send(t.Context(), dicomMessage(e))
			assert.Equal(t, row.want, o.Class)
			if row.want == Never {
				assert.Contains(t, o.Reason, "the number of another message, a fault of the peer")
			}
			sender.drop()
		})
	}
}

// What a peer answers against the protocol is said so, and not that it broke off: it is a fault of the peer.
func TestDICOM_answersAgainstTheProtocol(t *testing.T) {
	answer := &dimse.Response{CommandField: dimse.CStoreRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: 1}
	for name, said := range map[string]pdu.PDU{
		"to another message":                dicomtest.Command(1, &dimse.Response{CommandField: dimse.CEchoRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: 1}),
		"on a context that is not there":    dicomtest.Command(99, answer),
		"a response without its status":     dicomtest.Command(1, &dimse.Request{CommandField: dimse.CStoreRQ | dimse.ResponseBit, MessageID: 1}),
		"an association while there is one": &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 1},
	} {
		t.Run(name, func(t *testing.T) {
			addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
				p.Accept()
				p.ReceiveCommand()
				p.ReceiveDataset()
				p.Send(said)
				p.Rest()
			})
			s := newStores(t)
			sender := s.sender(addr, "PACS", new(int))
			defer sender.drop()
			o := sender.Send(t.Context(), dicomMessage(s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)))
			assert.True(t, o.Silent)
			assert.Contains(t, o.Reason, "answers against the protocol, a fault of the peer")
		})
	}
}

// A peer that gives each answer twice, or to message 0, is told of once, however many objects it gets.
func TestDICOM_messageIDsAgain(t *testing.T) {
	const objects = 4
	for _, zero := range []bool{false, true} {
		addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
			p.Accept()
			for range objects {
				_, rq := p.ReceiveCommand()
				p.ReceiveDataset()
				id := rq.(*dimse.Request).MessageID
				if zero {
					id = 0
				}
				answer := dicomtest.Command(1, &dimse.Response{CommandField: dimse.CStoreRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: id, Status: dimse.Success})
				p.Send(answer)
				if !zero {
					p.Send(answer)
				}
			}
			p.Rest()
		})
		s, made := newStores(t), 0
		sender := s.sender(addr, "PACS", &made)
		var log bytes.Buffer
		sender.Client.Log = slog.New(slog.NewTextHandler(&log, nil))
		for range objects {
			e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
			o := sender.Send(t.Context(), dicomMessage(e))
			assert.Equal(t, Done, o.Class, o.Reason)
		}
		assert.Equal(t, 1, made)
		if zero {
			assert.Equal(t, 1, strings.Count(log.String(), "message ID 0"))
		}
		sender.drop()
	}
}

// TestDICOM_noContext: a peer that accepts the association and nothing of what it is offered is asked again soon: that is
// configured over there, and all objects wait for it.
func TestDICOM_noContext(t *testing.T) {
	s, p := newStores(t), startPeer(t, dicom.Verification)
	e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
	sender := s.sender(p.addr, "PACS", new(int))
	o := sender.Send(t.Context(), dicomMessage(e))
	assert.Equal(t, Later, o.Class)
	assert.False(t, o.Silent)
	assert.Contains(t, o.Reason, "accepts the association and none of what it is offered")
	sender.drop()
}

// TestDICOM_patience: how long an answer may take is the object's own: what is waited for grows with its size.
func TestDICOM_patience(t *testing.T) {
	assert.Zero(t, Message{}.patience(1<<40))
	assert.Equal(t, 10*time.Second, Message{Patience: 10 * time.Second}.patience(1<<20))
	assert.Equal(t, 10*time.Second+512*time.Second, Message{Patience: 10 * time.Second}.patience(2<<30))

	s, p := newStores(t), startPeer(t, dicom.SecondaryCaptureImageStorage)
	p.silent = true
	sender := s.sender(p.addr, "PACS", new(int))
	m := dicomMessage(s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian))
	m.Patience = 50 * time.Millisecond
	o := sender.Send(t.Context(), m) // the client's own two minutes would be too long for the test
	assert.True(t, o.Silent)
	assert.Equal(t, "peer PACS gave no answer to the object, and answers otherwise", o.Reason)
	sender.drop()
}

// TestMeaning: what is said beside a status counts where it speaks for the other alone.
func TestMeaning(t *testing.T) {
	patientID := []dicom.Tag{dicom.PatientID}
	for _, row := range []struct {
		status    dimse.Status
		comment   string
		offending []dicom.Tag
		want      Class
	}{
		{0xA777, "No Patient ID (from trusted Assigning Authority) in object.", nil, Never},
		{0xA777, "", nil, Never},
		{0xA700, "", nil, Later},
		{0xA700, "out of disk space", nil, Later},
		{0xA700, "no space left for study", nil, Later},
		{0xA700, "cannot store instance: database is locked", nil, Later},
		{0xA700, "Patient ID missing", nil, Never},
		{0xA701, "unknown patient", nil, Never},
		{0xA7FF, "Refused: duplicate SOP Instance", nil, Never},
		{0xA700, "", patientID, Never},
		{0xA700, "Cannot process request", nil, Later},
		{0x0110, "", nil, Later},
		{0x0110, "Processing failure", nil, Later},
		{0x0110, "Missing attribute", patientID, Never},
		{0x0110, "Invalid character set", nil, Never},
		{0x0213, "Quota of patient exceeded, retry later", nil, Later},
		{0xC000, "", nil, Never},
		{0xC000, "Unable to parse object", nil, Never},
		{0xC001, "Disk full", nil, Later},
		{0xC123, "Could not connect to database", nil, Later},
		{0xC123, "duplicate key in database", nil, Never},
		{0xC000, "Server is busy. Try again", nil, Later},
		{0xA900, "Study is locked by another user", nil, Later},
		{0xA900, "SOP class does not match", nil, Never},
		{0xC000, "successfully rejected", nil, Never}, // "full" is no word here
		{0x0122, "disk full", nil, SendAlternate},
		{0x0124, "try again later", nil, DestinationDown},
		{0x0111, "already there", nil, Done},
		{0x0000, "disk nearly full", nil, Done},
		{0xB000, "patient name changed", nil, DoneWithWarning},
		{0xB006, "", nil, DoneWithWarning},
		{0xB007, "", patientID, DoneWithWarning},
		{0xD000, "", nil, Never},
		{0xD000, "service temporarily unavailable", nil, Later},
	} {
		o := answered(row.status, peerSays{row.comment, row.offending}, "PACS")
		assert.Equal(t, row.want, o.Class, "%s %q", row.status, row.comment)
		assert.Equal(t, row.comment, o.Text, "shown as it is")
		if row.comment != "" {
			assert.NotContains(t, o.Reason, row.comment, "and not logged")
		}
		if !o.Class.Delivered() {
			assert.Contains(t, o.Reason, o.Code)
			assert.Equal(t, len(row.offending) > 0, strings.Contains(o.Reason, "; it names (0010,0020)"), o.Reason)
		}
	}
	many := peerSays{offending: make([]dicom.Tag, 1000)}
	assert.Less(t, len(answered(0xC000, many, "PACS").Reason), 200)
}

func TestDICOM_unreadable(t *testing.T) {
	s, p := newStores(t), startPeer(t, dicom.SecondaryCaptureImageStorage)
	made := 0
	sender := s.sender(p.addr, "PACS", &made)
	assert.Equal(t, Never, sender.Send(t.Context(), Message{Kind: ledger.KindDICOM, Entry: "00000000000000000000000000"}).Class)
	o := sender.Send(t.Context(), Message{Kind: "hl7", Entry: "00000000000000000000000000"})
	assert.Equal(t, Never, o.Class)
	assert.Equal(t, `peer PACS speaks DICOM: it cannot be sent "hl7"`, o.Reason)
	assert.Zero(t, made)
}

// halfRead is a spool whose disk fails amid what is read.
type halfRead struct{ Spool }

func (h halfRead) Open(id string) (spool.Entry, io.ReadSeekCloser, error) {
	e, r, err := h.Spool.Open(id)
	return e, failingReader{r}, err
}

type failingReader struct{ io.ReadSeekCloser }

func (failingReader) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "segment", Err: syscall.EIO}
}

// TestDICOM_diskFails: a disk that gives nothing is neither the peer's fault nor the object's.
func TestDICOM_diskFails(t *testing.T) {
	s, p := newStores(t), startPeer(t, dicom.SecondaryCaptureImageStorage)
	sender := s.sender(p.addr, "PACS", new(int))
	defer sender.drop()
	sound := sender.Spool
	e := s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian)
	sender.Spool = halfRead{sound}
	o := sender.Send(t.Context(), dicomMessage(e))
	assert.Equal(t, Later, o.Class)
	assert.True(t, o.Ours)
	assert.False(t, o.Silent)
	assert.Contains(t, o.Reason, "see to the disk")
	sender.Spool = sound
	assert.Equal(t, Done, sender.Send(t.Context(), dicomMessage(e)).Class)
}

// runOutbox runs an outbox on the real stores until the test ends.
func (s *stores) runOutbox(o *Outbox) *Outbox {
	s.t.Helper()
	o.Queue, o.Log = s.ledger, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		assert.ErrorIs(s.t, <-done, context.Canceled)
	})
	return o
}

// eventually waits until nothing is pending for a destination.
func (s *stores) eventually(destination string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		_, pending, err := s.ledger.NextDelivery(context.Background(), destination)
		return err == nil && !pending
	}, 2*time.Minute, 5*time.Millisecond)
}

// TestStoreSCP_killed: a PACS that dies between two objects and comes back gets every one of them.
func TestStoreSCP_killed(t *testing.T) {
	pacs := peers.StartStoreSCP(t)
	s := newStores(t)
	made := 0
	var mu sync.Mutex
	delivered := 0
	batch := func(n int) {
		var objects []ledger.Object
		for range n {
			objects = append(objects, object(s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian), "pacs", "dead"))
		}
		s.outgoing(objects...)
	}
	batch(40)
	o := s.runOutbox(&Outbox{
		Senders: map[string]Sender{
			"pacs": s.sender(pacs.Addr, pacs.AETitle, &made),
			"dead": s.sender("127.0.0.1:1", "DEAD", new(int)),
		},
		Backoff: Backoff{First: 50 * time.Millisecond, Last: 200 * time.Millisecond},
		Sent: func(destination string, fate Fate, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if destination == "pacs" && fate == FateDelivered {
				if delivered++; delivered == 10 {
					pacs.Kill() // between two objects, the association open
				}
			}
		},
	})
	require.Eventually(t, func() bool {
		c, _ := o.Condition("pacs")
		return !c.Up
	}, 2*time.Minute, 5*time.Millisecond)
	batch(10)
	assert.Len(t, pacs.Files(t), 10)
	pacs.Start(t)
	s.eventually("pacs")
	assert.Len(t, pacs.Files(t), 50)
	require.Eventually(t, func() bool { // the ledger knows before we are told
		mu.Lock()
		defer mu.Unlock()
		return delivered >= 50
	}, 2*time.Minute, 5*time.Millisecond)
	mu.Lock()
	assert.Equal(t, 50, delivered)
	mu.Unlock()
	require.Eventually(t, func() bool {
		c, _ := o.Condition("dead")
		return !c.Up
	}, 2*time.Minute, 5*time.Millisecond)
}

// TestStoreSCP_refuses3D: a PACS that does not know Comprehensive 3D SR gets its Comprehensive SR; one that knows
// neither leaves the report parked, with the reason.
func TestStoreSCP_refuses3D(t *testing.T) {
	s := newStores(t)
	sr := func(destinations ...string) {
		twin := object(s.keep(dicom.ComprehensiveSRStorage, dicom.ExplicitVRLittleEndian))
		report := object(s.keep(dicom.Comprehensive3DSRStorage, dicom.ExplicitVRLittleEndian), destinations...)
		report.Alternate = &twin
		s.outgoing(report, object(s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian), destinations...))
	}
	sr("new", "old", "pictures")
	start := func(accept ...dicom.UID) *peers.StoreSCP {
		return peers.StartStoreSCP(t, peers.StoreSCPOptions{Accept: append(accept, dicom.SecondaryCaptureImageStorage)})
	}
	scps := map[string]*peers.StoreSCP{
		"new":      start(dicom.ComprehensiveSRStorage, dicom.Comprehensive3DSRStorage),
		"old":      start(dicom.ComprehensiveSRStorage),
		"pictures": start(),
	}
	senders := map[string]Sender{}
	for name, scp := range scps {
		senders[name] = s.sender(scp.Addr, scp.AETitle, new(int))
	}
	s.runOutbox(&Outbox{Senders: senders})
	s.eventually("new")
	s.eventually("old")
	inHalfADay := time.Now().Add(12 * time.Hour)
	require.Eventually(t, func() bool {
		next, pending, err := s.ledger.NextDelivery(t.Context(), "pictures")
		return err == nil && pending && next.After(inHalfADay)
	}, 2*time.Minute, 5*time.Millisecond)
	received := func(name string) (classes []dicom.UID) {
		for uid := range scps[name].Files(t) {
			for e, err := range s.spool.Entries(0) {
				require.NoError(t, err)
				if string(e.Header.SOPInstanceUID) == uid {
					classes = append(classes, e.Header.SOPClassUID)
				}
			}
		}
		return classes
	}
	assert.ElementsMatch(t, []dicom.UID{dicom.SecondaryCaptureImageStorage, dicom.Comprehensive3DSRStorage}, received("new"))
	assert.ElementsMatch(t, []dicom.UID{dicom.SecondaryCaptureImageStorage, dicom.ComprehensiveSRStorage}, received("old"))
	assert.Equal(t, []dicom.UID{dicom.SecondaryCaptureImageStorage}, received("pictures"))

	held, err := s.ledger.DueDeliveries(t.Context(), "pictures", inHalfADay.Add(24*time.Hour), 24*time.Hour, 10)
	require.NoError(t, err)
	var text bytes.Buffer
	_, _ = fmt.Fprintf(&text, "%+v", held)
	assert.Contains(t, text.String(), "does not accept Comprehensive 3D SR Storage")
	assert.Contains(t, text.String(), "nor the alternate: peer STORESCP does not accept Comprehensive SR Storage")
}

// BenchmarkOutbox_storescp delivers heatmap-sized objects to a stock storescp, ledger and spool included.
func BenchmarkOutbox_storescp(b *testing.B) {
	pacs := peers.StartStoreSCP(b)
	s := newStores(b)
	var objects []ledger.Object
	for range b.N {
		objects = append(objects, object(s.keep(dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian), "pacs"))
	}
	s.outgoing(objects...)
	b.ResetTimer()
	s.runOutbox(&Outbox{Senders: map[string]Sender{"pacs": s.sender(pacs.Addr, pacs.AETitle, new(int))}})
	s.eventually("pacs")
}

// TestDICOM_followsMerge sends what was made here as the surviving patient's to a peer whose images are, too, and to no
// other; and what was received as it is.
func TestDICOM_followsMerge(t *testing.T) {
	s := newStores(t)
	p := startPeer(t, dicom.SecondaryCaptureImageStorage, dicom.VLEndoscopicImageStorage)
	keep := func(kind spool.Kind, class dicom.UID) spool.Entry {
		ds := dicom.Dataset{
			dicom.SOPClassUID: dicom.Text{string(class)}, dicom.SOPInstanceUID: dicom.Text{"2.25.9"}, dicom.StudyInstanceUID: dicom.Text{"2.25.1"},
			dicom.PatientID: dicom.Text{"X"}, dicom.IssuerOfPatientID: dicom.Text{"OLD"}, dicom.PatientName: dicom.Text{"Old^Name"},
			dicom.PatientSex: dicom.Text{"F"}, dicom.PatientBirthDate: dicom.Text{"19400404"}, dicom.PixelData: dicom.As{VR: "OB", Value: dicom.Bytes("pixels")},
		}
		w, err := s.spool.Create()
		require.NoError(t, err)
		_, err = w.Write(dicomtest.Encode(ds, dicom.ExplicitVRLittleEndian))
		require.NoError(t, err)
		e, err := w.Commit(spool.Entry{
			Kind: kind, TransferSyntaxUID: dicom.ExplicitVRLittleEndian, At: time.Now(),
			Header: dicom.Header{SOPInstance: dicom.SOPInstance{SOPClassUID: class, SOPInstanceUID: "2.25.9", StudyInstanceUID: "2.25.1", SeriesInstanceUID: "2.25.2"}},
		})
		require.NoError(t, err)
		return e
	}
	made, received := keep(spool.Derived, dicom.SecondaryCaptureImageStorage), keep(spool.Received, dicom.VLEndoscopicImageStorage)
	merged := ledger.Whose{Person: ledger.Person{Identifier: ledger.Identifier{ID: "W"}, Name: "Grønvold^Åse", BirthDate: "not a date"}, Other: true}
	unknown := ledger.Whose{Person: ledger.Person{Identifier: ledger.Identifier{ID: "W", Authority: "HOSP"}}, Other: true}
	same := ledger.Whose{Person: ledger.Person{Identifier: ledger.Identifier{ID: "X", Authority: "OLD"}, Name: "Corrected^Name"}}
	for _, row := range []struct {
		name  string
		whose *ledger.Whose
		entry spool.Entry
		want  []string // ID, issuer, name, sex, birth date
	}{
		{"it does not follow", nil, made, []string{"X", "OLD", "Old^Name", "F", "19400404"}},
		{"no merge", &same, made, []string{"X", "OLD", "Old^Name", "F", "19400404"}},
		{"merged", &merged, made, []string{"W", "", "Grønvold^Åse", "", ""}},
		{"merged, and nothing is known", &unknown, made, []string{"W", "HOSP", "", "", ""}},
		{"received", &merged, received, []string{"X", "OLD", "Old^Name", "F", "19400404"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var dials int
			sender := s.sender(p.addr, "PACS", &dials)
			defer func() { require.NoError(t, sender.Rest(t.Context())) }()
			if row.whose != nil {
				sender.Whose = func(_ context.Context, study dicom.UID) (ledger.Whose, error) {
					require.Equal(t, dicom.UID("2.25.1"), study)
					return *row.whose, nil
				}
			}
			o := sender.Send(t.Context(), dicomMessage(row.entry))
			require.Equal(t, Done, o.Class, o.Reason)
			ts, _ := dicom.LookupTransferSyntax(dicom.ExplicitVRLittleEndian)
			a, err := dicom.ReadAttributes(bytes.NewReader(p.last), ts)
			require.NoError(t, err)
			require.Equal(t, row.want, []string{a.Text(dicom.PatientID), a.Text(dicom.IssuerOfPatientID), a.Text(dicom.PatientName), a.Text(dicom.PatientSex), a.Text(dicom.PatientBirthDate)})
			require.True(t, bytes.HasSuffix(p.last, []byte("pixels")))
		})
	}
}

// shortOf passes on what is sent to a peer, which breaks off at a PDU of data that is longer than most, whatever it advertises. It returns its
// address and how often that was.
func shortOf(t *testing.T, address string, most uint32, broken *atomic.Int64) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	pass := func(client, server net.Conn) {
		defer client.Close()
		defer server.Close()
		for head := make([]byte, 6); ; {
			if _, err := io.ReadFull(client, head); err != nil {
				return
			}
			length := binary.BigEndian.Uint32(head[2:])
			if pdu.Type(head[0]) == pdu.TypeData && length > most {
				broken.Add(1)
				_, _ = client.Write([]byte{byte(pdu.TypeAbort), 0, 0, 0, 0, 4, 0, 0, 2, 0})
				return
			}
			if _, err := server.Write(head); err != nil {
				return
			}
			if _, err := io.CopyN(server, client, int64(length)); err != nil {
				return
			}
		}
	}
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				client.Close()
				continue
			}
			all.Go(func() { pass(client, server) })
			all.Go(func() { _, _ = io.Copy(client, server) })
		}
	})
	t.Cleanup(func() { ln.Close(); all.Wait() })
	return ln.Addr().String()
}

// TestDICOM_peerBreaksOffAtLongPDUs: what a peer breaks off at again and again goes in smaller PDUs, and so does all that follows; where that
// is no help either, it is the object's fault, and the length stays.
func TestDICOM_peerBreaksOffAtLongPDUs(t *testing.T) {
	s := newStores(t)
	var large []spool.Entry
	for n := range 2 {
		e := spool.Entry{Kind: spool.Received, TransferSyntaxUID: dicom.ExplicitVRLittleEndian, At: time.Now()}
		e.Header.SOPInstance = dicom.SOPInstance{SOPClassUID: dicom.SecondaryCaptureImageStorage, SOPInstanceUID: dicom.UID(fmt.Sprintf("2.25.7.%d", n)), StudyInstanceUID: "2.25.1", SeriesInstanceUID: "2.25.2"}
		w, err := s.spool.Create()
		require.NoError(t, err)
		_, err = w.Write(bytes.Repeat([]byte("pixels"), 40_000))
		require.NoError(t, err)
		e, err = w.Commit(e)
		require.NoError(t, err)
		large = append(large, e)
	}
	for most, c := range map[uint32]struct {
		breaks  int64 // until it goes, or for good
		settles uint32
	}{
		1 << 20:  {0, 0},
		32 << 10: {3, 16 << 10}, // once, then over the association that was left, and over a new one
		16 << 10: {3, 16 << 10},
		8 << 10:  {4, 4 << 10},
		1 << 10:  {10, 0},
	} {
		p := startPeer(t, dicom.SecondaryCaptureImageStorage)
		made := 0
		var broken atomic.Int64
		sender := s.sender(shortOf(t, p.addr, most, &broken), "PACS", &made)
		sender.Client.Log = slog.New(slog.DiscardHandler)
		var o Outcome
		for range 5 {
			if o = sender.Send(t.Context(), dicomMessage(large[0])); o.Class != Later {
				break
			}
			require.True(t, o.Silent)
		}
		require.Equal(t, c.settles, sender.Client.SendAtMost, most)
		if c.breaks == 10 {
			require.Equal(t, Later, o.Class)
			require.Equal(t, c.breaks, broken.Load(), "smaller ones are tried once")
			require.NoError(t, sender.Rest(t.Context()))
			continue
		}
		require.Equal(t, Done, o.Class, most)
		require.Equal(t, c.breaks, broken.Load(), most)
		require.Len(t, p.last, int(large[0].Size))
		require.Equal(t, Done, sender.Send(t.Context(), dicomMessage(large[1])).Class, most)
		require.Equal(t, c.breaks, broken.Load(), "it is remembered")
		require.NoError(t, sender.Rest(t.Context()))
	}
}
