package dicom

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWriteImplicit_sameDataSet(t *testing.T) {
	want := sample(ImplicitVRLittleEndian, true).dataset(t)
	for _, undefined := range []bool{false, true} {
		var got bytes.Buffer
		require.NoError(t, WriteImplicit(&got, bytes.NewReader(sample(ExplicitVRLittleEndian, undefined).dataset(t))))
		assert.Equal(t, want, got.Bytes(), "from undefined lengths: %v", undefined)
	}
}

func TestWriteImplicit_brokenOff(t *testing.T) {
	whole := sample(ExplicitVRLittleEndian, false).dataset(t)
	assert.Error(t, WriteImplicit(new(bytes.Buffer), bytes.NewReader(whole[:len(whole)-1])))
	encapsulated := newEncoder(JPEGBaseline8Bit, true).fragments("\x00\x00")
	assert.ErrorContains(t, WriteImplicit(new(bytes.Buffer), bytes.NewReader(encapsulated.dataset(t))), "encapsulated")
}

// Where the VR is not written, every reader takes a value under a sequence's tag for items.
func TestImplicit_valueInThePlaceOfASequence(t *testing.T) {
	explicit, _ := LookupTransferSyntax(ExplicitVRLittleEndian)
	implicit, _ := LookupTransferSyntax(ImplicitVRLittleEndian)
	for _, value := range []Value{As{VR: "OB", Value: Bytes("not items!")}, As{VR: "LO", Value: Text{"not items"}}} {
		ds := Dataset{ContentSequence: value}
		_, err := ds.Append(nil, implicit)
		assert.ErrorContains(t, err, "in the place of a sequence")

		data, err := ds.Append(nil, explicit)
		require.NoError(t, err)
		assert.ErrorContains(t, WriteImplicit(new(bytes.Buffer), bytes.NewReader(data)), "in the place of a sequence")
	}
}
