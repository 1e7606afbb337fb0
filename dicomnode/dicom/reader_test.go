package dicom

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// tokens writes a data set's tokens in one line, values in quotes.
func tokens(data []byte, ts TransferSyntax) (string, error) {
	var out strings.Builder
	r := NewReader(bytes.NewReader(data), ts)
	for {
		token, err := r.Next()
		if err != nil {
			return strings.TrimSpace(out.String()), err
		}
		switch token.Kind {
		case ElementToken, Fragment:
			value, err := io.ReadAll(r)
			if err != nil {
				return strings.TrimSpace(out.String()), err
			}
			fmt.Fprintf(&out, "%d%v%s%q ", token.Depth, token.Tag, token.VR, value)
		case SequenceStart:
			fmt.Fprintf(&out, "%d%v< ", token.Depth, token.Tag)
		case FragmentsStart:
			fmt.Fprintf(&out, "%d%v[ ", token.Depth, token.Tag)
		case ItemStart:
			out.WriteString("{ ")
		case ItemEnd:
			out.WriteString("} ")
		case SequenceEnd:
			fmt.Fprintf(&out, "%d> ", token.Depth)
		}
	}
}

func TestReader_bytes(t *testing.T) {
	const (
		item    = "\xfe\xff\x00\xe0"
		itemEnd = "\xfe\xff\x0d\xe0\x00\x00\x00\x00"
		seqEnd  = "\xfe\xff\xdd\xe0\x00\x00\x00\x00"
		undef   = "\xff\xff\xff\xff"
		id      = "\x10\x00\x20\x00LO\x02\x00ab" // (0010,0020)
		implID  = "\x10\x00\x20\x00\x02\x00\x00\x00ab"
		seq     = "\x08\x00\x32\x10SQ\x00\x00" // (0008,1032)
		pixels  = "\xe0\x7f\x10\x00OB\x00\x00"
	)
	for _, row := range []struct {
		name, in, want string
		syntax         UID // Explicit VR Little Endian where empty
		err            error
	}{
		{name: "empty", in: "", want: "", err: io.EOF},
		{name: "explicit", in: id, want: `0(0010,0020)LO"ab"`, err: io.EOF},
		{name: "implicit", in: implID, syntax: ImplicitVRLittleEndian, want: `0(0010,0020)LO"ab"`, err: io.EOF},
		{name: "big endian", in: "\x00\x10\x00\x20LO\x00\x02ab", syntax: ExplicitVRBigEndian, want: `0(0010,0020)LO"ab"`, err: io.EOF},
		{
			name: "undefined lengths", in: seq + undef + item + undef + id + itemEnd + item + undef + itemEnd + seqEnd + id,
			want: `0(0008,1032)< { 1(0010,0020)LO"ab" } { } 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{
			name: "defined lengths", in: seq + "\x1a\x00\x00\x00" + item + "\x0a\x00\x00\x00" + id + item + "\x00\x00\x00\x00" + id,
			want: `0(0008,1032)< { 1(0010,0020)LO"ab" } { } 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{
			name: "item delimiter left out", in: seq + undef + item + undef + id + seqEnd + id,
			want: `0(0008,1032)< { 1(0010,0020)LO"ab" } 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{name: "stray delimiters", in: itemEnd + id + seqEnd, want: `0(0010,0020)LO"ab"`, err: io.EOF},
		{
			name: "UN of undefined length is implicit inside", in: "\x09\x00\x10\x10UN\x00\x00" + undef + item + undef + implID + itemEnd + seqEnd + id,
			want: `0(0009,1010)< { 1(0010,0020)LO"ab" } 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{
			name: "sequence called UN", in: "\x08\x00\x32\x10UN\x00\x00\x12\x00\x00\x00" + item + "\x0a\x00\x00\x00" + implID + id,
			want: `0(0008,1032)< { 1(0010,0020)LO"ab" } 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{name: "known element called UN", in: "\x10\x00\x20\x00UN\x00\x00\x02\x00\x00\x00ab", want: `0(0010,0020)LO"ab"`, err: io.EOF},
		{name: "VR of the future", in: "\x10\x00\x20\x00ZZ\x00\x00\x02\x00\x00\x00ab", want: `0(0010,0020)LO"ab"`, err: io.EOF},
		{name: "implicit element in explicit data", in: implID + id, want: `0(0010,0020)LO"ab" 0(0010,0020)LO"ab"`, err: io.EOF},
		{
			name: "fragments", in: pixels + undef + item + "\x00\x00\x00\x00" + item + "\x02\x00\x00\x00\xff\xd8" + seqEnd + id,
			want: `0(7FE0,0010)[ 1(FFFE,E000)OB"" 1(FFFE,E000)OB"\xff\xd8" 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{
			name: "delimiter at the end of a sequence of defined length", in: seq + "\x1a\x00\x00\x00" + item + "\x0a\x00\x00\x00" + id + seqEnd + id,
			want: `0(0008,1032)< { 1(0010,0020)LO"ab" } 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{
			name: "delimiter within a sequence of defined length", in: seq + "\x22\x00\x00\x00" + item + "\x0a\x00\x00\x00" + id + seqEnd + item + "\x00\x00\x00\x00",
			want: `0(0008,1032)< { 1(0010,0020)LO"ab" }`, err: ErrCorrupt,
		},
		{
			name: "zeros for the delimiter of fragments", in: pixels + undef + item + "\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + id,
			want: `0(7FE0,0010)[ 1(FFFE,E000)OB"" 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{
			name: "zeros for the delimiter of a sequence", in: seq + undef + "\x00\x00\x00\x00\x00\x00\x00\x00" + id,
			want: `0(0008,1032)< 0> 0(0010,0020)LO"ab"`, err: io.EOF,
		},
		{name: "zeros and a length", in: seq + undef + "\x00\x00\x00\x00\x02\x00\x00\x00", want: `0(0008,1032)<`, err: ErrCorrupt},
		{name: "zeros cut", in: seq + undef + "\x00\x00\x00\x00\x00", want: `0(0008,1032)<`, err: io.ErrUnexpectedEOF},
		{name: "VR of question marks", in: "\x09\x00\x01\x10??\x02\x00ab" + id, want: `0(0009,1001)UN"ab" 0(0010,0020)LO"ab"`, err: io.EOF},
		{name: "native pixel data", in: pixels + "\x02\x00\x00\x00ab", want: `0(7FE0,0010)OB"ab"`, err: io.EOF},
		{
			name: "implicit pixel data of undefined length", in: "\xe0\x7f\x10\x00" + undef + item + "\x02\x00\x00\x00ab" + seqEnd,
			syntax: ImplicitVRLittleEndian, want: `0(7FE0,0010)[ 1(FFFE,E000)OB"ab" 0>`, err: io.EOF,
		},
		{name: "cut in a tag", in: id + "\x10\x00", want: `0(0010,0020)LO"ab"`, err: io.ErrUnexpectedEOF},
		{name: "cut in a length", in: "\x10\x00\x20\x00LO", err: io.ErrUnexpectedEOF},
		{name: "cut in a value", in: id[:9], err: io.ErrUnexpectedEOF},
		{name: "cut in a sequence", in: seq + undef + item + undef + id, want: `0(0008,1032)< { 1(0010,0020)LO"ab"`, err: io.ErrUnexpectedEOF},
		{name: "item longer than its sequence", in: seq + "\x0a\x00\x00\x00" + item + "\x0a\x00\x00\x00" + id, want: `0(0008,1032)< {`, err: ErrCorrupt},
		{name: "element longer than its item", in: seq + "\x12\x00\x00\x00" + item + "\x09\x00\x00\x00" + id, want: `0(0008,1032)< {`, err: ErrCorrupt},
		{name: "header longer than its item", in: seq + "\x0e\x00\x00\x00" + item + "\x06\x00\x00\x00" + id, want: `0(0008,1032)< {`, err: ErrCorrupt},
		{name: "element where an item is due", in: seq + undef + "\x08\x00\x20\x00LO\x02\x00ab", want: `0(0008,1032)<`, err: ErrCorrupt},
		{name: "a later element where a delimiter is due", in: seq + undef + id, want: `0(0008,1032)< 0> 0(0010,0020)LO"ab"`},
		{name: "item where an element is due", in: item + "\x00\x00\x00\x00", err: ErrCorrupt},
		{name: "text of undefined length", in: "\x10\x00\x20\x00UT\x00\x00" + undef, err: ErrCorrupt},
		{name: "fragment of undefined length", in: pixels + undef + item + undef, want: `0(7FE0,0010)[`, err: ErrCorrupt},
		{name: "not deflated", in: "\xff\xff\xff", syntax: DeflatedExplicitVRLittleEndian, err: ErrCorrupt},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.syntax == "" {
				row.syntax = ExplicitVRLittleEndian
			}
			ts, _ := LookupTransferSyntax(row.syntax)
			got, err := tokens([]byte(row.in), ts)
			assert.Equal(t, row.want, got)
			if row.err != nil {
				assert.ErrorIs(t, err, row.err)
			}
			assert.Error(t, err)
		})
	}
}

func TestReader_errorStays(t *testing.T) {
	r := NewReader(strings.NewReader("\x10\x00\x20\x00LO\x09\x00ab"), TransferSyntax{ExplicitVR: true})
	_, err := r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, again := r.Next()
	assert.Equal(t, err, again)
	_, again = r.Read(make([]byte, 1))
	assert.Error(t, again)
}

// What the test encoder writes, in any encoding, comes back as the same elements.
func TestReader_generatedDataSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid := rapid.SampledFrom([]UID{ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian}).Draw(t, "syntax")
		e := newEncoder(uid, rapid.Bool().Draw(t, "undefined"))
		var want strings.Builder
		drawElements(t, e, &want, 0)
		got, err := tokens(e.Bytes(), e.ts)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, strings.TrimSpace(want.String()), got)
	})
}

