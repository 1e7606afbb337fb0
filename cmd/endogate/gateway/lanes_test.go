package gateway_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/hl7"
	"endogate/hl7/mllp"
)

// order sends an order for a study and holds that it is taken.
func (g *testGateway) order(address, accession string, study dicom.UID, priority string) {
	g.t.Helper()
	client := &mllp.Client{Address: address, Timeout: time.Minute}
	defer func() { require.NoError(g.t, client.Close()) }()
	answer, err := client.Exchange(g.t.Context(), fmt.Appendf(nil, "MSH|^~\\&|RIS|HOSP|ENDOGATE|ENDO|20260102101500||ORM^O01^ORM_O01|%[1]s|P|2.5.1\r"+
		"PID|1||PAT001^^^HOSP^MR||Berg^Ida||19600101|F\rORC|NW|P%[1]s|F%[1]s||SC||^^^^^%[3]s\r"+
		"OBR|1|P%[1]s|F%[1]s|73761001^Colonoscopy^SCT||||||||||||||%[1]s|R1|S1||||ES|||^^^^^%[3]s\rZDS|%[2]s^^Application^DICOM\r", accession, study, priority))
	require.NoError(g.t, err)
	ack, err := hl7.Parse(answer, hl7.Options{})
	require.NoError(g.t, err)
	require.Equal(g.t, "AA", ack.Get("MSA-1"), "%s", answer)
}

// TestGateway_statIsNext: the images of STAT orders wait for no more than the job under way, whether the order comes before
// them or while they wait behind fifty others.
func TestGateway_statIsNext(t *testing.T) {
	t.Parallel()
	hl7Address, broker := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t)), newBroker(t)
	g := newGateway(t, routeTo("NOBODY", fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t)), "")+fmt.Sprintf(`jobs: {workers: 1}
nats: {url: "nats://127.0.0.1:%d"}
hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}
`, broker.port, hl7Address))
	g.launch()
	image := func(study string, n int) dicomBytes {
		return drawn(dicomtest.Options{Study: study, Series: study, Instance: n, Accession: study, PatientID: "PAT001"})
	}
	uid := func(study string) dicom.UID {
		_, header := dicomtest.Endoscopic(dicomtest.Options{Study: study, Series: study})
		return header.StudyInstanceUID
	}
	var routine []dicomBytes
	for n := range 50 {
		routine = append(routine, image("routine", n+1))
	}
	g.order(hl7Address, "before", uid("before"), "S")
	storeAll(t, g.scp, append(routine, image("later", 1), image("before", 1))...)
	broker.start() // not before: where storing is slow, the worker would have done the fifty by the time the last is there
	g.order(hl7Address, "later", uid("later"), "S")
	g.waitFor("all to be analysed", func() bool { done, all := g.analysed(); return all == 52 && done == 52 })
	g.Stop()

	l, err := ledger.OpenReadOnly(filepath.Join(g.dir, "data/ledger.db"))
	require.NoError(t, err)
	defer l.Close()
	begun := func(study string) (all []time.Time) {
		page, err := l.Study(t.Context(), uid(study), ledger.Page{})
		require.NoError(t, err)
		for _, i := range page.InstanceViews {
			j, err := l.Job(t.Context(), ledger.JobID(i.Entry, "demo-colon"))
			require.NoError(t, err)
			all = append(all, j.InferredAt)
		}
		return all
	}
	others := begun("routine")
	require.Len(t, others, 50)
	for _, study := range []string{"before", "later"} {
		at, after := begun(study)[0], 0
		for _, other := range others {
			if other.After(at) {
				after++
			}
		}
		assert.Greater(t, after, 5, "routine jobs that begin after that of a STAT order (%s)", study)
	}
}
