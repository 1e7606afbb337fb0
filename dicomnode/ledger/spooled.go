package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// SpooledStudies picks studies of which the spool still has something. Empty fields pick all.
type SpooledStudies struct {
	UIDs      []dicom.UID
	Patient   string // Patient ID as it was received
	Accession string
	From, To  string // Study Date, both included
	After     Cursor // ID is that of the study before, At its LastAt
	Limit     int
}

// SpooledStudy is a study of which the spool still has something, as its images say it. It has patient data.
type SpooledStudy struct {
	dicom.Header // what the ledger has of the study's level
	LastAt       time.Time
}

// SpooledStudies returns studies of which the spool still has something, the one with the newest instance first. It looks at no
// study whose bytes have all gone, but by its own UID.
func (l *Ledger) SpooledStudies(ctx context.Context, f SpooledStudies) ([]SpooledStudy, error) {
	text, args := f.statement()
	studies, err := query(ctx, l.readDB, scanSpooledStudy, text, args...)
	if err != nil {
		return nil, fmt.Errorf("ledger: studies that are kept: %w", err)
	}
	return studies, nil
}

const selectSpooledStudy = `SELECT study_instance_uid, patient_id, patient_name, accession_number, study_date, study_time, study_description, last_at FROM study `

func (f SpooledStudies) statement() (string, []any) {
	conditions, args, index := []string{"kept > 0"}, []any{}, "INDEXED BY study_kept "
	by := func(condition, own string, values ...any) {
		conditions, args = append(conditions, condition), append(args, values...)
		if own != "" {
			index = own
		}
	}
	if f.From != "" {
		by("study_date >= ?", "", f.From)
	}
	if f.To != "" {
		by("study_date <= ?", "", f.To)
	}
	if f.Patient != "" {
		by("patient_id = ?", "INDEXED BY study_patient ", f.Patient)
	}
	if f.Accession != "" {
		by("accession_number = ?", "INDEXED BY study_accession ", f.Accession)
	}
	if len(f.UIDs) > 0 {
		uids, _ := json.Marshal(f.UIDs) // strings always can
		by("study_instance_uid IN (SELECT value FROM json_each(?))", " ", string(uids))
	}
	if f.After.ID != "" {
		by("(last_at, id) < (?, (SELECT id FROM study WHERE study_instance_uid = ?))", "", micros(f.After.At), f.After.ID)
	}
	return selectSpooledStudy + index + "WHERE " + strings.Join(conditions, " AND ") + " ORDER BY last_at DESC, id DESC LIMIT ?", append(args, limit(f.Limit))
}

func scanSpooledStudy(rows *sql.Rows) (SpooledStudy, error) {
	var s SpooledStudy
	err := rows.Scan(&s.StudyInstanceUID, &s.PatientID, &s.PatientName, &s.AccessionNumber, &s.StudyDate, &s.StudyTime, &s.StudyDescription, timeColumn{&s.LastAt})
	return s, err
}

// SpooledPlace says where in the order of a study something stands: what was received comes first, by Instance Number and then
// arrival, and then what was made of it. The zero value is before all.
type SpooledPlace struct {
	Made   bool
	Number int
	ID     int64
}

// SpooledInstances picks instances of a study that the spool still has. An empty Series or SOP picks all.
type SpooledInstances struct {
	Study, Series, SOP dicom.UID
	After              SpooledPlace
	Limit              int
}

// SpooledInstance is an instance that the spool still has, received or made here.
type SpooledInstance struct {
	dicom.SOPInstance
	Entry             string
	TransferSyntaxUID dicom.UID
	Digest            string // SHA-256 of the data set; empty of what an earlier release made
	Place             SpooledPlace
}

