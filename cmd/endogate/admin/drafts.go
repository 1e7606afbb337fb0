package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// AuthorHeader names who acts, where nobody has to sign in and the body does not say.
const AuthorHeader = "X-Endogate-Author"

const (
	maxAuthor      = 128
	draftLimit     = 1000
	agreementLimit = 100
)

// Drafts are the report drafts, and what persons do with them. A reference names the version that is acted on: where
// another one is there by then, the error is a *ledger.DraftConflictError. What is wrong with an action is an error of
// package draft, or ErrForbidden.
type Drafts interface {
	// Draft returns a version: of number 0 of the newest draft, of version 0 the newest.
	Draft(ctx context.Context, study dicom.UID, number, version int) (draft.Document, error)
	// History returns a page of all versions, the oldest first, without their documents.
	History(ctx context.Context, study dicom.UID, p Page) ([]ledger.Draft, error)
	// PDF is a version as a page to be read and printed: of a signed one always the same bytes.
	PDF(ctx context.Context, study dicom.UID, number, version int) ([]byte, error)
	Edit(ctx context.Context, study dicom.UID, at draft.Reference, edits []draft.Edit, author draft.Author) (draft.Document, error)
	Sign(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author) (draft.Document, error)
	Amend(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error)
	Withdraw(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error)
	// RetryDraft has a draft made that could not be.
	RetryDraft(ctx context.Context, study dicom.UID) error
	// AgreementCounts says how often persons agreed with the models.
	AgreementCounts(ctx context.Context, f AgreementFilter) ([]ledger.AgreementCount, error)
	// Agreements returns a page of the decisions themselves, the newest first, and how many there are in all.
	Agreements(ctx context.Context, f AgreementFilter) (page []ledger.Agreement, total int, err error)
}

// AgreementFilter picks decisions of persons on what models said; a zero field does not.
type AgreementFilter = ledger.AgreementFilter

// etag is the version of a document as HTTP has it (RFC 9110 8.8.3).
func etag(d draft.Document) string { return fmt.Sprintf(`"%d.%d"`, d.Number, d.Version) }

var versionTag = regexp.MustCompile(`^"([1-9][0-9]{0,8})\.([1-9][0-9]{0,8})"$`)

// studyOf returns the study of the path.
func studyOf(c echo.Context) (dicom.UID, error) {
	uid := dicom.UID(param(c, "uid"))
	if !uid.Fileable() {
		return "", badRequest("the study is not named by a UID", "use a Study Instance UID from /api/v1/studies")
	}
	return uid, nil
}

// versionOf returns the version that the query asks for.
func versionOf(c echo.Context) (number, version int, err error) {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return 0, 0, err
	}
	number, version = q.number("number", 0, 1, 1e9), q.number("version", 0, 1, 1e9)
	return number, version, q.done()
}

func (s *Server) draft(c echo.Context) error {
	study, err := studyOf(c)
	if err != nil {
		return err
	}
	number, version, err := versionOf(c)
	if err != nil {
		return err
	}
	doc, err := s.Drafts.Draft(c.Request().Context(), study, number, version)
	if err != nil {
		return faultOf("the draft was not read", err)
	}
	if unchanged(c, etag(doc)) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.JSON(http.StatusOK, doc)
}

// unchanged sets the answer's ETag and reports whether the client has what it names (RFC 9110 13.1.2).
func unchanged(c echo.Context, tag string) bool {
	c.Response().Header().Set("ETag", tag)
	for have := range strings.SplitSeq(c.Request().Header.Get("If-None-Match"), ",") {
		have = strings.TrimSpace(have)
		if have == "*" || strings.TrimPrefix(have, "W/") == tag {
			return true
		}
	}
	return false
}

