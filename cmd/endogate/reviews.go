package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"endogate/dicomnode/ledger"
)

type reviewsCmd struct {
	List    reviewsList    `cmd:"" help:"Print what waits for a person, the most urgent first."`
	Show    reviewsShow    `cmd:"" help:"Print one: what the report says and by which rule, and on which frames the model sees what."`
	Confirm reviewsConfirm `cmd:"" help:"Say that the model is right. No report and no result is changed."`
	Reject  reviewsReject  `cmd:"" help:"Say that the report is right. No report and no result is changed."`
	Counts  reviewsCounts  `cmd:"" help:"Print how often reports and models agreed, by month (or who reported, where that is allowed), model, version, finding, site and operating point, with 95 % intervals."`
}

// atGateway is how a command reaches the gateway that runs: it alone writes its ledger.
type atGateway struct {
	JSON bool   `help:"Print what the gateway answers." name:"json"`
	To   string `help:"Address of the running gateway's API; without it, as configured." placeholder:"HOST:PORT"`
}

const askTime = time.Minute

// ask asks the gateway, and prints its answer as it came where that is wanted: done.
func (a atGateway) ask(ctx context.Context, c *cli, tty console, method, path string, body, into any) (done bool, err error) {
	cfg, err := c.load()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var answer json.RawMessage
	if err := askGateway(ctx, cfg, a.To, method, path, body, &answer); err != nil {
		return false, err
	}
	if a.JSON {
		_, err := fmt.Fprintf(tty.out, "%s\n", strings.TrimSpace(string(answer)))
		return true, err
	}
	return false, json.Unmarshal(answer, into)
}

type reviewsList struct {
	atGateway
	State string `help:"open, confirmed, rejected, withdrawn or agreed; open where no study is named." enum:",open,confirmed,rejected,withdrawn,agreed" default:""`
	Study string `help:"Study Instance UID." placeholder:"UID"`
	Limit int    `help:"How many to print, 1000 at most." default:"100"`
	After string `help:"Where the page before ended, as it says." placeholder:"PLACE"`
}

// Run prints a page of reviews.
func (r reviewsList) Run(ctx context.Context, c *cli, tty console) error {
	if r.Limit < 1 || r.Limit > 1000 {
		return usageError("reviews: --limit is from 1 to 1000")
	}
	query := url.Values{"limit": {strconv.Itoa(r.Limit)}}
	for key, value := range map[string]string{"state": r.State, "study_uid": r.Study, "after": r.After} {
		if value != "" {
			query.Set(key, value)
		}
	}
	var answer struct {
		Reviews []ledger.Review
		Total   int
		Next    string
	}
	done, err := r.ask(ctx, c, tty, http.MethodGet, "/api/v1/reviews?"+query.Encode(), nil, &answer)
	if err != nil || done {
		return err
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	for _, review := range answer.Reviews {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s %s\t%s\n", review.Name, review.Priority, review.Kind, review.Finding, review.State, review.Study,
			review.Model, review.ModelVersion, oneLine(review.Report.Sentence))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "%d of %d reviews\n", len(answer.Reviews), answer.Total)
	if answer.Next != "" {
		fmt.Fprintf(tty.out, "go on with --after %s\n", answer.Next)
	}
	return nil
}

type reviewsShow struct {
	atGateway
	ID string `arg:"" help:"A review, as endogate reviews list prints it."`
}

// Run prints one review.
func (r reviewsShow) Run(ctx context.Context, c *cli, tty console) error {
	var review ledger.Review
	done, err := r.ask(ctx, c, tty, http.MethodGet, "/api/v1/reviews/"+url.PathEscape(r.ID), nil, &review)
	if err != nil || done {
		return err
	}
	printReview(tty.out, review)
	return nil
}

// kinds say in words what a review is about.
var kinds = map[string]string{
	"missed":        "the report denies what the model sees",
	"not-mentioned": "the report does not speak of what the model sees",
	"uncertain":     "the report is not sure",
	"not-seen":      "the report states what the model does not see",
	"agree":         "report and model say the same",
}

