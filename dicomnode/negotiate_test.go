package dicomnode_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// Who is let in, and with which of the numbers of PS3.8 table 9-21 who is not.
func TestAssociate_rejects(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, row := range []struct {
		name   string
		server func(s *dicomnode.Server)
		rq     func(rq *pdu.AssociateRQ)
		want   *pdu.AssociateRJ // nil: accepted
	}{
		{"listed title and host", nil, nil, nil},
		{"called AE title", nil, func(rq *pdu.AssociateRQ) { rq.CalledAE = "endogate" }, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 7}},
		{"calling AE title", nil, func(rq *pdu.AssociateRQ) { rq.CallingAE = "STRANGER" }, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 3}},
		{
			"no calling AE title", func(s *dicomnode.Server) { s.Peers = []dicomnode.Peer{{Hosts: loopback}} },
			func(rq *pdu.AssociateRQ) { rq.CallingAE = "" }, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 3},
		},
		{
			"calling AE title with an umlaut, not listed", nil,
			func(rq *pdu.AssociateRQ) { rq.CallingAE = "\xd6SOPHAGUS" }, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 3},
		},
		{"no peers", func(s *dicomnode.Server) { s.Peers = nil }, nil, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 3}},
		{"peer without hosts", func(s *dicomnode.Server) { s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1"}} }, nil, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 3}},
		{"title from another host", func(s *dicomnode.Server) {
			s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: elsewhere}, {AETitle: "SCOPE2", Hosts: loopback}}
		}, nil, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 3}},
		{"any title from the host", func(s *dicomnode.Server) {
			s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: elsewhere}, {AETitle: "*", Hosts: loopback}}
		}, nil, nil},
		{"application context", nil, func(rq *pdu.AssociateRQ) { rq.ApplicationContext = "1.2.3" }, &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 2}},
		{"protocol version", nil, func(rq *pdu.AssociateRQ) { rq.ProtocolVersion = 2 }, &pdu.AssociateRJ{Result: 1, Source: 2, Reason: 2}},
		{"more versions than ours", nil, func(rq *pdu.AssociateRQ) { rq.ProtocolVersion = 3 }, nil},
		{
			"disk below the reserve", func(s *dicomnode.Server) { s.Admit = func() error { return errors.New("disk is low") } }, nil,
			&pdu.AssociateRJ{Result: 2, Source: 3, Reason: 2},
		},
		{"room on the disk", func(s *dicomnode.Server) { s.Admit = func() error { return nil } }, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log syncBuffer
			var rejected []*dicomnode.RejectError
			s := newServer(new(storing))
			s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: loopback}}
			s.Log = slog.New(slog.NewTextHandler(&log, nil))
			s.Observe.Rejected = func(err *dicomnode.RejectError) { rejected = append(rejected, err) }
			if row.server != nil {
				row.server(s)
			}
			rq := *echoRequest
			if row.rq != nil {
				row.rq(&rq)
			}
			p := dicomtest.Dial(t, serve(t, s))
			p.Send(&rq)
			if row.want == nil {
				require.Equal(t, pdu.TypeAssociateAC, p.Receive().Type())
				p.Send(&pdu.ReleaseRQ{})
				p.Expect(&pdu.ReleaseRP{})
				return
			}
			p.Expect(row.want)
			require.NoError(t, p.Conn.Close())
			require.Len(t, rejected, 1)
			require.Equal(t, row.want.Result == pdu.RejectedTransient, rejected[0].Temporary())
			require.Contains(t, log.String(), row.want.String())
		})
	}
}

// Where any title may come, so may one that none is: it is called by what can be said of it.
func TestAssociate_titlesThatNoneAre(t *testing.T) {
	for said, want := range map[string]dicom.AETitle{"\xd6SOPHAGUS": "?SOPHAGUS", "内視鏡 1": "????????? 1", `A\B`: "A?B", "A\tB\x7f": "A?B?"} {
		called := make(chan dicom.AETitle, 9)
		s := newServer(new(storing))
		s.Peers = []dicomnode.Peer{{AETitle: "*", Hosts: loopback}}
		s.Observe.Association = func(e dicomnode.AssociationEvent) { called <- e.CallingAE }
		p := dicomtest.Dial(t, serve(t, s))
		rq := *echoRequest
		rq.CallingAE = said
		require.Equal(t, said, p.Associate(&rq).CallingAE, "PS3.8 table 9-17: as it came")
		require.Equal(t, want, <-called)
		require.True(t, want.Valid())
		p.Send(&pdu.ReleaseRQ{})
		p.Expect(&pdu.ReleaseRP{})
	}
}

