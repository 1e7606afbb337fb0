package dicom

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWriteFileMeta_bytes(t *testing.T) {
	var out bytes.Buffer
	m := FileMeta{"1.2.3", "1.2.3.45", ExplicitVRLittleEndian, "SCOPE1"}
	require.NoError(t, WriteFileMeta(&out, m))
	b := out.Bytes()
	assert.Equal(t, make([]byte, 128), b[:128])
	assert.Equal(t, "DICM", string(b[128:132]))
	want := "\x02\x00\x00\x00UL\x04\x00" + string([]byte{byte(len(b) - 144)}) + "\x00\x00\x00" + // group length: what follows it
		"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01" +
		"\x02\x00\x02\x00UI\x06\x001.2.3\x00" +
		"\x02\x00\x03\x00UI\x08\x001.2.3.45" +
		"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00" +
		"\x02\x00\x12\x00UI\x2c\x00" + string(ImplementationClassUID) +
		"\x02\x00\x13\x00SH\x0a\x00ENDOGATE_1" +
		"\x02\x00\x16\x00AE\x06\x00SCOPE1"
	assert.Equal(t, want, string(b[132:]))
}

func TestFileMeta_roundTrip(t *testing.T) {
	uids := rapid.StringMatching(`[1-9](\.[1-9][0-9]{0,6}){1,7}`)
	rapid.Check(t, func(t *rapid.T) {
		want := FileMeta{
			UID(uids.Draw(t, "class")), UID(uids.Draw(t, "instance")), UID(uids.Draw(t, "syntax")),
			rapid.StringMatching(`([A-Z0-9_]{1,16})?`).Draw(t, "title"),
		}
		dataset := rapid.SliceOf(rapid.Byte()).Draw(t, "dataset")
		if bytes.HasPrefix(dataset, []byte{2, 0}) {
			dataset[0] = 8
		}
		var out bytes.Buffer
		require.NoError(t, WriteFileMeta(&out, want))
		out.Write(dataset)
		r := bufio.NewReader(&out)
		got, err := ReadFileMeta(r)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		rest, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, string(dataset), string(rest))
	})
}

func TestWriteFileMeta_refusesBadUIDs(t *testing.T) {
	err := WriteFileMeta(io.Discard, FileMeta{"1.2", "not/a/uid", ExplicitVRLittleEndian, ""})
	assert.Error(t, err)
}

func TestReadFileMeta_odd(t *testing.T) {
	preamble := strings.Repeat("\x00", 128) + "DICM"
	syntax := "\x02\x00\x10\x00UI\x12\x001.2.840.10008.1.2\x00"
	dataset := "\x08\x00\x05\x00\x00\x00\x00\x00"
	for _, row := range []struct {
		name, in, rest string
		want           UID
		err            error
	}{
		{"no group length", preamble + syntax + dataset, dataset, ImplicitVRLittleEndian, nil},
		{"wrong group length", preamble + "\x02\x00\x00\x00UL\x04\x00\x07\x00\x00\x00" + syntax + dataset, dataset, ImplicitVRLittleEndian, nil},
		{"no preamble", syntax + dataset, dataset, ImplicitVRLittleEndian, nil},
		{"no transfer syntax", preamble + "\x02\x00\x02\x00UI\x04\x001.2\x00" + dataset, dataset, "", nil},
		{"no data set", preamble + syntax, "", ImplicitVRLittleEndian, nil},
		{"bare data set", dataset, dataset, "", ErrNoFileMeta},
		{"nothing", "", "", "", ErrNoFileMeta},
		{"cut", preamble + syntax[:20], "", "", io.ErrUnexpectedEOF},
		{"huge element", preamble + "\x02\x00\x02\x01OB\x00\x00\xfe\xff\xff\xff", "", "", ErrCorrupt},
		{"endless", preamble + strings.Repeat("\x02\x00\x00\x01SH\x00\x00", 300), strings.Repeat("\x02\x00\x00\x01SH\x00\x00", 44), "", ErrTooLarge},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := bufio.NewReader(strings.NewReader(row.in))
			m, err := ReadFileMeta(r)
			assert.ErrorIs(t, err, row.err)
			assert.Equal(t, row.want, m.TransferSyntaxUID)
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, row.rest, string(rest))
		})
	}
}
