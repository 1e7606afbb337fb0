package outbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// bundles is a spool of one bundle.
type bundles struct{ size int64 }

const bundle = `{"resourceType":"Bundle","type":"transaction"}`

func (b bundles) Open(id string) (spool.Entry, io.ReadSeekCloser, error) {
	if id != "here" {
		return spool.Entry{}, nil, spool.ErrNotFound
	}
	data := struct {
		io.ReadSeeker
		io.Closer
	}{strings.NewReader(bundle), io.NopCloser(nil)}
	return spool.Entry{Kind: spool.Message, Size: max(b.size, int64(len(bundle)))}, data, nil
}

func fhirMessage() Message { return Message{Kind: ledger.KindFHIR, Entry: "here", Purpose: "bundle"} }

// fhirTo is a sender to a server that answers as handle does.
func fhirTo(t *testing.T, handle http.HandlerFunc) *FHIR {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return &FHIR{Base: server.URL + "/fhir", Spool: bundles{}, Client: &http.Client{
		Timeout: time.Minute, Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func TestFHIR_answers(t *testing.T) {
	issue := func(severity, text string) string {
		return fmt.Sprintf(`{"resourceType":"OperationOutcome","issue":[{"severity":%q,"code":"invalid","details":{"text":%q}}]}`, severity, text)
	}
	response := func(status, outcome string) string {
		return fmt.Sprintf(`{"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"201 Created"}},{"response":{"status":%q,"outcome":%s}}]}`, status, outcome)
	}
	for _, row := range []struct {
		name         string
		status       int
		body         string
		want         Class
		code, text   string
		reason, wait string
	}{
		{name: "all taken", status: 200, body: response("201", "null"), want: Done, code: "200"},
		{name: "nothing to change", status: 200, body: response("304", "null"), want: Done, code: "200"},
		{name: "no words", status: 204, want: Done, code: "204"},
		{name: "a warning", status: 200, body: response("200 OK", issue("warning", "unknown code")), want: DoneWithWarning, code: "200", text: "unknown code"},
		{name: "all is well, in words", status: 200, body: response("200", issue("information", "All OK")), want: Done, code: "200"},
		{name: "a batch in which one failed", status: 200, body: response("422 Unprocessable Entity", issue("error", "no such site")), want: Never, code: "422", text: "no such site", reason: "422 to one of the bundle's resources"},
		{name: "a batch, in which one is to come again", status: 200, body: response("503", "null"), want: Later, code: "503", reason: "503 to one"},
		{name: "a proxy's page", status: 200, body: "<html>Sign in</html>", want: Later, code: "200", reason: "no FHIR server"},
		{name: "moved", status: 302, want: Later, code: "302", reason: "look at url"},
		{name: "invalid", status: 400, body: issue("error", "subject is missing"), want: Never, code: "400", text: "subject is missing", reason: "answered 400 Bad Request"},
		{name: "refused", status: 401, want: DestinationDown, code: "401", reason: "does not let us in"},
		{name: "not allowed", status: 403, want: Later, code: "403", reason: "403 Forbidden"},
		{name: "not there", status: 404, want: Never, code: "404"},
		{name: "took too long", status: 408, want: Later, code: "408"},
		{name: "conflict", status: 409, want: Later, code: "409"},
		{name: "several match", status: 412, want: Never, code: "412"},
		{name: "unprocessable", status: 422, want: Never, code: "422"},
		{name: "too many", status: 429, want: Later, code: "429", wait: "120"},
		{name: "fault", status: 500, body: issue("fatal", "null pointer"), want: Later, code: "500", text: "null pointer"},
		{name: "no transactions", status: 501, want: Never, code: "501"},
		{name: "maintenance", status: 503, body: "<html>", want: Later, code: "503", wait: "120"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []string
			sender := fhirTo(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body))
				if row.wait != "" {
					w.Header().Set("Retry-After", row.wait)
				}
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(row.status)
				_, _ = io.WriteString(w, row.body)
			})
			o := sender.Send(t.Context(), fhirMessage())
			assert.Equal(t, row.want, o.Class, o.Class.String())
			assert.Equal(t, ledger.KindFHIR, o.Protocol)
			assert.Equal(t, row.code, o.Code)
			assert.Equal(t, row.text, o.Text)
			assert.Contains(t, o.Reason, row.reason)
			assert.Equal(t, row.want.Delivered(), o.Reason == "")
			assert.NotContains(t, o.Reason, "subject", "a server's words may quote what was sent")
			if row.wait != "" {
				assert.Equal(t, 2*time.Minute, o.After)
			}
			assert.Equal(t, []string{"POST /fhir application/fhir+json " + bundle}, got)
			require.NoError(t, sender.Rest(t.Context()))
		})
	}
}