func drawElements(t *rapid.T, e *encoder, want *strings.Builder, depth int) {
	for range rapid.IntRange(0, 4).Draw(t, "elements") {
		if depth < 4 && rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
			fmt.Fprintf(want, "%d%v< ", depth, ContentSequence)
			items := make([]func(*encoder), rapid.IntRange(0, 3).Draw(t, "items"))
			for i := range items {
				items[i] = func(inner *encoder) {
					want.WriteString("{ ")
					drawElements(t, inner, want, depth+1)
					want.WriteString("} ")
				}
			}
			e.sequence(ContentSequence, items...)
			fmt.Fprintf(want, "%d> ", depth)
			continue
		}
		tag := rapid.SampledFrom([]Tag{PatientID, CodeMeaning, 0x00081190, 0x0040A160}).Draw(t, "tag")
		value := string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "value"))
		if len(value)%2 == 1 {
			value += " "
		}
		e.text(tag, VROf(tag), value)
		fmt.Fprintf(want, "%d%v%s%q ", depth, tag, VROf(tag), value)
	}
}

func TestVROf(t *testing.T) {
	for tag, want := range map[Tag]string{
		PatientName: "PN", PixelData: "OW", ProcedureCodeSequence: "SQ", 0x60023000: "OW", 0x60FE0010: "US",
		0x00090010: "LO", 0x00091001: "UN", 0x00100000: "UL", 0x00080004: "UN", 0xFFFCFFFC: "OB", ExtendedOffsetTable: "OV",
	} {
		assert.Equal(t, want, VROf(tag), "%v", tag)
	}
}
