package pdu_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/pdu"
)

// wire turns annotated hexadecimal into bytes: from # to the end of the line is a comment, 'quoted' is text.
func wire(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for line := range strings.Lines(s) {
		line, _, _ = strings.Cut(line, "#")
		for i, part := range strings.Split(line, "'") {
			if i%2 == 1 {
				out = append(out, part...)
				continue
			}
			b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
			require.NoError(t, err, line)
			out = append(out, b...)
		}
	}
	return out
}

// Each row is a PDU as bytes and as a value; both directions have to agree.
var table = []struct {
	name string
	in   string
	want pdu.PDU
}{
	{"A-ASSOCIATE-RQ of an echo", `
		01 00  00 00 00 CB            # A-ASSOCIATE-RQ, 203 bytes
		00 01  00 00                  # version 1
		'ENDOGATE        '            # called AE title
		'SCOPE1          '            # calling AE title
		00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
		10 00 00 15 '1.2.840.10008.3.1.1.1'      # application context
		20 00 00 2E 01 00 00 00                  # presentation context 1
		   30 00 00 11 '1.2.840.10008.1.1'       # abstract syntax
		   40 00 00 11 '1.2.840.10008.1.2'       # transfer syntax
		50 00 00 38                              # user information
		   51 00 00 04 00 02 00 00               # maximum length 131072
		   52 00 00 0F '1.2.3.4.5.6.7.8'         # implementation class UID
		   55 00 00 0A 'ENDOGATE_1'              # implementation version name
		   53 00 00 04 00 01 00 01               # asynchronous operations, out of the usual order
		   7F 00 00 03 'new'                     # an item nobody knows
	`, &pdu.AssociateRQ{
		ProtocolVersion: 1, CalledAE: "ENDOGATE", CallingAE: "SCOPE1", ApplicationContext: pdu.ApplicationContext,
		Contexts: []pdu.PresentationContextRQ{{ID: 1, AbstractSyntax: "1.2.840.10008.1.1", TransferSyntaxes: []string{"1.2.840.10008.1.2"}}},
		User: pdu.UserInformation{
			MaximumLength: 131072, ImplementationClassUID: "1.2.3.4.5.6.7.8", ImplementationVersionName: "ENDOGATE_1",
			AsynchronousOperations: &pdu.AsynchronousOperations{Invoked: 1, Performed: 1},
			Unknown:                []pdu.Item{{Type: 0x7F, Data: []byte("new")}},
		},
	}},
	{"A-ASSOCIATE-RQ with every sub-item", `
		01 00  00 00 00 E3
		00 01  00 00  'ENDOGATE        ' 'SCOPE1          '
		00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
		10 00 00 15 '1.2.840.10008.3.1.1.1'
		20 00 00 18 FF 00 00 00
		   30 00 00 03 '1.2'
		   40 00 00 03 '1.3'
		   4F 00 00 02 'xx'                      # unknown in a presentation context
		50 00 00 61
		   51 00 00 04 00 00 00 00               # no limit
		   52 00 00 03 '1.4'
		   54 00 00 07 00 03 '1.2' 00 01         # role selection: SCP only
		   56 00 00 08 00 03 '1.2' 02 00 01      # extended negotiation
		   57 00 00 17 00 03 '1.2' 00 04 '1.20'  # common extended negotiation
		      00 0A 00 03 '1.5' 00 03 '1.6'
		   58 00 00 0E 02 01 00 04 'user' 00 04 'pass'   # user identity with a response
		   59 00 00 06 00 04 'seen'
		   5F 00 00 00
		60 00 00 01 'z'                          # unknown at the top
	`, &pdu.AssociateRQ{
		ProtocolVersion: 1, CalledAE: "ENDOGATE", CallingAE: "SCOPE1", ApplicationContext: pdu.ApplicationContext,
		Contexts: []pdu.PresentationContextRQ{{
			ID: 255, AbstractSyntax: "1.2", TransferSyntaxes: []string{"1.3"}, Unknown: []pdu.Item{{Type: 0x4F, Data: []byte("xx")}},
		}},
		User: pdu.UserInformation{
			ImplementationClassUID: "1.4",
			Roles:                  []pdu.RoleSelection{{SOPClassUID: "1.2", SCP: true}},
			ExtendedNegotiation:    []pdu.ExtendedNegotiation{{SOPClassUID: "1.2", Data: []byte{2, 0, 1}}},
			CommonExtended:         []pdu.CommonExtended{{SOPClassUID: "1.2", ServiceClassUID: "1.20", RelatedGeneralSOPClassUIDs: []string{"1.5", "1.6"}}},
			UserIdentityRQ:         &pdu.UserIdentity{Type: 2, ResponseRequested: true, Primary: []byte("user"), Secondary: []byte("pass")},
			UserIdentityAC:         &pdu.UserIdentityResponse{Data: []byte("seen")},
			Unknown:                []pdu.Item{{Type: 0x5F, Data: []byte{}}},
		},
		Unknown: []pdu.Item{{Type: 0x60, Data: []byte("z")}},
	}},
	{"A-ASSOCIATE-AC", `
		02 00  00 00 00 9F
		00 01  00 00  'ENDOGATE        ' 'SCOPE1          '
		00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
		10 00 00 15 '1.2.840.10008.3.1.1.1'
		21 00 00 19 01 00 00 00  40 00 00 11 '1.2.840.10008.1.2'   # accepted
		21 00 00 0B 03 00 03 00  40 00 00 03 '1.2'                 # abstract syntax not supported
		50 00 00 12
		   51 00 00 04 00 00 40 00
		   52 00 00 06 '1.2.34'
	`, &pdu.AssociateAC{
		ProtocolVersion: 1, CalledAE: "ENDOGATE", CallingAE: "SCOPE1", ApplicationContext: pdu.ApplicationContext,
		Contexts: []pdu.PresentationContextAC{
			{ID: 1, TransferSyntax: "1.2.840.10008.1.2"}, {ID: 3, Result: 3, TransferSyntax: "1.2"},
		},
		User: pdu.UserInformation{MaximumLength: 16384, ImplementationClassUID: "1.2.34"},
	}},
	{"A-ASSOCIATE-RJ", `03 00 00 00 00 04  00 01 01 07`, &pdu.AssociateRJ{
		Result: pdu.RejectedPermanent, Source: pdu.RejectServiceUser, Reason: pdu.CalledAETitleNotRecognized,
	}},
	{"P-DATA-TF with a command and a data set", `
		04 00 00 00 00 10
		00 00 00 05  01 03  0A 0B 0C      # context 1: command, last
		00 00 00 03  01 00  0D            # data set, more to come
	`, &pdu.Data{PDVs: []pdu.PDV{
		{ContextID: 1, Command: true, Last: true, Data: []byte{10, 11, 12}}, {ContextID: 1, Data: []byte{13}},
	}}},
	{
		"P-DATA-TF with an empty last fragment", `04 00 00 00 00 06  00 00 00 02  FF 02`,
		&pdu.Data{PDVs: []pdu.PDV{{ContextID: 255, Last: true, Data: []byte{}}}},
	},
	{"A-RELEASE-RQ", `05 00 00 00 00 04  00 00 00 00`, &pdu.ReleaseRQ{}},
	{"A-RELEASE-RP", `06 00 00 00 00 04  00 00 00 00`, &pdu.ReleaseRP{}},
	{"A-ABORT by the user", `07 00 00 00 00 04  00 00 00 00`, &pdu.Abort{}},
	{"A-ABORT by the provider", `07 00 00 00 00 04  00 00 02 06`, &pdu.Abort{
		Source: pdu.AbortServiceProvider, Reason: pdu.InvalidPDUParameterValue,
	}},
}