func TestAssociate_clientHearsTheReject(t *testing.T) {
	s := newServer(new(storing))
	s.Admit = func() error { return errors.New("disk is low") }
	addr := serve(t, s)
	for called, temporary := range map[dicom.AETitle]bool{"SOMEONE": false, "ENDOGATE": true} {
		_, err := (&dicomnode.Client{AETitle: "SCOPE1"}).Associate(t.Context(), addr, called, dicomnode.VerificationContexts())
		var reject *dicomnode.RejectError
		require.ErrorAs(t, err, &reject)
		require.Equal(t, temporary, reject.Temporary())
	}
}

// A title that is listed, calling from a network that is not, is told of as that: the peer hears the same reject.
func TestAssociate_whoIsNotListed(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}
	host := netip.MustParseAddr("127.0.0.1")
	who := map[dicom.AETitle]dicomnode.Stranger{
		"SCOPE1": {CallingAE: "SCOPE1", Host: host, Title: true}, "SCOPE9": {CallingAE: "SCOPE9", Host: host},
	}
	for title, want := range map[dicom.AETitle]string{
		"SCOPE1": "the calling AE title is listed, and the network that it comes from is not; add it to the hosts of the title",
		"SCOPE9": "neither title nor address is listed",
	} {
		var log syncBuffer
		s := newServer(new(storing))
		s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: elsewhere}}
		s.Log = slog.New(slog.NewTextHandler(&log, nil))
		unknown := make(chan dicomnode.Stranger, 1)
		s.Observe.Unknown = func(who dicomnode.Stranger) { unknown <- who }
		_, err := (&dicomnode.Client{AETitle: title}).Associate(t.Context(), serve(t, s), "ENDOGATE", dicomnode.VerificationContexts())
		require.ErrorAs(t, err, new(*dicomnode.RejectError))
		require.Contains(t, log.String(), want)
		require.Equal(t, who[title], <-unknown)
	}
}

func TestAssociate_limits(t *testing.T) {
	s := newServer(new(storing))
	s.MaxAssociations, s.MaxPerPeer = 3, 2
	s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: loopback}, {AETitle: "SCOPE2", Hosts: loopback}}
	addr := serve(t, s)
	as := func(calling dicom.AETitle) (*dicomnode.Association, error) {
		return (&dicomnode.Client{AETitle: calling}).Associate(t.Context(), addr, "ENDOGATE", dicomnode.VerificationContexts())
	}
	refused := func(calling dicom.AETitle) {
		t.Helper()
		_, err := as(calling)
		var reject *dicomnode.RejectError
		require.ErrorAs(t, err, &reject)
		require.Equal(t, dicomnode.RejectError{Result: 2, Source: 3, Reason: 2}, *reject)
	}
	var open []*dicomnode.Association
	for range 2 {
		a, err := as("SCOPE1")
		require.NoError(t, err)
		open = append(open, a)
	}
	refused("SCOPE1") // two already
	a, err := as("SCOPE2")
	require.NoError(t, err)
	refused("SCOPE2") // three altogether
	require.NoError(t, open[0].Release(t.Context()))
	open[0], err = as("SCOPE1")
	require.NoError(t, err, "who has been released may come again at once")
	for _, a := range append(open, a) {
		require.NoError(t, a.Release(t.Context()))
	}
}

// Connections that never associate do not pile up: beyond the bound they are turned away unread.
func TestServe_connectionsAreBounded(t *testing.T) {
	s := newServer(new(storing))
	s.MaxAssociations = 2
	bound := s.MaxAssociations/2 + 16
	addr := serve(t, s)
	for range bound {
		dicomtest.Dial(t, addr)
	}
	beyond := dicomtest.Dial(t, addr)
	beyond.Expect(&pdu.AssociateRJ{Result: 2, Source: 3, Reason: 2})
	beyond.ExpectClosed()
}

