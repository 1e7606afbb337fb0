package dicom

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReplace(t *testing.T) {
	ts := syntax(ExplicitVRLittleEndian)
	item := Dataset{PatientID: Text{"inside"}, SOPInstanceUID: Text{"1.2.3"}}
	source := Dataset{
		SOPClassUID: Text{"1.2"}, PatientName: Text{"Old^Name"}, PatientID: Text{"X"}, IssuerOfPatientID: Text{"HOSP"},
		IssuerOfPatientIDQualifiersSequence: Items{item}, PatientSex: Text{"F"}, ProcedureCodeSequence: Items{item, {}}, Rows: Ints{2},
		PixelData: As{VR: "OB", Value: Bytes("pixels")},
	}
	encoded, err := source.Append(nil, ts)
	require.NoError(t, err)
	with := Dataset{PatientName: Text{"Grønvold^Åse"}, PatientID: Text{"Y"}, PatientBirthDate: Text{"19610203"}, IssuerOfPatientID: Text{}, IssuerOfPatientIDQualifiersSequence: Text{}}
	want := Dataset{SpecificCharacterSet: Text{"ISO_IR 192"}}
	for tag, v := range source {
		want[tag] = v
	}
	for tag, v := range with {
		want[tag] = v
	}
	delete(want, IssuerOfPatientID)
	delete(want, IssuerOfPatientIDQualifiersSequence)
	expected, err := want.Append(nil, ts)
	require.NoError(t, err)
	var got bytes.Buffer
	require.NoError(t, Replace(&got, bytes.NewReader(encoded), with))
	require.Equal(t, expected, got.Bytes())
	require.Len(t, with, 5, "it stays the caller's")

	got.Reset()
	require.NoError(t, Replace(&got, bytes.NewReader(nil), Dataset{PatientID: Text{"Y"}}), "at the end, too")
	a, err := ReadAttributes(&got, ts)
	require.NoError(t, err)
	require.Equal(t, "Y", a.Text(PatientID))
	require.Error(t, Replace(&got, bytes.NewReader(encoded), Dataset{PatientBirthDate: Text{"no date"}}))
	require.Error(t, Replace(&got, bytes.NewReader(encoded[:len(encoded)-3]), with))
}

// Encapsulated Pixel Data is taken over as it is.
func TestReplace_encapsulated(t *testing.T) {
	ts := syntax(JPEGBaseline8Bit)
	source := Dataset{SOPClassUID: Text{"1.2"}, PatientID: Text{"X"}, Rows: Ints{2}, PixelData: Encapsulate([]byte("one"), []byte("three"))}
	encoded, err := source.Append(nil, ts)
	require.NoError(t, err)
	source[SpecificCharacterSet], source[PatientID] = Text{"ISO_IR 192"}, Text{"Y"}
	expected, err := source.Append(nil, ts)
	require.NoError(t, err)
	var got bytes.Buffer
	require.NoError(t, Replace(&got, bytes.NewReader(encoded), Dataset{PatientID: Text{"Y"}}))
	require.Equal(t, expected, got.Bytes())
}

// Texts of another character set become UTF-8, in items that state one and in those that inherit it.
func TestReplace_characterSets(t *testing.T) {
	ts := syntax(ExplicitVRLittleEndian)
	inherits := Dataset{PatientID: As{Verbatim: true, Value: Bytes("\xfc")}, ProcedureCodeSequence: Items{{CodeMeaning: As{Verbatim: true, Value: Bytes("\xe4")}}}}
	states := Dataset{SpecificCharacterSet: Text{"ISO_IR 192"}, PatientID: Text{"山"}, ProcedureCodeSequence: Items{{CodeMeaning: Text{"田"}}}}
	for _, row := range []struct{ charset, description, want string }{
		{"ISO_IR 100", "\xf6", "ö"}, {"", "\xf6", "ö"}, {"ISO_IR 192", "\xf6", "ö"}, {"ISO_IR 144", "\xbb", "Л"},
	} {
		source := Dataset{
			PatientName: Text{"Old"}, StudyDescription: As{Verbatim: true, Value: Bytes(row.description)}, Rows: Ints{2},
			OtherPatientIDsSequence: Items{states, inherits, states}, StudyID: As{Verbatim: true, Value: Bytes(row.description)},
		}
		if row.charset != "" {
			source[SpecificCharacterSet] = Text{row.charset}
		}
		encoded, err := source.Append(nil, ts)
		require.NoError(t, err)
		var got bytes.Buffer
		require.NoError(t, Replace(&got, bytes.NewReader(encoded), Dataset{PatientName: Text{"Grønvold^Åse"}}))
		a, err := ReadAttributes(&got, ts)
		require.NoError(t, err)
		require.Equal(t, "ISO_IR 192", a.Text(SpecificCharacterSet))
		require.Equal(t, "Grønvold^Åse", a.Text(PatientName))
		require.Equal(t, row.want, a.Text(StudyDescription))
		require.Equal(t, row.want, a.Text(StudyID), "behind items")
		for i, want := range []string{"山田", "", "山田"} {
			item := a.Item(OtherPatientIDsSequence, i)
			said := item.Text(PatientID) + item.Item(ProcedureCodeSequence, 0).Text(CodeMeaning)
			require.NotContains(t, said, "\uFFFD")
			if want != "" {
				require.Equal(t, want, said)
			}
		}
	}
}
