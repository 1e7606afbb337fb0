package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// ReportReading is what a report of another system says of findings.
type ReportReading struct {
	Subject
	Entry    string          `json:"entry,omitempty"` // of the message in the spool
	Status   string          `json:"status"`          // OBR-25: F final, C corrected, …
	Patient  Identifier      `json:"patient"`
	Reporter Physician       `json:"reporter,omitzero"` // only where that is kept; of no view but the counts
	Language string          `json:"language"`
	Ontology string          `json:"ontology"` // its version
	Findings []ReportFinding `json:"findings"`
}

// Physician is who has written or signed a report, by the identifier or else by the name that the message has. Empty: it names nobody, or
// that is not kept.
type Physician struct {
	Identifier
	Name string `json:"name,omitempty"` // PN (PS3.5 6.2)
}

// Is says whether p and q are one person, however the name is written.
func (p Physician) Is(q Physician) bool {
	return p.Identifier == q.Identifier && (p.ID != "" || p.Name == q.Name)
}

// text is p as a column has it.
func (p Physician) text() (string, error) {
	if p == (Physician{}) {
		return "{}", nil
	}
	return jsonText(p)
}

// ReportFinding is what it says of one of them, and where.
type ReportFinding struct {
	Finding  string `json:"finding"`
	Status   string `json:"status"` // as of package reading; empty: it does not speak of it
	Sentence string `json:"sentence"`
	Rule     string `json:"rule"`
	Start    int    `json:"start"` // bytes of the report's text
	End      int    `json:"end"`
	Marks    []Mark `json:"marks,omitempty"` // of the sentence: the words that decided
}

// Mark is a stretch of bytes of a sentence.
type Mark struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// ReviewState says whether a person has looked at a review.
type ReviewState string

// The states.
const (
	ReviewOpen      ReviewState = "open"
	ReviewConfirmed ReviewState = "confirmed" // the network is right
	ReviewRejected  ReviewState = "rejected"  // the report is right
	ReviewWithdrawn ReviewState = "withdrawn" // report or results are others now, before anybody looked
	ReviewAgreed    ReviewState = "agreed"    // report and network say the same: nothing to look at
)

// ReviewStates are all of them.
var ReviewStates = []ReviewState{ReviewOpen, ReviewConfirmed, ReviewRejected, ReviewWithdrawn, ReviewAgreed}

// Review is a finding of which a report and a network say something. It changes nothing of the examination. It has patient data: the
// report's sentence.
type Review struct {
	Name         string        `json:"id"` // in all databases
	Study        dicom.UID     `json:"study_uid"`
	State        ReviewState   `json:"state"`
	Kind         string        `json:"kind"`
	Priority     int           `json:"priority"` // 1 first
	Model        string        `json:"model"`
	ModelVersion string        `json:"model_version"`
	Route        string        `json:"route"`
	Finding      string        `json:"finding"`
	Class        string        `json:"class"` // of the model
	Site         dicom.Code    `json:"site"`
	Report       ReportFinding `json:"report"`
	Ontology     string        `json:"ontology"`
	Message      string        `json:"message"`     // the report, in /api/v1/messages/{id}
	Probability  float64       `json:"probability"` // the highest
	Threshold    float64       `json:"threshold"`
	Frames       int           `json:"frames"`  // at or above it
	Sources      []ReviewFrame `json:"sources"` // the most probable
	MadeAt       time.Time     `json:"made_at"`
	Reporter     Physician     `json:"reporter,omitzero"` // as that of the reading: nobody who decides is told
	ReviewDecision
}

// ReviewFrame is a frame that a network took for the finding.
type ReviewFrame struct {
	SOPInstanceUID dicom.UID `json:"sop_instance_uid"`
	Frame          int       `json:"frame"`
	Probability    float64   `json:"probability"`
	Heatmap        dicom.UID `json:"heatmap_uid,omitempty"`
}

// ReviewDecision is what a person says of a review.
type ReviewDecision struct {
	Suspicion       int       `json:"suspicion,omitempty"` // 1 none to 5 certain; 0: not said
	Comment         string    `json:"comment,omitempty"`
	Author          string    `json:"author,omitempty"`
	Unauthenticated bool      `json:"unauthenticated,omitempty"`
	DecidedAt       time.Time `json:"decided_at,omitzero"`
}

