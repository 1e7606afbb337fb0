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
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
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