func TestDecode(t *testing.T) {
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			in := wire(t, row.in)
			got, err := pdu.Decode(pdu.Type(in[0]), in[pdu.HeaderLength:])
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

func TestAppend(t *testing.T) {
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			got, err := pdu.Append([]byte("before"), row.want)
			require.NoError(t, err)
			want := wire(t, row.in)
			require.Equal(t, len(want)+len("before"), len(got))
			again, err := pdu.Decode(row.want.Type(), got[len("before")+pdu.HeaderLength:])
			require.NoError(t, err)
			require.Equal(t, row.want, again)
			if !strings.Contains(row.in, "out of the usual order") {
				require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(got[len("before"):]))
			}
		})
	}
}

func TestDecode_refuses(t *testing.T) {
	fixed := strings.Repeat("00 ", 68)
	for _, row := range []struct {
		name   string
		in     string // type and body
		reason pdu.AbortReason
	}{
		{"type 0", `00`, pdu.UnrecognizedPDU},
		{"type 8", `08 00000000`, pdu.UnrecognizedPDU},
		{"release too short", `05 0000`, pdu.InvalidPDUParameterValue},
		{"abort too long", `07 0000000000`, pdu.InvalidPDUParameterValue},
		{"reject empty", `03`, pdu.InvalidPDUParameterValue},
		{"request without its fixed fields", `01 0001`, pdu.InvalidPDUParameterValue},
		{"answer without its fixed fields", `02 0001`, pdu.InvalidPDUParameterValue},
		{"half an item header", `01` + fixed + `10 00 00`, pdu.InvalidPDUParameterValue},
		{"item longer than the PDU", `01` + fixed + `10 00 FF FF 31`, pdu.InvalidPDUParameterValue},
		{"context without its ID", `01` + fixed + `20 00 00 03 01 00 00`, pdu.InvalidPDUParameterValue},
		{"context item longer than the context", `01` + fixed + `20 00 00 08 01 00 00 00 30 00 00 09`, pdu.InvalidPDUParameterValue},
		{"answered context without its ID", `02` + fixed + `21 00 00 01 01`, pdu.InvalidPDUParameterValue},
		{"maximum length of three bytes", `01` + fixed + `50 00 00 07 51 00 00 03 01 02 03`, pdu.InvalidPDUParameterValue},
		{"role selection with a long UID", `01` + fixed + `50 00 00 06 54 00 00 02 00 09`, pdu.InvalidPDUParameterValue},
		{"user identity cut short", `01` + fixed + `50 00 00 05 58 00 00 01 01`, pdu.InvalidPDUParameterValue},
		{"common extended with a long list", `01` + fixed + `50 00 00 0A 57 00 00 06 00 00 00 00 00 09`, pdu.InvalidPDUParameterValue},
		{"common extended with a long list entry", `01` + fixed + `50 00 00 0C 57 00 00 08 00 00 00 00 00 02 00 09`, pdu.InvalidPDUParameterValue},
		{"value length below two", `04 00 00 00 01 01 03`, pdu.InvalidPDUParameterValue},
		{"value longer than the PDU", `04 00 00 00 05 01 03 00`, pdu.InvalidPDUParameterValue},
		{"value length near 4 GiB", `04 FF FF FF FF 01 03 00`, pdu.InvalidPDUParameterValue},
		{"bytes after the last value", `04 00 00 00 02 01 03 00`, pdu.InvalidPDUParameterValue},
		{"more values than any peer sends", `04` + strings.Repeat(`00 00 00 02 01 00 `, 1025), pdu.InvalidPDUParameterValue},
		{"more items than any peer sends", `01` + fixed + strings.Repeat(`7F 00 00 00 `, 513), pdu.InvalidPDUParameterValue},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := wire(t, row.in)
			_, err := pdu.Decode(pdu.Type(in[0]), in[1:])
			var e *pdu.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, row.reason, e.Reason, err)
		})
	}
}

