package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// StudyStatus is how a study stands as a whole.
type StudyStatus string

// The statuses, the first that applies.
const (
	StudyParked         StudyStatus = "parked"          // something waits for a person
	StudyWorking        StudyStatus = "working"         // jobs, reports or deliveries are open
	StudyNotAnalysed    StudyStatus = "not-analysed"    // nothing is open, and no model has seen any of its instances
	StudyPartlyAnalysed StudyStatus = "partly-analysed" // nothing is open, and no model has seen some of them
	StudyDone           StudyStatus = "done"            // all are analysed

	// StudyConflict is a filter only: an instance came twice with different bytes.
	StudyConflict StudyStatus = "conflict"
)

// Ended says that nothing is open and nothing waits for a person.
func (s StudyStatus) Ended() bool {
	return s == StudyDone || s == StudyNotAnalysed || s == StudyPartlyAnalysed
}

// StudyFilter picks studies. Empty fields pick all.
type StudyFilter struct {
	PatientID, Accession string
	StudyUID             dicom.UID
	Status               StudyStatus
	Search               string // Study or SOP Instance UID, or accession number
	Patients             bool   // Search may be a Patient ID, or what a patient's name begins with, as well
	Limit                int    // 0: 100
	Offset               int
	After                Cursor
}

// Study is a study as a list shows it. It has patient data.
type Study struct {
	StudyInstanceUID       dicom.UID
	PatientID, PatientName string // of whom it is on: see PatientOf
	AccessionNumber        string
	StudyDate, StudyTime   string // DA and TM as received
	StudyDescription       string
	FirstAt, LastAt        time.Time // instances received
	Modality               string    // of one of its instances
	Instances, Conflicts   int
	NotAnalysed            int      // of the instances, those whose last word is that a model could not, or that none applies
	Why                    []string // they are not: a few of the reasons
	Frames                 int      // of the instances received
	Findings               int      // at or above threshold, of role finding
	Open                   int      // jobs, exams and deliveries with work to do
	Parked                 int      // jobs, exams, deliveries and held instances that wait for a person
	Deliveries             DeliveryCounts
	Status                 StudyStatus
	Urgent                 bool      // a model found in it what goes before others
	StandsAt               time.Time // what lists are sorted by: LastAt, or a day later where it is urgent
	id                     int64
}

// DeliveryCounts says how many deliveries are in which state.
type DeliveryCounts struct {
	Pending   int `json:"pending"`
	Sent      int `json:"sent"` // and not committed yet
	Done      int `json:"done"`
	Parked    int `json:"parked"`
	Discarded int `json:"discarded"`
}

// InstanceView is a received instance with its jobs.
type InstanceView struct {
	Entry               string
	Instance            dicom.SOPInstance
	Header              dicom.Header
	TransferSyntaxUID   dicom.UID
	CallingAE, CalledAE string
	ReceivedAt          time.Time
	Size                int64
	Digest              string
	Route               string
	State               InstanceState
	Reason              string
	ReleasedAt          time.Time // zero while its bytes are kept
	Jobs                []JobView
}

// JobView is a job with its results.
type JobView struct {
	Job
	Results []analysis.Result
}

// Cursor is the last row of the page before, of a list that grows: what follows is found without counting what was before.
// At is what the list is sorted by, where that is a time.
type Cursor struct {
	At time.Time
	ID string
}

// Page picks some of a list: Limit from Offset on. The zero value picks all.
type Page struct{ Limit, Offset int }

// bounds are the arguments of LIMIT and OFFSET.
func (p Page) bounds() (limit, offset int) {
	if p.Limit <= 0 {
		return -1, p.Offset
	}
	return p.Limit, p.Offset
}

// StudyTotals says how long the lists of a study are.
type StudyTotals struct{ Instances, Objects, Deliveries, Events int }

// StudyDetail is all that is known of a study, or a page of each of its lists. It has patient data.
type StudyDetail struct {
	Study
	Totals        StudyTotals
	Gate          GateState
	InstanceViews []InstanceView
	Exams         []Exam
	Objects       []Object
	Deliveries    []Delivery
	Videos        []Video
	Events        []Event // by the time they first happened, however late they were noted
}