// Which transfer syntax is taken, and what is answered to what is not supported.
func TestAssociate_contexts(t *testing.T) {
	const jpeg, explicit, implicit, unknown = string(dicom.JPEGBaseline8Bit), string(dicom.ExplicitVRLittleEndian), string(dicom.ImplicitVRLittleEndian), "1.2.3.4"
	p := dicomtest.Dial(t, serve(t, newServer(new(storing))))
	rq := dicomtest.Request("SCOPE1", "ENDOGATE", nil)
	endoscopic := string(dicom.VLEndoscopicImageStorage)
	rq.Contexts = []pdu.PresentationContextRQ{
		{ID: 1, AbstractSyntax: endoscopic, TransferSyntaxes: []string{jpeg, explicit, implicit}},
		{ID: 3, AbstractSyntax: endoscopic, TransferSyntaxes: []string{explicit, jpeg}},
		{ID: 5, AbstractSyntax: endoscopic, TransferSyntaxes: []string{unknown, implicit}},
		{ID: 7, AbstractSyntax: endoscopic, TransferSyntaxes: []string{unknown}},
		{ID: 9, AbstractSyntax: "1.2.840.10008.5.1.4.1.1.2", TransferSyntaxes: []string{implicit}},
		{ID: 255, AbstractSyntax: string(dicom.Verification), TransferSyntaxes: []string{implicit}},
		{ID: 11, AbstractSyntax: endoscopic},
	}
	rq.User.AsynchronousOperations = &pdu.AsynchronousOperations{Invoked: 8, Performed: 8}
	rq.User.Roles = []pdu.RoleSelection{{SOPClassUID: endoscopic, SCU: true, SCP: true}}
	rq.User.UserIdentityRQ = &pdu.UserIdentity{Type: 1, Primary: []byte("user")}
	rq.User.Unknown = []pdu.Item{{Type: 0x7A, Data: []byte("?")}}
	ac := p.Associate(rq)
	require.Equal(t, []pdu.PresentationContextAC{
		{ID: 1, Result: 0, TransferSyntax: jpeg},
		{ID: 3, Result: 0, TransferSyntax: explicit},
		{ID: 5, Result: 0, TransferSyntax: implicit},
		{ID: 7, Result: 4, TransferSyntax: implicit},
		{ID: 9, Result: 3, TransferSyntax: implicit},
		{ID: 255, Result: 0, TransferSyntax: implicit},
		{ID: 11, Result: 4, TransferSyntax: implicit},
	}, ac.Contexts)
	require.Equal(t, &pdu.AsynchronousOperations{Invoked: 1, Performed: 1}, ac.User.AsynchronousOperations)
	require.Equal(t, []pdu.RoleSelection{{SOPClassUID: endoscopic, SCU: true}}, ac.User.Roles)
	require.Equal(t, dicomnode.DefaultMaxPDULength, ac.User.MaximumLength)
	require.Equal(t, string(dicom.ImplementationClassUID), ac.User.ImplementationClassUID)
	p.Send(&pdu.ReleaseRQ{})
	p.Expect(&pdu.ReleaseRP{})
}

func TestAssociate_noContextIsAcceptable(t *testing.T) {
	addr := serve(t, newServer(new(storing)))
	ct := dicomnode.InstanceSyntax{SOPClassUID: "1.2.840.10008.5.1.4.1.1.2", TransferSyntaxUID: dicom.ImplicitVRLittleEndian}
	a := associate(t, addr, dicomnode.ContextsFor(ct))
	require.Equal(t, dicomnode.AbstractSyntaxNotSupported, a.Contexts[0].Result)
	_, err := a.Store(t.Context(), &dicomnode.StoreRequest{SOPClassUID: ct.SOPClassUID, SOPInstanceUID: "1.2.3", TransferSyntax: ct.TransferSyntaxUID, Dataset: strings.NewReader("x")})
	var missing *dicomnode.ContextError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, dicomnode.AbstractSyntaxNotSupported, missing.Result)
	require.False(t, missing.Temporary())
	require.NoError(t, a.Err(), "the association goes on")
	require.NoError(t, a.Release(t.Context()))
}

func TestAssociate_badContextIDs(t *testing.T) {
	addr := serve(t, newServer(new(storing)))
	for _, ids := range [][]uint8{{2}, {0}, {1, 1}} {
		rq := dicomtest.Request("SCOPE1", "ENDOGATE", nil)
		for _, id := range ids {
			rq.Contexts = append(rq.Contexts, pdu.PresentationContextRQ{ID: id, AbstractSyntax: "1.2", TransferSyntaxes: []string{"1.2"}})
		}
		p := dicomtest.Dial(t, addr)
		p.Send(rq)
		p.Expect(invalidValue)
		require.NoError(t, p.Conn.Close())
	}
}