// DraftVersion is a version of a draft in its history.
type DraftVersion struct {
	Number          int               `json:"number"`
	Version         int               `json:"version"`
	Event           ledger.DraftEvent `json:"event"`
	Standing        string            `json:"standing"`
	Author          string            `json:"author"`
	Unauthenticated bool              `json:"unauthenticated"`
	System          bool              `json:"system"`
	At              time.Time         `json:"at"`
	Edits           json.RawMessage   `json:"edits"` // as they were given; empty of what nobody edited
}

func (s *Server) draftHistory(c echo.Context) error {
	study, err := studyOf(c)
	if err != nil {
		return err
	}
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	p := Page{Limit: q.number("limit", draftLimit, 1, draftLimit), Offset: q.number("offset", 0, 0, maxOffset)}
	if err := q.done(); err != nil {
		return err
	}
	all, err := s.Drafts.History(c.Request().Context(), study, p)
	if err != nil {
		return faultOf("the drafts were not read", err)
	}
	versions := []DraftVersion{}
	for _, d := range all {
		v := DraftVersion{d.Number, d.Version, d.Event, d.Standing, d.Author, d.Unauthenticated, d.System, d.At, d.Edit}
		if v.Edits == nil {
			v.Edits = json.RawMessage("[]")
		}
		versions = append(versions, v)
	}
	return c.JSON(http.StatusOK, map[string][]DraftVersion{"versions": versions})
}