func printReview(w io.Writer, r ledger.Review) {
	fmt.Fprintf(w, "%s  %s (%s)\n", r.Name, r.Kind, kinds[r.Kind])
	fmt.Fprintf(w, "  study       %s\n  state       %s, priority %d\n  finding     %s", r.Study, r.State, r.Priority, r.Finding)
	if r.Site.Meaning != "" {
		fmt.Fprintf(w, ", %s", r.Site.Meaning)
	}
	fmt.Fprintln(w)
	switch {
	case r.Report.Status == "":
		fmt.Fprintln(w, "  report      does not speak of it")
	default:
		fmt.Fprintf(w, "  report      %s: %s\n              %s, bytes %d to %d of message %s\n", r.Report.Status, oneLine(r.Report.Sentence), r.Report.Rule, r.Report.Start, r.Report.End, r.Message)
	}
	fmt.Fprintf(w, "  model       %s %s on route %s", r.Model, r.ModelVersion, r.Route)
	if r.Frames > 0 {
		fmt.Fprintf(w, ": class %s, %d frames at or above %.2f, at most %.2f", r.Class, r.Frames, r.Threshold, r.Probability)
	}
	fmt.Fprintln(w)
	for _, f := range r.Sources {
		fmt.Fprintf(w, "    %.3f  %s frame %d  heatmap %s\n", f.Probability, f.SOPInstanceUID, f.Frame, cmp.Or(string(f.Heatmap), "none"))
	}
	if r.Author != "" {
		fmt.Fprintf(w, "  decided     by %s at %s", r.Author, r.DecidedAt.Format(time.RFC3339))
		if r.Suspicion > 0 {
			fmt.Fprintf(w, ", suspicion %d of 5", r.Suspicion)
		}
		fmt.Fprintln(w)
		if r.Comment != "" {
			fmt.Fprintf(w, "              %s\n", oneLine(r.Comment))
		}
	}
}

type reviewsConfirm struct{ reviewDecision }

// Run says that the model is right.
func (r reviewsConfirm) Run(ctx context.Context, c *cli, tty console) error {
	return r.decide(ctx, c, tty, "confirm")
}

type reviewsReject struct{ reviewDecision }

// Run says that the report is right.
func (r reviewsReject) Run(ctx context.Context, c *cli, tty console) error {
	return r.decide(ctx, c, tty, "reject")
}

type reviewDecision struct {
	atGateway
	ID        string `arg:"" help:"A review, as endogate reviews list prints it."`
	Suspicion int    `help:"From 1 (none) to 5 (certain)." placeholder:"1…5"`
	Comment   string `help:"Why; at most 1000 bytes." placeholder:"TEXT"`
	Author    string `help:"Who decides; without it, the user of this shell. Where people have to sign in, it is recorded as the command's." placeholder:"NAME"`
}

func (r reviewDecision) decide(ctx context.Context, c *cli, tty console, what string) error {
	if r.Suspicion < 0 || r.Suspicion > 5 {
		return usageError("reviews: --suspicion is from 1 (none) to 5 (certain)")
	}
	var review ledger.Review
	done, err := r.ask(ctx, c, tty, http.MethodPost, "/api/v1/reviews/"+url.PathEscape(r.ID)+"/"+what, map[string]any{
		"author": cmp.Or(r.Author, os.Getenv("USER"), "endogate reviews"), "suspicion": r.Suspicion, "comment": r.Comment,
	}, &review)
	if err != nil || done {
		return err
	}
	fmt.Fprintf(tty.out, "%s %s: %s of study %s\n", review.Name, review.State, review.Finding, review.Study)
	return nil
}

type reviewsCounts struct {
	atGateway
	From   string `help:"Compared at or after: a date (UTC), or RFC 3339." placeholder:"DATE"`
	Before string `help:"Compared before." placeholder:"DATE"`

	ByPhysician bool `help:"By who reported in place of the month, where reading.by_physician of the configuration allows it."`
}

// Run prints how often reports and models agreed.
func (r reviewsCounts) Run(ctx context.Context, c *cli, tty console) error {
	query, path, by := url.Values{}, "/api/v1/reviews", "month"
	if r.ByPhysician {
		path, by = path+"/physicians", "physician"
	} else {
		query.Set("list", "counts")
	}
	for key, value := range map[string]string{"from": r.From, "before": r.Before} {
		if value != "" {
			query.Set(key, value)
		}
	}
	var answer struct {
		Counts []struct {
			ledger.ReviewCount
			Compared                      int
			Agreement, Confirmation, Miss share
		}
	}
	done, err := r.ask(ctx, c, tty, http.MethodGet, path+"?"+query.Encode(), nil, &answer)
	if err != nil || done {
		return err
	}
	w := tabwriter.NewWriter(tty.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, by+"\tmodel\tfinding\tsite\tthreshold\tcompared\tagreed\topen\tmodel right\treport right\tconfirmed misses")
	for _, n := range answer.Counts {
		of := n.Month
		if p := n.Physician; p != nil {
			of = cmp.Or(oneLine(strings.Join(slices.DeleteFunc([]string{p.Name, p.ID}, func(s string) bool { return s == "" }), ", ")), "not known")
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%.2f\t%d\t%d %s\t%d\t%d %s\t%d\t%d %s\n", of, n.Model, n.ModelVersion, n.Finding, cmp.Or(n.Site.Meaning, n.Site.Value), n.Threshold,
			n.Compared, n.Agreed, n.Agreement, n.Open, n.Confirmed, n.Confirmation, n.Rejected, n.Missed, n.Miss)
	}
	return w.Flush()
}

// share is one with its 95 % interval.
type share struct {
	Value, Low, High float64
	None             string
}

func (s share) String() string {
	if s.None != "" {
		return "(–)"
	}
	return fmt.Sprintf("(%.2f [%.2f, %.2f])", s.Value, s.Low, s.High)
}
