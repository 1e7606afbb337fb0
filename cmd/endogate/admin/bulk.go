package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/audit"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Choice is parked work by what it has in common; what is empty narrows nothing.
type Choice struct {
	Kind        ParkedKind
	Study       dicom.UID
	Destination string
	Model       string
	Mismatch    ledger.Mismatch // of held results: this one, and no other
}

func (c Choice) matches(p Parked) bool {
	return (c.Kind == "" || c.Kind == p.Kind) && (c.Study == "" || c.Study == p.StudyInstanceUID) &&
		(c.Destination == "" || c.Destination == p.Destination) && (c.Model == "" || c.Model == p.Model) &&
		(c.Mismatch == "" || slices.Equal(p.Mismatches, []ledger.Mismatch{c.Mismatch}))
}

// Action is what is done with parked work.
type Action string

// The actions.
const (
	ActionRetry   Action = "retry"
	ActionDiscard Action = "discard"
	ActionRelease Action = "release" // of results that are held because images, order and patient do not agree
)

// can says whether the action is for p. What is a decision of its own is made for one: a retry of many leaves it, and a
// report is owed for every exam that has results.
func (a Action) can(p Parked) bool {
	switch a {
	case ActionRetry:
		return p.Bulk
	case ActionRelease:
		return p.Kind == ParkedGate
	}
	return slices.Contains([]ParkedKind{ParkedJob, ParkedDelivery, ParkedInstance}, p.Kind)
}

// BulkResult is what an action on many has done, or would do.
type BulkResult struct {
	Matched int  `json:"matched"`
	Done    int  `json:"done"`   // or to be done, of a dry run
	Kept    int  `json:"kept"`   // of which each is a decision of its own, or that the action is not for
	Failed  int  `json:"failed"` // not parked any more, or the ledger could not be written
	DryRun  bool `json:"dry_run"`
	// Reasons are what it is done with, by why it is parked: of results that are released.
	Reasons map[string]int `json:"reasons,omitempty"`
}

const (
	bulkTimeout = 5 * time.Minute
	bulkAtOnce  = 8 // the ledger commits them together
)

// Bulk does an action on all parked work of a choice, not only on what a page of it shows. Each step is durable of its own:
// where it ends in between it is asked for again. progress is called as it gets on; nil: nobody wants to know.
func Bulk(ctx context.Context, q Queue, choice Choice, action Action, dry bool, progress func(done, of int)) (done BulkResult, err error) {
	do := q.Retry
	if action == ActionDiscard {
		do = q.Discard
	}
	return bulk(ctx, q, choice, action, dry, progress, func(ctx context.Context, p Parked) error { return do(ctx, p.Kind, p.ID) })
}