func (s *Server) draftPDF(c echo.Context) error {
	study, err := studyOf(c)
	if err != nil {
		return err
	}
	number, version, err := versionOf(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	doc, err := s.Drafts.Draft(ctx, study, number, version)
	if err != nil {
		return faultOf("the draft was not read", err)
	}
	select {
	case s.render <- struct{}{}:
		defer func() { <-s.render }()
	case <-ctx.Done():
		return faultOf("the page was not made", ErrBusy)
	}
	page, err := s.Drafts.PDF(ctx, study, doc.Number, doc.Version)
	if err != nil {
		return faultOf("the page was not made", err)
	}
	if unchanged(c, fmt.Sprintf(`"%x"`, sha256.Sum256(page))) { // that of a draft is drawn anew, and may show less by now
		return c.NoContent(http.StatusNotModified)
	}
	c.Response().Header().Set(echo.HeaderContentSecurityPolicy, besidePolicy)
	c.Response().Header().Set(echo.HeaderXFrameOptions, "SAMEORIGIN")
	c.Response().Header().Set(echo.HeaderContentDisposition, fmt.Sprintf(`inline; filename="report-%d.%d.pdf"`, doc.Number, doc.Version))
	return c.Blob(http.StatusOK, "application/pdf", page)
}

// step is what a person asks for: the version that it is about, who it is and what they want.
type step struct {
	study  dicom.UID
	at     draft.Reference
	author draft.Author
	editRequest
}

// editRequest is the body of a change.
type editRequest struct {
	Author string       `json:"author"`
	Edits  []draft.Edit `json:"edits"`
	Reason string       `json:"reason"`
}

// readStep reads a change. What its body may name beside the author is only.
func (s *Server) readStep(c echo.Context, only string) (st step, err error) {
	if st.study, err = studyOf(c); err != nil {
		return step{}, err
	}
	if st.at, err = matched(c.Request().Header.Get("If-Match")); err != nil {
		return step{}, err
	}
	body := json.NewDecoder(c.Request().Body)
	body.DisallowUnknownFields()
	err = body.Decode(&st.editRequest)
	var more any
	switch tooLarge := (*echo.HTTPError)(nil); {
	case errors.As(err, &tooLarge):
		return step{}, tooLarge
	case err != nil && !errors.Is(err, io.EOF):
		return step{}, badRequest("the body is not the JSON that is needed: "+said(err), "see /api/v1/openapi.json")
	case err == nil && !errors.Is(body.Decode(&more), io.EOF):
		return step{}, badRequest("there is more in the body than one JSON object", "see /api/v1/openapi.json")
	case only != "edits" && st.Edits != nil, only != "reason" && st.Reason != "":
		return step{}, badRequest("the body names what has no meaning here", "see /api/v1/openapi.json")
	}
	st.author, err = s.authorOf(c, st.Author)
	return st, err
}

// said is what is wrong with JSON, without a word of what somebody wrote.
func said(err error) string {
	var field *json.UnmarshalTypeError
	switch {
	case errors.As(err, &field):
		kinds := map[reflect.Kind]string{reflect.Struct: "an object with keys", reflect.Map: "an object with keys", reflect.Slice: "a list", reflect.String: "a text", reflect.Bool: "true or false"}
		return fmt.Sprintf("%s has to be %s", cmp.Or(field.Field, "it"), cmp.Or(kinds[field.Type.Kind()], "a number"))
	case strings.Contains(err.Error(), "unknown field"):
		return "there is a field that is not known"
	}
	return "it cannot be read"
}

// matched is the version that If-Match names (RFC 9110 13.1.1). A change of a draft that does not say of which version is
// refused (RFC 6585 3): somebody else's would be lost.
func matched(tag string) (draft.Reference, error) {
	if tag == "" {
		return draft.Reference{}, &fault{
			Code: http.StatusPreconditionRequired, What: "the draft was not changed", Why: "the request does not say which version it is about",
			Next: "read the draft, and send its ETag as If-Match",
		}
	}
	m := versionTag.FindStringSubmatch(tag)
	if m == nil {
		return draft.Reference{}, badRequest("If-Match is not one version", `send the ETag of the draft that was read, such as "1.3"`)
	}
	number, _ := strconv.Atoi(m[1]) // digits, as the pattern says
	version, _ := strconv.Atoi(m[2])
	return draft.Reference{Number: number, Version: version}, nil
}

// authorOf is who acts: who has signed in, whomever the client names; else whom the client names, recorded as such.
func (s *Server) authorOf(c echo.Context, named string) (draft.Author, error) {
	if who := s.who(c); who.Name != "" {
		return draft.Author{Name: who.Name, Unauthenticated: unauthenticated(who)}, nil
	}
	if named == "" {
		named = c.Request().Header.Get(AuthorHeader)
	}
	named = strings.TrimSpace(named)
	switch {
	case named == "":
		return draft.Author{}, badRequest("nobody says who acts", `name the author: "author" in the body, or `+AuthorHeader)
	case !utf8.ValidString(named) || strings.ContainsFunc(named, unicode.IsControl) || utf8.RuneCountInString(named) > maxAuthor:
		return draft.Author{}, badRequest("the author's name cannot be used", fmt.Sprintf("use one line of at most %d characters", maxAuthor))
	}
	return draft.Author{Name: named, Unauthenticated: true}, nil
}

// unauthenticated says whether who is nobody that anybody knows: nobody has signed in, or a program has.
func unauthenticated(who access.Identity) bool { return who.Name == "" || who.Method == access.ByToken }

func (s *Server) editDraft(c echo.Context) error {
	return s.change(c, "edits", func(ctx context.Context, st step) (draft.Document, error) {
		return s.Drafts.Edit(ctx, st.study, st.at, st.Edits, st.author)
	})
}

func (s *Server) signDraft(c echo.Context) error {
	return s.change(c, "", func(ctx context.Context, st step) (draft.Document, error) {
		return s.Drafts.Sign(ctx, st.study, st.at, st.author)
	})
}

func (s *Server) amendDraft(c echo.Context) error {
	return s.change(c, "reason", func(ctx context.Context, st step) (draft.Document, error) {
		return s.Drafts.Amend(ctx, st.study, st.at, st.author, st.Reason)
	})
}

func (s *Server) withdrawDraft(c echo.Context) error {
	return s.change(c, "reason", func(ctx context.Context, st step) (draft.Document, error) {
		return s.Drafts.Withdraw(ctx, st.study, st.at, st.author, st.Reason)
	})
}

// change answers with the version that a change has made. It is finished though the client goes away.
func (s *Server) change(c echo.Context, only string, do func(context.Context, step) (draft.Document, error)) error {
	st, err := s.readStep(c, only)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), requestTimeout)
	defer cancel()
	doc, err := do(ctx, st)
	if err != nil {
		return s.draftFault(c, err)
	}
	s.Log.Info("admin: draft changed", "study", string(st.study), "number", doc.Number, "version", doc.Version, "standing", string(doc.Standing),
		"remote", c.RealIP(), "request_id", requestID(c))
	c.Response().Header().Set("ETag", etag(doc))
	return c.JSON(http.StatusOK, doc)
}

