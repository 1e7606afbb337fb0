package gateway_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/dicomtest"
	"endogate/hl7"
	"endogate/hl7/mllp"
	"endogate/hl7/mllp/mllptest"
)

// TestGateway_mergeWhileSignedReportWaits has a merge come by MLLP while the RIS is down and a signed report waits for it: the
// RIS gets the report once, under the surviving identifier, and what was signed is as it was.
func TestGateway_mergeWhileSignedReportWaits(t *testing.T) {
	t.Parallel()
	ris, listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [ris]}]
destinations:
  - {name: ris, kind: hl7, address: %q}
exam: {quiet: 1s}
reports: {unauthenticated_sign: true}
hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}
`, ris, listener))
	g.replace("max_backoff: 1s}", "max_backoff: 1s, timeout: 3s}")
	g.apart = true
	g.start()
	options := dicomtest.Options{PatientID: "OLD1"}
	_, header := dicomtest.Endoscopic(options)
	study := header.StudyInstanceUID
	storeAll(t, g.scp, drawn(options))
	g.waitDraft(study, `"1.1"`)
	signed := g.desk(http.MethodPost, study, "/sign", `"1.1"`, author{"Dr. Test"})
	require.Equal(t, http.StatusOK, signed.status, string(signed.body))

	client := &mllp.Client{Address: listener}
	defer func() { _ = client.Close() }()
	answer, err := client.Exchange(t.Context(), []byte(strings.Join([]string{
		`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ADT^A40^ADT_A39|m1|P|2.5.1`, "EVN|A40|20260301080000", "PID|1||NEW1||Survivor^Anna||19610203|F", "MRG|OLD1", "",
	}, "\r")))
	require.NoError(t, err)
	ack, err := hl7.Parse(answer, hl7.Options{})
	require.NoError(t, err)
	require.Equal(t, "AA", ack.Get("MSA-1"), string(answer))
	g.process.Kill() // whether it is made anew by then or not
	g.start()
	receiver := mllptest.StartAt(t, ris, mllptest.AA)
	g.waitFor("the RIS to have it", func() bool {
		c := g.destination("ris").Counts
		return c.Done == 1 && c.Pending == 0
	})
	time.Sleep(time.Second)
	got := receiver.Got()
	var heads []string
	for _, m := range got {
		head, _, _ := strings.Cut(string(m), "\rORC")
		heads = append(heads, head)
	}
	require.Len(t, heads, 1)
	m, err := hl7.Parse(got[0], hl7.Options{})
	require.NoError(t, err)
	assert.Equal(t, "NEW1", m.Get("PID-3.1"))
	assert.Equal(t, "OLD1", m.Get("PID-3[2].1"))
	assert.Equal(t, "Survivor", m.Get("PID-5.1"))
	assert.Contains(t, string(got[0]), "Procedure Findings")
	assert.Equal(t, signed.document(t), g.waitDraft(study, `"1.2"`))

	g.process.Stop()
	before := g.books()
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	_, err = gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, before, g.books())
	assert.NotContains(t, g.Log(), "NEW1")
}
