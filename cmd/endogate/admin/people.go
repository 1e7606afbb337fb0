package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/audit"
)

// linkValid is how long a set-up link can be used.
const linkValid = 24 * time.Hour

// me says who asks, and what that may.
func (s *Server) me(c echo.Context) error {
	who := s.who(c)
	answer := struct {
		access.Identity
		Rights   []access.Right `json:"rights"`
		SignedIn bool           `json:"signed_in"`
		Required bool           `json:"required"` // nobody may anything who has not signed in
		Signs    bool           `json:"signs"`    // may sign and withdraw reports
	}{Identity: who, Rights: list(who.Rights()), SignedIn: who.Name != "", Required: s.SignIn != nil && s.SignIn.Required}
	answer.Signs = who.May(access.Report) && (s.Settings().UnauthenticatedSign || !unauthenticated(who))
	return c.JSON(http.StatusOK, answer)
}

// breakGlass lets somebody who is not to see whose a study is do so for a while, for a reason that the audit trail keeps.
func (s *Server) breakGlass(c echo.Context) error {
	var asked struct {
		Reason string `json:"reason"`
	}
	if err := body(c, &asked); err != nil {
		return err
	}
	asked.Reason = strings.TrimSpace(asked.Reason)
	who := s.who(c)
	switch {
	case s.SignIn == nil || who.Method != access.ByPassword && who.Method != access.ByOIDC:
		return &fault{Code: http.StatusForbidden, What: "the request was refused", Why: "only a person who has signed in can do this", Next: "sign in at /signin"}
	case utf8.RuneCountInString(asked.Reason) < 5 || utf8.RuneCountInString(asked.Reason) > maxWhy:
		return badRequest("there is no reason that an auditor could judge", "give one of 5 to 200 characters")
	}
	e := s.event(c, who, audit.SecurityAlert, audit.EmergencyOverride, audit.Execute)
	e.Why = asked.Reason
	ctx := c.Request().Context()
	if err := s.SignIn.Record(ctx, e); err != nil {
		return faultOf("the names stay hidden", err)
	}
	until := s.SignIn.Now().Add(glass)
	s.SignIn.sessions.Put(ctx, sessionGlass, until.UnixNano())
	return c.JSON(http.StatusOK, map[string]time.Time{"until": until.UTC()})
}

// body reads the JSON of a request, strictly.
func body(c echo.Context, into any) error {
	r := json.NewDecoder(c.Request().Body)
	r.DisallowUnknownFields()
	if err := r.Decode(into); err != nil {
		return badRequest("the body is not the JSON that is needed: "+said(err), "see /api/v1/openapi.json")
	}
	return nil
}

// store is where users and tokens are; where nobody can sign in there are none.
func (s *Server) store() (*access.Store, error) {
	if s.SignIn == nil {
		return nil, &fault{Code: http.StatusNotFound, What: "there are no users", Why: "nobody signs in here", Next: "set auth.local or auth.oidc in the configuration"}
	}
	return s.SignIn.Store, nil
}

// userView is a user as the API shows it.
type userView struct {
	Name       string      `json:"name"`
	Role       access.Role `json:"role"`
	Created    time.Time   `json:"created"`
	Ready      bool        `json:"ready"` // has a password
	Disabled   bool        `json:"disabled"`
	SetupUntil time.Time   `json:"setup_until,omitzero"`
}

func (s *Server) users(c echo.Context) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	all, err := store.Users()
	if err != nil {
		return faultOf("the users were not read", err)
	}
	views := []userView{}
	for _, u := range all {
		views = append(views, userView{u.Name, u.Role, u.Created, u.Password != "", u.Disabled, u.SetupUntil})
	}
	return c.JSON(http.StatusOK, map[string][]userView{"users": views})
}

// link is how a user sets a password.
type link struct {
	Path  string    `json:"path"` // of this server
	Until time.Time `json:"until"`
}

func (s *Server) addUser(c echo.Context) error {
	var asked struct {
		Name string      `json:"name"`
		Role access.Role `json:"role"`
	}
	store, err := s.store()
	if err == nil {
		err = body(c, &asked)
	}
	if err != nil {
		return err
	}
	if err := store.AddUser(asked.Name, asked.Role); err != nil {
		return peopleFault("the user was not added", err)
	}
	return s.newLink(c, http.StatusCreated, asked.Name)
}

// setUpLink makes another set-up link of a user; the password stays until it is used.
func (s *Server) setUpLink(c echo.Context) error {
	return s.newLink(c, http.StatusOK, param(c, "name"))
}

func (s *Server) newLink(c echo.Context, status int, name string) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	key, err := store.SetupSecret(name, linkValid)
	if err != nil {
		return peopleFault("the link was not made", err)
	}
	return c.JSON(status, link{SetUpPath(key), s.SignIn.Now().Add(linkValid).UTC()})
}

// SetUpPath is where a user sets a password, with the secret of a set-up link.
func SetUpPath(key string) string { return "/setup?key=" + key }

func (s *Server) changeUser(c echo.Context) error {
	var asked struct {
		Role     *access.Role `json:"role"`
		Disabled *bool        `json:"disabled"`
	}
	store, err := s.store()
	if err == nil {
		err = body(c, &asked)
	}
	if err != nil {
		return err
	}
	name := param(c, "name")
	switch {
	case (asked.Role == nil) == (asked.Disabled == nil):
		return badRequest("it is not said what is to be changed", "write role or disabled, one at a time")
	case name == s.who(c).Name && s.who(c).Method != access.ByToken:
		return badRequest("nobody changes his own role, or disables himself", "have another administrator do it")
	case asked.Role != nil:
		err = store.SetRole(name, *asked.Role)
	default:
		err = store.SetDisabled(name, *asked.Disabled)
	}
	if err != nil {
		return peopleFault("the user was not changed", err)
	}
	return c.NoContent(http.StatusNoContent)
}

