package orders

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

// TestReadAgain: a message is read again as one of the sender that it came from, where several have one application.
func TestReadAgain(t *testing.T) {
	message := []byte(strings.Join([]string{
		`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ORU^R01^ORU_R01|r1|P|2.5.1`, "PID|1||P1",
		"OBR|1|||73761001^Colonoscopy^SCT||||||||||||||A1|||||||F", "OBX|1|TX|59776-5^Findings^LN||gro\xdfer Polyp||||||F", "",
	}, "\r"))
	from := func(prefix, charset, authority string) Sender {
		return Sender{Application: "RIS", Hosts: []netip.Prefix{netip.MustParsePrefix(prefix)}, Charset: charset, Authority: authority}
	}
	r := &Receiver{
		Senders: []Sender{from("10.1.0.0/16", "", "NORTH"), from("10.2.0.0/16", "CP1252", "SOUTH")},
		Read: func(text string) (ledger.ReportReading, bool) {
			return ledger.ReportReading{Language: text}, true
		},
	}
	read := r.ReadAgain(netip.MustParseAddr("10.2.3.4"), message)
	require.Len(t, read, 1)
	require.Equal(t, ledger.Identifier{ID: "P1", Authority: "SOUTH"}, read[0].Patient)
	require.Contains(t, read[0].Language, "großer Polyp")
	require.Empty(t, r.ReadAgain(netip.MustParseAddr("10.3.0.1"), message), "of no host that may send")
}

// TestReadings_groups: each report of a message is of its own order and patient, whatever stands before and behind it.
func TestReadings_groups(t *testing.T) {
	const obx = "OBX|1|TX|||No polyps.||||||F"
	for name, tt := range map[string]struct {
		segments []string
		want     []string // placer, accession number, patient
	}{
		"an ORC for each": {[]string{"PID|1||P1", "ORC|RE|PL1", "OBR|1", obx, "ORC|RE|PL2", "OBR|2", obx}, []string{"PL1  P1", "PL2  P1"}},
		"one ORC for all": {[]string{"PID|1||P1", "ORC|RE|PL1", "OBR|1", obx, "OBR|2|PL2", obx, "OBR|3", obx}, []string{"PL1  P1", "PL2  P1", "PL1  P1"}},
		"ORC behind OBR":  {[]string{"PID|1||P1", "OBR|1", "ORC|RE|PL1", obx}, []string{"PL1  P1"}},
		"ORC behind each OBR": {
			[]string{"PID|1||P1", "OBR|1|||||||||||||||||A1", "ORC|RE|PL1", obx, "OBR|2|||||||||||||||||A2", "ORC|RE|PL2", obx},
			[]string{"PL1 A1 P1", "PL2 A2 P1"},
		},
		"one ORC behind the first OBR": {[]string{"PID|1||P1", "OBR|1", "ORC|RE|PL1", obx, "OBR|2", obx}, []string{"PL1  P1", "PL1  P1"}},
		"two patients": {
			[]string{"PID|1||P1", "PV1|1", "ORC|RE|PL1", "OBR|1|||||||||||||||||A1", obx, "PID|2||P2", "OBR|2|||||||||||||||||A2", obx},
			[]string{"PL1 A1 P1", " A2 P2"},
		},
		"patients without ORC": {[]string{"PID|1||P1", "OBR|1|PL1", obx, "NTE|1", "PID|2||P2", "OBR|1|PL2", obx}, []string{"PL1  P1", "PL2  P2"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := hl7.Parse(lines(append([]string{header("ORU^R01", "r1")}, tt.segments...)...), hl7.Options{})
			require.NoError(t, err)
			r := &Receiver{Read: func(string) (ledger.ReportReading, bool) { return ledger.ReportReading{}, true }}
			var got []string
			for _, reading := range r.readings(m, Sender{}, false) {
				got = append(got, reading.Subject.Placer.ID+" "+reading.Subject.Accession+" "+reading.Patient.ID)
			}
			require.Equal(t, tt.want, got)
		})
	}
}

// TestReporter: who reported is read where that is wanted: who OBR-32 names, else OBX-16; of several nobody is.
func TestReporter(t *testing.T) {
	const obr, obx = "OBR|1|||73761001^Colonoscopy^SCT||||||||||||||A1|||||||F", "OBX|1|TX|59776-5^Findings^LN||No polyps.||||||F"
	meier, other := ledger.Physician{Identifier: ledger.Identifier{ID: "4711", Authority: "HOSP"}, Name: "Meier^Anna"}, ledger.Physician{Identifier: ledger.Identifier{ID: "12"}, Name: "Other"}
	for _, tt := range []struct {
		name, segments string
		want           ledger.Physician
	}{
		{"nobody", obr + "\r" + obx, ledger.Physician{}},
		{"the interpreter", obr + "|||||||4711&Meier&Anna&&&&&&HOSP\r" + obx + "|||||12^Other", meier},
		{"the observer", obr + "\r" + obx + "|||||12^Other", other},
		{"the observer of each", obr + "\r" + obx + "|||||12^Other\r" + obx + "|||||12^OTHER\r" + obx, ledger.Physician{Identifier: other.Identifier, Name: "OTHER"}},
		{"several observers", obr + "\r" + obx + "|||||12^Other\r" + obx + "|||||13^Third", ledger.Physician{}},
		{"too long", obr + "|||||||" + strings.Repeat("x", maxValue+1) + "\r" + obx, ledger.Physician{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			message := []byte(`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ORU^R01^ORU_R01|r1|P|2.5.1` + "\rPID|1||P1\r" + tt.segments + "\r")
			r := &Receiver{
				Senders: []Sender{{Application: "RIS", Hosts: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}},
				Read:    func(string) (ledger.ReportReading, bool) { return ledger.ReportReading{}, true },
			}
			m, err := hl7.Parse(message, hl7.Options{})
			require.NoError(t, err)
			for _, reporters := range []bool{true, false} {
				read := r.readings(m, r.Senders[0], reporters)
				require.Len(t, read, 1)
				if reporters {
					require.Equal(t, tt.want, read[0].Reporter)
				} else {
					require.Empty(t, read[0].Reporter)
				}
			}
			r.Reporters = true
			again := r.ReadAgain(netip.MustParseAddr("10.1.2.3"), message)
			require.Empty(t, again[0].Reporter, "it is read when the report comes, and not later")
		})
	}
}
