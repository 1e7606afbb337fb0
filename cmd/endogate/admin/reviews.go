package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/ledger"
	"endogate/inference/figures"
	"endogate/reports/draft"
)

// Reviews are findings of which a report of another system and a network say different things, for a person to look at.
type Reviews interface {
	// Reviews returns a page, the most urgent first, and how many there are in all.
	Reviews(ctx context.Context, f ledger.ReviewFilter) (page []ledger.Review, total int, err error)
	// Review returns one, or ErrNotFound.
	Review(ctx context.Context, name string) (ledger.Review, error)
	// ReviewCounts says how reports and models agreed, by month.
	ReviewCounts(ctx context.Context, from, before time.Time) ([]ledger.ReviewCount, error)
	// PhysicianCounts says the same by who reported, in place of the month. ErrForbidden where the configuration does not allow that.
	PhysicianCounts(ctx context.Context, from, before time.Time) ([]ledger.ReviewCount, error)
	// ByPhysician says whether the configuration allows it.
	ByPhysician() bool
	// Decide says who is right; durable on return. ErrNotFound, or ErrRefused where nothing is to be decided. It changes nothing else.
	Decide(ctx context.Context, name string, state ledger.ReviewState, d ledger.ReviewDecision, by draft.Author) (ledger.Review, error)
}

type reviewList string

const (
	reviewItems  reviewList = "reviews"
	reviewCounts reviewList = "counts"
)

const reviewLimit = 100

func (s *Server) reviews(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	f := ledger.ReviewFilter{State: oneOf(q, "state", ledger.ReviewStates), Study: q.uid("study_uid"), After: q.cursor()}
	f.Limit, f.Offset = q.number("limit", reviewLimit, 1, 1000), q.number("offset", 0, 0, maxOffset)
	from, before := q.time("from"), q.time("before")
	of := oneOf(q, "list", []reviewList{reviewItems, reviewCounts})
	format := oneOf(q, "format", []agreementFormat{formatJSON, formatCSV})
	if err := q.done(); err != nil {
		return err
	}
	if of == reviewCounts {
		return s.countReviews(c, from, before, format)
	}
	if f.State == "" && f.Study == "" {
		f.State = ledger.ReviewOpen
	}
	page, total, err := s.Reviews.Reviews(c.Request().Context(), f)
	if err != nil {
		return faultOf("the reviews were not read", err)
	}
	for i := range page {
		page[i].Sources = list(page[i].Sources)
	}
	return c.JSON(http.StatusOK, struct {
		Reviews []ledger.Review `json:"reviews"`
		paging
	}{list(page), paging{total, f.Limit, f.Offset, next(page, f.Limit, func(r ledger.Review) ledger.Cursor { return ledger.Cursor{ID: r.Name} })}})
}

func (s *Server) review(c echo.Context) error {
	review, err := s.Reviews.Review(c.Request().Context(), param(c, "id"))
	if err != nil {
		return faultOf("the review was not read", err)
	}
	review.Sources = list(review.Sources)
	return c.JSON(http.StatusOK, review)
}

func (s *Server) countReviews(c echo.Context, from, before time.Time, format agreementFormat) error {
	counts, err := s.Reviews.ReviewCounts(c.Request().Context(), from, before)
	if err != nil {
		return faultOf("the reviews were not counted", err)
	}
	return s.figures(c, counts, format, "reviews.csv", []string{"month"}, func(n ledger.ReviewCount) []string { return []string{n.Month} })
}

// physicians are the counts by who reported.
func (s *Server) physicians(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	from, before := q.time("from"), q.time("before")
	format := oneOf(q, "format", []agreementFormat{formatJSON, formatCSV})
	if err := q.done(); err != nil {
		return err
	}
	counts, err := s.Reviews.PhysicianCounts(c.Request().Context(), from, before)
	if err != nil {
		return faultOf("the reviews were not counted by physician", err)
	}
	return s.figures(c, counts, format, "physicians.csv", []string{"physician", "authority", "name"}, func(n ledger.ReviewCount) []string {
		return []string{n.Physician.ID, n.Physician.Authority, n.Physician.Name}
	})
}