func TestDecode_takesPaddedUIDs(t *testing.T) {
	rq := &pdu.AssociateRQ{ApplicationContext: pdu.ApplicationContext + "\x00", CallingAE: " X"}
	b, err := pdu.Append(nil, rq)
	require.NoError(t, err)
	got, err := pdu.Decode(pdu.TypeAssociateRQ, b[pdu.HeaderLength:])
	require.NoError(t, err)
	require.Equal(t, pdu.ApplicationContext, got.(*pdu.AssociateRQ).ApplicationContext)
	require.Equal(t, "X", got.(*pdu.AssociateRQ).CallingAE)
}

// What stands behind a NUL in the field of an AE title was there before.
func TestDecode_takesTitlesThatANulEnds(t *testing.T) {
	for is, want := range map[string]string{"SCOPE1\x00garbage": "SCOPE1", "\x00\x00SCOPE1\x00": "SCOPE1", "SCOPE 1  \x00x": "SCOPE 1", "": ""} {
		b, err := pdu.Append(nil, &pdu.AssociateRQ{CallingAE: is, CalledAE: is})
		require.NoError(t, err)
		got, err := pdu.Decode(pdu.TypeAssociateRQ, b[pdu.HeaderLength:])
		require.NoError(t, err)
		require.Equal(t, want, got.(*pdu.AssociateRQ).CallingAE)
		require.Equal(t, want, got.(*pdu.AssociateRQ).CalledAE)
	}
}