// The peer's maximum length holds for what we send, down to a fragment of two bytes; one with no room for any is refused.
func TestAssociate_maximumLength(t *testing.T) {
	addr := serve(t, newServer(new(storing)))
	for _, length := range []uint32{8, 9, 50, 4096, 0, 1 << 31} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			rq := *echoRequest
			rq.User.MaximumLength = length
			p := dicomtest.Dial(t, addr)
			p.Associate(&rq)
			p.Send(echoRQ)
			var command []byte
			for last := false; !last; {
				d := p.Receive().(*pdu.Data)
				require.Len(t, d.PDVs, 1)
				if length > 0 {
					require.LessOrEqual(t, len(d.PDVs[0].Data)+pdu.PDVHeaderLength, int(length))
				}
				command, last = append(command, d.PDVs[0].Data...), d.PDVs[0].Last
			}
			rsp, err := dimse.Decode(command)
			require.NoError(t, err)
			require.Equal(t, dimse.Success, rsp.(*dimse.Response).Status)
			p.Send(&pdu.ReleaseRQ{})
			p.Expect(&pdu.ReleaseRP{})
		})
	}
	for _, length := range []uint32{1, 7} {
		rq := *echoRequest
		rq.User.MaximumLength = length
		p := dicomtest.Dial(t, addr)
		p.Send(&rq)
		p.Expect(invalidValue)
		require.NoError(t, p.Conn.Close())
	}
}

func TestContextsFor(t *testing.T) {
	sc, es := dicom.SecondaryCaptureImageStorage, dicom.VLEndoscopicImageStorage
	got := dicomnode.ContextsFor(
		dicomnode.InstanceSyntax{SOPClassUID: es, TransferSyntaxUID: dicom.JPEGBaseline8Bit},
		dicomnode.InstanceSyntax{SOPClassUID: sc, TransferSyntaxUID: dicom.ExplicitVRLittleEndian},
		dicomnode.InstanceSyntax{SOPClassUID: es, TransferSyntaxUID: dicom.JPEGBaseline8Bit},
		dicomnode.InstanceSyntax{SOPClassUID: es, TransferSyntaxUID: dicom.ExplicitVRLittleEndian},
	)
	require.Equal(t, []dicomnode.PresentationContext{
		{AbstractSyntax: es, TransferSyntaxes: []dicom.UID{dicom.JPEGBaseline8Bit}},
		{AbstractSyntax: sc, TransferSyntaxes: []dicom.UID{dicom.ExplicitVRLittleEndian}},
		{AbstractSyntax: es, TransferSyntaxes: []dicom.UID{dicom.ExplicitVRLittleEndian}},
	}, got)
}

func TestConformance(t *testing.T) {
	var b strings.Builder
	scp := dicomnode.StorageContexts(dicom.StorageGroup(dicom.GroupEndoscopic))
	scu := dicomnode.ContextsFor(dicomnode.InstanceSyntax{SOPClassUID: dicom.Comprehensive3DSRStorage, TransferSyntaxUID: dicom.ExplicitVRLittleEndian})
	require.NoError(t, dicomnode.Conformance(&b, scp, scu))
	text := b.String()
	for _, want := range []string{
		"### SCP (accepted)", "| VL Endoscopic Image Storage | `1.2.840.10008.5.1.4.1.1.77.1.1` | set B |",
		"### SCU (proposed)", "| Verification SOP Class | `1.2.840.10008.1.1` | set A |",
		"| Comprehensive 3D SR Storage | `1.2.840.10008.5.1.4.1.1.88.34` | set C |",
		"### Transfer syntaxes, set C\n\n| transfer syntax | UID |\n|---|---|\n| Explicit VR Little Endian | `1.2.840.10008.1.2.1` |",
	} {
		require.Contains(t, text, want)
	}
	for _, ts := range dicom.TransferSyntaxes {
		require.True(t, slices.Contains(strings.Split(text, "\n"), fmt.Sprintf("| %s | `%s` |", ts.Name, ts.UID)), ts.UID)
	}
}