// figures answers with counts; by is what they are of, in a table.
func (s *Server) figures(c echo.Context, counts []ledger.ReviewCount, format agreementFormat, file string, by []string, of func(ledger.ReviewCount) []string) error {
	all := make([]reviewFigures, 0, len(counts))
	for _, n := range counts {
		all = append(all, figuresOf(n))
	}
	if format != formatCSV {
		return c.JSON(http.StatusOK, struct {
			Counts      []reviewFigures `json:"counts"`
			ByPhysician bool            `json:"by_physician"`
		}{all, s.Reviews.ByPhysician()})
	}
	w := table(c, file)
	w.row(append(by, "model", "model_version", "finding", "site", "threshold", "compared", "agreed", "open", "confirmed", "rejected", "missed",
		"agreement", "agreement_low", "agreement_high", "confirmation", "confirmation_low", "confirmation_high", "miss", "miss_low", "miss_high")...)
	for _, n := range all {
		row := append(of(n.ReviewCount), n.Model, n.ModelVersion, n.Finding, n.Site.Value, strconv.FormatFloat(n.Threshold, 'g', -1, 64))
		for _, number := range []int{n.Compared, n.Agreed, n.Open, n.Confirmed, n.Rejected, n.Missed} {
			row = append(row, strconv.Itoa(number))
		}
		for _, f := range []figures.Figure{n.Agreement, n.Confirmation, n.Miss} {
			row = append(row, cells(f)...)
		}
		w.row(row...)
	}
	return w.flush()
}

// cells are those of a figure in a table: empty where there is none.
func cells(f figures.Figure) []string {
	if f.None != "" {
		return []string{"", "", ""}
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
	return []string{number(f.Value), number(f.Low), number(f.High)}
}

// reviewFigures are counts with what they say, in shares of 95 % intervals (Wilson 1927).
type reviewFigures struct {
	ledger.ReviewCount
	Compared     int            `json:"compared"`
	Agreement    figures.Figure `json:"agreement"`    // of what was compared
	Confirmation figures.Figure `json:"confirmation"` // the model is right, of what persons decided
	Miss         figures.Figure `json:"miss"`         // confirmed misses, of what was compared
}

func figuresOf(n ledger.ReviewCount) reviewFigures {
	of := n.Agreed + n.Open + n.Confirmed + n.Rejected
	return reviewFigures{
		n, of, figures.Share(n.Agreed, of, "nothing was compared"), figures.Share(n.Confirmed, n.Confirmed+n.Rejected, "nobody has decided"), figures.Share(n.Missed, of, "nothing was compared"),
	}
}

// decide is what a person says of a review.
func (s *Server) decide(state ledger.ReviewState) echo.HandlerFunc {
	return func(c echo.Context) error {
		var body struct {
			Author    string `json:"author"`
			Suspicion int    `json:"suspicion"`
			Comment   string `json:"comment"`
		}
		in := json.NewDecoder(c.Request().Body)
		in.DisallowUnknownFields()
		if err := in.Decode(&body); err != nil || in.More() {
			return badRequest("the body is not what is described", "send JSON as /api/v1/openapi.json says")
		}
		if body.Suspicion < 0 || body.Suspicion > 5 || len(body.Comment) > maxReason {
			return badRequest("a suspicion is from 1 (none) to 5 (certain), or left out, and a comment has at most 1000 bytes", "correct the body")
		}
		by, err := s.authorOf(c, body.Author)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), requestTimeout)
		defer cancel()
		review, err := s.Reviews.Decide(ctx, param(c, "id"), state, ledger.ReviewDecision{Suspicion: body.Suspicion, Comment: body.Comment}, by)
		if err != nil {
			return faultOf("the review was not decided", err)
		}
		review.Sources = list(review.Sources)
		s.Log.Info("admin: review decided", "state", state, "remote", c.RealIP(), "request_id", requestID(c))
		return c.JSON(http.StatusOK, review)
	}
}
