package dicomweb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
)

// Root is where the services stand.
const Root = "/dicom-web"

// Bounds of what is served.
const (
	maxRequests = 8                // at once; others wait
	maxDecoding = 2                // of them: each has a core and a frame in memory
	patience    = 10 * time.Second // of those that wait
	least       = 64 << 10         // bytes a second that who asks has to take, over the whole answer
	graceTime   = time.Minute      // before that counts
	pageOfStudy = 500              // instances whose rows are in memory
)

// Ledger says what the spool holds.
type Ledger interface {
	SpooledStudies(context.Context, ledger.SpooledStudies) ([]ledger.SpooledStudy, error)
	SpooledSeries(ctx context.Context, study dicom.UID) ([]ledger.SpooledSeries, error)
	SpooledInstances(context.Context, ledger.SpooledInstances) ([]ledger.SpooledInstance, error)
	Fate(context.Context, ledger.SpooledInstances) (ledger.Fate, error)
}

// Spool has the bytes.
type Spool interface {
	Open(entry string) (spool.Entry, io.ReadSeekCloser, error)
}

// Server serves DICOMweb under Root. Its fields are set before it is used and not changed after.
type Server struct {
	Ledger  Ledger
	Spool   Spool
	Storage Storage
	Decode  pixeldata.Options
	Moving  Moving // nil: of videos there are whole instances alone
	Secure  bool   // it is reached by TLS, also where a proxy speaks it: URLs in answers begin with https
	Log     *slog.Logger

	once   sync.Once
	mux    *http.ServeMux
	slots  chan struct{}
	stores chan struct{}
	decode chan struct{}

	players chan struct{}
}

// Routes are the patterns of all that is served, by method and path, in the notation of [http.ServeMux]. HEAD is served where GET
// is.
func Routes() (patterns []string) {
	for _, r := range (*Server)(nil).routes() {
		patterns = append(patterns, r.pattern)
	}
	return patterns
}

type route struct {
	pattern string
	serve   func(http.ResponseWriter, *http.Request) error
}

func (s *Server) routes() []route {
	const (
		study    = "GET " + Root + "/studies/{study}"
		series   = study + "/series/{series}"
		instance = series + "/instances/{instance}"
	)
	return []route{
		{"GET " + Root + "/studies", s.searchStudies},
		{"GET " + Root + "/series", s.searchSeries},
		{"GET " + Root + "/instances", s.searchInstances},
		{"POST " + Root + "/studies", s.store},
		{"POST " + Root + "/studies/{study}", s.store},
		{study, s.retrieve},
		{study + "/metadata", s.metadata},
		{study + "/rendered", s.rendered},
		{study + "/thumbnail", s.thumbnail},
		{study + "/series", s.searchSeries},
		{study + "/instances", s.searchInstances},
		{series, s.retrieve},
		{series + "/metadata", s.metadata},
		{series + "/rendered", s.rendered},
		{series + "/thumbnail", s.thumbnail},
		{series + "/instances", s.searchInstances},
		{instance, s.retrieve},
		{instance + "/metadata", s.metadata},
		{instance + "/rendered", s.rendered},
		{instance + "/thumbnail", s.thumbnail},
		{instance + "/frames/{frames}", s.frames},
		{instance + "/frames/{frames}/rendered", s.rendered},
		{instance + "/frames/{frames}/thumbnail", s.thumbnail},
		{instance + "/bulkdata/{path}", s.bulkdata},
	}
}

func (s *Server) build() {
	s.slots, s.stores, s.decode = make(chan struct{}, maxRequests), make(chan struct{}, maxStoring), make(chan struct{}, maxDecoding)
	s.players = make(chan struct{}, maxPlaying)
	s.mux = http.NewServeMux()
	for _, r := range s.routes() {
		s.mux.Handle(r.pattern, s.answered(r.serve))
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.once.Do(s.build)
	s.mux.ServeHTTP(w, r)
}

// answered serves a request when it is its turn, and says what is wrong where it cannot be.
func (s *Server) answered(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		places := s.slots
		if r.Method == http.MethodPost {
			places = s.stores
		}
		if err := s.turn(r.Context(), places); err != nil {
			s.answerFault(w, r, err)
			return
		}
		out := &answer{ResponseWriter: w, control: http.NewResponseController(w), begun: time.Now(), bare: r.Method == http.MethodHead, place: places}
		defer func() { <-out.place }()
		switch err := serve(out, r); {
		case err == nil:
		case out.sent && errors.Is(err, errHead):
		case out.sent:
			level := slog.LevelWarn
			if r.Context().Err() != nil {
				level = slog.LevelDebug // who asked has gone, as players do where another moment is looked for
			}
			s.Log.Log(r.Context(), level, "dicomweb: an answer broke off", "route", r.Pattern, "bytes", out.bytes, "err", err)
			panic(http.ErrAbortHandler) // whoever asked must not take what has come for all
		default:
			s.answerFault(w, r, err)
		}
	})
}

