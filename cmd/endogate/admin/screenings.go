package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Screenings are second looks over spans of time.
type Screenings interface {
	// Screenings returns a page, the newest first, and how many there are.
	Screenings(ctx context.Context, after string, p Page) (page []ledger.Screening, total int, err error)
	// Screening returns one, or ErrNotFound.
	Screening(ctx context.Context, name string) (ledger.Screening, error)
	// StartScreening begins one; durable on return. One that runs over the same span is that one.
	StartScreening(ctx context.Context, from, before time.Time, by draft.Author) (ledger.Screening, error)
	// CancelScreening ends one. ErrNotFound, or ErrRefused where it has ended.
	CancelScreening(ctx context.Context, name string, by draft.Author) (ledger.Screening, error)
}

func (s *Server) screenings(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	p := Page{Limit: q.number("limit", 50, 1, 500), Offset: q.number("offset", 0, 0, maxOffset)}
	after := q.cursor()
	if err := q.done(); err != nil {
		return err
	}
	page, total, err := s.Screenings.Screenings(c.Request().Context(), after.ID, p)
	if err != nil {
		return faultOf("the second looks were not read", err)
	}
	return c.JSON(http.StatusOK, struct {
		Screenings []ledger.Screening `json:"screenings"`
		paging
	}{list(page), paging{total, p.Limit, p.Offset, next(page, p.Limit, func(c ledger.Screening) ledger.Cursor { return ledger.Cursor{ID: c.Name} })}})
}

func (s *Server) screening(c echo.Context) error {
	screening, err := s.Screenings.Screening(c.Request().Context(), param(c, "id"))
	if err != nil {
		return faultOf("the second look was not read", err)
	}
	return c.JSON(http.StatusOK, screening)
}

func (s *Server) startScreening(c echo.Context) error {
	var body struct {
		From   string `json:"from"`
		Before string `json:"before"`
		Author string `json:"author"`
	}
	in := json.NewDecoder(c.Request().Body)
	in.DisallowUnknownFields()
	if err := in.Decode(&body); err != nil || in.More() {
		return badRequest("the body is not what is described", "send JSON as /api/v1/openapi.json says")
	}
	from, before, err := span(body.From, body.Before)
	if err != nil {
		return err
	}
	by, err := s.authorOf(c, body.Author)
	if err != nil {
		return err
	}
	screening, err := s.Screenings.StartScreening(c.Request().Context(), from, before, by)
	if err != nil {
		return faultOf("the second look was not begun", err)
	}
	s.Log.Info("admin: second look begun", "screening", screening.Name, "remote", c.RealIP(), "request_id", requestID(c))
	return c.JSON(http.StatusOK, screening)
}

// span is one of time, as it is written in a body.
func span(from, before string) (a, b time.Time, err error) {
	a, okA := moment(from)
	b, okB := moment(before)
	if !okA || !okB || !a.Before(b) {
		return a, b, badRequest("from and before are not a span of time", "send both as dates (UTC) or RFC 3339, from the earlier one")
	}
	return a, b, nil
}

func (s *Server) cancelScreening(c echo.Context) error {
	by, err := s.authorOf(c, "")
	if err != nil {
		by = draft.Author{Unauthenticated: true} // nobody has to say who ends one
	}
	screening, err := s.Screenings.CancelScreening(c.Request().Context(), param(c, "id"), by)
	if err != nil {
		return faultOf("the second look was not ended", err)
	}
	s.Log.Info("admin: second look ended", "screening", screening.Name, "remote", c.RealIP(), "request_id", requestID(c))
	return c.JSON(http.StatusOK, screening)
}
