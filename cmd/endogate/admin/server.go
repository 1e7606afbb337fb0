package admin

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Limits of a connection and of a request.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	requestTimeout    = 60 * time.Second // beyond a C-ECHO to a peer that does not answer
	maxHeaderBytes    = 16 << 10
	maxConnections    = 1000 // a small part of the files that a process may have open: associations need theirs
	maxBody           = "4K" // no request needs one,
	maxDraftBody      = "1M" // but those that change a draft
)

// Server serves the API and the page. All fields are set (Hosts may be empty) before Serve and not changed after;
// the views are called from many goroutines.
type Server struct {
	Studies      Studies
	Queue        Queue
	Destinations Destinations
	Frames       Frames
	Explanations Explanations
	Maps         Maps
	Orders       Orders
	Retractions  Retractions
	Drafts       Drafts
	Gate         Gates
	Reviews      Reviews
	DICOMweb     http.Handler                         // serves what begins with /dicom-web
	Sender       func(dicom.AETitle, netip.Addr) bool // whether a peer of that title may send from there
	Screenings   Screenings
	Operations   Operations
	Live         Live
	SignIn       *SignIn // nil: nobody has to sign in, and everybody may everything
	Gauges       func(context.Context) (Gauges, error)
	Settings     func() Settings                         // those in force
	Unserved     func(context.Context) ([]string, error) // names of the models that no worker has; nil: each has one
	Checks       []Check                                 // what /readyz asks
	Metrics      *Metrics
	Version      Version
	Hosts        []string // host names of this server besides localhost and addresses
	Origins      []string // of viewers from elsewhere that may use DICOMweb, such as https://viewer.hospital
	Log          *slog.Logger

	connections int // at once; 0: maxConnections

	once    sync.Once
	http    *http.Server
	cancel  context.CancelFunc // of all requests
	probes  *prober
	render  chan struct{} // a token per frame being rendered
	asked   chan struct{} // a token per question being answered
	tried   chan struct{} // a token per picture that somebody tries
	sending chan struct{} // places for pictures that come
	seen    seen          // who looked at what, for the audit trail
	tasks   tasks
}

// Settings are what a Server goes by that may change while it serves.
type Settings struct {
	Models              []Model
	Palette             Palette
	Viewer              string // the URL at which another viewer opens a study, with {study} and perhaps {instance}; empty: there is none
	UnauthenticatedSign bool   // a person whom nobody knows may sign
}

// Serve answers on ln until Shutdown, then returns http.ErrServerClosed. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	s.once.Do(s.build)
	return s.http.Serve(ln)
}

// Shutdown takes no more requests, cancels those under way and waits until they have ended; when ctx ends it closes them.
// A request that has changed something has done so durably; a person who gets no answer asks again.
// It may be called before Serve, which then returns at once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(s.build)
	s.tasks.mu.Lock()
	s.cancel() // a task has begun before that, and is waited for, or does not begin
	s.tasks.mu.Unlock()
	s.tasks.wg.Wait()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return errors.Join(err, s.probes.close(ctx))
}

// Watch makes the checks every few seconds until ctx is done or Shutdown is called, and has the log say once when one fails
// and when it holds again.
func (s *Server) Watch(ctx context.Context) error {
	s.once.Do(s.build)
	s.probes.watch(ctx, s.Log)
	return nil
}

// Handler returns what Serve serves.
func (s *Server) Handler() http.Handler {
	s.once.Do(s.build)
	return s.http.Handler
}

