package orders

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

func TestReadADT(t *testing.T) {
	hosp := func(id string) ledger.Identifier { return ledger.Identifier{ID: id, Authority: "HOSP"} }
	person := func(id string) ledger.Person { return ledger.Person{Identifier: hosp(id)} }
	for _, row := range []struct {
		name, event, segments string
		sender                Sender
		want                  []ledger.PatientChange
		code                  hl7.ErrorCode
	}{
		{
			name: "update", event: "ADT^A08", segments: `PID|1||P1^^^HOSP^MR~N1^^^NAT^NI||Last^First||19610203|F`,
			want: []ledger.PatientChange{{Person: ledger.Person{
				Identifier: hosp("P1"), Others: []ledger.Identifier{{ID: "N1", Authority: "NAT"}}, Name: "Last^First", BirthDate: "19610203", Sex: "F",
			}}},
		},
		{
			name: "null takes away, empty does not", event: "ADT^A31", segments: `PID|1||P1^^^HOSP^MR||Last^First||""|`,
			want: []ledger.PatientChange{{Person: ledger.Person{Identifier: hosp("P1"), Name: "Last^First"}, Removed: []ledger.PatientField{ledger.FieldBirthDate}}},
		},
		{name: "registered", event: "ADT^A04", segments: `PID|1||P1^^^HOSP`, want: []ledger.PatientChange{{Person: person("P1")}}},
		{name: "admitted", event: "ADT^A01", segments: `PID|1||P1^^^HOSP`, want: []ledger.PatientChange{{Person: person("P1")}}},
		{name: "merged", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rMRG|P1^^^HOSP", want: []ledger.PatientChange{{Person: person("P2"), Prior: []ledger.Identifier{hosp("P1")}}}},
		{name: "merged, 2.3", event: "ADT^A34", segments: "PID|1||P2^^^HOSP\rMRG|P1^^^HOSP", want: []ledger.PatientChange{{Person: person("P2"), Prior: []ledger.Identifier{hosp("P1")}}}},
		{name: "merged, 2.1", event: "ADT^A18", segments: "PID|1||P2\rMRG|P1", want: []ledger.PatientChange{{Person: ledger.Person{Identifier: ledger.Identifier{ID: "P2"}}, Prior: []ledger.Identifier{{ID: "P1"}}}}},
		{
			name: "groups", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rPD1|1\rMRG|P1^^^HOSP\rPV1|1\rPID|2||P4^^^HOSP\rMRG|P3^^^HOSP",
			want: []ledger.PatientChange{{Person: person("P2"), Prior: []ledger.Identifier{hosp("P1")}}, {Person: person("P4"), Prior: []ledger.Identifier{hosp("P3")}}},
		},
		{
			name: "several prior identifiers", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rMRG|P1^^^HOSP~P0^^^HOSP",
			want: []ledger.PatientChange{{Person: person("P2"), Prior: []ledger.Identifier{hosp("P1"), hosp("P0")}}},
		},
		{
			name: "each under its authority", event: "ADT^A40", segments: "PID|1||P2^^^HOSP~N2^^^NAT\rMRG|N1^^^NAT~P1^^^HOSP~L1^^^LAB",
			want: []ledger.PatientChange{
				{Person: ledger.Person{Identifier: hosp("P2"), Others: []ledger.Identifier{{ID: "N2", Authority: "NAT"}}}, Prior: []ledger.Identifier{hosp("P1")}},
				{Person: ledger.Person{Identifier: ledger.Identifier{ID: "N2", Authority: "NAT"}}, Prior: []ledger.Identifier{{ID: "N1", Authority: "NAT"}}},
			},
		},
		{
			name: "an identifier that stays", event: "ADT^A40", segments: "PID|1||P2^^^HOSP~N1^^^NAT\rMRG|P1^^^HOSP~N1^^^NAT",
			want: []ledger.PatientChange{{Person: ledger.Person{Identifier: hosp("P2"), Others: []ledger.Identifier{{ID: "N1", Authority: "NAT"}}}, Prior: []ledger.Identifier{hosp("P1")}}},
		},
		{
			name: "the authority of the sender", event: "ADT^A40", sender: Sender{Authority: "HOSP"}, segments: "PID|1||N2^^^NAT~P2^^^HOSP\rMRG|P1^^^HOSP",
			want: []ledger.PatientChange{{Person: ledger.Person{Identifier: hosp("P2"), Others: []ledger.Identifier{{ID: "N2", Authority: "NAT"}}}, Prior: []ledger.Identifier{hosp("P1")}}},
		},
		{name: "an authority left out", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rMRG|P1", want: []ledger.PatientChange{{Person: person("P2"), Prior: []ledger.Identifier{{ID: "P1"}}}}},
		{name: "another authority", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rMRG|P1^^^OTHER", code: hl7.UnknownKeyIdentifier},
		{name: "itself: for the ledger to refuse", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rMRG|P2^^^HOSP", want: []ledger.PatientChange{{Person: person("P2"), Prior: []ledger.Identifier{hosp("P2")}}}},
		{name: "no identifier", event: "ADT^A08", segments: "PID|1||^^^HOSP^MR", code: hl7.RequiredFieldMissing},
		{name: "no PID", event: "ADT^A08", segments: "PV1|1", code: hl7.RequiredFieldMissing},
		{name: "no MRG", event: "ADT^A40", segments: "PID|1||P2^^^HOSP", code: hl7.RequiredFieldMissing},
		{name: "a group without MRG", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rPID|2||P4^^^HOSP\rMRG|P3^^^HOSP", code: hl7.RequiredFieldMissing},
		{name: "MRG first", event: "ADT^A40", segments: "MRG|P1^^^HOSP\rPID|1||P2^^^HOSP", code: hl7.RequiredFieldMissing},
		{name: "an empty MRG", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rMRG|^^^HOSP", code: hl7.RequiredFieldMissing},
		{name: "an identifier without end", event: "ADT^A40", segments: "PID|1||P2^^^HOSP\rMRG|" + strings.Repeat("9", maxValue+1) + "^^^HOSP", code: hl7.DataType},
		{name: "an event that is not read", event: "ADT^A03", segments: "PID|1||P2^^^HOSP", code: hl7.UnsupportedEventCode},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, err := hl7.Parse([]byte("MSH|^~\\&|RIS|HOSP|ENDOGATE|ENDO|20260102||"+row.event+"|1|P|2.5.1\r"+row.segments+"\r"), hl7.Options{})
			require.NoError(t, err)
			kind, err := kindOf(m)
			var got asked
			if err == nil {
				got, err = kind.read(m, row.sender)
			}
			if row.code != 0 {
				var e *hl7.Error
				require.True(t, errors.As(err, &e), "%v", err)
				require.Equal(t, row.code, e.Code)
				require.NotContains(t, e.Error(), "P2")
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got.patients)
		})
	}
}