// turn waits for a place.
func (s *Server) turn(ctx context.Context, places chan struct{}) error {
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case places <- struct{}{}:
		return nil
	case <-wait.C:
		return &Fault{Code: http.StatusServiceUnavailable, Why: "too much is asked for at once", Next: "try again in a moment"}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// moved has an answer take a place among others, and leave the one that it has.
func (s *Server) moved(ctx context.Context, a *answer, places chan struct{}) error {
	if err := s.turn(ctx, places); err != nil {
		return err
	}
	<-a.place
	a.place = places
	return nil
}

// answer is a response that has to be taken at some rate. To HEAD nothing follows the header.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	begun   time.Time
	bytes   int64
	sent    bool
	bare    bool
	place   chan struct{} // where it has its place
	stands  time.Duration // how long nothing of it may be taken, in the place of a rate; 0: the rate counts
	failed  error         // what writing has met
}

// errHead ends what answers HEAD.
var errHead = errors.New("dicomweb: HEAD has no body")

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) {
	a.sent = true
	a.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if !a.sent {
		a.WriteHeader(http.StatusOK)
	}
	if a.bare {
		return 0, errHead
	}
	until := time.Now().Add(a.stands)
	if a.stands == 0 {
		until = a.begun.Add(graceTime + time.Duration(float64(a.bytes+int64(len(p)))/least*float64(time.Second)))
	}
	if err := a.control.SetWriteDeadline(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	a.failed = err
	return n, err
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Fault is a request that is not answered as it was meant (PS3.18 8.5). Its text has no patient data.
type Fault struct {
	Code      int
	Why, Next string
	Err       error // for the log
}

// Error implements error.
func (f *Fault) Error() string { return "dicomweb: " + f.Why }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

func badRequest(why, next string) error {
	return &Fault{Code: http.StatusBadRequest, Why: why, Next: next}
}

func notAcceptable(why, next string) error {
	return &Fault{Code: http.StatusNotAcceptable, Why: why, Next: next}
}

// faultOf is the one place where an error becomes an answer.
func faultOf(err error) *Fault {
	var f *Fault
	switch {
	case errors.As(err, &f):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		f = &Fault{Code: http.StatusServiceUnavailable, Why: "it was not done in time", Next: "try again in a moment", Err: err}
	case errors.Is(err, spool.ErrNotFound):
		f = gone()
	case ledger.IsTrouble(err):
		f = &Fault{Code: http.StatusServiceUnavailable, Why: "the ledger cannot be read", Next: "see /readyz and the gateway's log; what was accepted is kept", Err: err}
	default:
		f = &Fault{Code: http.StatusInternalServerError, Why: "the gateway met a fault", Next: "see its log under this answer's X-Request-Id", Err: err}
	}
	return f
}

func gone() *Fault {
	return &Fault{
		Code: http.StatusGone, Why: "it was here and has gone: the gateway keeps bytes until its work on them is done and spool.retention is over",
		Next: "ask the archive that the gateway delivers to",
	}
}

func (s *Server) answerFault(w http.ResponseWriter, r *http.Request, err error) {
	f := faultOf(err)
	if f.Code >= http.StatusInternalServerError {
		s.Log.Error("dicomweb: request failed", "route", r.Pattern, "request_id", w.Header().Get("X-Request-Id"), "why", f.Why, "err", cmp.Or(f.Err, error(f)))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	h.Del("Content-Length")
	if f.Code == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(f.Code)
	if r.Method == http.MethodHead {
		return
	}
	body := map[string]map[string]string{"error": {"what": "the request was not answered", "why": f.Why, "next": f.Next}}
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.Log.Debug("dicomweb: answer not written", "route", r.Pattern, "err", err)
	}
}

// base is the URL under which this request found the services.
func (s *Server) base(r *http.Request) string {
	scheme := "http"
	if s.Secure || r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + Root
}

// warn says in a header what was not done as asked (PS3.18 8.3.4.4). The text is ours.
func warn(h http.Header, text string) { h.Add("Warning", fmt.Sprintf("299 endogate %q", text)) }