func TestFHIR_neverSent(t *testing.T) {
	sender := fhirTo(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	assert.Equal(t, Never, sender.Send(t.Context(), dicomMessage(spool.Entry{ID: "here"})).Class)
	o := sender.Send(t.Context(), Message{Kind: ledger.KindFHIR, Entry: "gone"})
	assert.Equal(t, Never, o.Class)
	assert.Equal(t, "its bytes are no longer in the spool", o.Reason)
	sender.Spool = bundles{size: maxBundle + 1}
	assert.Contains(t, sender.Send(t.Context(), fhirMessage()).Reason, "at most 64")
}

// A server that is not there, one that breaks off, and one that hangs on a bundle while it answers otherwise.
func TestFHIR_noAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	sender := fhirTo(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"resourceType\":")
		_ = conn.Close()
	})
	half := sender.Send(t.Context(), fhirMessage())
	assert.Equal(t, DestinationDown, half.Class, "half an answer is none, and nothing else answers")
	assert.True(t, half.Silent, "it was sent: others go first")
	sender.Base = "http://" + ln.Addr().String() + "/secret-path"
	o := sender.Send(t.Context(), fhirMessage())
	assert.Equal(t, DestinationDown, o.Class)
	assert.False(t, o.Silent)
	assert.Contains(t, o.Reason, "connection refused")
	assert.NotContains(t, o.Reason, "secret-path")

	breaks := fhirTo(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
			return
		}
		conn, _, _ := w.(http.Hijacker).Hijack()
		_ = conn.Close()
	})
	o = breaks.Send(t.Context(), fhirMessage())
	assert.Equal(t, Later, o.Class, "it is this bundle that it breaks off at")
	assert.True(t, o.Silent)

	hang := func(r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
		<-r.Context().Done()
	}
	for name, row := range map[string]struct {
		metadata http.HandlerFunc
		want     Class
	}{
		"answers otherwise": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
		}, Later},
		"answers nothing": {func(_ http.ResponseWriter, r *http.Request) { hang(r) }, DestinationDown},
	} {
		t.Run(name, func(t *testing.T) {
			sender := fhirTo(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					row.metadata(w, r)
					return
				}
				hang(r)
			})
			sender.Client.Timeout = time.Second
			o := sender.Send(t.Context(), fhirMessage())
			assert.Equal(t, row.want, o.Class)
			assert.True(t, o.Silent)
			assert.Empty(t, o.Protocol, "it has not answered")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			assert.Equal(t, Later, sender.Send(ctx, fhirMessage()).Class, "cut off by us")
		})
	}
}

func TestFHIR_Probe(t *testing.T) {
	for body, want := range map[string]string{
		`{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`: "",
		`{"resourceType":"CapabilityStatement","fhirVersion":"5.0.0"}`: "speaks FHIR 5.0.0",
		`<html>`: "is no FHIR server",
	} {
		sender := fhirTo(t, func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "/fhir/metadata", r.URL.Path)
			_, _ = io.WriteString(w, body)
		})
		said, err := sender.Probe(t.Context())
		if want == "" {
			require.NoError(t, err)
			assert.Equal(t, "FHIR 4.0.1", said)
			continue
		}
		assert.ErrorContains(t, err, want)
	}
}