// bulk is Bulk with what does it with one.
func bulk(ctx context.Context, q Queue, choice Choice, action Action, dry bool, progress func(done, of int), do func(context.Context, Parked) error) (done BulkResult, err error) {
	done.DryRun = dry
	if action == ActionRelease {
		done.Reasons = map[string]int{}
	}
	var todo []Parked
	for offset := 0; ; offset += maxLimit {
		page, total, err := q.Parked(ctx, ParkedFilter{Kind: choice.Kind, Page: Page{Limit: maxLimit, Offset: offset}})
		if err != nil {
			return done, err
		}
		for _, p := range page {
			switch {
			case !choice.matches(p):
				continue
			case action.can(p):
				todo = append(todo, p)
				if done.Reasons != nil {
					done.Reasons[p.Reason]++
				}
			default:
				done.Kept++
			}
			done.Matched++
		}
		if len(page) == 0 || offset+len(page) >= total {
			break
		}
	}
	if dry {
		done.Done = len(todo)
		return done, nil
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	next := make(chan Parked)
	for range bulkAtOnce {
		wg.Go(func() {
			for p := range next {
				err := do(ctx, p)
				mu.Lock()
				switch {
				case err == nil:
					done.Done++
				case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound): // somebody else was first
					done.Failed++
				default:
					done.Failed++
					errs = append(errs, err)
				}
				if progress != nil {
					progress(done.Done+done.Failed, len(todo))
				}
				mu.Unlock()
			}
		})
	}
	for _, p := range todo {
		select {
		case next <- p:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	wg.Wait()
	if len(errs) > 0 {
		return done, errs[0]
	}
	return done, ctx.Err()
}

func (s *Server) bulk(action Action) echo.HandlerFunc {
	return func(c echo.Context) error {
		return s.onMany(c, action, func(ctx context.Context, choice Choice, dry bool, progress func(done, of int)) (BulkResult, error) {
			return Bulk(ctx, s.Queue, choice, action, dry, progress)
		})
	}
}

// releaseMany lets held results go as they are: a person's decision, with a reason, which stands with each study as if it had been made there.
func (s *Server) releaseMany(c echo.Context) error {
	var body struct {
		Author string `json:"author"`
		Reason string `json:"reason"`
	}
	var by draft.Author
	if c.QueryParam("dry_run") != "true" {
		in := json.NewDecoder(c.Request().Body)
		in.DisallowUnknownFields()
		if err := in.Decode(&body); err != nil || in.More() || body.Reason == "" || len(body.Reason) > maxReason {
			return badRequest(fmt.Sprintf("a decision needs its reason, of at most %d bytes", maxReason), `send {"reason": "…"}: it is kept with who decided; or ask with dry_run=true what it would do`)
		}
		var err error
		if by, err = s.authorOf(c, body.Author); err != nil {
			return err
		}
	}
	who, from := s.who(c), s.event(c, s.who(c), audit.ProcedureRecord, audit.Code{}, audit.Update)
	return s.onMany(c, ActionRelease, func(ctx context.Context, choice Choice, dry bool, progress func(done, of int)) (BulkResult, error) {
		return bulk(ctx, s.Queue, choice, ActionRelease, dry, progress, func(ctx context.Context, p Parked) error {
			if s.SignIn != nil { // what cannot be recorded is not done
				e := from
				e.Objects = []audit.Object{{Kind: audit.Study, ID: string(p.StudyInstanceUID)}}
				if err := s.SignIn.Record(ctx, e); err != nil {
					return fmt.Errorf("the decision of %q cannot be recorded in the audit trail: %w", who.Name, err)
				}
			}
			_, err := s.Gate.Release(ctx, p.StudyInstanceUID, body.Reason, by)
			return err
		})
	})
}

// onMany does an action on all parked work of the choice that a request names, at once or as a task.
func (s *Server) onMany(c echo.Context, action Action, do func(ctx context.Context, choice Choice, dry bool, progress func(done, of int)) (BulkResult, error)) error {
	choice, dry, task, err := parseChoice(c.Request().URL.RawQuery, action)
	if err != nil {
		return err
	}
	if task && !dry {
		task, err := s.tasks.begin(c.Request().Context(), string(action), choice.words(), func(ctx context.Context, progress func(done, of int)) (any, error) {
			return do(ctx, choice, false, progress)
		})
		return answerTask(c, task, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), bulkTimeout)
	defer cancel()
	done, err := do(ctx, choice, dry, nil)
	if err != nil {
		return faultOf("not all of the parked work was acted on", err)
	}
	if !dry {
		s.Log.Info("admin: parked work: "+string(action), "kind", string(choice.Kind), "study", string(choice.Study), "destination", choice.Destination,
			"model", choice.Model, "mismatch", string(choice.Mismatch), "done", done.Done, "failed", done.Failed, "remote", c.RealIP(), "request_id", requestID(c))
	}
	return c.JSON(http.StatusOK, done)
}

// words say what is acted on.
func (c Choice) words() string {
	return strings.Join(strings.Fields(strings.Join([]string{string(c.Kind), string(c.Study), c.Destination, c.Model, string(c.Mismatch)}, " ")), " ")
}

func parseChoice(raw string, action Action) (c Choice, dry, task bool, err error) {
	q, err := parse(raw)
	if err != nil {
		return Choice{}, false, false, err
	}
	if action == ActionRelease {
		c = Choice{Kind: ParkedGate, Study: q.uid("study_uid"), Mismatch: oneOf(q, "mismatch", ledger.Mismatches)}
	} else {
		c = Choice{Kind: oneOf(q, "kind", parkedKinds), Study: q.uid("study_uid"), Destination: q.text("destination"), Model: q.text("model")}
	}
	dry = oneOf(q, "dry_run", []string{"true", "false"}) == "true"
	task = oneOf(q, "task", []string{"true", "false"}) == "true"
	return c, dry, task, q.done()
}

// Words say what was done, for a person.
func (r BulkResult) Words(action Action) string {
	verb := map[Action]string{ActionRetry: "put back in the queue", ActionDiscard: "discarded", ActionRelease: "released"}[action]
	var more []string
	if r.DryRun {
		verb = "would be " + verb
	}
	if r.Kept > 0 {
		more = append(more, plural(r.Kept, "item stays, which is a decision of its own", "items stay, each of which is a decision of its own"))
	}
	if r.Failed > 0 {
		more = append(more, plural(r.Failed, "item was", "items were")+" not parked any more")
	}
	return strings.Join(append([]string{plural(r.Done, "item", "items") + " " + verb}, more...), "; ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
