package outbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/secure"
)

const (
	maxBundle     = 64 << 20 // bytes of what is sent
	maxFHIRAnswer = 32 << 20 // bytes of an answer: a server may give back all that it was sent
	fhirJSON      = "application/fhir+json"
)

// FHIR hands transaction bundles to a server of FHIR R4 (http.html#transaction). A bundle that comes twice changes
// nothing, because what is in it is created and updated by identifier: so one without an answer is sent again.
type FHIR struct {
	Base   string       // the server's URL, without a slash at its end
	Client *http.Client // with a time limit; it must not follow redirects: they would take the token along
	Spool  Spool
	// Token returns the bearer token to send; fresh: not the one that it returned before, which was refused. Nil: none.
	Token func(ctx context.Context, fresh bool) (string, error)
}

// Send posts the entry of m.
func (f *FHIR) Send(ctx context.Context, m Message) Outcome {
	if m.Kind != ledger.KindFHIR {
		return Outcome{Class: Never, Reason: fmt.Sprintf("the server speaks FHIR: it cannot be sent %q", m.Kind)}
	}
	entry, data, err := f.Spool.Open(m.Entry)
	if err != nil {
		return unreadable(err)
	}
	defer func() { _ = data.Close() }()
	if entry.Size > maxBundle {
		return Outcome{Class: Never, Reason: fmt.Sprintf("the bundle has %d MiB, at most %d are sent", entry.Size>>20, maxBundle>>20)}
	}
	bundle, err := io.ReadAll(data)
	if err != nil {
		return unreadable(err)
	}
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if patience := m.patience(entry.Size); patience > 0 {
		waiting, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	tracing, connected := traced(waiting)
	answer, err := f.ask(tracing, http.MethodPost, "", bundle)
	var none noToken
	switch {
	case err == nil:
		return answer.outcome()
	case ctx.Err() != nil:
		return Outcome{Err: err}
	case !connected(), errors.As(err, &none):
		return Outcome{Class: DestinationDown, Reason: "the server cannot be reached: " + reasonOf(err), Err: err}
	}
	reason := "the server broke off before it answered to the bundle"
	if timeout := (interface{ Timeout() bool })(nil); errors.As(err, &timeout) && timeout.Timeout() {
		reason = "the server gave no answer to the bundle"
	}
	if _, err := f.Probe(ctx); err != nil {
		return Outcome{Class: DestinationDown, Silent: true, Reason: reason, Err: err}
	}
	return Outcome{Class: Later, Silent: true, Reason: reason + ", and answers otherwise", Err: err}
}

// noToken is why a request was not made.
type noToken struct{ error }

func (e noToken) Unwrap() error { return e.error }

// Probe asks the server for what it can do (http.html#capabilities), and returns what it says it is.
func (f *FHIR) Probe(ctx context.Context) (string, error) {
	answer, err := f.ask(ctx, http.MethodGet, "/metadata", nil)
	if err != nil {
		return "", fmt.Errorf("fhir: %s", reasonOf(err))
	}
	if answer.status/100 != 2 {
		return "", fmt.Errorf("fhir: the server answered %d to /metadata", answer.status)
	}
	var capabilities struct{ ResourceType, FHIRVersion string }
	if json.Unmarshal(answer.body, &capabilities) != nil || capabilities.ResourceType != "CapabilityStatement" {
		return "", errors.New("fhir: what answers is no FHIR server: /metadata is no CapabilityStatement")
	}
	if !strings.HasPrefix(capabilities.FHIRVersion, "4.0") {
		return "", fmt.Errorf("fhir: the server speaks FHIR %.10s, and is sent 4.0.1 (R4)", capabilities.FHIRVersion)
	}
	return "FHIR " + capabilities.FHIRVersion, nil
}

// Rest closes the connections.
func (f *FHIR) Rest(context.Context) error {
	f.Client.CloseIdleConnections()
	return nil
}

// fhirAnswer is what came back.
type fhirAnswer struct {
	status int
	after  time.Duration // the server's wish
	body   []byte
}

// ask makes a request, with a fresh token where the one at hand is refused.
func (f *FHIR) ask(ctx context.Context, method, path string, body []byte) (fhirAnswer, error) {
	answer, err := f.once(ctx, method, path, body, false)
	if err == nil && answer.status == http.StatusUnauthorized && f.Token != nil {
		answer, err = f.once(ctx, method, path, body, true)
	}
	return answer, err
}

func (f *FHIR) once(ctx context.Context, method, path string, body []byte, fresh bool) (none fhirAnswer, err error) {
	request, err := http.NewRequestWithContext(ctx, method, f.Base+path, bytes.NewReader(body))
	if err != nil {
		return none, err
	}
	request.Header.Set("Accept", fhirJSON)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", fhirJSON)
		request.Header.Set("Prefer", "return=minimal")
	}
	if f.Token != nil {
		token, err := f.Token(ctx, fresh)
		if err != nil {
			return none, noToken{err}
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := f.Client.Do(request)
	if err != nil {
		return none, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxFHIRAnswer))
	if err != nil {
		return none, err
	}
	return fhirAnswer{status: response.StatusCode, after: retryAfter(response.Header.Get("Retry-After")), body: text}, nil
}

// retryAfter reads the header of that name (RFC 9110 10.2.3); 0 for none.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(min(seconds, int(longestHold/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(time.Until(at), longestHold))
	}
	return 0
}