const selectStudy = `SELECT id, study_instance_uid, coalesce((SELECT patient_id FROM gate WHERE study = study.id), patient_id),
	coalesce((SELECT patient ->> 'name' FROM gate WHERE study = study.id), patient_name), accession_number, study_date, study_time,
	study_description, first_at, last_at, instances, conflicts, open, parked, unanalysed,
	CASE WHEN unanalysed = 0 THEN '[]' ELSE (SELECT json_group_array(why) FROM (SELECT coalesce(nullif(i.reason, ''),
		(SELECT j.reason FROM job j WHERE j.instance = i.id AND j.reason <> '' LIMIT 1), '') AS why
		FROM instance i WHERE i.study = study.id AND i.state IN ('failed', 'not-analysed') LIMIT 50)) END,
	modality, frames, flagged, deliveries_pending, deliveries_sent, deliveries_done, deliveries_parked, deliveries_discarded, status, urgent, stands_at
	FROM study `

func scanStudy(rows *sql.Rows) (Study, error) {
	var s Study
	err := rows.Scan(&s.id, &s.StudyInstanceUID, &s.PatientID, &s.PatientName, &s.AccessionNumber, &s.StudyDate, &s.StudyTime,
		&s.StudyDescription, timeColumn{&s.FirstAt}, timeColumn{&s.LastAt}, &s.Instances, &s.Conflicts, &s.Open, &s.Parked,
		&s.NotAnalysed, jsonColumn{&s.Why},
		&s.Modality, &s.Frames, &s.Findings, &s.Deliveries.Pending, &s.Deliveries.Sent, &s.Deliveries.Done, &s.Deliveries.Parked, &s.Deliveries.Discarded, &s.Status, &s.Urgent, timeColumn{&s.StandsAt})
	s.Why = few(s.Why)
	return s, err
}

