package admin

import (
	"crypto/rand"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/failure"
)

// ActionHeader, with any value, marks a POST as meant: a web page of another origin cannot set it.
const ActionHeader = "X-Endogate-Action"

// PersonHeader names, percent-encoded, whom the page was drawn for that asks; empty where nobody had signed in.
const PersonHeader = "X-Endogate-Person"

// same refuses what is asked by a page that was drawn for somebody else: since then, another person has signed in, in another tab of
// the browser, and would be recorded for it.
func (s *Server) same(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if said := c.Request().Header.Values(PersonHeader); len(said) > 0 {
			if name, err := url.PathUnescape(said[0]); err != nil || name != s.who(c).Name {
				return &fault{
					Code: http.StatusConflict, What: "nothing was done", Why: "the page was opened by somebody else than who is signed in now",
					Next: "load the page anew",
				}
			}
		}
		return next(c)
	}
}

// contentSecurityPolicy allows the page's own files and nothing else: no inline script or style, no other
// origin, no framing, and no string that becomes markup. A form goes to this server, which the sign-in is, and a frame holds the PDF beside
// a draft.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// besidePolicy is that of a PDF, which the page of its draft frames; it fetches and runs nothing.
const besidePolicy = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'self'"

// requestID names this request in the answer and in the log.
func requestID(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// secure sets the headers of every answer. Whatever may hold patient data is not stored by any cache.
func secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set(echo.HeaderXRequestID, rand.Text())
		h.Set(echo.HeaderContentSecurityPolicy, contentSecurityPolicy)
		h.Set(echo.HeaderXContentTypeOptions, "nosniff")
		h.Set(echo.HeaderXFrameOptions, "DENY")
		h.Set(echo.HeaderReferrerPolicy, "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set(echo.HeaderCacheControl, "no-store")
		return next(c)
	}
}

// logged writes one line per request: the route as registered, never the path, the query or the body.
func logged(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			err := next(c)
			if err != nil {
				c.Error(err) // answer now, so that the line has the status that was sent
			}
			level := slog.LevelDebug
			if c.Request().Method == http.MethodPost || c.Response().Status >= http.StatusInternalServerError {
				level = slog.LevelInfo // actions are what an auditor looks for; reads are noise
			}
			log.Log(c.Request().Context(), level, "admin: request", "method", c.Request().Method, "route", c.Path(),
				"status", c.Response().Status, "bytes", c.Response().Size, "took", time.Since(start),
				"remote", c.RealIP(), "request_id", requestID(c))
			return nil
		}
	}
}

// recovered turns a panic of a handler into a 500 and a line with the stack.
func recovered(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				p := recover()
				if p == http.ErrAbortHandler { //nolint:errorlint // of a panic: net/http breaks the connection off, so that nobody takes what came for all
					panic(p)
				}
				if p != nil {
					log.Error("admin: panic", "route", c.Path(), "request_id", requestID(c), "panic", failure.Reason(p), "stack", string(debug.Stack()))
					err = &fault{Code: http.StatusInternalServerError, What: "the request failed", Why: "the gateway met a fault", Next: "see the log under this answer's X-Request-Id"}
				}
			}()
			return next(c)
		}
	}
}

// strangeKey is set for a request to a name that is not this server's: it is of somebody who has to sign in, whatever holds else.
const strangeKey = "strange"

// known refuses a Host header that is not this server's. Whether it is well a load balancer may ask by any name, and by a token
// metrics are had: a web site that points its own name here (DNS rebinding) has none.
func known(hosts []string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if !knownHost(c.Request().Host, hosts) {
				c.Set(strangeKey, true)
				switch c.Path() {
				case "/healthz", "/readyz":
					return next(c)
				case "/metrics":
					if c.Request().Header.Get(echo.HeaderAuthorization) != "" {
						return next(c)
					}
				}
				return &fault{
					Code: http.StatusMisdirectedRequest, What: "the request was refused",
					Why: "its host name is not one of this server's", Next: "use the address, or add the name to http.hosts",
				}
			}
			return next(c)
		}
	}
}

// meant refuses what a page of another origin could have caused: browsers send plain POSTs anywhere, and fetch anything for a page
// that then measures how it went. A link that a person follows is no such thing.
func meant(next echo.HandlerFunc) echo.HandlerFunc {
	origin := http.NewCrossOriginProtection()
	return func(c echo.Context) error {
		r := c.Request()
		refused := &fault{Code: http.StatusForbidden, What: "the request was refused"}
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !isLent(c) && (origin.Check(r) != nil || reads && fetchedElsewhere(r)) {
			refused.Why, refused.Next = "it came from a page of another origin", "use the page of this server"
			return refused
		}
		if reads || r.Method == http.MethodOptions { // which asks for the methods that there are
			return next(c)
		}
		switch c.Path() {
		case "/signin", "/signout", "/setup":
			return next(c) // forms, which the check of the origin is enough for
		}
		if storesInstances(c) {
			return next(c)
		}
		media, _, _ := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)) // a malformed type is not JSON
		if r.Header.Get(ActionHeader) == "" && !strings.EqualFold(media, echo.MIMEApplicationJSON) {
			refused.Why, refused.Next = "it does not say that it is meant", "set the header "+ActionHeader+": 1 or Content-Type: application/json"
			return refused
		}
		return next(c)
	}
}

// fetchedElsewhere says whether a page of another origin has a browser fetch this (Fetch Metadata Request Headers 2; an Origin comes
// from browsers without them).
func fetchedElsewhere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		origin, err := url.Parse(r.Header.Get("Origin"))
		return r.Header.Get("Origin") != "" && (err != nil || origin.Host != r.Host)
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate"
}
