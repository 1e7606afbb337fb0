package gateway_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/ledger"
	"endogate/hl7/mllp"
	"endogate/hl7/mllp/mllptest"
)

const hookKey = "a key of more than twenty-four bytes"

// hook is a receiver of webhooks that answers as it is told to, and keeps what was posted.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request)
	posted []posted
}

type posted struct {
	id     string
	body   []byte
	signed bool
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
		mac := hmac.New(sha256.New, []byte(hookKey))
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
		h.mu.Lock()
		h.posted = append(h.posted, posted{id, body, r.Header.Get("webhook-signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))})
		answer := h.answer
		h.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) answers(f func(http.ResponseWriter, *http.Request)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

func (h *hook) all() []posted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]posted{}, h.posted...)
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// notifying is the configuration of a rule about urgent polyps, beside a route.
func (h *hook) notifying(t *testing.T, more string) string {
	key := filepath.Join(t.TempDir(), "hook.key")
	require.NoError(t, os.WriteFile(key, []byte(hookKey+"\n"), 0o600))
	return fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs]}]
destinations:
  - {name: pacs, kind: dicom, ae_title: STORESCP, address: "127.0.0.1:1"}
  - {name: pager, kind: webhook, url: %q, key_file: %q}
urgent: [{class: polyp, threshold: 0.8, frames: 2}]
notify: [{name: oncall, on: urgent, to: [pager]}]
exam: {quiet: 1s}
%s`, h.URL+"/endogate", key, more)
}

// TestGateway_notification: a receiver that fails and hangs while the gateway is killed, and its ledger lost, is told once more until it has
// taken it, under one ID, and then no more; it learns where to look, and not whose the study is.
func TestGateway_notification(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.answers(status(http.StatusInternalServerError))
	g := newGateway(t, h.notifying(t, ""))
	g.replace("http: {", `http: {url: "https://endogate.hospital/", `)
	g.replace("delivery: {", "delivery: {timeout: 1s, ")
	g.apart = true
	g.start()
	g.send(sample(t, "study2-0*")...)
	g.waitFor("it to be tried again", func() bool { return len(h.all()) > 1 })
	g.process.Kill()
	g.start()
	n := len(h.all())
	g.waitFor("it to be tried after the kill", func() bool { return len(h.all()) > n })

	g.process.Kill()
	g.rebuild()
	gone := make(chan struct{}, 100)
	h.answers(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone <- struct{}{}
	})
	g.start()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		require.Fail(t, "a receiver that hangs is not left")
	}
	h.answers(status(http.StatusNoContent))
	done := func() bool {
		for _, d := range g.notices() {
			if d.State != ledger.DeliveryDone {
				return false
			}
		}
		return true
	}
	g.waitFor("it to be taken", done)
	all := h.all()
	for _, p := range all {
		require.True(t, p.signed)
		require.Equal(t, all[0].id, p.id)
		require.Equal(t, string(all[0].body), string(p.body))
	}
	var said struct {
		ledger.Notice
		Link string
	}
	require.NoError(t, json.Unmarshal(all[0].body, &said))
	require.Equal(t, "https://endogate.hospital/#/studies/"+string(said.Study), said.Link)
	require.Equal(t, "polyp", said.Finding)
	for _, secret := range []string{"Yamada", "EG0002", "A20260002"} {
		require.NotContains(t, string(all[0].body), secret)
	}

	g.process.Kill()
	g.rebuild()
	g.start()
	g.send(sample(t, "study2-0*")...)
	g.waitFor("the study to be there", func() bool { return len(g.studies()) == 1 })
	time.Sleep(500 * time.Millisecond) // longer than the wait between tries
	require.Len(t, h.all(), len(all), "it is told once")
	require.True(t, done())
}

// notices are the deliveries of notifications, of which there is one at least.
func (g *testGateway) notices() (all []ledger.Delivery) {
	g.t.Helper()
	l, err := ledger.OpenReadOnly(filepath.Join(g.dir, "data/ledger.db"))
	require.NoError(g.t, err)
	defer l.Close()
	outbox, _, err := l.Outbox(g.t.Context(), ledger.OutboxFilter{Limit: 500})
	require.NoError(g.t, err)
	for _, d := range outbox {
		if d.Kind == ledger.KindNotice {
			all = append(all, d)
		}
	}
	require.NotEmpty(g.t, all)
	return all
}

// TestGateway_notifications: an urgent finding and a report that denies it are told of by mail and by HL7, once each, and stand first; what a
// receiver refuses is parked, and a person has it sent again.
func TestGateway_notifications(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.answers(status(http.StatusGone))
	post := (&peers.MailServer{}).Start(t)
	ris := mllptest.Start(t, mllptest.AA)
	listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, h.notifying(t, fmt.Sprintf("hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\n", listener)))
	g.replace("http: {", `http: {url: "https://endogate.hospital", `)
	g.replace("destinations:\n", fmt.Sprintf(`destinations:
  - {name: mail, kind: email, address: %q, security: none, from: endogate@example.org, recipients: [oncall@example.org]}
  - {name: ris, kind: hl7, address: %q}
`, post.Address, ris.Addr))
	g.replace("to: [pager]}]", "to: [pager, mail, ris]}, {name: missed, on: review, kinds: [missed], findings: [polyp], to: [mail]}]")
	g.start()
	g.send(sample(t, "study2-0*")...)
	g.waitFor("the refused one to be parked", func() bool {
		return len(g.parked()) > 0 && len(post.Messages()) > 0
	})
	require.Contains(t, g.parked()[0].Reason, "410")
	require.Len(t, h.all(), 1, "what is refused is not sent again by itself")
	h.answers(status(http.StatusOK))
	require.Equal(t, http.StatusOK, g.post("/api/v1/parked/"+g.parked()[0].ID+"/retry"))
	g.waitFor("it to be sent again", func() bool { return len(g.parked()) == 0 && len(h.all()) == 2 })

	report(t, listener, "r1", "F", "No polyps were seen.")
	g.waitFor("the report to be told of", func() bool { return len(post.Messages()) == 2 })
	report(t, listener, "r2", "C", "No polyps were seen, again.")
	g.waitFor("all to be delivered", func() bool {
		for _, d := range g.notices() {
			if d.State != ledger.DeliveryDone {
				return false
			}
		}
		return true
	})
	study := g.studies()[0]
	require.True(t, study.Urgent)
	link := "https://endogate.hospital/#/studies/" + string(study.StudyInstanceUID)
	messages := ris.Got()
	said := strings.Join(post.Messages(), "\n")
	for _, text := range append(post.Messages(), string(slices.Concat(messages...))) {
		require.Contains(t, strings.ReplaceAll(text, "=\r\n", ""), link)
	}
	require.Contains(t, said, "Message-ID: <"+h.all()[0].id+"@example.org>")
	require.Len(t, messages, 1)
	for _, secret := range []string{"Yamada", "EG0002", "A20260002"} {
		require.NotContains(t, said, secret)
		require.NotContains(t, string(messages[0]), secret)
	}
	require.Len(t, post.Messages(), 2)
	var reviews struct{ Reviews []ledger.Review }
	g.get("/api/v1/reviews", &reviews)
	require.Zero(t, reviews.Reviews[0].Priority, "of an urgent study")
	metrics := g.text("/metrics")
	require.Regexp(t, `endogate_notification_seconds_count\{route="endoscopy"\} 3`, metrics)
	require.Regexp(t, `endogate_result_seconds_count\{route="endoscopy"\} [1-9]`, metrics)
	for _, name := range []string{"pager", "mail", "ris"} {
		require.Equal(t, http.StatusOK, g.post("/api/v1/destinations/"+name+"/echo"), name)
	}
	require.NotContains(t, g.Log(), "polyps were")
}

// report sends a report of another system on the second sample study.
func report(t *testing.T, address, id, status, text string) {
	client := &mllp.Client{Address: address}
	defer func() { _ = client.Close() }()
	answer, err := client.Exchange(t.Context(), []byte(strings.Join([]string{
		`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ORU^R01^ORU_R01|` + id + "|P|2.5.1", "PID|1||EG0002",
		"OBR|1|||73761001^Colonoscopy^SCT||||||||||||||A20260002|||||||" + status, "OBX|1|FT|59776-5^Findings^LN||" + text + "||||||" + status, "",
	}, "\r")))
	require.NoError(t, err)
	require.Contains(t, string(answer), "MSA|AA|"+id)
}
