package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"endogate/dicomnode/ledger"
	"endogate/reports/draft"

	"github.com/labstack/echo/v4"
)

// Retractions take results of models back, for a person.
type Retractions interface {
	// Retractable lists what Retract would take back.
	Retractable(ctx context.Context, r ledger.Retraction) ([]ledger.Retracted, error)
	Retract(ctx context.Context, r ledger.Retraction, by draft.Author) ([]ledger.Retracted, error)
	// Standing lists models that have results that stand.
	Standing(ctx context.Context) ([]ledger.ModelVersion, error)
}

// Bounds of a retraction.
const (
	maxWhy         = 200 // characters: it stands in reports
	maxRetractions = 1000
)

// retractionRequest is the body of a retraction.
type retractionRequest struct {
	Author string `json:"author"`
	DryRun bool   `json:"dry_run"`
	ledger.Retraction
}

// retractionResult is what was taken back, or would be: the totals, and the first of the reports.
type retractionResult struct {
	DryRun    bool               `json:"dry_run"`
	Reports   int                `json:"reports"`   // exams
	Results   int                `json:"results"`   // instances
	Delivered int                `json:"delivered"` // objects that a destination has
	Retracted []ledger.Retracted `json:"retracted"`
	// Standing are models that have results, where none was named.
	Standing []ledger.ModelVersion `json:"standing,omitempty"`
}

// retract takes an AI result back, or all of a version of a model; of a dry run it says what would be. It is finished
// though the client goes away.
func (s *Server) retract(c echo.Context) error {
	var asked retractionRequest
	body := json.NewDecoder(c.Request().Body)
	body.DisallowUnknownFields()
	if err := body.Decode(&asked); err != nil {
		return badRequest("the body is not the JSON that is needed: "+said(err), "see /api/v1/openapi.json")
	}
	asked.Reason = strings.TrimSpace(asked.Reason)
	if !utf8.ValidString(asked.Reason) || strings.ContainsFunc(asked.Reason, unicode.IsControl) || utf8.RuneCountInString(asked.Reason) > maxWhy {
		return badRequest("the reason cannot stand in a report", "use one line of at most 200 characters")
	}
	if err := asked.Validate(); err != nil {
		return badRequest(err.Error(), "see /api/v1/openapi.json")
	}
	author, err := s.authorOf(c, asked.Author)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), requestTimeout)
	defer cancel()
	var done []ledger.Retracted
	if asked.DryRun {
		done, err = s.Retractions.Retractable(ctx, asked.Retraction)
	} else {
		done, err = s.Retractions.Retract(ctx, asked.Retraction, author)
	}
	if err != nil {
		return faultOf("the results were not retracted", err)
	}
	result := retractionResult{DryRun: asked.DryRun, Reports: len(done), Retracted: list(done[:min(len(done), maxRetractions)])}
	for _, r := range done {
		result.Results += r.Results
		result.Delivered += r.Delivered
	}
	if len(done) == 0 {
		if result.Standing, err = s.Retractions.Standing(ctx); err != nil {
			return faultOf("the models that have results were not read", err)
		}
	}
	if !asked.DryRun {
		s.Log.Info("admin: results retracted", "model", asked.Model, "version", asked.Version, "study", asked.Study, "reports", result.Reports,
			"remote", c.RealIP(), "request_id", requestID(c))
	}
	return c.JSON(http.StatusOK, result)
}