// outcome is what an answer means for the bundle.
func (a fhirAnswer) outcome() Outcome {
	said := a.read()
	o := Outcome{Class: classOfHTTP(a.status), Protocol: ledger.KindFHIR, Code: strconv.Itoa(a.status), Text: said.text(), After: a.after}
	if o.Class == Done && said.entry != 0 {
		o.Class, o.Code = classOfHTTP(said.entry), strconv.Itoa(said.entry)
		o.Reason = fmt.Sprintf("the server answered %d to one of the bundle's resources", said.entry)
		return o
	}
	switch {
	case o.Class == Done && !said.fhir && len(a.body) > 0:
		o.Class, o.Reason = Later, fmt.Sprintf("what answered %d is no FHIR server: a proxy's page?", a.status)
	case o.Class == Done && said.warned:
		o.Class = DoneWithWarning
	case o.Class == DestinationDown:
		o.Reason = fmt.Sprintf("the server answered %d: it does not let us in; look at token_file or oauth", a.status)
	case a.status/100 == 3:
		o.Reason = fmt.Sprintf("the server answered %d, and wants to be asked elsewhere; look at url", a.status)
	case o.Class != Done:
		o.Reason = fmt.Sprintf("the server answered %d %s", a.status, http.StatusText(a.status))
	}
	return o
}

// classOfHTTP is what a status means for the bundle (RFC 9110 15). Refused credentials hold up all bundles, and what is
// not allowed may be once somebody has allowed it.
func classOfHTTP(status int) Class {
	switch status {
	case http.StatusUnauthorized:
		return DestinationDown
	case http.StatusForbidden, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return Later
	case http.StatusNotImplemented: // no transactions
		return Never
	}
	switch status / 100 {
	case 2:
		return Done
	case 4:
		return Never
	}
	return Later
}

// fhirSays is what matters of an answer's body.
type fhirSays struct {
	fhir   bool
	entry  int // status of the first resource that was not taken; 0: all were
	warned bool
	words  []string
}

func (s fhirSays) text() string { return strings.Join(s.words, "; ") }

// read understands a Bundle or OperationOutcome (operationoutcome.html).
func (a fhirAnswer) read() (s fhirSays) {
	type outcome struct {
		Issue []struct {
			Severity, Code, Diagnostics string
			Details                     struct{ Text string }
		}
	}
	var body struct {
		ResourceType string
		outcome
		Entry []struct {
			Response struct {
				Status  string
				Outcome outcome
			}
		}
	}
	if json.Unmarshal(a.body, &body) != nil {
		return s
	}
	s.fhir = body.ResourceType == "Bundle" || body.ResourceType == "OperationOutcome"
	note := func(o outcome, failed bool) {
		for _, issue := range o.Issue {
			s.warned = s.warned || issue.Severity == "warning"
			if words := cmp.Or(issue.Details.Text, issue.Diagnostics, issue.Code); failed || issue.Severity != "information" {
				s.words = append(s.words, words)
			}
		}
	}
	note(body.outcome, a.status/100 != 2)
	for _, e := range body.Entry {
		code, _, _ := strings.Cut(e.Response.Status, " ")
		status, err := strconv.Atoi(code)
		failed := err == nil && status >= 300 && status != http.StatusNotModified
		note(e.Response.Outcome, failed)
		if failed && s.entry == 0 {
			s.entry = status
		}
	}
	return s
}

// reasonOf is err without the URL, which may hold more than a host's name.
func reasonOf(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	return secure.Advised(err).Error()
}