func (s *Server) build() {
	s.probes = &prober{checks: s.Checks, timeout: probeTime, patience: probePatience}
	if s.Metrics != nil {
		_ = s.Metrics.registry.Register(s.probes) // of one server only
	}
	s.render, s.asked = make(chan struct{}, maxRenders), make(chan struct{}, maxAsked)
	s.tried, s.sending = make(chan struct{}, maxTrying), make(chan struct{}, maxSending)
	s.connections = cmp.Or(s.connections, maxConnections)
	if s.SignIn != nil {
		s.SignIn.build()
	}
	requests, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.tasks.ctx, s.tasks.say, s.tasks.fail = requests, s.Log.Info, s.Log.Error
	s.http = &http.Server{
		Handler:           headed(s.router()),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	s.http.ConnState = (&crowd{most: s.connections, server: s.http, open: map[net.Conn]bool{}}).changed
}

// router is the table of what is served; openapi.json describes the same.
func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect() // a forwarding header is a claim of whoever sent it,
	if in := s.SignIn; in != nil && len(in.Proxy.From) > 0 {
		trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
		for _, p := range in.Proxy.From { // but for these
			trust = append(trust, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}))
		}
		e.IPExtractor = echo.ExtractIPFromXFFHeader(trust...)
	}
	e.HTTPErrorHandler = answerFault(s.Log)
	e.Pre(tidy)
	e.Use(secure, logged(s.Log), compressed(), recovered(s.Log), known(s.Hosts), s.lent, meant, plainBody,
		limit(maxBody, func(c echo.Context) bool { return changesDraft(c) || triesPicture(c) || storesInstances(c) }),
		limit(maxDraftBody, func(c echo.Context) bool { return !changesDraft(c) }), limit(maxTried, func(c echo.Context) bool { return !triesPicture(c) }),
		middleware.ContextTimeoutWithConfig(middleware.ContextTimeoutConfig{Timeout: requestTimeout, Skipper: func(c echo.Context) bool { return ofDICOMweb(c) || follows(c) }}))
	if s.SignIn != nil {
		e.Use(echo.WrapMiddleware(s.SignIn.sessions.LoadAndSave))
	}
	e.Use(s.identified, s.allowed, s.trailed, s.same)

	e.Match([]string{http.MethodGet, http.MethodHead}, "/healthz", s.healthz)
	e.Match([]string{http.MethodGet, http.MethodHead}, "/readyz", s.readyz)
	e.GET("/metrics", echo.WrapHandler(s.Metrics.Handler()))

	e.GET("/api/v1/studies", s.studies)
	e.GET("/api/v1/studies/:uid", s.study)
	e.GET("/api/v1/studies/:uid/draft", s.draft)
	e.PATCH("/api/v1/studies/:uid/draft", s.editDraft)
	e.GET("/api/v1/studies/:uid/draft/history", s.draftHistory)
	e.GET("/api/v1/studies/:uid/draft.pdf", s.draftPDF)
	e.POST("/api/v1/studies/:uid/draft/sign", s.signDraft)
	e.POST("/api/v1/studies/:uid/draft/amend", s.amendDraft)
	e.POST("/api/v1/studies/:uid/draft/withdraw", s.withdrawDraft)
	e.POST("/api/v1/studies/:uid/draft/retry", s.retryDraft)
	e.GET("/api/v1/agreement", s.agreement)
	e.POST("/api/v1/studies/:uid/gate/release", s.releaseGate)
	e.POST("/api/v1/studies/:uid/gate/correct", s.correctGate)
	e.GET("/api/v1/reviews", s.reviews)
	e.GET("/api/v1/reviews/physicians", s.physicians)
	e.GET("/api/v1/reviews/:id", s.review)
	e.POST("/api/v1/reviews/:id/confirm", s.decide(ledger.ReviewConfirmed))
	e.POST("/api/v1/reviews/:id/reject", s.decide(ledger.ReviewRejected))
	e.GET("/api/v1/screenings", s.screenings)
	e.POST("/api/v1/screenings", s.startScreening)
	e.GET("/api/v1/screenings/:id", s.screening)
	e.POST("/api/v1/screenings/:id/cancel", s.cancelScreening)
	e.POST("/api/v1/retract", s.retract)
	e.GET("/api/v1/instances/:instance/frames/:file", s.frame)
	e.GET("/api/v1/studies/:uid/instances/:sop/timeline.png", s.timeline)
	e.GET("/api/v1/studies/:uid/instances/:sop/frames/:frame/explanation.png", s.explanation(explanationPicture, "image/png"))
	e.GET("/api/v1/studies/:uid/instances/:sop/frames/:frame/explanation.json", s.explanation(explanationJSON, echo.MIMEApplicationJSON, AsMap, AsNone))
	e.GET("/api/v1/studies/:uid/instances/:sop/frames/:frame/faithfulness.json", s.faithfulness())
	e.POST("/api/v1/studies/:uid/instances/:sop/frames/:frame/map", s.sendMap)
	e.POST(tryTheImage+"frame.png", s.tryPicture)
	e.POST(tryTheImage+"explanation.json", s.tryExplanation)
	e.POST(tryTheImage+"route", s.tryRoute)
	e.GET("/api/v1/orders", s.orders)
	e.GET("/api/v1/messages", s.messages)
	e.GET("/api/v1/messages/:id", s.message)
	e.GET("/api/v1/outbox", s.outbox)
	e.GET("/api/v1/parked", s.parked)
	e.POST("/api/v1/parked/retry", s.bulk(ActionRetry))
	e.POST("/api/v1/parked/discard", s.bulk(ActionDiscard))
	e.POST("/api/v1/parked/release", s.releaseMany)
	e.POST("/api/v1/parked/:id/retry", s.retry)
	e.POST("/api/v1/parked/:id/discard", s.discard)
	e.GET("/api/v1/models", s.models)
	e.GET("/api/v1/models/:name/network", s.network)
	e.GET("/api/v1/dashboard", s.dashboard)
	e.GET("/api/v1/workers", s.workers)
	e.GET("/api/v1/associations", s.associations)
	e.GET("/api/v1/associations/:id", s.association)
	e.GET("/api/v1/configuration", s.configuration)
	e.POST("/api/v1/configuration/reload", s.reload)
	e.POST("/api/v1/models/:name/warm", s.warm)
	e.GET("/api/v1/models/:name/versions", s.versions)
	e.POST("/api/v1/models/:name/rollback", s.rollback)
	e.POST("/api/v1/compare", s.compare)
	e.GET("/api/v1/audit", s.auditTrail)
	e.GET("/api/v1/tasks", s.listTasks)
	e.GET("/api/v1/tasks/:id", s.task)
	e.POST("/api/v1/tasks/:id/cancel", s.cancelTask)
	e.GET("/api/v1/destinations", s.destinations)
	e.POST("/api/v1/destinations/:name/echo", s.echo)
	e.POST("/api/v1/destinations/:name/accepts", s.accepts)
	e.POST("/api/v1/destinations/:name/retry", s.retryParked)
	e.GET("/api/v1/status", s.status)
	e.GET("/api/v1/version", s.version)
	e.GET("/api/v1/openapi.json", openAPI)

	s.routeDICOMweb(e)
	s.routeLive(e)

	e.GET("/api/v1/me", s.me)
	e.POST("/api/v1/break-glass", s.breakGlass)
	e.GET("/api/v1/users", s.users)
	e.POST("/api/v1/users", s.addUser)
	e.PATCH("/api/v1/users/:name", s.changeUser)
	e.DELETE("/api/v1/users/:name", s.removeUser)
	e.POST("/api/v1/users/:name/link", s.setUpLink)
	e.GET("/api/v1/tokens", s.tokens)
	e.POST("/api/v1/tokens", s.createToken)
	e.DELETE("/api/v1/tokens/:id", s.revokeToken)
	e.GET("/api/v1/sessions", s.sessionsOf)
	e.DELETE("/api/v1/sessions/:id", s.endSession)
	e.POST("/api/v1/prove", s.prove)
	e.GET("/signin", s.signInForm, s.chosen)
	e.POST("/signin", s.signIn)
	e.POST("/signout", s.signOut)
	e.GET("/signin/provider", s.toProvider)
	e.GET("/signin/callback", s.fromProvider)
	e.GET("/setup", s.setUpForm, s.chosen)
	e.POST("/setup", s.setUp)

	e.GET("/", s.front, s.chosen)
	e.GET("/assets/:file", asset)
	return e
}

// limit refuses a body that is larger than size, but where skip says so.
func limit(size string, skip middleware.Skipper) echo.MiddlewareFunc {
	return middleware.BodyLimitWithConfig(middleware.BodyLimitConfig{Limit: size, Skipper: skip})
}

// changesDraft says whether c is about a draft: what a person writes is in its body.
func changesDraft(c echo.Context) bool {
	return strings.HasPrefix(c.Path(), "/api/v1/studies/:uid/draft")
}

// triesPicture says whether the body of c is a picture that somebody tries.
func triesPicture(c echo.Context) bool { return strings.HasPrefix(c.Path(), tryTheImage) }