// reviewName is the name of what a report and a version of a model say of a finding of a study.
func reviewName(r Review) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{string(r.Study), r.Route, r.Model, r.ModelVersion, r.Finding, r.Kind}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// insertReadings writes what a message's reports say, under the studies that they name, or that their orders do.
func (t *tx) insertReadings(m Inbound) error {
	for _, r := range m.Readings {
		if r.Placer.ID+r.Filler.ID != "" && (r.StudyInstanceUID == "" || r.Accession == "") {
			o, err := t.findOrder(Order{Accession: r.Accession, Placer: r.Placer, Filler: r.Filler, Sender: m.Application})
			if err != nil {
				return err
			}
			if r.StudyInstanceUID == "" {
				r.StudyInstanceUID = o.StudyInstanceUID
			}
			if r.Accession == "" {
				r.Accession = o.Accession
			}
		}
		if r.Reporter.ID != "" && r.Reporter.Authority == "" {
			r.Reporter.Authority = m.sender() // whose numbers these are
		}
		reporter, err := r.Reporter.text()
		if err != nil {
			return err
		}
		r.Reporter = Physician{}
		document, err := jsonText(r)
		if err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO report_reading (entry, study_instance_uid, accession, patient_id, document, reporter) VALUES (?, ?, ?, ?, ?, ?)",
			m.Entry, r.StudyInstanceUID, r.Accession, r.Patient.ID, document, reporter); err != nil {
			return err
		}
	}
	return nil
}

// Look is a study of which a report of another system and ours are to be compared.
type Look struct {
	Study   dicom.UID
	Version int64
	Waits   []Uncompared // exams that are not compared now: what was said of them stands
}

// Uncompared is an exam whose results are not all there.
type Uncompared struct {
	Route string `json:"route"`
	Model string `json:"model"`
}

const dueLooks = `SELECT s.study_instance_uid, k.version FROM look k JOIN study s ON s.id = k.study WHERE k.version > k.looked ORDER BY k.study LIMIT ?`

// DueLooks returns at most limit studies whose reports are to be compared.
func (l *Ledger) DueLooks(ctx context.Context, limit int) ([]Look, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	due, err := query(ctx, l.readDB, func(rows *sql.Rows) (k Look, err error) { return k, rows.Scan(&k.Study, &k.Version) }, dueLooks, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: due looks: %w", err)
	}
	return due, nil
}

var readingsOf = `SELECT entry, study_instance_uid, accession, document, reporter FROM report_reading WHERE id IN (
	SELECT r.id FROM report_reading r JOIN study s ON s.study_instance_uid = ?1 AND r.study_instance_uid = ?1
	UNION SELECT r.id FROM study s JOIN report_reading r ON r.accession = s.accession_number WHERE s.study_instance_uid = ?1 AND s.accession_number <> ''
	UNION SELECT r.id FROM study s JOIN report_reading r ON ` + fmt.Sprintf(beginsAs, "r", "s.accession_number") + ` WHERE s.study_instance_uid = ?1)
	ORDER BY id DESC LIMIT ?2`

// ReadingsOf returns what reports of other systems say of a study, the newest first, at most limit.
func (l *Ledger) ReadingsOf(ctx context.Context, study dicom.UID, limit int) ([]ReportReading, error) {
	all, err := query(ctx, l.readDB, func(rows *sql.Rows) (r ReportReading, err error) {
		var entry, accession string
		var uid dicom.UID
		var by Physician
		err = rows.Scan(&entry, &uid, &accession, jsonColumn{&r}, jsonColumn{&by})
		r.Reporter = by
		r.Entry, r.StudyInstanceUID, r.Accession = entry, uid, accession
		return r, err
	}, readingsOf, study, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: readings of study %s: %w", study, err)
	}
	return all, nil
}