// guarded is a FHIR server with its token server: each token is good until it is revoked.
type guarded struct {
	mu     sync.Mutex
	good   string
	issued int
	deny   string // what the token server answers instead
	forms  []string
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.URL.Path == "/token" {
		body, _ := io.ReadAll(r.Body)
		id, secret, _ := r.BasicAuth()
		g.forms = append(g.forms, id+":"+secret+" "+string(body))
		if g.deny != "" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, g.deny)
			return
		}
		g.issued++
		g.good = fmt.Sprintf("token-%d", g.issued)
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":300}`, g.good)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+g.good {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func TestFHIR_oauth(t *testing.T) {
	g := &guarded{}
	sender := fhirTo(t, g.ServeHTTP)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("s3cret:/\n"), 0o600))
	now := time.Now()
	credentials := &ClientCredentials{
		TokenURL: strings.TrimSuffix(sender.Base, "/fhir") + "/token", ClientID: "endo gate", SecretFile: secret, Scope: "system/*.write",
		Client: sender.Client, Now: func() time.Time { return now },
	}
	sender.Token = credentials.Token
	send := func(want Class) Outcome {
		t.Helper()
		o := sender.Send(t.Context(), fhirMessage())
		assert.Equal(t, want, o.Class, o.Reason)
		return o
	}
	send(Done)
	send(Done)
	assert.Equal(t, []string{"endo+gate:s3cret%3A%2F grant_type=client_credentials&scope=system%2F%2A.write"}, g.forms, "once, with what RFC 6749 2.3.1 wants encoded")
	now = now.Add(271 * time.Second)
	send(Done)
	assert.Equal(t, 2, g.issued, "it would end on the way")
	g.good = "another"
	send(Done)
	assert.Equal(t, 3, g.issued, "one that is refused is replaced once")

	g.good, g.deny = "another", `{"error":"invalid_client","error_description":"no s3cret"}`
	o := send(DestinationDown)
	assert.Equal(t, "the server cannot be reached: oauth: no token: the server answered 401 invalid_client", o.Reason)
	g.deny = `{"error":"patient Doe"}`
	assert.NotContains(t, send(DestinationDown).Reason, "Doe")
	require.NoError(t, os.Remove(secret))
	assert.Contains(t, send(DestinationDown).Reason, "no such file")
}

func TestSecret(t *testing.T) {
	for text, want := range map[string]string{"a b\n": "a b", "\ufeffa b\r\n": "a b", "\ufeff": "", "": "", "two\nlines\n": "", " \n": ""} {
		file := filepath.Join(t.TempDir(), "s")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		got, err := Secret(file)
		assert.Equal(t, want, got)
		assert.Equal(t, want == "", err != nil)
		if err != nil {
			assert.NotContains(t, err.Error(), "lines\n")
		}
	}
}

// A server's wish is kept, within bounds: the delivery is not due before.
func TestOutbox_retryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "120": 2 * time.Minute, "-5": 0, "soon": 0, "99999999999": longestHold, "Fri, 01 Jan 2021 00:00:00 GMT": 0} {
		assert.Equal(t, want, retryAfter(text), text)
	}
	assert.InDelta(t, time.Hour, retryAfter(time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), float64(time.Minute))
}

// What a server says is read whatever it is.
func FuzzFHIR_answer(f *testing.F) {
	f.Add(200, []byte(`{"resourceType":"Bundle","entry":[{"response":{"status":"201","outcome":{"issue":[{"severity":"error"}]}}}]}`))
	f.Add(500, []byte(`{"issue":[{}]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		o := fhirAnswer{status: status, body: bytes.Clone(body)}.outcome()
		if o.Class.Delivered() && (status/100 != 2 || o.Reason != "") {
			t.Fatalf("%d %q is %s", status, body, o.Class)
		}
		_ = o.answer()
	})
}