// few are the first of reasons, each once.
func few(reasons []string) []string {
	out := []string{}
	for _, r := range reasons {
		if r != "" && len(out) < 5 && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// remembered are the studies whose history is not past its retention.
const remembered = "forgotten_at IS NULL"

// where returns the conditions of f with their arguments.
func (f StudyFilter) where() (string, []any, error) {
	conditions := []string{remembered}
	var args []any
	for _, c := range []struct{ column, value string }{
		{"study_instance_uid", string(f.StudyUID)},
		{"accession_number", f.Accession},
	} {
		if c.value != "" {
			conditions = append(conditions, c.column+" = ?")
			args = append(args, c.value)
		}
	}
	if f.PatientID != "" {
		conditions = append(conditions, "id IN (SELECT id FROM study WHERE patient_id = ? UNION SELECT study FROM gate WHERE patient_id = ?)")
		args = append(args, f.PatientID, f.PatientID)
	}
	if f.Search != "" {
		conditions, args = append(conditions, "id IN ("+searched+")"), append(args, f.Search, f.Search, f.Search, f.Search)
		if f.Patients {
			begins := beginnings(f.Search)
			conditions[len(conditions)-1] = "id IN (" + searched + searchedPatients + strings.Repeat(searchedName, len(begins)) + ")"
			args = append(args, f.Search, f.Search)
			for _, name := range begins {
				args = append(args, name, name+string(utf8.MaxRune))
			}
		}
	}
	switch f.Status {
	case "":
	case StudyParked, StudyWorking, StudyNotAnalysed, StudyPartlyAnalysed, StudyDone:
		conditions = append(conditions, "status = ?")
		args = append(args, f.Status)
	case StudyConflict:
		conditions = append(conditions, "conflicts > 0")
	default:
		return "", nil, fmt.Errorf("status %q: not one of parked, working, not-analysed, partly-analysed, done, conflict", f.Status)
	}
	return "WHERE " + strings.Join(conditions, " AND ") + " ", args, nil
}

// count returns the statement that counts what f picks, with its arguments: it costs the same however many studies there are.
func (f StudyFilter) count(where string, args []any) (string, []any) {
	if f.PatientID == "" && f.Accession == "" && f.StudyUID == "" && f.Search == "" && f.Status != StudyConflict {
		return "SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'study' AND (?1 = '' OR state = ?1)", []any{f.Status}
	}
	return "SELECT count(*) FROM study " + f.index() + where, args
}

// What a search looks for.
const (
	searched = `SELECT id FROM study WHERE study_instance_uid = ? UNION SELECT id FROM study WHERE accession_number = ?
		UNION SELECT study FROM instance WHERE sop_instance_uid = ? UNION SELECT study FROM object WHERE sop_instance_uid = ?`
	searchedPatients = ` UNION SELECT id FROM study WHERE patient_id = ? UNION SELECT study FROM gate WHERE patient_id = ?`
	searchedName     = ` UNION SELECT id FROM study WHERE patient_name COLLATE NOCASE >= ? AND patient_name COLLATE NOCASE < ? AND ` + remembered
)

// mostBlanks is at how many blanks of a name that is searched the given name may begin.
const mostBlanks = 4

// beginnings are what a name that text is the beginning of may begin with as it is written (PS3.5 6.2.1): a comma, or one of the blanks,
// stands between family and given name. A family name may have blanks of its own. Letters beyond A to Z are found as they were typed, in
// small or capital letters, and with a capital letter at the beginning of each word.
func beginnings(text string) []string {
	var all []string
	asked := map[string]bool{}
	for _, form := range []func(string) string{norm.NFC.String, norm.NFD.String} { // ü is one character or two, by who typed it
		text := form(text)
		for _, letters := range []string{text, strings.ToLower(text), strings.ToUpper(text), cases.Title(language.Und).String(text)} { // the index knows those of A to Z alone
			for _, name := range asWritten(letters) {
				if key := strings.Map(nocase, name); !asked[key] {
					all, asked[key] = append(all, name), true
				}
			}
		}
	}
	return all
}

// nocase is what the index takes for a letter (NOCASE of SQLite).
func nocase(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		r += 'a' - 'A'
	}
	return r
}

func asWritten(text string) []string {
	if family, given, two := strings.Cut(text, ","); two {
		return []string{strings.TrimSpace(family) + "^" + strings.TrimSpace(given)}
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil
	}
	all := []string{strings.Join(words, " ")}
	for i := 1; i < len(words) && i <= mostBlanks; i++ {
		all = append(all, strings.Join(words[:i], " ")+"^"+strings.Join(words[i:], " "))
	}
	return all
}

// index is that of the order in which the studies of a filter stand, where the planner would rather go over all that are newer.
func (f StudyFilter) index() string {
	switch {
	case f.PatientID != "" || f.Accession != "" || f.StudyUID != "" || f.Search != "" || f.Status == "":
		return ""
	case f.Status == StudyConflict:
		return "INDEXED BY study_conflict "
	}
	return "INDEXED BY study_status "
}

// Studies returns a page of the studies that f picks, the one with the newest instance first and one that is urgent before those of the same day, and how many f picks in all.
func (l *Ledger) Studies(ctx context.Context, f StudyFilter) (page []Study, total int, err error) {
	where, args, err := f.where()
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: studies: %w", err)
	}
	count, counted := f.count(where, args)
	if err := l.readDB.QueryRowContext(ctx, count, counted...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("ledger: studies: %w", err)
	}
	if f.After.ID != "" {
		where, args = where+"AND (stands_at, id) < (?, (SELECT id FROM study WHERE study_instance_uid = ?)) ", append(args, micros(f.After.At), f.After.ID)
	}
	args = append(args, limit(f.Limit), f.Offset)
	page, err = query(ctx, l.readDB, scanStudy, selectStudy+f.index()+where+"ORDER BY stands_at DESC, id DESC LIMIT ? OFFSET ?", args...)
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: studies: %w", err)
	}
	return page, total, nil
}

func limit(n int) int {
	if n <= 0 {
		return 100
	}
	return n
}

// Study returns what is known of a study, of each list that grows with its instances the page p; or ErrNotFound.
func (l *Ledger) Study(ctx context.Context, uid dicom.UID, p Page) (StudyDetail, error) {
	d, err := l.StudyBare(ctx, uid, p)
	if err == nil {
		d.InstanceViews, err = l.Instances(ctx, uid, p)
	}
	return d, err
}

// StudyBare is Study without the instances, which with their results are large: see Instances.
func (l *Ledger) StudyBare(ctx context.Context, uid dicom.UID, p Page) (StudyDetail, error) {
	studies, err := query(ctx, l.readDB, scanStudy, selectStudy+"WHERE study_instance_uid = ?", uid)
	if err == nil && len(studies) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return StudyDetail{}, fmt.Errorf("ledger: study %s: %w", uid, err)
	}
	return l.detail(ctx, studies[0], p)
}

// Instances returns the page p of the instances of a study, by Instance Number and then arrival; none of a study that is not there.
func (l *Ledger) Instances(ctx context.Context, uid dicom.UID, p Page) ([]InstanceView, error) {
	limit, offset := p.bounds()
	views, err := l.instances(ctx, uid, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("ledger: study %s: instances: %w", uid, err)
	}
	return views, nil
}

