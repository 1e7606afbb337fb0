package dicomnode_test

import (
	"context"
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

var (
	echoRequest  = dicomtest.Request("SCOPE1", "ENDOGATE", []string{string(dicom.ImplicitVRLittleEndian)}, string(dicom.Verification))
	echoRQ       = dicomtest.Command(1, &dimse.Request{CommandField: dimse.CEchoRQ, MessageID: 1, SOPClassUID: dicom.Verification})
	echoRSP      = dicomtest.Command(1, &dimse.Response{CommandField: dimse.CEchoRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: 1, SOPClassUID: dicom.Verification})
	rejection    = &pdu.AssociateRJ{Result: pdu.RejectedPermanent, Source: pdu.RejectServiceUser, Reason: pdu.CalledAETitleNotRecognized}
	userAbort    = &pdu.Abort{}
	unexpected   = &pdu.Abort{Source: pdu.AbortServiceProvider, Reason: pdu.UnexpectedPDU}
	unrecognized = &pdu.Abort{Source: pdu.AbortServiceProvider, Reason: pdu.UnrecognizedPDU}
	invalidValue = &pdu.Abort{Source: pdu.AbortServiceProvider, Reason: pdu.InvalidPDUParameterValue}

	unknownType = []byte{0x99, 0, 0, 0, 0, 4, 0, 0, 0, 0}
	wrongLength = []byte{byte(pdu.TypeReleaseRQ), 0, 0, 0, 0, 2, 0, 0}
)

// arrival is a row's event of PS3.8 table 9-10: a PDU, or bytes that are none.
func arrival(t testing.TB, event any) []byte {
	t.Helper()
	if b, ok := event.([]byte); ok {
		return b
	}
	b, err := pdu.Append(nil, event.(pdu.PDU))
	require.NoError(t, err)
	return b
}

// PS3.8 table 9-10 for the acceptor: what a PDU is answered with in each state that the server waits in.
// (In Sta3 and Sta8 it answers without reading.) Then the connection ends.
func TestStateTable_acceptor(t *testing.T) {
	states := map[string]func(p *dicomtest.Peer){
		"Sta2": func(*dicomtest.Peer) {},
		"Sta6": func(p *dicomtest.Peer) { p.Associate(echoRequest) },
		"Sta13": func(p *dicomtest.Peer) {
			wrong := *echoRequest
			wrong.CalledAE = "SOMEONE"
			p.Send(&wrong)
			p.Expect(rejection)
		},
	}
	accept := dicomtest.Answer(echoRequest)
	accept.User = pdu.UserInformation{
		MaximumLength: dicomnode.DefaultMaxPDULength, ImplementationClassUID: string(dicom.ImplementationClassUID),
		ImplementationVersionName: dicom.ImplementationVersionName,
	}
	for _, row := range []struct {
		state  string
		event  string
		in     any
		action string
		want   []pdu.PDU
	}{
		{"Sta2", "A-ASSOCIATE-RQ", echoRequest, "AE-6, AE-7", []pdu.PDU{accept}},
		{"Sta2", "A-ASSOCIATE-AC", dicomtest.Answer(echoRequest), "AA-1", []pdu.PDU{unexpected}},
		{"Sta2", "A-ASSOCIATE-RJ", rejection, "AA-1", []pdu.PDU{unexpected}},
		{"Sta2", "P-DATA-TF", echoRQ, "AA-1", []pdu.PDU{unexpected}},
		{"Sta2", "A-RELEASE-RQ", &pdu.ReleaseRQ{}, "AA-1", []pdu.PDU{unexpected}},
		{"Sta2", "A-RELEASE-RP", &pdu.ReleaseRP{}, "AA-1", []pdu.PDU{unexpected}},
		{"Sta2", "A-ABORT", userAbort, "AA-2", nil},
		{"Sta2", "unrecognised", unknownType, "AA-1", []pdu.PDU{unrecognized}},
		{"Sta2", "invalid", wrongLength, "AA-1", []pdu.PDU{unexpected}}, // the type is wrong already
		{"Sta2", "close", []byte{}, "AA-5", nil},

		{"Sta6", "A-ASSOCIATE-RQ", echoRequest, "AA-8", []pdu.PDU{unexpected}},
		{"Sta6", "A-ASSOCIATE-AC", dicomtest.Answer(echoRequest), "AA-8", []pdu.PDU{unexpected}},
		{"Sta6", "A-ASSOCIATE-RJ", rejection, "AA-8", []pdu.PDU{unexpected}},
		{"Sta6", "P-DATA-TF", echoRQ, "DT-2", []pdu.PDU{echoRSP}},
		{"Sta6", "A-RELEASE-RQ", &pdu.ReleaseRQ{}, "AR-2, AR-4", []pdu.PDU{&pdu.ReleaseRP{}}},
		{"Sta6", "A-RELEASE-RP", &pdu.ReleaseRP{}, "AA-8", []pdu.PDU{unexpected}},
		{"Sta6", "A-ABORT", userAbort, "AA-3", nil},
		{"Sta6", "unrecognised", unknownType, "AA-8", []pdu.PDU{unrecognized}},
		{"Sta6", "invalid", wrongLength, "AA-8", []pdu.PDU{invalidValue}},
		{"Sta6", "close", []byte{}, "AA-4", nil},

		{"Sta13", "A-ASSOCIATE-RQ", echoRequest, "AA-7", []pdu.PDU{unexpected}},
		{"Sta13", "A-ASSOCIATE-AC", dicomtest.Answer(echoRequest), "AA-6", nil},
		{"Sta13", "A-ASSOCIATE-RJ", rejection, "AA-6", nil},
		{"Sta13", "P-DATA-TF", echoRQ, "AA-6", nil},
		{"Sta13", "A-RELEASE-RQ", &pdu.ReleaseRQ{}, "AA-6", nil},
		{"Sta13", "A-RELEASE-RP", &pdu.ReleaseRP{}, "AA-6", nil},
		{"Sta13", "A-ABORT", userAbort, "AA-2", nil},
		{"Sta13", "unrecognised", unknownType, "AA-7", []pdu.PDU{unrecognized}},
		{"Sta13", "invalid", wrongLength, "AA-7", []pdu.PDU{invalidValue}},
		{"Sta13", "close", []byte{}, "AR-5", nil},
	} {
		t.Run(row.state+" "+row.event, func(t *testing.T) {
			p := dicomtest.Dial(t, serve(t, newServer(new(storing))))
			states[row.state](p)
			p.Write(arrival(t, row.in))
			require.NoError(t, p.Conn.(*net.TCPConn).CloseWrite())
			require.Equal(t, row.want, p.Rest(), row.action)
		})
	}
}

// PS3.8 table 9-10 for the requestor: what the client answers, and whether the operation it is in succeeds.
func TestStateTable_requestor(t *testing.T) {
	associating := func(t *testing.T, c *dicomnode.Client, addr string) (*dicomnode.Association, error) {
		return c.Associate(context.WithoutCancel(t.Context()), addr, "ARCHIVE", dicomnode.VerificationContexts())
	}
	echoing := func(t *testing.T, a *dicomnode.Association) error {
		status, err := a.Echo(context.WithoutCancel(t.Context()))
		if err == nil {
			assert.Equal(t, dimse.Success, status)
		}
		return err
	}
	releasing := func(t *testing.T, a *dicomnode.Association) error {
		return a.Release(context.WithoutCancel(t.Context()))
	}
	var (
		reject *dicomnode.RejectError
		abort  *dicomnode.AbortError
	)
	request := dicomtest.Request("ENDOGATE", "ARCHIVE", []string{string(dicom.ExplicitVRLittleEndian)}, string(dicom.Verification))
	for _, row := range []struct {
		state  string
		event  string
		in     []any // PDUs that arrive, one after the other
		action string
		want   []pdu.PDU // what is answered
		err    any       // nil for success, else an error type to be found, or true for any error
	}{
		{"Sta5", "A-ASSOCIATE-AC", []any{dicomtest.Answer(request)}, "AE-3", nil, nil},
		{"Sta5", "A-ASSOCIATE-RJ", []any{rejection}, "AE-4", nil, &reject},
		{"Sta5", "A-ASSOCIATE-RQ", []any{request}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta5", "P-DATA-TF", []any{echoRSP}, "AA-8", []pdu.PDU{invalidValue}, true}, // nothing was advertised yet that it could keep to
		{"Sta5", "A-RELEASE-RQ", []any{&pdu.ReleaseRQ{}}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta5", "A-RELEASE-RP", []any{&pdu.ReleaseRP{}}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta5", "A-ABORT", []any{userAbort}, "AA-3", nil, &abort},
		{"Sta5", "unrecognised", []any{unknownType}, "AA-8", []pdu.PDU{unrecognized}, true},
		{"Sta5", "invalid", []any{wrongLength}, "AA-8", []pdu.PDU{invalidValue}, true},
		{"Sta5", "close", nil, "AA-4", nil, true},

		{"Sta6", "P-DATA-TF", []any{echoRSP}, "DT-2", nil, nil},
		{"Sta6", "A-ASSOCIATE-RQ", []any{request}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta6", "A-ASSOCIATE-AC", []any{dicomtest.Answer(request)}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta6", "A-ASSOCIATE-RJ", []any{rejection}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta6", "A-RELEASE-RQ", []any{&pdu.ReleaseRQ{}}, "AR-2, AR-4", []pdu.PDU{&pdu.ReleaseRP{}}, true},
		{"Sta6", "A-RELEASE-RP", []any{&pdu.ReleaseRP{}}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta6", "A-ABORT", []any{userAbort}, "AA-3", nil, &abort},
		{"Sta6", "unrecognised", []any{unknownType}, "AA-8", []pdu.PDU{unrecognized}, true},
		{"Sta6", "invalid", []any{wrongLength}, "AA-8", []pdu.PDU{invalidValue}, true},
		{"Sta6", "close", nil, "AA-4", nil, true},

		{"Sta7", "A-RELEASE-RP", []any{&pdu.ReleaseRP{}}, "AR-3", nil, nil},
		{"Sta7", "A-RELEASE-RQ, A-RELEASE-RP", []any{&pdu.ReleaseRQ{}, &pdu.ReleaseRP{}}, "AR-8, AR-9, AR-3", []pdu.PDU{&pdu.ReleaseRP{}}, nil},
		{"Sta7", "P-DATA-TF", []any{echoRSP, &pdu.ReleaseRP{}}, "AR-6, AR-3", nil, nil},
		{"Sta7", "A-ASSOCIATE-RQ", []any{request}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta7", "A-ASSOCIATE-AC", []any{dicomtest.Answer(request)}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta7", "A-ASSOCIATE-RJ", []any{rejection}, "AA-8", []pdu.PDU{unexpected}, true},
		{"Sta7", "A-ABORT", []any{userAbort}, "AA-3", nil, &abort},
		{"Sta7", "unrecognised", []any{unknownType}, "AA-8", []pdu.PDU{unrecognized}, true},
		{"Sta7", "close", nil, "AA-4", nil, true},
		{"Sta11", "A-RELEASE-RQ", []any{&pdu.ReleaseRQ{}, &pdu.ReleaseRQ{}}, "AA-8", []pdu.PDU{&pdu.ReleaseRP{}, unexpected}, true},
		{"Sta11", "P-DATA-TF", []any{&pdu.ReleaseRQ{}, echoRSP}, "AA-8", []pdu.PDU{&pdu.ReleaseRP{}, unexpected}, true},
		{"Sta11", "A-ABORT", []any{&pdu.ReleaseRQ{}, userAbort}, "AA-3", []pdu.PDU{&pdu.ReleaseRP{}}, &abort},
	} {
		t.Run(row.state+" "+row.event, func(t *testing.T) {
			answered := make(chan []pdu.PDU, 1)
			addr := dicomtest.Listen(t, func(p *dicomtest.Peer) {
				if row.state == "Sta5" {
					p.Receive()
				} else {
					p.Accept()
					p.Receive() // the C-ECHO-RQ or the A-RELEASE-RQ
				}
				for _, in := range row.in {
					p.Write(arrival(t, in))
				}
				_ = p.Conn.(*net.TCPConn).CloseWrite()
				answered <- p.Rest()
			})
			a, err := associating(t, &dicomnode.Client{AETitle: "ENDOGATE"}, addr)
			switch row.state {
			case "Sta6":
				require.NoError(t, err)
				err = echoing(t, a)
			case "Sta7", "Sta11":
				require.NoError(t, err)
				err = releasing(t, a)
			}
			if a != nil {
				require.Equal(t, err != nil || row.state == "Sta7", a.Err() != nil)
				defer a.Abort()
			}
			switch {
			case row.err == nil:
				require.NoError(t, err)
			case row.err == true:
				require.Error(t, err)
			default:
				require.ErrorAs(t, err, row.err)
			}
			if row.err != nil || row.state == "Sta7" {
				require.Equal(t, row.want, <-answered, row.action)
			}
		})
	}
}
