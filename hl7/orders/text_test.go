package orders

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
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
