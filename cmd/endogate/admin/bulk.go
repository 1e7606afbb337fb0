package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/dicom"
)

// Choice is parked work by what it has in common; what is empty narrows nothing.
type Choice struct {
	Kind        ParkedKind
	Study       dicom.UID
	Destination string
	Model       string
}

func (c Choice) matches(p Parked) bool {
	return (c.Kind == "" || c.Kind == p.Kind) && (c.Study == "" || c.Study == p.StudyInstanceUID) &&
		(c.Destination == "" || c.Destination == p.Destination) && (c.Model == "" || c.Model == p.Model)
}

// Action is what is done with parked work.
type Action string

// The actions.
const (
	ActionRetry   Action = "retry"
	ActionDiscard Action = "discard"
)

// can says whether the action is for p. What is a decision of its own is made for one: a retry of many leaves it, and a
// report is owed for every exam that has results.
func (a Action) can(p Parked) bool {
	if a == ActionRetry {
		return p.Bulk
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
}

const (
	bulkTimeout = 5 * time.Minute
	bulkAtOnce  = 8 // the ledger commits them together
)

// Bulk does an action on all parked work of a choice, not only on what a page of it shows. Each step is durable of its own:
// where it ends in between it is asked for again. progress is called as it gets on; nil: nobody wants to know.
func Bulk(ctx context.Context, q Queue, choice Choice, action Action, dry bool, progress func(done, of int)) (done BulkResult, err error) {
	done.DryRun = dry
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
	do := q.Retry
	if action == ActionDiscard {
		do = q.Discard
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	next := make(chan Parked)
	for range bulkAtOnce {
		wg.Go(func() {
			for p := range next {
				err := do(ctx, p.Kind, p.ID)
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
		choice, dry, task, err := parseChoice(c.Request().URL.RawQuery)
		if err != nil {
			return err
		}
		if task && !dry {
			task, err := s.tasks.begin(c.Request().Context(), string(action), choice.words(), func(ctx context.Context, progress func(done, of int)) (any, error) {
				return Bulk(ctx, s.Queue, choice, action, false, progress)
			})
			return answerTask(c, task, err)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), bulkTimeout)
		defer cancel()
		done, err := Bulk(ctx, s.Queue, choice, action, dry, nil)
		if err != nil {
			return faultOf("not all of the parked work was acted on", err)
		}
		if !dry {
			s.Log.Info("admin: parked work: "+string(action), "kind", string(choice.Kind), "study", string(choice.Study), "destination", choice.Destination,
				"model", choice.Model, "done", done.Done, "failed", done.Failed, "remote", c.RealIP(), "request_id", requestID(c))
		}
		return c.JSON(http.StatusOK, done)
	}
}

// words say what is acted on.
func (c Choice) words() string {
	return strings.Join(strings.Fields(strings.Join([]string{string(c.Kind), string(c.Study), c.Destination, c.Model}, " ")), " ")
}

func parseChoice(raw string) (c Choice, dry, task bool, err error) {
	q, err := parse(raw)
	if err != nil {
		return Choice{}, false, false, err
	}
	c = Choice{Kind: oneOf(q, "kind", parkedKinds), Study: q.uid("study_uid"), Destination: q.text("destination"), Model: q.text("model")}
	dry = oneOf(q, "dry_run", []string{"true", "false"}) == "true"
	task = oneOf(q, "task", []string{"true", "false"}) == "true"
	return c, dry, task, q.done()
}

// Words say what was done, for a person.
func (r BulkResult) Words(action Action) string {
	verb := map[Action]string{ActionRetry: "put back in the queue", ActionDiscard: "discarded"}[action]
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
