package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/hl7"
	"endogate/hl7/mllp"
)

// TestGateway_orderOver has an examination reported at once when its order is completed, though it would wait for an hour; a
// cancelled order's images are not analysed, and its timeline says so.
func TestGateway_orderOver(t *testing.T) {
	t.Parallel()
	pacs := &requests{of: map[dicom.UID][]string{}}
	address := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, strings.Replace(routeTo("PACS", address, ""), "exam: {quiet: 1s}", "exam: {quiet: 1h, max_wait: 2h}", 1)+
		fmt.Sprintf("hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\n", listener))
	g.start()
	client := &mllp.Client{Address: listener}
	defer func() { _ = client.Close() }()
	say := func(id, control, status, accession string) {
		answer, err := client.Exchange(t.Context(), []byte(strings.Join([]string{
			`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ORM^O01^ORM_O01|` + id + "|P|2.5.1", "PID|1||P1",
			"ORC|" + control + "|PL" + accession + "|||" + status,
			"OBR|1|PL" + accession + "||73761001^Colonoscopy^SCT||||||||||||||" + accession, "",
		}, "\r")))
		require.NoError(t, err)
		m, err := hl7.Parse(answer, hl7.Options{})
		require.NoError(t, err)
		require.Equal(t, "AA", m.Get("MSA-1"))
	}
	over, off := dicomtest.Options{Study: "over", Accession: "O1", PatientID: "P1"}, dicomtest.Options{Study: "off", Accession: "C1", PatientID: "P1"}
	_, overHeader := dicomtest.Endoscopic(over)
	_, offHeader := dicomtest.Endoscopic(off)
	say("m1", "NW", "", "O1")
	say("m2", "NW", "", "C1")
	say("m3", "CA", "", "C1")
	storeAll(t, g.scp, drawn(over), drawn(off))
	steps := func(study dicom.UID) (all []string) {
		for _, e := range g.study(study).Timeline {
			all = append(all, e.Step)
		}
		return all
	}
	g.waitFor("the images", func() bool {
		all := g.text("/api/v1/studies")
		return strings.Contains(all, string(overHeader.StudyInstanceUID)) && strings.Contains(all, string(offHeader.StudyInstanceUID))
	})
	g.waitFor("the analysis", func() bool {
		return strings.Contains(strings.Join(steps(overHeader.StudyInstanceUID), " "), string(ledger.EventAnalysed))
	})
	assert.Equal(t, "no report", pacs.last(overHeader.StudyInstanceUID), "it waits for more images")
	say("m4", "SC", "CM", "O1")
	g.waitFor("the report", func() bool { return pacs.last(overHeader.StudyInstanceUID) == "PLO1" })
	assert.Contains(t, steps(overHeader.StudyInstanceUID), string(ledger.EventOrderCompleted))
	assert.Contains(t, steps(offHeader.StudyInstanceUID), string(ledger.EventNotAnalysed))
	assert.NotContains(t, steps(offHeader.StudyInstanceUID), string(ledger.EventAnalysed))
}
