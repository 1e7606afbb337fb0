package dimse_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
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

const endoscopic dicom.UID = "1.2.840.10008.5.1.4.1.1.77.1.1"

// Each row is a command set as bytes and as a value; both directions have to agree.
var table = []struct {
	name string
	in   string
	want dimse.Command
}{
	{"C-ECHO-RQ", `
		0000 0000 04000000 38000000                            # group length 56
		0000 0200 12000000 '1.2.840.10008.1.1' 00              # affected SOP class UID
		0000 0001 02000000 3000                                # command field
		0000 1001 02000000 0700                                # message ID
		0000 0008 02000000 0101                                # no data set
	`, &dimse.Request{CommandField: dimse.CEchoRQ, MessageID: 7, SOPClassUID: "1.2.840.10008.1.1"}},
	{"C-ECHO-RSP", `
		0000 0000 04000000 42000000
		0000 0200 12000000 '1.2.840.10008.1.1' 00
		0000 0001 02000000 3080
		0000 2001 02000000 0700                                # message ID being responded to
		0000 0008 02000000 0101
		0000 0009 02000000 0000                                # status
	`, &dimse.Response{CommandField: 0x8030, MessageIDBeingRespondedTo: 7, SOPClassUID: "1.2.840.10008.1.1"}},
	{"C-STORE-RQ", `
		0000 0000 04000000 5E000000
		0000 0200 1E000000 '1.2.840.10008.5.1.4.1.1.77.1.1'
		0000 0001 02000000 0100
		0000 1001 02000000 FFFF
		0000 0007 02000000 0100                                # priority high
		0000 0008 02000000 0100                                # a data set
		0000 0010 08000000 '1.2.3.4' 00                        # affected SOP instance UID
	`, &dimse.Request{CommandField: dimse.CStoreRQ, MessageID: 65535, Priority: dimse.PriorityHigh, SOPClassUID: endoscopic, SOPInstanceUID: "1.2.3.4", HasDataset: true}},
	{"C-STORE-RQ as part of a C-MOVE", `
		0000 0000 04000000 78000000
		0000 0200 1E000000 '1.2.840.10008.5.1.4.1.1.77.1.1'
		0000 0001 02000000 0100
		0000 1001 02000000 0200
		0000 0007 02000000 0000
		0000 0008 02000000 0100
		0000 0010 08000000 '1.2.3.4' 00
		0000 3010 08000000 'MOVESCU '                          # move originator
		0000 3110 02000000 0900
	`, &dimse.Request{
		CommandField: dimse.CStoreRQ, MessageID: 2, SOPClassUID: endoscopic, SOPInstanceUID: "1.2.3.4", HasDataset: true,
		MoveOriginatorApplicationEntityTitle: "MOVESCU", MoveOriginatorMessageID: 9,
	}},
	{"C-STORE-RQ that announces no data set", `
		0000 0000 04000000 5E000000
		0000 0200 1E000000 '1.2.840.10008.5.1.4.1.1.77.1.1'
		0000 0001 02000000 0100
		0000 1001 02000000 0200
		0000 0007 02000000 0000
		0000 0008 02000000 0101
		0000 0010 08000000 '1.2.3.4' 00
	`, &dimse.Request{CommandField: dimse.CStoreRQ, MessageID: 2, SOPClassUID: endoscopic, SOPInstanceUID: "1.2.3.4"}},
	{"C-STORE-RSP", `
		0000 0000 04000000 72000000
		0000 0200 1E000000 '1.2.840.10008.5.1.4.1.1.77.1.1'
		0000 0001 02000000 0180
		0000 2001 02000000 0200
		0000 0008 02000000 0101
		0000 0009 02000000 00A7
		0000 0209 0C000000 'disk is full'                      # error comment
		0000 0010 08000000 '1.2.3.4' 00
	`, &dimse.Response{
		CommandField: 0x8001, MessageIDBeingRespondedTo: 2, SOPClassUID: endoscopic, SOPInstanceUID: "1.2.3.4",
		Status: dimse.OutOfResources, ErrorComment: "disk is full",
	}},
	{"C-FIND-RQ", `
		0000 0000 04000000 34000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 2000
		0000 1001 02000000 0300
		0000 0007 02000000 0200                                # priority low
		0000 0008 02000000 0100
	`, &dimse.Request{CommandField: dimse.CFindRQ, MessageID: 3, Priority: dimse.PriorityLow, SOPClassUID: "1.20", HasDataset: true}},
	{"C-FIND-RSP that is pending", `
		0000 0000 04000000 34000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 2080
		0000 2001 02000000 0300
		0000 0008 02000000 0100                                # an identifier follows
		0000 0009 02000000 00FF
	`, &dimse.Response{CommandField: 0x8020, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", Status: dimse.PendingMatches, HasDataset: true}},
	{"C-FIND-RSP that failed", `
		0000 0000 04000000 5A000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 2080
		0000 2001 02000000 0300
		0000 0008 02000000 0101
		0000 0009 02000000 00A9
		0000 0109 08000000 1000 2000 0800 5200                 # offending elements
		0000 0209 04000000 'odd '
		0000 0309 02000000 0700                                # error ID
	`, &dimse.Response{
		CommandField: 0x8020, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", Status: dimse.DataSetDoesNotMatchSOPClass,
		OffendingElement: []dicom.Tag{0x00100020, 0x00080052}, ErrorComment: "odd", ErrorID: 7,
	}},
	{"C-GET-RQ", `
		0000 0000 04000000 34000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 1000
		0000 1001 02000000 0300
		0000 0007 02000000 0000
		0000 0008 02000000 0100
	`, &dimse.Request{CommandField: dimse.CGetRQ, MessageID: 3, SOPClassUID: "1.20", HasDataset: true}},
	{"C-GET-RSP that is pending", `
		0000 0000 04000000 5C000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 1080
		0000 2001 02000000 0300
		0000 0008 02000000 0101
		0000 0009 02000000 00FF
		0000 2010 02000000 0400                                # remaining sub-operations
		0000 2110 02000000 0300                                # completed
		0000 2210 02000000 0200                                # failed
		0000 2310 02000000 0100                                # with a warning
	`, &dimse.Response{
		CommandField: 0x8010, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", Status: dimse.PendingMatches,
		SubOperations: &dimse.SubOperations{Remaining: 4, Completed: 3, Failed: 2, Warning: 1},
	}},
	{"C-MOVE-RQ", `
		0000 0000 04000000 42000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 2100
		0000 1001 02000000 0300
		0000 0006 06000000 'VIEWER'                            # move destination
		0000 0007 02000000 0000
		0000 0008 02000000 0100
	`, &dimse.Request{CommandField: dimse.CMoveRQ, MessageID: 3, SOPClassUID: "1.20", MoveDestination: "VIEWER", HasDataset: true}},
	{"C-MOVE-RSP at the end", `
		0000 0000 04000000 52000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 2180
		0000 2001 02000000 0300
		0000 0008 02000000 0101
		0000 0009 02000000 00B0
		0000 2110 02000000 0300                                # nothing remains, and that is not said
		0000 2210 02000000 0200
		0000 2310 02000000 0100
	`, &dimse.Response{
		CommandField: 0x8021, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", Status: dimse.CoercionOfDataElements,
		SubOperations: &dimse.SubOperations{Completed: 3, Failed: 2, Warning: 1},
	}},
	{"C-CANCEL-RQ", `
		0000 0000 04000000 1E000000
		0000 0001 02000000 FF0F
		0000 2001 02000000 0300                                # message ID being responded to
		0000 0008 02000000 0101
	`, &dimse.Request{CommandField: dimse.CCancelRQ, MessageID: 3}},
	{"N-EVENT-REPORT-RQ", `
		0000 0000 04000000 4A000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 0001
		0000 1001 02000000 0300
		0000 0008 02000000 0100
		0000 0010 0E000000 '1.2.840.10008' 00                  # affected SOP instance UID
		0000 0210 02000000 0200                                # event type ID
	`, &dimse.Request{CommandField: dimse.NEventReportRQ, MessageID: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.2.840.10008", EventTypeID: 2, HasDataset: true}},
	{"N-EVENT-REPORT-RSP", `
		0000 0000 04000000 4A000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 0081
		0000 2001 02000000 0300
		0000 0008 02000000 0101
		0000 0009 02000000 0000
		0000 0010 04000000 '1.21'
		0000 0210 02000000 0200
	`, &dimse.Response{CommandField: 0x8100, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", EventTypeID: 2}},
	{"N-GET-RQ", `
		0000 0000 04000000 46000000
		0000 0300 04000000 '1.20'                              # requested SOP class UID
		0000 0001 02000000 1001
		0000 1001 02000000 0300
		0000 0008 02000000 0101
		0000 0110 04000000 '1.21'                              # requested SOP instance UID
		0000 0510 08000000 1000 1000 1000 2000                 # attribute identifier list
	`, &dimse.Request{CommandField: dimse.NGetRQ, MessageID: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", AttributeIdentifierList: []dicom.Tag{0x00100010, 0x00100020}}},
	{"N-GET-RSP", `
		0000 0000 04000000 4C000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 1081
		0000 2001 02000000 0300
		0000 0008 02000000 0100                                # an attribute list follows
		0000 0009 02000000 0701
		0000 0010 04000000 '1.21'
		0000 0510 04000000 1000 2000                           # not given
	`, &dimse.Response{
		CommandField: 0x8110, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", Status: dimse.AttributeListWarning,
		AttributeIdentifierList: []dicom.Tag{0x00100020}, HasDataset: true,
	}},
	{"N-SET-RQ", `
		0000 0000 04000000 36000000
		0000 0300 04000000 '1.20'
		0000 0001 02000000 2001
		0000 1001 02000000 0300
		0000 0008 02000000 0100
		0000 0110 04000000 '1.21'
	`, &dimse.Request{CommandField: dimse.NSetRQ, MessageID: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", HasDataset: true}},
	{"N-SET-RSP", `
		0000 0000 04000000 40000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 2081
		0000 2001 02000000 0300
		0000 0008 02000000 0101
		0000 0009 02000000 1201
		0000 0010 04000000 '1.21'
	`, &dimse.Response{CommandField: 0x8120, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", Status: dimse.NoSuchSOPInstance}},
	{"N-ACTION-RQ", `
		0000 0000 04000000 40000000
		0000 0300 04000000 '1.20'
		0000 0001 02000000 3001
		0000 1001 02000000 0300
		0000 0008 02000000 0100
		0000 0110 04000000 '1.21'
		0000 0810 02000000 0100                                # action type ID
	`, &dimse.Request{CommandField: dimse.NActionRQ, MessageID: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", ActionTypeID: 1, HasDataset: true}},
	{"N-ACTION-RSP", `
		0000 0000 04000000 4A000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 3081
		0000 2001 02000000 0300
		0000 0008 02000000 0101
		0000 0009 02000000 0000
		0000 0010 04000000 '1.21'
		0000 0810 02000000 0100
	`, &dimse.Response{CommandField: 0x8130, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", ActionTypeID: 1}},
	{"N-CREATE-RQ", `
		0000 0000 04000000 2A000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 4001
		0000 1001 02000000 0300
		0000 0008 02000000 0100                                # the instance is named by the SCP
	`, &dimse.Request{CommandField: dimse.NCreateRQ, MessageID: 3, SOPClassUID: "1.20", HasDataset: true}},
	{"N-CREATE-RSP", `
		0000 0000 04000000 40000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 4081
		0000 2001 02000000 0300
		0000 0008 02000000 0100
		0000 0009 02000000 0000
		0000 0010 04000000 '1.21'
	`, &dimse.Response{CommandField: 0x8140, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", HasDataset: true}},
	{"N-DELETE-RQ", `
		0000 0000 04000000 36000000
		0000 0300 04000000 '1.20'
		0000 0001 02000000 5001
		0000 1001 02000000 0300
		0000 0008 02000000 0101
		0000 0110 04000000 '1.21'
	`, &dimse.Request{CommandField: dimse.NDeleteRQ, MessageID: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21"}},
	{"N-DELETE-RSP", `
		0000 0000 04000000 40000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 5081
		0000 2001 02000000 0300
		0000 0008 02000000 0101
		0000 0009 02000000 1801
		0000 0010 04000000 '1.21'
	`, &dimse.Response{CommandField: 0x8150, MessageIDBeingRespondedTo: 3, SOPClassUID: "1.20", SOPInstanceUID: "1.21", Status: dimse.NoSuchSOPClass}},
	{"a command that nobody knows", `
		0000 0000 04000000 1E000000
		0000 0001 02000000 7707
		0000 1001 02000000 0300
		0000 0008 02000000 0101
	`, &dimse.Request{CommandField: 0x0777, MessageID: 3}},
}

func TestDecode(t *testing.T) {
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			got, err := dimse.Decode(wire(t, row.in))
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

func TestAppend(t *testing.T) {
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			got := dimse.Append([]byte("before"), row.want)
			require.Equal(t, hex.EncodeToString(wire(t, row.in)), hex.EncodeToString(got[len("before"):]))
		})
	}
}

func TestDecode_refuses(t *testing.T) {
	const (
		storeRQ   = "0000 0001 02000000 0100 "
		messageID = "0000 1001 02000000 0200 "
	)
	for _, row := range []struct{ name, in, want string }{
		{"nothing", "", "no Command Field"},
		{"half a header", storeRQ + "0000 10", "3 bytes after the last element"},
		{"no command field", messageID, "no Command Field"},
		{"a command field of four bytes", "0000 0001 04000000 01000000", "no Command Field"},
		{"no message ID", storeRQ, "C-STORE-RQ without its message ID (0000,0110)"},
		{"a response to nothing", "0000 0001 02000000 0180 " + messageID, "C-STORE-RSP without its message ID (0000,0120)"},
		{"a response without status", "0000 0001 02000000 0180 0000 2001 02000000 0200", "C-STORE-RSP without a status"},
		{"length beyond the end", storeRQ + messageID + "0000 0010 FFFFFFFF 31", "4294967295 bytes with 1 left"},
		{"undefined length", storeRQ + messageID + "0000 0010 FFFFFFFF", "4294967295 bytes with 0 left"},
		{"an element twice", storeRQ + messageID + messageID, "(0000,0110) twice"},
		{"a data set's element", storeRQ + messageID + "0800 1800 02000000 3100", "(0008,0018) is not of group 0000"},
		{"more elements than there are", storeRQ + elements(200), "more than 128 elements"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := dimse.Decode(wire(t, row.in))
			require.ErrorIs(t, err, dimse.ErrMalformed)
			require.ErrorContains(t, err, row.want)
		})
	}
}

func elements(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("0000 " + hex.EncodeToString([]byte{byte(i), 0x7F}) + " 00000000 ")
	}
	return b.String()
}

// What real peers get wrong and still mean: a wrong group length, any order, padding with NUL.
func TestDecode_lenient(t *testing.T) {
	got, err := dimse.Decode(wire(t, `
		0000 1001 02000000 0200
		0000 0010 0A000000 '1.2.3.4' 00 00 00
		0000 0001 02000000 0100
		0000 0000 04000000 00000000
		0000 0008 02000000 FEFE
	`))
	require.NoError(t, err)
	require.Equal(t, &dimse.Request{CommandField: dimse.CStoreRQ, MessageID: 2, SOPInstanceUID: "1.2.3.4", HasDataset: true}, got)

	got, err = dimse.Decode(wire(t, `
		0000 0001 02000000 1001
		0000 1001 02000000 0200
		0000 0200 04000000 '1.20'                              # affected, where requested is due
		0000 0010 04000000 '1.21'
	`))
	require.NoError(t, err)
	require.Equal(t, &dimse.Request{CommandField: dimse.NGetRQ, MessageID: 2, SOPClassUID: "1.20", SOPInstanceUID: "1.21"}, got)
}

func TestAnswer(t *testing.T) {
	rsp := (&dimse.Request{CommandField: dimse.NActionRQ, MessageID: 4, SOPClassUID: "1.20", SOPInstanceUID: "1.21", HasDataset: true}).Answer(dimse.UnrecognizedOperation)
	require.Equal(t, &dimse.Response{
		CommandField: 0x8130, MessageIDBeingRespondedTo: 4, SOPClassUID: "1.20", SOPInstanceUID: "1.21", Status: dimse.UnrecognizedOperation,
	}, rsp)
}

// What decodes encodes to something that decodes alike.
func FuzzDecode(f *testing.F) {
	for _, row := range table {
		f.Add(wire(f, row.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := dimse.Decode(in)
		if err != nil {
			require.ErrorIs(t, err, dimse.ErrMalformed)
			return
		}
		b := dimse.Append(nil, c)
		again, err := dimse.Decode(b)
		require.NoError(t, err)
		require.Equal(t, b, dimse.Append(nil, again))
		require.Equal(t, c.Field(), again.Field())
	})
}

// What every C-STORE costs beside moving its bytes.
func BenchmarkAppend(b *testing.B) {
	rsp := &dimse.Response{CommandField: 0x8001, MessageIDBeingRespondedTo: 2, SOPClassUID: endoscopic, SOPInstanceUID: "1.2.3.4"}
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buffer = dimse.Append(buffer[:0], rsp)
	}
}
