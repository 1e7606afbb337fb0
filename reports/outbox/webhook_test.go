package outbox

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
)

func noticeOf(entry string) Message {
	return Message{Kind: ledger.KindNotice, Entry: entry, Purpose: ledger.PurposeNotice}
}

// writes is what senders of notices get them from.
func writes(text string) func(context.Context, string) ([]byte, error) {
	return func(_ context.Context, entry string) ([]byte, error) {
		switch entry {
		case "gone":
			return nil, ledger.ErrNotFound
		case "broken":
			return nil, io.ErrUnexpectedEOF
		}
		return []byte(text), nil
	}
}

func secretFile(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func hookTo(t *testing.T, handle http.HandlerFunc) *Webhook {
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return &Webhook{
		URL: server.URL + "/hook", KeyFile: secretFile(t, strings.Repeat("k", leastKey)), Body: writes(`{"id":"n"}`),
		Client: &http.Client{
			Timeout: time.Minute, Transport: &http.Transport{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// TestWebhook_answers: what a receiver answers, what is made of it, and that it is asked once, at its own address.
func TestWebhook_answers(t *testing.T) {
	for _, row := range []struct {
		status int
		want   Class
		reason string
	}{
		{200, Done, ""},
		{202, Done, ""},
		{204, Done, ""},
		{301, Never, "asked elsewhere"},
		{302, Never, "asked elsewhere"},
		{307, Never, "asked elsewhere"},
		{308, Never, "asked elsewhere"},
		{400, Never, "400 Bad Request"},
		{401, Never, "401"},
		{403, Never, "403"},
		{404, Never, "404"},
		{408, Later, "408"},
		{409, Never, "409"},
		{410, Never, "410"},
		{413, Never, "413"},
		{425, Later, "425"},
		{429, Later, "429"},
		{500, Later, "500"},
		{501, Later, "501"},
		{503, Later, "503"},
		{599, Later, "599"},
	} {
		t.Run(fmt.Sprint(row.status), func(t *testing.T) {
			var asked []string
			hook := hookTo(t, func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.Method+" "+r.URL.Path)
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Retry-After", "120")
				w.WriteHeader(row.status)
				_, _ = io.WriteString(w, "said\r\nso")
			})
			o := hook.Send(t.Context(), noticeOf("n"))
			assert.Equal(t, row.want, o.Class, o.Class.String())
			assert.Equal(t, fmt.Sprint(row.status), o.Code)
			assert.Equal(t, row.want == Done, o.Reason == "")
			assert.Contains(t, o.Reason, row.reason)
			assert.NotContains(t, o.Reason, "said")
			assert.Equal(t, 2*time.Minute, o.After)
			assert.Equal(t, []string{"POST /hook"}, asked)
		})
	}
}

// TestWebhook_signature: the example of Standard Webhooks 1.0.0, which its libraries check; the key is in base64 or not.
func TestWebhook_signature(t *testing.T) {
	key, err := Key(secretFile(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"))
	require.NoError(t, err)
	assert.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)))

	hook := hookTo(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		assert.Equal(t, signature([]byte(strings.Repeat("k", leastKey)), "n", r.Header.Get("webhook-timestamp"), body), r.Header.Get("webhook-signature"))
		assert.Equal(t, "n", r.Header.Get("webhook-id"))
		assert.Equal(t, "1700000000", r.Header.Get("webhook-timestamp"))
	})
	hook.Now = func() time.Time { return time.Unix(1_700_000_000, 0) }
	require.Equal(t, Done, hook.Send(t.Context(), noticeOf("n")).Class)

	for text, want := range map[string]string{
		"":        "one line",
		"short":   "at least 24",
		"whsec_!": "no base64",
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)): "at least 24",
		strings.Repeat("k", leastKey) + "\nmore":                       "one line",
	} {
		_, err := Key(secretFile(t, text))
		assert.ErrorContains(t, err, want)
	}
	hook.KeyFile += "x"
	assert.Equal(t, DestinationDown, hook.Send(t.Context(), noticeOf("n")).Class)
}

