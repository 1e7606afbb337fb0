package admin

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/ledger"
)

// SignIn says who may ask for what, and finds out who asks. All fields are set before use and not changed after. A Server
// without one lets everybody do everything, as somebody who is not known: that is for the loopback address.
type SignIn struct {
	Store    *access.Store
	Required bool          // else who does not sign in may do everything, as somebody who is not known
	Local    bool          // users sign in here, with a password
	Provider *Provider     // or at a provider of the hospital; nil: there is none
	Proxy    Proxy         // or at a proxy before this server
	Secure   bool          // the page is reached by TLS
	Idle     time.Duration // a session ends when it is not used for so long,
	Longest  time.Duration // and after so long in any case
	Now      func() time.Time
	Record   func(context.Context, audit.Event) error // into the audit trail; what cannot be recorded is not done

	throttle *access.Throttle
	sessions *scs.SessionManager
	kept     *memory
	owed     owed
}

// Proxy is a server before this one at which people sign in, and which names them in a header.
type Proxy struct {
	Header string         // empty: there is none
	From   []netip.Prefix // its addresses: from others the header is a claim of whoever sent it
	Role   access.Role    // of whom is no user here; empty: such a person may nothing
}

// Glass is how long a person who is not to see whose a study is does so, after giving a reason.
const glass = time.Hour

// Keys of a session.
const (
	sessionName   = "name"
	sessionRole   = "role" // as the provider said; of a user here it is looked up
	sessionMethod = "method"
	sessionSince  = "since"
	sessionGlass  = "glass"  // until when the glass is broken
	sessionProved = "proved" // when it was last proved who it is
	sessionFrom   = "from"   // the address
)

func (in *SignIn) build() {
	in.throttle = access.NewThrottle(in.Now)
	in.kept = &memory{now: in.Now, all: map[string]session{}}
	in.sessions = &scs.SessionManager{ // without scs.New, which begins a store of its own that cannot be ended without a race
		Store: in.kept, Codec: scs.GobCodec{}, IdleTimeout: in.Idle, Lifetime: in.Longest, ErrorFunc: brokenSession,
		Cookie: scs.SessionCookie{Name: in.cookie("endogate"), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: in.Secure},
	}
}

// brokenSession answers where a session could not be read or kept.
func brokenSession(w http.ResponseWriter, _ *http.Request, _ error) {
	http.Error(w, "the session cannot be read; sign in again", http.StatusInternalServerError)
}

// cookie is a cookie's name: over TLS one that no other host and no plain connection can set (RFC 6265bis 4.1.3.2).
func (in *SignIn) cookie(name string) string {
	if in.Secure {
		return "__Host-" + name
	}
	return name
}

// whoKey is where the identity of who asks is kept for a request.
const whoKey = "who"

// who asks.
func (s *Server) who(c echo.Context) access.Identity {
	who, _ := c.Get(whoKey).(access.Identity)
	return who
}