// PutReviews says what the comparison of a study's reports gave: reviews that are new are added, open ones that are not among them are
// withdrawn, unless of an exam that waits, and what a person has decided stands. The study is due again only by what came after k.
func (l *Ledger) PutReviews(ctx context.Context, k Look, reviews []Review, at time.Time) error {
	err := l.act(ctx, "second-look", &action{Name: "put-reviews", Study: k.Study, Desk: k.Version, Reviews: reviews, Waits: k.Waits, At: at}, func(t *tx) error {
		var study int64
		if err := t.row("SELECT id FROM study WHERE study_instance_uid = ? AND forgotten_at IS NULL", []any{k.Study}, &study); err != nil {
			return notFound(err)
		}
		var quiet bool // it is compared for a second look over what was here
		if err := t.row("SELECT coalesce((SELECT quiet FROM look WHERE study = ?), 0)", []any{study}, &quiet); err != nil {
			return err
		}
		names := make([]string, len(reviews))
		for i, r := range reviews {
			r.Study = k.Study
			names[i] = reviewName(r)
		}
		kept, err := jsonText(names)
		if err != nil {
			return err
		}
		waits, err := jsonText(append([]Uncompared{}, k.Waits...))
		if err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE review SET state = 'withdrawn' WHERE study = ?1 AND state IN ('open', 'agreed') AND name NOT IN (SELECT value FROM json_each(?2))
			AND (route, model) NOT IN (SELECT value ->> 'route', value ->> 'model' FROM json_each(?3))`, study, kept, waits); err != nil {
			return err
		}
		var opened []Review
		for i, r := range reviews {
			r.Study, r.MadeAt, r.Name = k.Study, at, names[i]
			newly, err := t.putReview(study, r)
			if err != nil {
				return err
			}
			if newly && !quiet {
				opened = append(opened, r)
			}
		}
		// First what other reviews ask as well is told as theirs: it is on its way already.
		if err := t.untellReviews(study, "nothing is to be decided any more", at); err != nil {
			return err
		}
		for _, r := range opened {
			if err := t.tellOfReview(study, r); err != nil {
				return err
			}
		}
		_, err = t.exec("UPDATE look SET looked = ?2 WHERE study = ?1 AND looked < ?2", study, k.Version)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: reviews of study %s: %w", k.Study, err)
	}
	return nil
}

// putReview writes what a comparison gave, unless a person has decided it, and says whether a person is asked by it who was not before.
func (t *tx) putReview(study int64, r Review) (opened bool, err error) {
	reporter, err := r.Reporter.text()
	if err != nil {
		return false, err
	}
	r.Reporter = Physician{}
	document, err := jsonText(r)
	if err != nil {
		return false, err
	}
	site, err := jsonText(r.Site)
	if err != nil {
		return false, err
	}
	if err := t.row("SELECT ?2 = 'open' AND coalesce((SELECT state IN ('agreed', 'withdrawn') FROM review WHERE name = ?1), 1)", []any{r.Name, r.State}, &opened); err != nil {
		return false, err
	}
	_, err = t.exec(`INSERT INTO review (name, study, priority, state, kind, model, model_version, route, finding, site, made_at, document, threshold, reporter)
		VALUES (?1, ?2, iif((SELECT urgent FROM study WHERE id = ?2), 0, ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
		ON CONFLICT (name) DO UPDATE SET state = excluded.state, priority = excluded.priority, threshold = excluded.threshold, reporter = excluded.reporter, document = excluded.document WHERE state IN ('open', 'agreed', 'withdrawn')`,
		r.Name, study, r.Priority, r.State, r.Kind, r.Model, r.ModelVersion, r.Route, r.Finding, site, micros(r.MadeAt), document, r.Threshold, reporter)
	return opened, err
}

// DecideReview says what a person found: state is ReviewConfirmed or ReviewRejected. What is decided can be decided anew; the timeline of
// the study has each decision. ErrNotFound: there is no such review; a Refusal: there is nothing to decide.
func (l *Ledger) DecideReview(ctx context.Context, name string, state ReviewState, d ReviewDecision, at time.Time) error {
	d.DecidedAt = at
	a := &action{Name: "decide-review", Names: []string{name, string(state)}, Decision: &d, At: at}
	err := l.act(ctx, "reviews", a, func(t *tx) error {
		var study int64
		var r Review
		var was ReviewState
		if err := t.row("SELECT study, state, document FROM review WHERE name = ?", []any{name}, &study, &was, jsonColumn{&r}); err != nil {
			return notFound(err)
		}
		if was == ReviewWithdrawn || was == ReviewAgreed || r.Name == "" {
			return &Refusal{"nothing is to be decided: report and results are others now, or say the same"}
		}
		r.State, r.ReviewDecision = state, d
		document, err := jsonText(r)
		if err != nil {
			return err
		}
		if _, err := t.exec("UPDATE review SET state = ?, document = ? WHERE name = ?", state, document, name); err != nil {
			return err
		}
		if err := t.untellReviews(study, "a person has decided", at); err != nil {
			return err
		}
		return t.event(event{study: study, what: EventReviewed, at: at, detail: fmt.Sprintf("%s %s of %s %s: %s", r.Kind, r.Finding, r.Model, r.ModelVersion, state)})
	})
	if err != nil {
		return fmt.Errorf("ledger: review %s: %w", name, err)
	}
	return nil
}

// ReviewFilter picks reviews. Empty fields pick all.
type ReviewFilter struct {
	State ReviewState
	Study dicom.UID
	After Cursor
	Page
}

const (
	selectReviews = `SELECT r.name, s.study_instance_uid, r.state, r.kind, r.priority, r.model, r.model_version, r.route, r.finding, r.site, r.made_at, r.document
		FROM review r JOIN study s ON s.id = r.study `
	afterReview = `AND (r.priority, r.id) > (SELECT priority, id FROM review WHERE name = ?) `
)

// Reviews returns a page of the reviews of f, those that are most urgent first and of these the oldest, and how many f picks in all.
func (l *Ledger) Reviews(ctx context.Context, f ReviewFilter) (page []Review, total int, err error) {
	where, args := "WHERE r.state = ? ", []any{f.State}
	count, counted := "SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'review' AND state = ?", []any{f.State}
	if f.Study != "" {
		where, args = "WHERE s.study_instance_uid = ?1 AND (?2 = '' OR r.state = ?2) ", []any{f.Study, f.State}
		count, counted = "SELECT count(*) FROM study s JOIN review r ON r.study = s.id "+where, args
	}
	if err = l.readDB.QueryRowContext(ctx, count, counted...).Scan(&total); err == nil {
		if f.After.ID != "" {
			where, args = where+afterReview, append(args, f.After.ID)
		}
		limit, offset := f.bounds()
		page, err = query(ctx, l.readDB, scanReview, selectReviews+where+"ORDER BY r.priority, r.id LIMIT "+strconv.Itoa(limit)+" OFFSET "+strconv.Itoa(offset), args...)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: reviews: %w", err)
	}
	return page, total, nil
}

// scanReview reads a review; of one whose study is forgotten or erased the columns are all there is.
func scanReview(rows *sql.Rows) (r Review, err error) {
	var c Review
	err = rows.Scan(&c.Name, &c.Study, &c.State, &c.Kind, &c.Priority, &c.Model, &c.ModelVersion, &c.Route, &c.Finding, jsonColumn{&c.Site}, timeColumn{&c.MadeAt}, jsonColumn{&r})
	r.Name, r.Study, r.State, r.Kind, r.Priority, r.Model, r.ModelVersion = c.Name, c.Study, c.State, c.Kind, c.Priority, c.Model, c.ModelVersion
	r.Route, r.Finding, r.Site, r.MadeAt = c.Route, c.Finding, c.Site, c.MadeAt
	return r, err
}

// Review returns one, or ErrNotFound.
func (l *Ledger) Review(ctx context.Context, name string) (Review, error) {
	found, err := query(ctx, l.readDB, scanReview, selectReviews+"WHERE r.name = ?", name)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Review{}, fmt.Errorf("ledger: review %s: %w", name, err)
	}
	return found[0], nil
}

// ReviewCount is how often reports and a version of a model were compared about a finding, with what result.
type ReviewCount struct {
	Month        string     `json:"month,omitempty"`     // of the comparison: 2026-11; none where it is by physician
	Physician    *Physician `json:"physician,omitempty"` // who reported; an empty one: nobody is known
	Model        string     `json:"model"`
	ModelVersion string     `json:"model_version"`
	Finding      string     `json:"finding"`
	Site         dicom.Code `json:"site"`
	Threshold    float64    `json:"threshold"` // the operating point
	Agreed       int        `json:"agreed"`
	Open         int        `json:"open"`
	Confirmed    int        `json:"confirmed"`
	Rejected     int        `json:"rejected"`
	Missed       int        `json:"missed"` // of the confirmed: what the report denied, or did not mention
}

const (
	countedReviews = `sum(state = 'agreed'), sum(state = 'open'), sum(state = 'confirmed'), sum(state = 'rejected'), sum(state = 'confirmed' AND kind IN ('missed', 'not-mentioned'))
		FROM review WHERE made_at >= ? AND made_at < ? AND state <> 'withdrawn' `
	countReviews = `SELECT strftime('%Y-%m', made_at / 1000000, 'unixepoch'), model, model_version, finding, site, threshold, ` + countedReviews +
		`GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6`
	// One identifier is one person, however the name is written.
	countPhysicians = `SELECT coalesce(reporter ->> 'id', ''), coalesce(reporter ->> 'authority', ''), coalesce(max(reporter ->> 'name'), ''),
		model, model_version, finding, site, threshold, ` + countedReviews +
		`GROUP BY 1, 2, iif(coalesce(reporter ->> 'id', '') = '', reporter ->> 'name', ''), 4, 5, 6, 7, 8 ORDER BY 3, 1, 2, 4, 5, 6, 7, 8`
)

// ReviewCounts returns how reports and models agreed, by month, of the comparisons made from a time and before another.
func (l *Ledger) ReviewCounts(ctx context.Context, from, before time.Time) ([]ReviewCount, error) {
	counts, err := query(ctx, l.readDB, func(rows *sql.Rows) (c ReviewCount, err error) {
		return c, rows.Scan(&c.Month, &c.Model, &c.ModelVersion, &c.Finding, jsonColumn{&c.Site}, &c.Threshold, &c.Agreed, &c.Open, &c.Confirmed, &c.Rejected, &c.Missed)
	}, countReviews, since(from), until(before))
	return counts, wrap("ledger: review counts", err)
}

// PhysicianCounts is ReviewCounts by who reported in place of the month, as far as that is kept.
func (l *Ledger) PhysicianCounts(ctx context.Context, from, before time.Time) ([]ReviewCount, error) {
	counts, err := query(ctx, l.readDB, func(rows *sql.Rows) (c ReviewCount, err error) {
		c.Physician = &Physician{}
		return c, rows.Scan(&c.Physician.ID, &c.Physician.Authority, &c.Physician.Name,
			&c.Model, &c.ModelVersion, &c.Finding, jsonColumn{&c.Site}, &c.Threshold, &c.Agreed, &c.Open, &c.Confirmed, &c.Rejected, &c.Missed)
	}, countPhysicians, since(from), until(before))
	return counts, wrap("ledger: review counts by physician", err)
}

// since is a time that a span begins at; zero: always.
func since(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}

// until is a time that a span ends before; zero: never.
func until(t time.Time) int64 {
	if t.IsZero() {
		return 1 << 62
	}
	return micros(t)
}

const reportersKept = `SELECT EXISTS (SELECT 1 FROM report_reading WHERE reporter <> '{}') OR EXISTS (SELECT 1 FROM review WHERE reporter <> '{}')`

// ForgetReporters removes who wrote what reports, where that is kept and may be no more, limit rows at most, and says whether there were any.
// The actions of the journal still say so, until Unkept has been seen to.
func (l *Ledger) ForgetReporters(ctx context.Context, limit int, at time.Time) (any bool, err error) {
	if err = l.readDB.QueryRowContext(ctx, reportersKept).Scan(&any); err == nil && any {
		err = l.forgetReporters(ctx, limit, at)
	}
	return any, wrap("ledger: forget who reported", err)
}

func (l *Ledger) forgetReporters(ctx context.Context, limit int, at time.Time) error {
	return l.act(ctx, "configuration", &action{Name: "forget-reporters", Limit: limit, At: at}, func(t *tx) error {
		for _, table := range []string{"report_reading", "review"} {
			if _, err := t.exec(fmt.Sprintf("UPDATE %[1]s SET reporter = '{}' WHERE id IN (SELECT id FROM %[1]s WHERE reporter <> '{}' ORDER BY id LIMIT ?)", table), limit); err != nil {
				return err
			}
		}
		_, err := t.exec("UPDATE meta SET unkept = 1")
		return err
	})
}

// Unkept says whether actions in the journal may have what the ledger may keep no more: a checkpoint has to take their place.
func (l *Ledger) Unkept(ctx context.Context) (is bool, err error) {
	err = l.readDB.QueryRowContext(ctx, "SELECT unkept FROM meta").Scan(&is)
	return is, wrap("ledger: unkept", err)
}

// Replaced says that a checkpoint has taken the place of these.
func (l *Ledger) Replaced(ctx context.Context) error {
	return l.write(ctx, func(t *tx) error {
		_, err := t.exec("UPDATE meta SET unkept = 0")
		return err
	})
}

// blankReviews leaves of a study's comparisons what was decided, without what the report says.
func (t *tx) blankReviews(study int64) error {
	for _, step := range []string{
		"DELETE FROM report_reading WHERE id IN (SELECT r.id FROM study s JOIN report_reading r ON r.study_instance_uid = s.study_instance_uid WHERE s.id = ?1)",
		"DELETE FROM report_reading WHERE id IN (SELECT r.id FROM study s JOIN report_reading r ON r.accession = s.accession_number WHERE s.id = ?1 AND s.accession_number <> '')",
		"DELETE FROM look WHERE study = ?1",
		"UPDATE review SET document = '{}', reporter = '{}', state = iif(state = 'open', 'withdrawn', state) WHERE study = ?1",
	} {
		if _, err := t.exec(step, study); err != nil {
			return err
		}
	}
	return nil
}