func (l *Ledger) detail(ctx context.Context, s Study, p Page) (StudyDetail, error) {
	limit, offset := p.bounds()
	d := StudyDetail{Study: s}
	var err error
	if err = l.readDB.QueryRowContext(ctx, studyTotals, s.id).Scan(&d.Totals.Instances, &d.Totals.Objects, &d.Totals.Deliveries, &d.Totals.Events); err != nil {
		return StudyDetail{}, fmt.Errorf("ledger: study %s: %w", s.StudyInstanceUID, err)
	}
	if d.Gate, err = l.GateOf(ctx, s.StudyInstanceUID); err != nil && !errors.Is(err, ErrNotFound) {
		return StudyDetail{}, err
	}
	d.Exams, err = query(ctx, l.readDB, scanExam, selectExam+"WHERE e.study = ? ORDER BY e.id", s.id)
	if err != nil {
		return StudyDetail{}, fmt.Errorf("ledger: study %s: exams: %w", s.StudyInstanceUID, err)
	}
	if d.Videos, err = l.Videos(ctx, s.StudyInstanceUID); err != nil {
		return StudyDetail{}, fmt.Errorf("ledger: study %s: %w", s.StudyInstanceUID, err)
	}
	if d.Objects, err = l.objects(ctx, s.id, limit, offset); err != nil {
		return StudyDetail{}, fmt.Errorf("ledger: study %s: objects: %w", s.StudyInstanceUID, err)
	}
	d.Deliveries, err = query(ctx, l.readDB, scanDelivery, selectDelivery+"WHERE d.study = ? ORDER BY d.rank, d.id LIMIT ? OFFSET ?", s.id, limit, offset)
	if err != nil {
		return StudyDetail{}, fmt.Errorf("ledger: study %s: deliveries: %w", s.StudyInstanceUID, err)
	}
	d.Events, err = query(ctx, l.readDB, scanEvent, selectEvent, s.id, limit, offset)
	if err != nil {
		return StudyDetail{}, fmt.Errorf("ledger: study %s: events: %w", s.StudyInstanceUID, err)
	}
	return d, nil
}

const studyTotals = `SELECT (SELECT count(*) FROM instance WHERE study = ?1), (SELECT count(*) FROM object WHERE study = ?1),
	(SELECT count(*) FROM delivery WHERE study = ?1), (SELECT count(*) FROM event WHERE study = ?1)`

const deliveriesOfObjects = selectDelivery + `WHERE d.entry IN (SELECT entry FROM object WHERE study = ? ORDER BY id LIMIT ? OFFSET ?)
	ORDER BY d.rank, d.id`

// objects returns the objects of a study, with where they go and how that stands.
func (l *Ledger) objects(ctx context.Context, study int64, limit, offset int) ([]Object, error) {
	objects, err := query(ctx, l.readDB, scanObject, selectObject+"WHERE o.study = ? ORDER BY o.id LIMIT ? OFFSET ?", study, limit, offset)
	if err != nil {
		return nil, err
	}
	deliveries, err := query(ctx, l.readDB, scanDelivery, deliveriesOfObjects, study, limit, offset)
	if err != nil {
		return nil, err
	}
	byEntry := make(map[string]*Object, len(objects))
	for i := range objects {
		byEntry[objects[i].Entry] = &objects[i]
	}
	for _, d := range deliveries {
		if o := byEntry[d.Entry]; o != nil {
			o.Destinations = append(o.Destinations, d.Destination)
			o.State = worse(o.State, d.State)
			o.Rank = d.Rank
		}
	}
	return objects, nil
}

// worse returns the state that says more about what is still to be done.
func worse(a, b DeliveryState) DeliveryState {
	for _, s := range []DeliveryState{DeliveryParked, DeliveryPending, DeliverySent, DeliveryDiscarded} {
		if a == s || b == s {
			return s
		}
	}
	return b
}

const instanceColumns = `SELECT i.entry, i.sop_class_uid, i.sop_instance_uid, i.series_instance_uid, s.study_instance_uid,
	i.header, i.transfer_syntax_uid, i.calling_ae, i.called_ae, i.received_at, i.size, i.digest, i.route, i.state, i.reason,
	i.released_at FROM instance i JOIN study s ON s.id = i.study `

const (
	idOfStudy       = "(SELECT id FROM study WHERE study_instance_uid = ?)"
	selectInstance  = instanceColumns + "WHERE i.study = " + idOfStudy + " ORDER BY i.instance_number, i.id LIMIT ? OFFSET ?"
	instancesOnPage = "WHERE j.instance IN (SELECT id FROM instance WHERE study = " + idOfStudy + " ORDER BY instance_number, id LIMIT ? OFFSET ?) "
)

