package gateway_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/hl7"
	"endogate/hl7/mllp"
	"endogate/hl7/mllp/mllptest"
	"endogate/reports/draft"
)

// requests is a PACS that remembers what the reports of each study say of their request, the last last.
type requests struct {
	mu sync.Mutex
	of map[dicom.UID][]string
}

// Store implements dicomnode.Handler.
func (p *requests) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	ts, _ := dicom.LookupTransferSyntax(req.TransferSyntax)
	a, err := dicom.ReadAttributes(req.Dataset, ts)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, req.Dataset)
	if item := a.Item(0x0040A370, 0); item != nil && req.SOPClassUID == dicom.Comprehensive3DSRStorage {
		p.mu.Lock()
		defer p.mu.Unlock()
		study := a.Header().StudyInstanceUID
		p.of[study] = append(p.of[study], item.Text(0x00402016))
	}
	return err
}

func (p *requests) last(study dicom.UID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if said := p.of[study]; len(said) > 0 {
		return said[len(said)-1]
	}
	return "no report"
}

// TestGateway_cancelled: of an order that is cancelled before its images the images are kept, nothing is analysed and the RIS
// gets no draft; one that is cancelled too late is counted, and its draft went out.
func TestGateway_cancelled(t *testing.T) {
	t.Parallel()
	pacs, ris := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t)), mllptest.Start(t, mllptest.AA)
	kept := &requests{of: map[dicom.UID][]string{}}
	serveHandler(t, "PACS", pacs, kept)
	listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs, ris]}]
