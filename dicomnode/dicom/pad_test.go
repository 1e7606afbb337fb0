package dicom

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// An odd value of unknown VR is padded alike however often it is read and written: a private creator is LO to whoever reads it.
func TestAppend_padOfUnknown(t *testing.T) {
	implicit, _ := LookupTransferSyntax(ImplicitVRLittleEndian)
	explicit, _ := LookupTransferSyntax(ExplicitVRLittleEndian)
	ds := Dataset{0xDE270010: As{VR: "UN", Verbatim: true, Value: Bytes{4}}}
	first, err := ds.Append(nil, implicit)
	require.NoError(t, err)
	require.Equal(t, byte(' '), first[len(first)-1])
	again, err := ReadAttributes(bytes.NewReader(first), implicit)
	require.NoError(t, err)
	second, err := again.dataset().Append(nil, implicit)
	require.NoError(t, err)
	require.Equal(t, first, second)

	stated, err := ds.Append(nil, explicit)
	require.NoError(t, err)
	require.Zero(t, stated[len(stated)-1], "UN is padded with a NUL where it is written")
}