const (
	keptReceived = `SELECT 0, i.instance_number, i.id, i.entry, i.transfer_syntax_uid, i.digest, i.sop_class_uid, i.sop_instance_uid, i.series_instance_uid, s.study_instance_uid
	FROM instance i JOIN study s ON s.id = i.study
	WHERE s.study_instance_uid = ?1 AND i.released_at IS NULL AND i.state <> 'conflict' AND (?2 = '' OR i.series_instance_uid = ?2)
	AND (i.instance_number, i.id) > (?3, ?4) ORDER BY i.instance_number, i.id LIMIT ?5`
	keptMade = `SELECT 1, 0, o.id, o.entry, o.transfer_syntax_uid, o.digest, o.sop_class_uid, o.sop_instance_uid, o.series_instance_uid, s.study_instance_uid
	FROM object o JOIN study s ON s.id = o.study
	WHERE s.study_instance_uid = ?1 AND o.released_at IS NULL AND ` + mayBeSeen + ` AND (?2 = '' OR o.series_instance_uid = ?2)
	AND o.id > ?3 ORDER BY o.id LIMIT ?4`

	// The twin of an object is for peers that refuse it, and what waits for a person because images, order and patient do not agree
	// is not handed to anybody.
	mayBeSeen = `o.twin_of IS NULL AND NOT EXISTS (SELECT 1 FROM gate g WHERE g.study = o.study AND g.held = 1) AND NOT ` + takenBack

	// takenBack picks the objects o that rest on results that were retracted: pictures of these, and what was said of them until then.
	takenBack = `(CASE WHEN o.purpose IN ` + ofSource + ` THEN EXISTS (SELECT 1 FROM instance i JOIN job j ON j.instance = i.id
		WHERE i.sop_instance_uid = o.source AND i.study = o.study AND j.model = o.model AND j.retracted <> '')
	ELSE EXISTS (SELECT 1 FROM exam x JOIN job j ON j.exam = x.id
		WHERE x.study = o.study AND (o.model = '' OR x.model = o.model) AND j.retracted <> '' AND j.retracted_at >= o.made_at) END)`

	oneKept = `SELECT 0, i.instance_number, i.id, i.entry, i.transfer_syntax_uid, i.digest, i.sop_class_uid, i.sop_instance_uid, i.series_instance_uid, s.study_instance_uid
	FROM instance i JOIN study s ON s.id = i.study
	WHERE i.sop_instance_uid = ?1 AND s.study_instance_uid = ?2 AND (?3 = '' OR i.series_instance_uid = ?3) AND i.released_at IS NULL AND i.state <> 'conflict'
	UNION ALL SELECT 1, 0, o.id, o.entry, o.transfer_syntax_uid, o.digest, o.sop_class_uid, o.sop_instance_uid, o.series_instance_uid, s.study_instance_uid
	FROM object o JOIN study s ON s.id = o.study
	WHERE o.sop_instance_uid = ?1 AND s.study_instance_uid = ?2 AND (?3 = '' OR o.series_instance_uid = ?3) AND o.released_at IS NULL AND ` + mayBeSeen + ` LIMIT 1`
)

func scanSpooledInstance(rows *sql.Rows) (SpooledInstance, error) {
	var i SpooledInstance
	err := rows.Scan(&i.Place.Made, &i.Place.Number, &i.Place.ID, &i.Entry, &i.TransferSyntaxUID, &i.Digest,
		&i.SOPClassUID, &i.SOPInstanceUID, &i.SeriesInstanceUID, &i.StudyInstanceUID)
	return i, err
}

// SpooledInstances returns instances that f picks, in the order of SpooledPlace. Of those that came with other bytes than before the
// first alone is among them, and of a study whose results wait for a person, what was received.
func (l *Ledger) SpooledInstances(ctx context.Context, f SpooledInstances) (all []SpooledInstance, err error) {
	switch n := limit(f.Limit); {
	case f.SOP != "":
		if f.After != (SpooledPlace{}) {
			return nil, nil
		}
		all, err = query(ctx, l.readDB, scanSpooledInstance, oneKept, f.SOP, f.Study, f.Series)
	case !f.After.Made:
		number := f.After.Number
		if f.After == (SpooledPlace{}) {
			number = -1 << 40 // an Instance Number may be negative
		}
		all, err = query(ctx, l.readDB, scanSpooledInstance, keptReceived, f.Study, f.Series, number, f.After.ID, n)
		if err == nil && len(all) < n {
			var made []SpooledInstance
			made, err = query(ctx, l.readDB, scanSpooledInstance, keptMade, f.Study, f.Series, 0, n-len(all))
			all = append(all, made...)
		}
	default:
		all, err = query(ctx, l.readDB, scanSpooledInstance, keptMade, f.Study, f.Series, f.After.ID, n)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: instances of study %s that are kept: %w", f.Study, err)
	}
	return all, nil
}

// SpooledSeries is a series of which the spool still has something, with one of its instances.
type SpooledSeries struct {
	Instances int
	First     SpooledInstance
}

const (
	keptSeriesReceived = `SELECT count(*), 0, i.instance_number, min(i.id), i.entry, i.transfer_syntax_uid, i.digest, i.sop_class_uid, i.sop_instance_uid, i.series_instance_uid, s.study_instance_uid
	FROM instance i JOIN study s ON s.id = i.study
	WHERE s.study_instance_uid = ?1 AND i.released_at IS NULL AND i.state <> 'conflict' GROUP BY i.series_instance_uid ORDER BY min(i.id)`
	keptSeriesMade = `SELECT count(*), 1, 0, min(o.id), o.entry, o.transfer_syntax_uid, o.digest, o.sop_class_uid, o.sop_instance_uid, o.series_instance_uid, s.study_instance_uid
	FROM object o JOIN study s ON s.id = o.study
	WHERE s.study_instance_uid = ?1 AND o.released_at IS NULL AND ` + mayBeSeen + ` GROUP BY o.series_instance_uid ORDER BY min(o.id)`
)

