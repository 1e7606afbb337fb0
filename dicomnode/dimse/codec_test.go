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
	`, &dimse.EchoRQ{MessageID: 7, AffectedSOPClassUID: "1.2.840.10008.1.1"}},
	{"C-ECHO-RSP", `
		0000 0000 04000000 42000000
		0000 0200 12000000 '1.2.840.10008.1.1' 00
		0000 0001 02000000 3080
		0000 2001 02000000 0700                                # message ID being responded to
		0000 0008 02000000 0101
		0000 0009 02000000 0000                                # status
	`, &dimse.EchoRSP{MessageIDBeingRespondedTo: 7, AffectedSOPClassUID: "1.2.840.10008.1.1"}},
	{"C-STORE-RQ", `
		0000 0000 04000000 5E000000
		0000 0200 1E000000 '1.2.840.10008.5.1.4.1.1.77.1.1'
		0000 0001 02000000 0100
		0000 1001 02000000 FFFF
		0000 0007 02000000 0100                                # priority high
		0000 0008 02000000 0100                                # a data set
		0000 0010 08000000 '1.2.3.4' 00                        # affected SOP instance UID
	`, &dimse.StoreRQ{MessageID: 65535, Priority: dimse.PriorityHigh, AffectedSOPClassUID: endoscopic, AffectedSOPInstanceUID: "1.2.3.4"}},
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
	`, &dimse.StoreRQ{
		MessageID: 2, AffectedSOPClassUID: endoscopic, AffectedSOPInstanceUID: "1.2.3.4",
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
	`, &dimse.StoreRQ{MessageID: 2, AffectedSOPClassUID: endoscopic, AffectedSOPInstanceUID: "1.2.3.4", NoDataset: true}},
	{"C-STORE-RSP", `
		0000 0000 04000000 72000000
		0000 0200 1E000000 '1.2.840.10008.5.1.4.1.1.77.1.1'
		0000 0001 02000000 0180
		0000 2001 02000000 0200
		0000 0008 02000000 0101
		0000 0009 02000000 00A7
		0000 0209 0C000000 'disk is full'                      # error comment
		0000 0010 08000000 '1.2.3.4' 00
	`, &dimse.StoreRSP{
		MessageIDBeingRespondedTo: 2, AffectedSOPClassUID: endoscopic, AffectedSOPInstanceUID: "1.2.3.4",
		Status: dimse.OutOfResources, ErrorComment: "disk is full",
	}},
	{"C-FIND-RQ", `
		0000 0000 04000000 2A000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 2000
		0000 1001 02000000 0300
		0000 0008 02000000 0100
	`, &dimse.Other{CommandField: dimse.CFindRQ, MessageID: 3, AffectedSOPClassUID: "1.20", Dataset: true}},
	{"C-CANCEL-RQ", `
		0000 0000 04000000 1E000000
		0000 0001 02000000 FF0F
		0000 2001 02000000 0300
		0000 0008 02000000 0101
	`, &dimse.Other{CommandField: dimse.CCancelRQ, MessageID: 3}},
	{"C-FIND-RSP", `
		0000 0000 04000000 34000000
		0000 0200 04000000 '1.20'
		0000 0001 02000000 2080
		0000 2001 02000000 0300
		0000 0008 02000000 0101
		0000 0009 02000000 1102
	`, &dimse.Other{CommandField: dimse.CFindRQ | dimse.ResponseBit, MessageID: 3, AffectedSOPClassUID: "1.20", Status: dimse.UnrecognizedOperation}},
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
	require.Equal(t, &dimse.StoreRQ{MessageID: 2, AffectedSOPInstanceUID: "1.2.3.4"}, got)
	require.True(t, got.HasDataset())
}

func TestAppend_commentFitsItsVR(t *testing.T) {
	b := dimse.Append(nil, &dimse.EchoRSP{ErrorComment: "Größe \\ \n" + strings.Repeat("x", 100)})
	got, err := dimse.Decode(b)
	require.NoError(t, err)
	comment := got.(*dimse.EchoRSP).ErrorComment
	require.Len(t, comment, 64)
	require.True(t, strings.HasPrefix(comment, "Gr??e ? ?x"), comment)
}

func TestRefuse(t *testing.T) {
	rsp, ok := (&dimse.Other{CommandField: dimse.NActionRQ, MessageID: 4, AffectedSOPClassUID: "1.20", Dataset: true}).Refuse(dimse.UnrecognizedOperation)
	require.True(t, ok)
	require.Equal(t, &dimse.Other{CommandField: 0x8130, MessageID: 4, AffectedSOPClassUID: "1.20", Status: dimse.UnrecognizedOperation}, rsp)
	for _, field := range []dimse.Field{dimse.CCancelRQ, 0x8130} {
		_, ok := (&dimse.Other{CommandField: field}).Refuse(dimse.UnrecognizedOperation)
		require.False(t, ok)
	}
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
		require.Equal(t, c.HasDataset(), again.HasDataset())
	})
}