func scanInstance(rows *sql.Rows) (InstanceView, error) {
	var v InstanceView
	var header string
	in := &v.Instance
	err := rows.Scan(&v.Entry, &in.SOPClassUID, &in.SOPInstanceUID, &in.SeriesInstanceUID, &in.StudyInstanceUID,
		&header, &v.TransferSyntaxUID, &v.CallingAE, &v.CalledAE, timeColumn{&v.ReceivedAt}, &v.Size, &v.Digest, &v.Route,
		&v.State, &v.Reason, timeColumn{&v.ReleasedAt})
	if err != nil {
		return InstanceView{}, err
	}
	if err := json.Unmarshal([]byte(header), &v.Header); err != nil {
		return InstanceView{}, fmt.Errorf("header of entry %s: %w", v.Entry, err)
	}
	v.Header.SOPInstance = v.Instance
	return v, nil
}

// instances returns the instances of a study with their jobs and results.
func (l *Ledger) instances(ctx context.Context, study dicom.UID, limit, offset int) ([]InstanceView, error) {
	views, err := query(ctx, l.readDB, scanInstance, selectInstance, study, limit, offset)
	if err != nil {
		return nil, err
	}
	jobs, err := query(ctx, l.readDB, scanJob, selectJob+instancesOnPage+"ORDER BY j.id", study, limit, offset)
	if err != nil {
		return nil, err
	}
	results, err := query(ctx, l.readDB, scanResult, selectResults+instancesOnPage+"ORDER BY r.job, r.first, r.count", study, limit, offset)
	if err != nil {
		return nil, err
	}
	resultsOf := map[string][]analysis.Result{}
	for _, r := range results {
		resultsOf[r.job] = append(resultsOf[r.job], r.Result)
	}
	jobsOf := map[string][]JobView{}
	for _, j := range jobs {
		jobsOf[j.Entry] = append(jobsOf[j.Entry], JobView{j, resultsOf[j.ID]})
	}
	for i := range views {
		views[i].Jobs = jobsOf[views[i].Entry]
	}
	return views, nil
}

const selectObject = `SELECT o.entry, o.sop_class_uid, o.sop_instance_uid, o.series_instance_uid, s.study_instance_uid,
	o.digest, o.name, o.transfer_syntax_uid, o.purpose, o.model, o.source, o.first, o.count, o.revision, o.made_at, o.released_at,
	coalesce((SELECT sop_instance_uid FROM object WHERE id = o.twin_of), '')
	FROM object o JOIN study s ON s.id = o.study `

func scanObject(rows *sql.Rows) (Object, error) {
	var o Object
	in := &o.Instance
	err := rows.Scan(&o.Entry, &in.SOPClassUID, &in.SOPInstanceUID, &in.SeriesInstanceUID, &in.StudyInstanceUID,
		&o.Digest, &o.Name, &o.TransferSyntaxUID, &o.Purpose, &o.Model, &o.Source, &o.Span.First, &o.Span.Count, &o.Revision, timeColumn{&o.MadeAt},
		timeColumn{&o.ReleasedAt}, &o.TwinOf)
	return o, err
}

// In the order of the ledger, whatever the clock said.
const selectEvent = `SELECT at, last_at, count, sop_instance_uid, entry, what, destination, protocol, code, text, detail, actor_kind, actor
	FROM event WHERE study = ? ORDER BY id LIMIT ? OFFSET ?`

func scanEvent(rows *sql.Rows) (Event, error) {
	var e Event
	err := rows.Scan(timeColumn{&e.At}, timeColumn{&e.LastAt}, &e.Count, &e.SOPInstanceUID, &e.Entry, &e.What,
		&e.Destination, &e.Answer.Protocol, &e.Answer.Code, &e.Answer.Text, &e.Detail, &e.By.Kind, &e.By.Name)
	return e, err
}

// Received returns the instances of a study, but for those in conflict, by Instance Number and then arrival, without their
// jobs.
func (l *Ledger) Received(ctx context.Context, study dicom.UID) ([]InstanceView, error) {
	views, err := query(ctx, l.readDB, scanInstance, instanceColumns+"WHERE s.study_instance_uid = ? AND i.state <> 'conflict' ORDER BY i.instance_number, i.id", study)
	if err != nil {
		return nil, fmt.Errorf("ledger: instances of study %s: %w", study, err)
	}
	return views, nil
}