func scanSpooledSeries(rows *sql.Rows) (SpooledSeries, error) {
	var s SpooledSeries
	i := &s.First
	err := rows.Scan(&s.Instances, &i.Place.Made, &i.Place.Number, &i.Place.ID, &i.Entry, &i.TransferSyntaxUID, &i.Digest,
		&i.SOPClassUID, &i.SOPInstanceUID, &i.SeriesInstanceUID, &i.StudyInstanceUID)
	return s, err
}

// SpooledSeries returns the series of a study of which the spool still has something, by arrival, those made here last.
func (l *Ledger) SpooledSeries(ctx context.Context, study dicom.UID) ([]SpooledSeries, error) {
	all, err := query(ctx, l.readDB, scanSpooledSeries, keptSeriesReceived, study)
	if err == nil {
		var made []SpooledSeries
		made, err = query(ctx, l.readDB, scanSpooledSeries, keptSeriesMade, study)
		for _, m := range made {
			same := func(s SpooledSeries) bool { return s.First.SeriesInstanceUID == m.First.SeriesInstanceUID }
			if i := slices.IndexFunc(all, same); i >= 0 {
				all[i].Instances += m.Instances
				continue
			}
			all = append(all, m)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: series of study %s that are kept: %w", study, err)
	}
	return all, nil
}

const (
	ofStudy  = `study = (SELECT id FROM study WHERE study_instance_uid = ?1)`
	inScope  = ofStudy + ` AND (?2 = '' OR series_instance_uid = ?2) AND (?3 = '' OR sop_instance_uid = ?3)`
	wasStudy = `SELECT EXISTS (SELECT 1 FROM study WHERE study_instance_uid = ?1)`
	// Of a study that was forgotten, UIDs alone are known.
	wasThere = `SELECT EXISTS (SELECT 1 FROM instance WHERE ` + inScope + `) OR EXISTS (SELECT 1 FROM object WHERE ` + inScope + `)
	OR EXISTS (SELECT 1 FROM study WHERE study_instance_uid = ?1 AND forgotten_at IS NOT NULL) AND EXISTS (SELECT 1 FROM known WHERE sop_instance_uid = ?3)
		AND NOT EXISTS (SELECT 1 FROM instance WHERE sop_instance_uid = ?3) AND NOT EXISTS (SELECT 1 FROM object WHERE sop_instance_uid = ?3)`
	withheld = `SELECT EXISTS (SELECT 1 FROM object o JOIN gate g ON g.study = o.study WHERE o.` + inScope + ` AND o.released_at IS NULL AND o.twin_of IS NULL AND g.held = 1 AND NOT ` + takenBack + `),
	EXISTS (SELECT 1 FROM object o WHERE o.` + inScope + ` AND o.released_at IS NULL AND o.twin_of IS NULL AND ` + takenBack + `)`
	someGone = `SELECT EXISTS (SELECT 1 FROM instance WHERE ` + inScope + ` AND released_at IS NOT NULL)
	OR EXISTS (SELECT 1 FROM object WHERE ` + inScope + ` AND released_at IS NOT NULL)
	OR EXISTS (SELECT 1 FROM study WHERE study_instance_uid = ?1 AND forgotten_at IS NOT NULL)`
)

// Fate is what is known of what the spool may have no more, or may not hand out.
type Fate struct {
	Known     bool // it was here
	Held      bool // of it results wait for a person
	Retracted bool // of it something rests on results that were taken back
	Some      bool // of a study or series: some of its instances have gone
}

// Fate says what is known of a study, or a series or an instance of it. Series of which nothing is kept are forgotten with their
// study's history.
func (l *Ledger) Fate(ctx context.Context, f SpooledInstances) (fate Fate, err error) {
	ask := func(text string, to ...any) {
		if err == nil {
			err = l.readDB.QueryRowContext(ctx, text, f.Study, f.Series, f.SOP).Scan(to...)
		}
	}
	if ask(wasStudy, &fate.Known); fate.Known && (f.Series != "" || f.SOP != "") {
		ask(wasThere, &fate.Known)
	}
	ask(withheld, &fate.Held, &fate.Retracted)
	if f.SOP == "" {
		ask(someGone, &fate.Some)
	}
	if err != nil {
		return Fate{}, fmt.Errorf("ledger: fate in study %s: %w", f.Study, err)
	}
	return fate, nil
}