// identified finds out who asks: by a token, by a session, or as a proxy says. A token that is wrong is an error also where
// nobody has to sign in.
func (s *Server) identified(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		in := s.SignIn
		strange, _ := c.Get(strangeKey).(bool)
		if in == nil {
			if !strange {
				c.Set(whoKey, access.Anybody)
			}
			return next(c)
		}
		who, err := in.identify(c)
		switch {
		case errors.Is(err, access.ErrRefused):
			s.failed(c, "", access.ByToken)
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer error="invalid_token"`)
			return &fault{
				Code: http.StatusUnauthorized, What: "the request was refused", Why: "the token is wrong, has expired or was revoked",
				Next: "make one with endogate token create",
			}
		case err != nil:
			return faultOf("nobody can sign in", err)
		}
		if who.Role == "" && !in.Required && !strange {
			who = access.Anybody
		}
		c.Set(whoKey, who)
		if who.Name != "" {
			actor := ledger.Actor{Kind: ledger.ActorPerson, Name: who.Name}
			if who.Method == access.ByToken {
				actor.Kind = ledger.ActorToken
			}
			c.SetRequest(c.Request().WithContext(ledger.By(c.Request().Context(), actor)))
		}
		return next(c)
	}
}

func (in *SignIn) identify(c echo.Context) (access.Identity, error) {
	r := c.Request()
	if who, ok, err := in.proxied(r); ok || err != nil { // which may send on its own Authorization
		return who, err
	}
	if header := r.Header.Get(echo.HeaderAuthorization); header != "" {
		kind, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(kind, "Bearer") {
			return access.Identity{}, access.ErrRefused
		}
		return in.Store.ByToken(strings.TrimSpace(token))
	}
	ctx := r.Context()
	who := access.Identity{
		Name: in.sessions.GetString(ctx, sessionName), Role: access.Role(in.sessions.GetString(ctx, sessionRole)),
		Method: access.Method(in.sessions.GetString(ctx, sessionMethod)),
	}
	if who.Method == access.ByPassword {
		u, err := in.Store.User(who.Name)
		if errors.Is(err, access.ErrUnknown) || err == nil && (u.Disabled || u.Changed.After(in.time(ctx, sessionSince))) {
			return access.Identity{}, in.sessions.Destroy(ctx)
		}
		if err != nil {
			return access.Identity{}, err
		}
		who.Role = u.Role
	}
	who.Glass = who.Role != "" && in.Now().Before(in.time(ctx, sessionGlass))
	return who, nil
}

// time is one that a session holds; the zero time: it holds none.
func (in *SignIn) time(ctx context.Context, key string) time.Time {
	if at := in.sessions.GetInt64(ctx, key); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// proxied is who asks as a proxy says, if it is the proxy that asks.
func (in *SignIn) proxied(r *http.Request) (access.Identity, bool, error) {
	if in.Proxy.Header == "" || !in.fromProxy(r) {
		return access.Identity{}, false, nil
	}
	name := strings.ToLower(r.Header.Get(in.Proxy.Header))
	if name == "" || len(name) > maxAuthor {
		return access.Identity{}, false, nil
	}
	u, err := in.Store.User(name)
	switch {
	case errors.Is(err, access.ErrUnknown):
		u.Role = in.Proxy.Role
	case err != nil:
		return access.Identity{}, false, err
	case u.Disabled:
		u.Role = ""
	}
	return access.Identity{Name: name, Role: u.Role, Method: access.ByProxy}, true, nil
}

func (in *SignIn) fromProxy(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, p := range in.Proxy.From {
		if p.Contains(address.Unmap()) {
			return true
		}
	}
	return false
}

// signInPage is what the page of the sign-in shows.
type signInPage struct {
	Local    bool
	Provider string // the name of the provider; empty: there is none
	Name     string
	Fault    string // a key of the languages; empty: there is none
	Ended    bool   // somebody had signed in
}

// signInForm shows the sign-in.
func (s *Server) signInForm(c echo.Context) error {
	if s.SignIn == nil {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	offer := s.SignIn.offer()
	offer.Ended = c.QueryParams().Has("ended")
	return s.page(c, http.StatusOK, "signin.html", offer)
}

func (in *SignIn) offer() signInPage {
	p := signInPage{Local: in.Local}
	if in.Provider != nil {
		p.Provider = in.Provider.Name
	}
	return p
}

// signIn signs a user of this gateway in.
func (s *Server) signIn(c echo.Context) error {
	in := s.SignIn
	if in == nil || !in.Local {
		return echo.ErrNotFound
	}
	name, password := strings.ToLower(strings.TrimSpace(c.FormValue("name"))), c.FormValue("password")
	try := access.Try{Name: name, Address: s.address(c)}
	if device, err := c.Cookie(in.cookie("endogate-device")); err == nil {
		try.Device = device.Value
	}
	page := in.offer()
	page.Name = name
	if wait := in.throttle.Begin(try); wait > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		page.Fault = "signin.wait"
		return s.page(c, http.StatusTooManyRequests, "signin.html", page)
	}
	ctx := c.Request().Context()
	u, err := in.Store.Verify(ctx, name, password)
	switch {
	case errors.Is(err, access.ErrRefused):
		s.failed(c, in.known(name), access.ByPassword)
		page.Fault = "signin.wrong"
		return s.page(c, http.StatusUnauthorized, "signin.html", page)
	case err != nil:
		return faultOf("nobody can sign in", err)
	}
	in.throttle.Hit(try)
	c.SetCookie(&http.Cookie{
		Name: in.cookie("endogate-device"), Value: in.throttle.Mark(name), Path: "/", MaxAge: 365 * 24 * 3600,
		HttpOnly: true, Secure: in.Secure, SameSite: http.SameSiteStrictMode,
	})
	return s.enter(c, access.Identity{Name: u.Name, Role: u.Role, Method: access.ByPassword}, in.Now())
}

// known is a name as far as the audit trail may hold it: people type passwords into the wrong field.
func (in *SignIn) known(name string) string {
	if _, err := in.Store.User(name); err != nil {
		return ""
	}
	return name
}

// enter begins the session of somebody who has proved who it is, and when: a provider may have let in who did so days ago.
func (s *Server) enter(c echo.Context, who access.Identity, proved time.Time) error {
	ctx, in := c.Request().Context(), s.SignIn
	if err := s.entered(c, who); err != nil {
		return faultOf("nobody can sign in", err)
	}
	// The one from before may be somebody else's (session fixation), and so is what was proved in it.
	if err := errors.Join(in.sessions.Clear(ctx), in.sessions.RenewToken(ctx)); err != nil {
		return faultOf("nobody can sign in", err)
	}
	in.sessions.Put(ctx, sessionName, who.Name)
	in.sessions.Put(ctx, sessionRole, string(who.Role))
	in.sessions.Put(ctx, sessionMethod, string(who.Method))
	in.sessions.Put(ctx, sessionSince, in.Now().UnixNano())
	if now := in.Now(); proved.After(now) { // by another clock
		proved = now
	}
	if !proved.IsZero() {
		in.sessions.Put(ctx, sessionProved, proved.UnixNano())
	}
	in.sessions.Put(ctx, sessionFrom, s.address(c).String())
	return c.Redirect(http.StatusSeeOther, "/")
}

// entered records that somebody has signed in. While the audit trail cannot be written, administrators come in all the same, as
// somebody has to see why: that is in the log of the system then, and in the trail when that can be written again.
func (s *Server) entered(c echo.Context, who access.Identity) error {
	ctx, in := c.Request().Context(), s.SignIn
	e := s.event(c, who, audit.UserAuthentication, audit.Login, audit.Execute)
	err := in.Record(ctx, e)
	if err == nil || who.Role != access.Administrator {
		return err
	}
	s.Log.Error("admin: an administrator has signed in while the audit trail cannot be written: mend that first; nothing can be changed here until then",
		"name", who.Name, "from", s.address(c), "err", err)
	s.owe(e)
	return nil
}

// signOut ends the session.
func (s *Server) signOut(c echo.Context) error {
	if in := s.SignIn; in != nil {
		ctx, who := c.Request().Context(), s.who(c)
		if who.Name != "" {
			if err := in.Record(ctx, s.event(c, who, audit.UserAuthentication, audit.Logout, audit.Execute)); err != nil {
				s.Log.Error("admin: a sign-out is not in the audit trail", "err", err) // it is done all the same
			}
		}
		if err := in.sessions.Destroy(ctx); err != nil {
			return faultOf("the session was not ended", err)
		}
	}
	return c.Redirect(http.StatusSeeOther, "/signin")
}

// setUpPage is what the page of a set-up link shows.
type setUpPage struct {
	Key   string
	Fault string // a key of the languages; empty: there is none
}

func (s *Server) setUpForm(c echo.Context) error {
	if s.SignIn == nil || !s.SignIn.Local {
		return echo.ErrNotFound
	}
	return s.page(c, http.StatusOK, "setup.html", setUpPage{Key: c.QueryParam("key")})
}

// setUp sets the password of the user whom a set-up link is for.
func (s *Server) setUp(c echo.Context) error {
	in := s.SignIn
	if in == nil || !in.Local {
		return echo.ErrNotFound
	}
	page := setUpPage{Key: c.FormValue("key")}
	if c.FormValue("password") != c.FormValue("again") {
		page.Fault = "setup.differ"
		return s.page(c, http.StatusUnprocessableEntity, "setup.html", page)
	}
	try := access.Try{Name: "set-up", Address: s.address(c)}
	if in.throttle.Wait(try) > 0 {
		page.Fault = "signin.wait"
		return s.page(c, http.StatusTooManyRequests, "setup.html", page)
	}
	ctx := c.Request().Context()
	name, err := in.Store.SetUp(ctx, page.Key, c.FormValue("password"))
	switch {
	case errors.Is(err, access.ErrPassword):
		page.Fault = "setup.password-rule"
		return s.page(c, http.StatusUnprocessableEntity, "setup.html", page)
	case errors.Is(err, access.ErrRefused):
		in.throttle.Missed(try)
		page.Fault = "setup.used"
		return s.page(c, http.StatusForbidden, "setup.html", page)
	case err != nil:
		return faultOf("the password was not set", err)
	}
	u, err := in.Store.User(name)
	if err != nil {
		return faultOf("the password was not set", err)
	}
	return s.enter(c, access.Identity{Name: u.Name, Role: u.Role, Method: access.ByPassword}, in.Now())
}

// address is where a request comes from.
func (s *Server) address(c echo.Context) netip.Addr {
	address, _ := netip.ParseAddr(c.RealIP()) // of a test there is none
	return address
}