// proveAgain is how long a password counts for changes to who may what (a step-up, as the OWASP sheets have it): whoever finds a
// browser that somebody left signed in makes no administrators with it.
const proveAgain = 15 * time.Minute

// proved lets a person change who may what only some time after proving who it is; programs have their tokens for it.
func (s *Server) proved(c echo.Context, who access.Identity) error {
	if s.SignIn == nil || who.Method != access.ByPassword && who.Method != access.ByOIDC {
		return nil
	}
	if s.SignIn.Now().Sub(s.SignIn.time(c.Request().Context(), sessionProved)) < proveAgain {
		return nil
	}
	f := &fault{Code: http.StatusPreconditionRequired, What: "the request was refused", Why: "who may what is changed only within 15 minutes after the password was given", Next: "give it again: POST /api/v1/prove"}
	if who.Method == access.ByOIDC {
		f.Why, f.Next = "who may what is changed only within 15 minutes after you proved to the hospital's sign-in who you are", "do so again: /signin/provider?again=1"
	}
	return f
}

// prove takes the password of who has signed in once more.
func (s *Server) prove(c echo.Context) error {
	var asked struct {
		Password string `json:"password"`
	}
	if err := body(c, &asked); err != nil {
		return err
	}
	in, who := s.SignIn, s.who(c)
	if in == nil || who.Method != access.ByPassword {
		return &fault{Code: http.StatusForbidden, What: "the request was refused", Why: "only a person who has signed in with a password can do this", Next: "sign in at /signin"}
	}
	try, ctx := access.Try{Name: who.Name, Address: s.address(c)}, c.Request().Context()
	if in.throttle.Begin(try) > 0 {
		return &fault{Code: http.StatusTooManyRequests, What: "the request was refused", Why: "there were too many tries", Next: "wait a moment and try again"}
	}
	switch _, err := in.Store.Verify(ctx, who.Name, asked.Password); {
	case errors.Is(err, access.ErrRefused):
		s.failed(c, who.Name, access.ByPassword)
		return &fault{Code: http.StatusForbidden, What: "the request was refused", Why: "the password is wrong", Next: "give it again"}
	case err != nil:
		return faultOf("the password was not looked at", err)
	}
	in.throttle.Hit(try)
	in.sessions.Put(ctx, sessionProved, in.Now().UnixNano())
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) removeUser(c echo.Context) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	if err := store.RemoveUser(param(c, "name")); err != nil {
		return peopleFault("the user was not removed", err)
	}
	return c.NoContent(http.StatusNoContent)
}

// tokenView is a token as the API shows it: its text is shown once.
type tokenView struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Role    access.Role    `json:"role"`
	Scope   []access.Right `json:"scope"`
	Created time.Time      `json:"created"`
	Expires time.Time      `json:"expires"`
	Token   string         `json:"token,omitempty"` // when it is made
}

func viewOf(t access.Token) tokenView {
	return tokenView{ID: t.ID, Name: t.Name, Role: t.Role, Scope: list(t.Scope), Created: t.Created, Expires: t.Expires}
}

func (s *Server) tokens(c echo.Context) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	all, err := store.Tokens()
	if err != nil {
		return faultOf("the tokens were not read", err)
	}
	views := []tokenView{}
	for _, t := range all {
		views = append(views, viewOf(t))
	}
	return c.JSON(http.StatusOK, map[string][]tokenView{"tokens": views})
}

func (s *Server) createToken(c echo.Context) error {
	var asked struct {
		Name    string         `json:"name"`
		Role    access.Role    `json:"role"`
		Scope   []access.Right `json:"scope"`
		Expires string         `json:"expires"`
	}
	store, err := s.store()
	if err == nil {
		err = body(c, &asked)
	}
	if err != nil {
		return err
	}
	valid, err := time.ParseDuration(asked.Expires)
	if err != nil {
		return badRequest("it is not said when the token expires", "write expires as a time with its unit, such as 720h")
	}
	text, token, err := store.CreateToken(asked.Name, asked.Role, asked.Scope, valid)
	if err != nil {
		return peopleFault("the token was not made", err)
	}
	view := viewOf(token)
	view.Token = text
	return c.JSON(http.StatusCreated, view)
}

func (s *Server) revokeToken(c echo.Context) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	if err := store.RevokeToken(param(c, "id")); err != nil {
		return peopleFault("the token was not revoked", err)
	}
	return c.NoContent(http.StatusNoContent)
}

// peopleFault is the answer to an error of the store of users and tokens.
func peopleFault(what string, err error) error {
	f := &fault{Code: http.StatusUnprocessableEntity, What: what, Why: strings.TrimPrefix(err.Error(), "access: "), Next: "change what is asked for and ask again", Err: err}
	switch {
	case errors.Is(err, access.ErrUnknown):
		f.Code, f.Next = http.StatusNotFound, "see the list of those there are"
	case errors.Is(err, access.ErrExists):
		f.Code = http.StatusConflict
	case errors.Is(err, access.ErrName), errors.Is(err, access.ErrRole), errors.Is(err, access.ErrScope), errors.Is(err, access.ErrPassword):
	default:
		return faultOf(what, err)
	}
	return f
}