// draftFault says what keeps a draft from being changed.
func (s *Server) draftFault(c echo.Context, err error) error {
	const what = "the draft was not changed"
	var conflict *ledger.DraftConflictError
	var edit *draft.EditError
	var standing *draft.StandingError
	var invalid *draft.InvalidError
	switch {
	case errors.As(err, &conflict):
		f := &fault{Code: http.StatusPreconditionFailed, What: what, Next: "read it, look at what has changed, and make the change again"}
		if conflict.OtherPatient {
			f.Why = fmt.Sprintf("whom version %d.%d is about, or what they are called, has changed since it was made", conflict.Number, conflict.Latest)
			f.Next = "read it again when its next version is there: in a moment, or at once after an edit"
			return f
		}
		if conflict.Latest == 0 {
			f.Why = fmt.Sprintf("there is no draft %d; the newest is %d", conflict.Number, conflict.LatestNumber)
			return f
		}
		c.Response().Header().Set("ETag", fmt.Sprintf(`"%d.%d"`, conflict.Number, conflict.Latest))
		f.Why = fmt.Sprintf("the request is about version %d.%d, and version %d.%d is there by now, of %s", conflict.Number, conflict.Expected,
			conflict.Number, conflict.Latest, conflict.LatestAt.UTC().Format(time.RFC3339))
		if conflict.LatestAuthor != "" {
			f.Why += " by " + conflict.LatestAuthor
		}
		if conflict.LatestNumber > conflict.Number {
			f.Why += fmt.Sprintf("; the newest draft is %d", conflict.LatestNumber)
		}
		return f
	case errors.As(err, &edit):
		return &fault{Code: http.StatusUnprocessableEntity, What: what, Why: strings.TrimPrefix(edit.Error(), "draft: "), Next: "correct the edit; none of the request was made"}
	case errors.As(err, &standing):
		return &fault{Code: http.StatusConflict, What: what, Why: strings.TrimPrefix(standing.Error(), "draft: "), Next: standing.Next}
	case errors.As(err, &invalid):
		return &fault{Code: http.StatusUnprocessableEntity, What: what, Why: strings.TrimPrefix(invalid.Error(), "draft: "), Next: "correct what it names; none of the request was made", Err: err}
	}
	return faultOf(what, err)
}

func (s *Server) retryDraft(c echo.Context) error {
	study, err := studyOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), requestTimeout)
	defer cancel()
	if err := s.Drafts.RetryDraft(ctx, study); err != nil {
		return faultOf("the draft was not retried", err)
	}
	return c.JSON(http.StatusOK, map[string]string{"id": string(study), "result": "retried"})
}

// agreementLists are what /api/v1/agreement can answer with.
type agreementList string

const (
	agreementCounts    agreementList = "counts"
	agreementDecisions agreementList = "decisions"
)

type agreementFormat string

const (
	formatJSON agreementFormat = "json"
	formatCSV  agreementFormat = "csv"
)