destinations: [{name: pacs, kind: dicom, ae_title: PACS, address: %q}, {name: ris, kind: hl7, address: %q}]
hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}
exam: {quiet: 1s}
`, pacs, ris.Addr, listener))
	g.start()
	client := &mllp.Client{Address: listener}
	defer func() { _ = client.Close() }()
	say := func(id, control, accession string) {
		answer, err := client.Exchange(t.Context(), []byte(strings.Join([]string{
			`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ORM^O01^ORM_O01|` + id + "|P|2.5.1", "PID|1||P1", "ORC|" + control + "|PL" + accession,
			"OBR|1|PL" + accession + "||73761001^Colonoscopy^SCT||||||||||||||" + accession, "",
		}, "\r")))
		require.NoError(t, err)
		require.Contains(t, string(answer), "MSA|AA")
	}
	early, late := dicomtest.Options{Study: "early", Accession: "E1", PatientID: "P1"}, dicomtest.Options{Study: "late", Accession: "L1", PatientID: "P1"}
	_, earlyHeader := dicomtest.Endoscopic(early)
	_, lateHeader := dicomtest.Endoscopic(late)
	drafted := func(study dicom.UID) (all []string) {
		for _, e := range g.study(study).Timeline {
			if e.Step == string(ledger.DraftDrafted) {
				all = append(all, e.Detail)
			}
		}
		return all
	}
	say("m1", "NW", "E1")
	say("m2", "CA", "E1")
	say("m3", "NW", "L1")
	storeAll(t, g.scp, drawn(early), drawn(late))
	g.waitFor("both studies", func() bool { return len(g.studies()) == 2 })
	g.waitFor("both drafts", func() bool {
		return len(drafted(earlyHeader.StudyInstanceUID)) > 0 && len(drafted(lateHeader.StudyInstanceUID)) > 0
	})
	require.Equal(t, []string{"draft 1.1: " + draft.NotSent}, drafted(earlyHeader.StudyInstanceUID))
	require.Equal(t, []string{"draft 1.1"}, drafted(lateHeader.StudyInstanceUID))
	require.Contains(t, g.text("/metrics"), "endogate_hl7_late_cancels_total 0")
	say("m4", "CA", "L1")
	require.Contains(t, g.text("/metrics"), "endogate_hl7_late_cancels_total 1")
	g.waitFor("the draft to say so", func() bool {
		return strings.Contains(g.text("/api/v1/studies/"+string(lateHeader.StudyInstanceUID)+"/draft"), "the order of this examination was cancelled")
	})
	g.waitFor("both drafts of it at the RIS", func() bool { return len(ris.Got()) == 2 })
	for _, m := range ris.Got() {
		require.Contains(t, string(m), lateHeader.StudyInstanceUID)
	}
	require.NotEqual(t, "no report", kept.last(earlyHeader.StudyInstanceUID), "the archive has what became of the images")
}

// TestGateway_orders has an order come before the images of one study and after the report of another: both reports say it,
// both timelines have the message, and a ledger made of the spool has the same.
func TestGateway_orders(t *testing.T) {
	t.Parallel()
	pacs := &requests{of: map[dicom.UID][]string{}}
	address := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, routeTo("PACS", address, "")+fmt.Sprintf("hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\n", listener))
	g.start()

	early, late := dicomtest.Options{Study: "early", Accession: "E1", PatientID: "P1"}, dicomtest.Options{Study: "late", Accession: "L1", PatientID: "P1"}
	_, earlyHeader := dicomtest.Endoscopic(early)
	_, lateHeader := dicomtest.Endoscopic(late)
	client := &mllp.Client{Address: listener}
	defer func() { _ = client.Close() }()
	order := func(id, accession string, study dicom.UID) string {
		return strings.Join([]string{
			`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ORM^O01^ORM_O01|` + id + "|P|2.5.1", "PID|1||P1", "ORC|NW|PL" + accession,
			"OBR|1|PL" + accession + "||73761001^Colonoscopy^SCT||||||||||||||" + accession, "ZDS|" + string(study), "",
		}, "\r")
	}
	say := func(message string) {
		answer, err := client.Exchange(t.Context(), []byte(message))
		require.NoError(t, err)
		m, err := hl7.Parse(answer, hl7.Options{})
		require.NoError(t, err)
		require.Equal(t, "AA", m.Get("MSA-1"))
	}
	say(order("m1", "E1", earlyHeader.StudyInstanceUID))
	storeAll(t, g.scp, drawn(early), drawn(late))
	g.waitDelivered(2)
	assert.Equal(t, "PLE1", pacs.last(earlyHeader.StudyInstanceUID))
	assert.Empty(t, pacs.last(lateHeader.StudyInstanceUID))
	say(order("m2", "L1", "")) // by accession number
	g.waitFor("the report to say what was ordered", func() bool { return pacs.last(lateHeader.StudyInstanceUID) == "PLL1" })
	g.waitDelivered(2)

	var listed struct{ Orders []ledger.Order }
	g.get("/api/v1/orders", &listed)
	require.Len(t, listed.Orders, 2)
	for _, h := range []dicom.Header{earlyHeader, lateHeader} {
		var messages []string
		for _, e := range g.study(h.StudyInstanceUID).Timeline {
			if e.Step == string(ledger.EventMessage) {
				messages = append(messages, e.Message)
				assert.Equal(t, "AA", e.Status)
				assert.Equal(t, "peer RIS", e.By)
				assert.Equal(t, "ORM^O01 from RIS: order new", e.Detail)
			}
		}
		require.Len(t, messages, 1)
		assert.Contains(t, g.text("/api/v1/messages/"+messages[0]), "OBR|1|PL"+h.AccessionNumber)
	}
	metrics := g.text("/metrics")
	assert.Contains(t, metrics, `endogate_hl7_messages_total{answer="AA",type="ORM^O01"} 2`)
	assert.Contains(t, metrics, `endogate_hl7_connections_total{outcome="connected"} 1`)
	_, ready := g.ready()
	var checks []string
	for _, c := range ready.Checks {
		checks = append(checks, c.Name)
	}
	assert.Contains(t, checks, "HL7 listener has room")
	assert.NotContains(t, g.Log(), "PLE1")

	g.Stop()
	before := g.books()
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	_, err = gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Equal(t, before, g.books())
	l, err := ledger.OpenReadOnly(filepath.Join(g.dir, "data/ledger.db"))
	require.NoError(t, err)
	defer l.Close()
	after, _, err := l.Orders(t.Context(), ledger.OrderFilter{})
	require.NoError(t, err)
	for i := range after {
		after[i].Steps = listed.Orders[i].Steps // null and []
		assert.Equal(t, listed.Orders[i], after[i].Order)
	}
	assert.Len(t, after, len(listed.Orders))
}

// text returns the body of an answer.
func (g *testGateway) text(path string) string {
	g.t.Helper()
	response, err := http.Get("http://" + g.web + path)
	require.NoError(g.t, err)
	defer response.Body.Close()
	require.Equal(g.t, http.StatusOK, response.StatusCode, path)
	b, err := io.ReadAll(response.Body)
	require.NoError(g.t, err)
	return string(b)
}