func TestAppend_refusesWhatDoesNotFit(t *testing.T) {
	long := strings.Repeat("1", 70000)
	for name, p := range map[string]pdu.PDU{
		"AE title": &pdu.AssociateRQ{CalledAE: "SEVENTEENCHARACTER"},
		"context":  &pdu.AssociateRQ{Contexts: []pdu.PresentationContextRQ{{AbstractSyntax: long}}},
		"user":     &pdu.AssociateAC{User: pdu.UserInformation{Unknown: []pdu.Item{{Type: 0x60, Data: bytes.Repeat([]byte{1}, 40000)}, {Type: 0x60, Data: bytes.Repeat([]byte{1}, 40000)}}}},
		"identity": &pdu.AssociateRQ{User: pdu.UserInformation{UserIdentityRQ: &pdu.UserIdentity{Primary: []byte(long)}}},
	} {
		b, err := pdu.Append([]byte{7}, p)
		require.Error(t, err, name)
		require.Equal(t, []byte{7}, b, "what stood before is kept")
	}
}

func TestPutDataHeader(t *testing.T) {
	fragment := []byte{1, 2, 3}
	want, err := pdu.Append(nil, &pdu.Data{PDVs: []pdu.PDV{{ContextID: 5, Last: true, Data: fragment}}})
	require.NoError(t, err)
	got := make([]byte, pdu.DataHeaderLength, 100)
	pdu.PutDataHeader(got, 5, false, true, len(fragment))
	require.Equal(t, want, append(got, fragment...))
}

func TestStrings(t *testing.T) {
	require.Equal(t, "permanent: called AE title not recognised (1/1/7)", (&pdu.AssociateRJ{Result: 1, Source: 1, Reason: 7}).String())
	require.Equal(t, "transient: local limit exceeded (2/3/2)", (&pdu.AssociateRJ{Result: 2, Source: 3, Reason: 2}).String())
	require.Equal(t, "permanent: reserved reason (1/9/9)", (&pdu.AssociateRJ{Result: 1, Source: 9, Reason: 9}).String())
	require.Equal(t, "by the service provider: unexpected PDU (2/2)", (&pdu.Abort{Source: 2, Reason: 2}).String())
	require.Equal(t, "by the service user", (&pdu.Abort{}).String())
	require.Equal(t, "A-RELEASE-RQ", pdu.TypeReleaseRQ.String())
	require.Equal(t, "PDU type 09H", pdu.Type(9).String())
}
