package ledger

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// Images of one study that name two people hold its results, whatever the gate, whichever comes first, before results went out
// and after; what one of them does not say, or only writes otherwise, holds nothing.
func TestGate_identityOfImages(t *testing.T) {
	type h = dicom.Header
	for _, row := range []struct {
		name string
		a, b dicom.Header
		two  bool
	}{
		{"alike", h{PatientID: "1", PatientName: "Doe^Jane"}, h{PatientID: "1", PatientName: "Doe^Jane"}, false},
		{"two identifiers", h{PatientID: "1", PatientName: "Doe^Jane"}, h{PatientID: "2", PatientName: "Doe^Jane"}, true},
		{"leading zeros", h{PatientID: "007"}, h{PatientID: "7"}, true},
		{"case", h{PatientID: "ab12"}, h{PatientID: "AB12"}, true},
		{"two issuers", h{PatientID: "1", IssuerOfPatientID: "A"}, h{PatientID: "1", IssuerOfPatientID: "B"}, true},
		{"one issuer", h{PatientID: "1", IssuerOfPatientID: "A"}, h{PatientID: "1"}, false},
		{"no identifier in one", h{PatientName: "Doe^Jane"}, h{PatientID: "1", PatientName: "Doe^Jane"}, false},
		{"no identifier in one, another name", h{PatientName: "Alpha^Ann"}, h{PatientID: "1", PatientName: "Beta^Bob"}, true},
		{"no identifiers, two names", h{PatientName: "Alpha^Ann"}, h{PatientName: "Beta^Bob"}, true},
		{"everybody's identifier, two names", h{PatientID: "0000", PatientName: "Alpha^Ann"}, h{PatientID: "0000", PatientName: "Beta^Bob"}, true},
		{"two birth dates", h{PatientID: "1", PatientBirthDate: "19610203"}, h{PatientID: "1", PatientBirthDate: "19400101"}, true},
		{"a birth date that is none", h{PatientID: "1", PatientBirthDate: "19610203"}, h{PatientID: "1", PatientBirthDate: "00000000"}, false},
		{"male and female", h{PatientID: "1", PatientSex: "M"}, h{PatientID: "1", PatientSex: "F"}, true},
		{"other and female", h{PatientID: "1", PatientSex: "O"}, h{PatientID: "1", PatientSex: "F"}, false},
		{"no name", h{PatientID: "1"}, h{PatientID: "1", PatientName: "Doe^Jane"}, false},
		{"a name of delimiters", h{PatientID: "1", PatientName: "^^^^"}, h{PatientID: "1", PatientName: "Doe^Jane"}, false},
		{"a placeholder", h{PatientID: "1", PatientName: "?^?"}, h{PatientID: "1", PatientName: "Doe^Jane"}, false},
		{"written otherwise", h{PatientID: "1", PatientName: "Müller^Jörgen"}, h{PatientID: "1", PatientName: "MUELLER^JOERGEN"}, false},
		{"married", h{PatientID: "1", PatientName: "Smith^Anna"}, h{PatientID: "1", PatientName: "Miller^Anna"}, false},
		{"a reading in doubt", h{PatientID: "1", PatientName: "Èâàí^Ñ \uFFFD"}, h{PatientID: "1", PatientName: "Ivanov^S"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, pair := range [][2]dicom.Header{{row.a, row.b}, {row.b, row.a}} {
				l := openLedger(t)
				image := func(n int, h dicom.Header) {
					receive(t, l, by(n, GateOff, func(r *Receipt) {
						r.Header.PatientID, r.Header.IssuerOfPatientID, r.Header.PatientName = h.PatientID, h.IssuerOfPatientID, h.PatientName
						r.Header.PatientBirthDate, r.Header.PatientSex = h.PatientBirthDate, h.PatientSex
					}))
				}
				image(1, pair[0])
				require.NoError(t, l.FinishJob(t.Context(), "entry001.demo", testModel, frames(), []Object{object(1, "pacs")}, at(900)))
				require.Contains(t, leaving(t, l), "heatmap")
				image(2, pair[1])
				g := gateOf(t, l)
				require.Equal(t, row.two, g.Held)
				require.Equal(t, row.two, slices.Contains(g.Mismatches, MismatchPatients))
				require.Equal(t, row.two, len(g.Mismatches) > 0)
				require.Equal(t, row.two, !slices.Contains(leaving(t, l), "heatmap"), "what has not left waits")
				if !row.two {
					continue
				}
				person := By(t.Context(), Actor{Kind: ActorPerson, Name: "an operator"})
				require.NoError(t, l.ReleaseGate(person, "1.2", "seen", at(10)))
				image(3, pair[0])
				require.False(t, gateOf(t, l).Held, "what was seen")
				image(4, dicom.Header{PatientID: "3", PatientName: "Gamma^Carl", PatientBirthDate: "20010101"})
				require.True(t, gateOf(t, l).Held, "that, nobody has seen")
			}
		})
	}
}

// What a study says of its patient is what any of its images says.
func TestPatientOf_completed(t *testing.T) {
	l := openLedger(t)
	for n, h := range []dicom.Header{{}, {PatientID: "1", PatientName: "^^^^"}, {PatientID: "1", PatientName: "Doe^Jane"}, {PatientName: "DOE^JANE", PatientBirthDate: "19610203", PatientSex: "F"}} {
		receive(t, l, by(n+1, GateOff, func(r *Receipt) {
			r.Header.PatientID, r.Header.PatientName, r.Header.PatientBirthDate, r.Header.PatientSex = h.PatientID, h.PatientName, h.PatientBirthDate, h.PatientSex
		}))
	}
	whose, err := l.PatientOf(bg, "1.2")
	require.NoError(t, err)
	require.Equal(t, Person{Identifier: Identifier{ID: "1"}, Name: "Doe^Jane", BirthDate: "19610203", Sex: "F"}, whose.Person)
	require.False(t, whose.Other)
}
