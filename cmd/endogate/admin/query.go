package admin

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Paging of lists, and the longest text a filter takes (the longest VR that is filtered by is LO, 64 characters).
const (
	defaultLimit = 50
	maxLimit     = 500
	maxOffset    = 10_000_000
	maxText      = 64
	maxName      = 512 // of a layer or a class, as a network or its manifest has it
	maxCursor    = 200

	studyLimit    = 1000 // of each list of a study
	maxStudyLimit = 5000
)

// query reads parameters and keeps the first fault. A parameter it is never asked for is a fault too:
// a misspelt filter must not answer with everything.
type query struct {
	values url.Values
	asked  []string
	err    *fault
}

func (q *query) fail(key, why string) {
	if q.err == nil {
		q.err = badRequest(fmt.Sprintf("parameter %q: %s", key, why), "correct the parameter; /api/v1/openapi.json describes it")
	}
}

// text returns the parameter, "" when it is absent or empty.
func (q *query) text(key string) string { return q.textOf(key, maxText) }

// textOf is text of so many characters at most.
func (q *query) textOf(key string, longest int) string {
	q.asked = append(q.asked, key)
	switch v := q.values[key]; {
	case len(v) == 0:
		return ""
	case len(v) > 1:
		q.fail(key, "given more than once")
	case !utf8.ValidString(v[0]) || strings.ContainsFunc(v[0], unicode.IsControl):
		q.fail(key, "not printable UTF-8")
	case utf8.RuneCountInString(v[0]) > longest:
		q.fail(key, fmt.Sprintf("longer than %d characters", longest))
	default:
		return v[0]
	}
	return ""
}

func (q *query) number(key string, absent, low, high int) int {
	s := q.text(key)
	if s == "" {
		return absent
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		q.fail(key, fmt.Sprintf("not a whole number from %d to %d", low, high))
		return absent
	}
	return n
}

func (q *query) uid(key string) dicom.UID {
	uid := dicom.UID(q.text(key))
	if uid != "" && !uid.Fileable() {
		q.fail(key, "not a UID")
		return ""
	}
	return uid
}

// time returns a moment (RFC 3339), or the beginning of a day (UTC); zero when it is absent.
func (q *query) time(key string) time.Time {
	s := q.text(key)
	if s == "" {
		return time.Time{}
	}
	at, ok := moment(s)
	if !ok {
		q.fail(key, "neither a time such as 2026-11-29T08:00:00Z nor a date such as 2026-11-29")
	}
	return at
}

// moment is a time as RFC 3339 has it, or the beginning of a day in UTC.
func moment(text string) (at time.Time, ok bool) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// cursor returns what an answer had as next.
func (q *query) cursor() (c ledger.Cursor) {
	q.asked = append(q.asked, "after")
	text := q.values.Get("after")
	if text == "" {
		return c
	}
	at, id, ok := strings.Cut(text, ".")
	micros, err := strconv.ParseInt(at, 36, 64)
	if !ok || err != nil || id == "" || len(id) > maxCursor || len(q.values["after"]) > 1 {
		q.fail("after", "not what an answer had as next")
		return c
	}
	return ledger.Cursor{At: time.UnixMicro(micros).UTC(), ID: id}
}

// oneOf returns the parameter when it is one of the allowed values.
func oneOf[T ~string](q *query, key string, allowed []T) T {
	v := T(q.text(key))
	if v != "" && !slices.Contains(allowed, v) {
		q.fail(key, fmt.Sprintf("not one of %q", allowed))
		return ""
	}
	return v
}

// done returns the first fault, if any.
func (q *query) done() error {
	for key := range q.values {
		if !slices.Contains(q.asked, key) {
			q.fail(key, "not known here")
		}
	}
	if q.err != nil {
		return q.err
	}
	return nil
}

// parse splits a raw query strictly.
func parse(raw string) (*query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("the query string is malformed", "encode it as application/x-www-form-urlencoded")
	}
	return &query{values: values}, nil
}

func parseStudyFilter(raw string) (StudyFilter, error) {
	q, err := parse(raw)
	if err != nil {
		return StudyFilter{}, err
	}
	f := StudyFilter{
		PatientID:        q.text("patient_id"),
		AccessionNumber:  q.text("accession"),
		StudyInstanceUID: q.uid("study_uid"),
		Search:           q.text("search"),
		Status:           oneOf(q, "status", studyStatuses),
		Limit:            q.number("limit", defaultLimit, 1, maxLimit),
		Offset:           q.number("offset", 0, 0, maxOffset),
		After:            q.cursor(),
	}
	return f, q.done()
}

func parseDeliveryFilter(raw string) (DeliveryFilter, error) {
	q, err := parse(raw)
	if err != nil {
		return DeliveryFilter{}, err
	}
	f := DeliveryFilter{
		Destination: q.text("destination"),
		State:       oneOf(q, "state", deliveryStates),
		Limit:       q.number("limit", defaultLimit, 1, maxLimit),
		Offset:      q.number("offset", 0, 0, maxOffset),
		After:       q.cursor(),
	}
	return f, q.done()
}

func parseParkedFilter(raw string) (ParkedFilter, error) {
	q, err := parse(raw)
	if err != nil {
		return ParkedFilter{}, err
	}
	f := ParkedFilter{Kind: oneOf(q, "kind", parkedKinds), Page: q.page(maxLimit, maxLimit)}
	if after := q.cursor(); after.ID != "" { // of several lists, one behind the other: how much was before
		if f.Offset, err = strconv.Atoi(after.ID); err != nil || f.Offset < 0 || f.Offset > maxOffset {
			q.fail("after", "not what an answer had as next")
		}
	}
	return f, q.done()
}

func parseStudyPage(raw string) (Page, error) {
	q, err := parse(raw)
	if err != nil {
		return Page{}, err
	}
	p := q.page(studyLimit, maxStudyLimit)
	return p, q.done()
}

// page reads the part of a list that is asked for.
func (q *query) page(absent, high int) Page {
	return Page{Limit: q.number("limit", absent, 1, high), Offset: q.number("offset", 0, 0, maxOffset)}
}

// parseWidth reads the query of a frame: the width to scale down to, 0 for the frame's own.
func parseWidth(raw string) (int, error) {
	q, err := parse(raw)
	if err != nil {
		return 0, err
	}
	width := q.number("width", 0, 16, 4096)
	return width, q.done()
}