// TestWebhook_noAnswer: a receiver that is not there, breaks off, hangs, or answers 200 and then hangs with a body that has no end.
func TestWebhook_noAnswer(t *testing.T) {
	end := make(chan struct{})
	hook := hookTo(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("webhook-id") {
		case "breaks off":
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.Close()
		case "endless":
			w.WriteHeader(http.StatusOK)
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 1<<16))
			}
		case "endless failure":
			w.WriteHeader(http.StatusInternalServerError)
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(strings.Repeat("x", 1<<16)))
			}
		default:
			select {
			case <-end:
			case <-r.Context().Done():
			}
		}
	})
	defer close(end)
	broken := hook.Send(t.Context(), noticeOf("breaks off"))
	assert.Equal(t, Later, broken.Class)
	assert.True(t, broken.Silent)
	assert.Equal(t, Done, hook.Send(t.Context(), noticeOf("endless")).Class)
	assert.Equal(t, "500", hook.Send(t.Context(), noticeOf("endless failure")).Code)
	m := noticeOf("hangs")
	m.Patience = 100 * time.Millisecond
	silent := hook.Send(t.Context(), m)
	assert.Equal(t, Later, silent.Class)
	assert.True(t, silent.Silent)
	assert.Contains(t, silent.Reason, "no answer in time")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Empty(t, hook.Send(ctx, noticeOf("n")).Reason, "stopped by us")
	hook.URL = "http://127.0.0.1:1/"
	down := hook.Send(t.Context(), noticeOf("n"))
	assert.Equal(t, DestinationDown, down.Class)
	assert.NotContains(t, down.Reason, "http://")
}

// TestWebhook_notSent: where nothing could be sent the receiver, or server of FHIR, is not there, as a whole: it is no silence of one notice.
func TestWebhook_notSent(t *testing.T) {
	listen := func(handle func(net.Conn)) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				handle(conn)
			}
		}()
		t.Cleanup(func() { _ = ln.Close(); <-done })
		return "https://" + ln.Addr().String() + "/"
	}
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Config.ErrorLog = log.New(io.Discard, "", 0)
	other.StartTLS()
	t.Cleanup(other.Close)
	for name, url := range map[string]string{
		"of an authority that is not known": other.URL,
		"no TLS":                            listen(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); _ = c.Close() }),
		"hangs":                             listen(func(c net.Conn) { t.Cleanup(func() { _ = c.Close() }) }),
	} {
		t.Run(name, func(t *testing.T) {
			hook := hookTo(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
			hook.URL = url
			m := noticeOf("n")
			m.Patience = 300 * time.Millisecond
			o := hook.Send(t.Context(), m)
			require.Equal(t, DestinationDown, o.Class, "%v", o.Err)
			require.False(t, o.Silent)
			require.Contains(t, o.Reason, "cannot be reached: ")
			require.NotContains(t, o.Reason, "127.0.0.1")

			f := fhirTo(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
			f.Base = url
			m = fhirMessage()
			m.Patience = 300 * time.Millisecond
			o = f.Send(t.Context(), m)
			require.Equal(t, DestinationDown, o.Class, "%v", o.Err)
			require.False(t, o.Silent)
			require.Contains(t, o.Reason, "cannot be reached: ")
		})
	}
}

// TestNotices_neverSent: nothing but a notice goes by webhook and e-mail, and none that the ledger does not have.
func TestNotices_neverSent(t *testing.T) {
	hook := hookTo(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	for name, sender := range map[string]Sender{"webhook": hook, "email": &Email{Address: "127.0.0.1:1", Body: hook.Body}, "hl7": &HL7{Notice: hook.Body}} {
		if name != "hl7" {
			assert.Equal(t, Never, sender.Send(t.Context(), Message{Kind: ledger.KindDICOM, Entry: "n"}).Class, name)
		}
		assert.Equal(t, Never, sender.Send(t.Context(), noticeOf("gone")).Class, name)
		assert.Equal(t, Later, sender.Send(t.Context(), noticeOf("broken")).Class, name)
	}
}
