package outbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"endogate/dicomnode/ledger"
)

const (
	leastKey       = 24       // bytes of a key, as the specification says
	maxHookAnswer  = 4 << 10  // bytes of an answer that says why not
	keyPrefix      = "whsec_" // of a key in base64
	protocolOfHook = "webhook"
)

// Webhook posts notices, signed after Standard Webhooks 1.0.0: webhook-id is the same however often one is sent, and
// webhook-signature is HMAC-SHA256 over it, webhook-timestamp and the body. Redirects are not followed.
type Webhook struct {
	URL     string
	KeyFile string       // is read each time
	Client  *http.Client // with a time limit; it must not follow redirects
	// Body writes the notice of an entry; ledger.ErrNotFound: there is none.
	Body func(ctx context.Context, entry string) ([]byte, error)
	Now  func() time.Time // nil is time.Now
}

// Key reads the key of a file: a line of text, or of base64 after whsec_.
func Key(file string) ([]byte, error) {
	text, err := Secret(file)
	if err != nil {
		return nil, err
	}
	key := []byte(text)
	if coded, ok := strings.CutPrefix(text, keyPrefix); ok {
		if key, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, fmt.Errorf("%s: what follows %s is no base64", file, keyPrefix)
		}
	}
	if len(key) < leastKey {
		return nil, fmt.Errorf("%s: the key has %d bytes; at least %d are needed (openssl rand -base64 32)", file, len(key), leastKey)
	}
	return key, nil
}

// signature is that of a body sent at a time under an ID.
func signature(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Send posts the notice of m.
func (h *Webhook) Send(ctx context.Context, m Message) Outcome {
	if m.Kind != ledger.KindNotice {
		return Outcome{Class: Never, Reason: fmt.Sprintf("a webhook gets notifications: it cannot be sent %q", m.Kind)}
	}
	body, err := h.Body(ctx, m.Entry)
	if err != nil {
		return unwritten(err)
	}
	key, err := Key(h.KeyFile)
	if err != nil {
		return Outcome{Class: DestinationDown, Reason: "the key of the webhook cannot be read: look at key_file", Err: err}
	}
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if patience := m.patience(0); patience > 0 {
		waiting, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	request, err := http.NewRequestWithContext(waiting, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return Outcome{Class: Never, Reason: "the webhook's url cannot be asked", Err: err}
	}
	now := time.Now
	if h.Now != nil {
		now = h.Now
	}
	timestamp := strconv.FormatInt(now().Unix(), 10)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "endogate",
		"webhook-id": m.Entry, "webhook-timestamp": timestamp, "webhook-signature": signature(key, m.Entry, timestamp, body),
	} {
		request.Header.Set(name, value)
	}
	tracing, connected := traced(waiting)
	response, err := h.Client.Do(request.WithContext(tracing))
	if err != nil {
		return h.failed(ctx, connected(), err)
	}
	defer func() { _ = response.Body.Close() }()
	return hookOutcome(response)
}

// hookOutcome is what an answer means. What a receiver that took it says besides is not read.
func hookOutcome(r *http.Response) Outcome {
	o := Outcome{Class: Later, Protocol: protocolOfHook, Code: strconv.Itoa(r.StatusCode), After: retryAfter(r.Header.Get("Retry-After"))}
	if r.StatusCode/100 == 2 {
		o.Class = Done
		return o
	}
	text, _ := io.ReadAll(io.LimitReader(r.Body, maxHookAnswer))
	o.Text = string(text)
	o.Reason = fmt.Sprintf("the receiver answered %d %s", r.StatusCode, http.StatusText(r.StatusCode))
	switch {
	case r.StatusCode/100 == 3:
		o.Class, o.Reason = Never, fmt.Sprintf("the receiver answered %d, and wants to be asked elsewhere, which is not done; look at url", r.StatusCode)
	case r.StatusCode == http.StatusRequestTimeout, r.StatusCode == http.StatusTooEarly, r.StatusCode == http.StatusTooManyRequests:
	case r.StatusCode/100 == 4:
		o.Class = Never
	}
	return o
}

// traced returns a context for requests, and whether the last of them had a connection, with TLS that both sides agree on where it is spoken.
func traced(ctx context.Context) (tracing context.Context, connected func() bool) {
	var is atomic.Bool
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { is.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { is.Store(true) },
	}), is.Load
}

// failed says what it means that there was no answer. A webhook has no question whether it is there: one without a
// connection, or with none that both sides agree on (TLS), is not.
func (h *Webhook) failed(ctx context.Context, connected bool, err error) Outcome {
	switch {
	case ctx.Err() != nil:
		return Outcome{Err: err}
	case !connected:
		return Outcome{Class: DestinationDown, Reason: "the receiver cannot be reached: " + reasonOf(err), Err: err}
	}
	reason := "the receiver broke off before it answered"
	if timeout := (interface{ Timeout() bool })(nil); errors.As(err, &timeout) && timeout.Timeout() {
		reason = "the receiver gave no answer in time"
	}
	return Outcome{Class: Later, Silent: true, Reason: reason, Err: err}
}

// Rest closes the connections.
func (h *Webhook) Rest(context.Context) error {
	h.Client.CloseIdleConnections()
	return nil
}

// unwritten is the outcome of a notice that cannot be written.
func unwritten(err error) Outcome {
	if errors.Is(err, ledger.ErrNotFound) {
		return Outcome{Class: Never, Reason: "the ledger has no such notification any more", Err: err}
	}
	return Outcome{Class: Later, Reason: "the notification cannot be read from the ledger", Err: err}
}