func (s *Server) agreement(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	f := AgreementFilter{
		Model: q.text("model"), ModelVersion: q.text("model_version"), Route: q.text("route"), Class: q.text("class"), Site: q.text("site"),
		From: q.time("from"), Before: q.time("before"),
	}
	f.Limit, f.Offset, f.After = q.number("limit", agreementLimit, 1, 10_000), q.number("offset", 0, 0, maxOffset), q.cursor()
	of := oneOf(q, "list", []agreementList{agreementCounts, agreementDecisions})
	format := oneOf(q, "format", []agreementFormat{formatJSON, formatCSV})
	if err := q.done(); err != nil {
		return err
	}
	if of == agreementDecisions {
		return s.decisions(c, f, format)
	}
	counts, err := s.Drafts.AgreementCounts(c.Request().Context(), f)
	if err != nil {
		return faultOf("the agreement was not read", err)
	}
	if format != formatCSV {
		return c.JSON(http.StatusOK, map[string][]ledger.AgreementCount{"agreement": list(counts)})
	}
	w := table(c, "agreement.csv")
	w.row("model", "model_version", "route", "class", "site", "site_scheme", "site_meaning", "accepted", "rejected", "modified")
	for _, n := range counts {
		w.row(n.Model, n.ModelVersion, n.Route, n.Class, n.Site.Value, n.Site.Scheme, n.Site.Meaning,
			strconv.Itoa(n.Accepted), strconv.Itoa(n.Rejected), strconv.Itoa(n.Modified))
	}
	return w.flush()
}

// csvPart is how many decisions are in memory at once where all are asked for.
const csvPart = 500

func (s *Server) decisions(c echo.Context, f AgreementFilter, format agreementFormat) error {
	cursor := func(a ledger.Agreement) ledger.Cursor { return ledger.Cursor{ID: strconv.FormatInt(a.ID, 10)} }
	left := f.Limit
	if format == formatCSV {
		f.Limit = min(left, csvPart)
	}
	page, total, err := s.Drafts.Agreements(c.Request().Context(), f)
	if err != nil {
		return faultOf("the decisions were not read", err)
	}
	if format != formatCSV {
		return c.JSON(http.StatusOK, struct {
			Decisions []ledger.Agreement `json:"decisions"`
			paging
		}{list(page), paging{total, f.Limit, f.Offset, next(page, f.Limit, cursor)}})
	}
	w := table(c, "decisions.csv")
	w.row("at", "study", "finding", "number", "version", "model", "model_version", "route", "class", "site", "site_scheme", "site_meaning",
		"decision", "author", "unauthenticated")
	for len(page) > 0 {
		for _, a := range page {
			w.row(a.At.Format(time.RFC3339Nano), string(a.Study), a.Finding, strconv.Itoa(a.Number), strconv.Itoa(a.Version), a.Model, a.ModelVersion, a.Route,
				a.Class, a.Site.Value, a.Site.Scheme, a.Site.Meaning, string(a.Decision), a.Author, strconv.FormatBool(a.Unauthenticated))
		}
		if left -= len(page); left == 0 || len(page) < f.Limit {
			break
		}
		f.After, f.Offset, f.Limit = cursor(page[len(page)-1]), 0, min(left, csvPart)
		if page, _, err = s.Drafts.Agreements(c.Request().Context(), f); err != nil {
			panic(http.ErrAbortHandler) // the client must not take what it has for all
		}
	}
	return w.flush()
}

// csvTable answers with CSV (RFC 4180), as it is written.
type csvTable struct{ *csv.Writer }

func table(c echo.Context, name string) csvTable {
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	c.Response().Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	c.Response().WriteHeader(http.StatusOK)
	w := csv.NewWriter(c.Response())
	w.UseCRLF = true
	return csvTable{w}
}

// row writes one. A cell that a spreadsheet would take for a formula is text.
func (w csvTable) row(cells ...string) {
	for i, cell := range cells {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			cells[i] = "'" + cell
		}
	}
	_ = w.Write(cells) // flush says what became of it
}

func (w csvTable) flush() error {
	w.Flush()
	return w.Error()
}
