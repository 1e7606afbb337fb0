package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// What was made here and is lost is made again. Whoever has something of it waits for nothing; what is still to be delivered
// waits, parked, until it is there. What comes out with the same bytes stands where it stood. What comes out otherwise, of
// another release perhaps, is another SOP Instance: it takes the place of the one that is lost wherever that was to go or is
// spoken of, and reports that spoke of it get another revision.
//
// Heatmaps and clips come of a job that is done once more, and of which nothing else is taken: what it found stands. Reports come of
// what the ledger has; so do messages and pages, of the draft that they were made of.

const (
	notMadeAgain = "bytes lost: a person had the map made, who can send it again from the page of the frame"
	isMadeAgain  = "bytes lost: it is made again"
	lostSource   = LostBytes + " that it was made from"
)

// againPrefix begins the ID of a job that is done once more for the pictures that are lost. No entry begins so.
const againPrefix = "again:"

// undeliveredOf picks the deliveries d of entry ?2, as itself or as the alternate, that have not ended.
const undeliveredOf = `(d.entry = ?2 OR d.alternate = ?2 AND d.alternate <> '') AND d.state IN ('pending', 'sent', 'parked')`

// forBytes picks the deliveries d of entry ?2 that are parked because its bytes are lost, and not for what a peer said.
const forBytes = `d.entry = ?2 AND d.state = 'parked' AND d.protocol = '' AND instr(d.reason, 'bytes') > 0`

// pictures are the purposes of what comes of a job itself: heatmaps (sheets among them) and clips.
const pictures = `('heatmap', 'clip')`

// ofSource are the purposes of all that shows what a model said of an instance: pictures, and maps that a person sent.
const ofSource = `('heatmap', 'clip', 'map')`

// objectRow is what a step needs to know of an object.
type objectRow struct {
	id, study         int64
	entry, digest     string
	uid, name, source dicom.UID
	purpose, model    string
	revision          int
	twin              bool
}

const selectLost = `SELECT o.id, o.study, o.entry, o.digest, o.sop_instance_uid, o.name, o.source, o.purpose, o.model, o.revision, o.twin_of IS NOT NULL FROM object o `

func (t *tx) objects(text string, args ...any) (all []objectRow, err error) {
	rows, err := t.rows(selectLost+text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o objectRow
		if err := rows.Scan(&o.id, &o.study, &o.entry, &o.digest, &o.uid, &o.name, &o.source, &o.purpose, &o.model, &o.revision, &o.twin); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// loseObject has an object whose bytes are gone made again, where somebody still waits for it.
func (t *tx) loseObject(entry string, at time.Time) error {
	found, err := t.objects("WHERE o.entry = ? AND o.released_at IS NULL", entry)
	if err != nil || len(found) == 0 {
		return err
	}
	o, waits := found[0], false
	if err := t.row("SELECT EXISTS (SELECT 1 FROM delivery d WHERE "+undeliveredOf+")", []any{nil, entry}, &waits); err != nil {
		return err
	}
	if !waits {
		_, err = t.exec("UPDATE object SET released_at = ? WHERE id = ?", micros(at), o.id)
		return err
	}
	if _, err := t.exec("UPDATE object SET lost = 1 WHERE id = ?", o.id); err != nil {
		return err
	}
	if err := t.sayLost(o, isMadeAgain); err != nil {
		return err
	}
	return t.orderAgain(o, at)
}

// loseMessage has a message whose bytes are gone made anew of its draft, which says the same: the desk does that with those
// that are stale.
func (t *tx) loseMessage(entry string, at time.Time) error {
	const where = `d.entry = ?2 AND d.kind <> 'dicom' AND d.number > 0 AND d.stale = 0
		AND (d.state = 'pending' OR d.state = 'parked' AND d.protocol = '' AND instr(d.reason, 'bytes') > 0)`
	_, err := t.stepDeliveries(EventDeliveryUnparked, where, "'"+isMadeAgain+"'", "state = 'pending', ended_at = NULL, reason = '', next_at = iif(state = 'pending' AND waits_for <> '', next_at, ?1), stale = 1", micros(at), entry)
	return err
}

// orderAgain says who makes a lost object again.
func (t *tx) orderAgain(o objectRow, at time.Time) (err error) {
	switch {
	case o.purpose == PurposeMap: // by nobody: who wants it asks again
		if _, err := t.exec("UPDATE object SET lost = 0, released_at = ? WHERE id = ?", micros(at), o.id); err != nil {
			return err
		}
		_, err = t.stepDeliveries(EventDeliveryParked, lostDeliveries, "'"+notMadeAgain+"'", "state = 'parked', ended_at = ?1, reason = '"+notMadeAgain+"'", micros(at), o.entry)
		return err
	case o.purpose == "heatmap", o.purpose == "clip": // as pictures has it
		_, err = t.exec(`UPDATE job SET again = 1 WHERE again = 0 AND state = 'done' AND model = ?2 AND instance IN (
			SELECT id FROM instance WHERE sop_instance_uid = ?1 AND state <> 'conflict')`, o.source, o.model)
	case o.model != "":
		n, err := t.exec("UPDATE exam SET again = 1 WHERE study = ? AND model = ? AND revision = ?", o.study, o.model, o.revision)
		if err == nil && n == 0 { // a later revision says all that it says
			err = t.supersedeLost(o, "a later revision", at)
		}
		return err
	}
	if err == nil && o.model == "" { // the desk looks for them
		_, err = t.exec("UPDATE object SET lost = 1 WHERE id = ?", o.id)
	}
	return err
}

// supersedeLost ends the wait for a lost object that something else takes the place of.
func (t *tx) supersedeLost(o objectRow, by string, at time.Time) error {
	if _, err := t.exec("UPDATE object SET lost = 0, released_at = ? WHERE id = ?", micros(at), o.id); err != nil {
		return err
	}
	if o.twin {
		return nil
	}
	why := "'superseded by " + by + "'"
	_, err := t.stepDeliveries(EventDeliveryDiscarded, undeliveredOf, why, "state = 'discarded', ended_at = ?1, reason = "+why, micros(at), o.entry)
	if err == nil {
		err = t.goOn(o.entry, at)
	}
	return err
}

// orderLost orders what is lost of a study, and made from source or from all of them, once more: source is back.
func (t *tx) orderLost(study int64, source dicom.UID, at time.Time) error {
	lost, err := t.objects("WHERE o.study = ? AND o.lost > 0 AND o.source IN (?, '') ORDER BY o.id", study, source)
	if err != nil {
		return err
	}
	for _, o := range lost {
		if err := t.orderAgain(o, at); err != nil {
			return err
		}
		if err := t.sayLost(o, isMadeAgain); err != nil {
			return err
		}
	}
	return nil
}

// sayLost gives the deliveries that wait for a lost object their reason.
func (t *tx) sayLost(o objectRow, reason string) error {
	_, err := t.exec("UPDATE delivery AS d SET reason = ?1 WHERE "+forBytes, reason, o.entry)
	return err
}

// unmade says why lost objects cannot be made again.
func (t *tx) unmade(lost []objectRow, reason string, at time.Time) error {
	if strings.Contains(reason, LostBytes) {
		reason = lostSource
	} else {
		reason = "bytes lost: it cannot be made again: " + reason
	}
	for _, o := range lost {
		if err := t.sayLost(o, reason); err != nil {
			return err
		}
		e := event{study: o.study, instance: o.uid, entry: o.entry, what: EventDeliveryParked, at: at, detail: reason}
		if err := t.event(e); err != nil {
			return err
		}
	}
	return nil
}

// remade puts what was made again in the place of lost objects, matched by name. anew reports that some of it is another SOP
// Instance than before. missing are those of which nothing came.
func (t *tx) remade(lost []objectRow, made []Object, at time.Time) (anew bool, missing []objectRow, err error) {
	for _, o := range lost {
		i := slices.IndexFunc(made, func(m Object) bool { return m.Name == o.name })
		switch {
		case i < 0:
			missing = append(missing, o)
			continue
		case made[i].Digest == o.digest && made[i].Instance.SOPInstanceUID == o.uid:
			err = t.stand(o, made[i], at)
		default:
			anew, err = true, t.replace(o, made[i], at)
		}
		if err != nil {
			return anew, nil, err
		}
	}
	return anew, missing, nil
}

// stand puts the same bytes back where they stood.
func (t *tx) stand(o objectRow, made Object, at time.Time) error {
	for _, step := range []string{
		"UPDATE object SET entry = ?1, lost = 0, released_at = NULL WHERE entry = ?2",
		"UPDATE delivery SET used = ?1 WHERE used = ?2 AND entry = ?2",
		"UPDATE delivery SET entry = ?1 WHERE entry = ?2",
		"UPDATE delivery SET alternate = ?1 WHERE alternate = ?2 AND alternate <> ''",
		"UPDATE delivery SET waits_for = ?1 WHERE waits_for = ?2 AND waits_for <> '' AND state = 'pending'",
	} {
		if _, err := t.exec(step, made.Entry, o.entry); err != nil {
			return err
		}
	}
	_, err := t.stepDeliveries(EventDeliveryUnparked, forBytes, "'made again'", setPending, micros(at), made.Entry)
	if err != nil {
		return err
	}
	if _, err := t.parkUnconfigured(at); err != nil {
		return err
	}
	return t.event(event{study: o.study, instance: o.uid, entry: made.Entry, what: EventMade, at: at, detail: o.purpose + ", again"})
}

// replace puts another SOP Instance in the place of one that is lost. A twin comes with the object that it is of.
func (t *tx) replace(o objectRow, made Object, at time.Time) error {
	if o.twin {
		_, err := t.exec("UPDATE object SET lost = 0, released_at = ? WHERE id = ?", micros(at), o.id)
		return err
	}
	var err error
	made.Destinations, err = t.strings("SELECT destination FROM delivery WHERE entry = ? AND state <> 'discarded' ORDER BY id", o.entry)
	if err != nil {
		return err
	}
	if err := t.insertObject(o.study, "", made, at); err != nil {
		return err
	}
	for _, step := range []string{
		`UPDATE delivery SET (number, version) = (SELECT max(number), max(version) FROM delivery WHERE entry = ?2) WHERE entry = ?1`,
		"UPDATE delivery SET waits_for = ?1 WHERE waits_for = ?2 AND waits_for <> '' AND state = 'pending'",
	} {
		if _, err := t.exec(step, made.Entry, o.entry); err != nil {
			return err
		}
	}
	return t.supersedeLost(o, string(made.Instance.SOPInstanceUID), at)
}

// jobLost are the lost heatmaps and clips of a job.
func (t *tx) jobLost(j jobRow) ([]objectRow, error) {
	return t.objects("WHERE o.study = ? AND o.lost > 0 AND o.purpose IN "+pictures+" AND o.model = ? AND o.source = ? ORDER BY o.id", j.study, j.model, j.instance)
}

// finishAgain takes of a job that was done once more the heatmaps and clips that are lost.
func (t *tx) finishAgain(j jobRow, made []Object, at time.Time) error {
	lost, err := t.jobLost(j)
	if err != nil {
		return err
	}
	anew, missing, err := t.remade(lost, made, at)
	if err != nil {
		return err
	}
	if err := t.unmade(missing, "the analysis made no such picture this time; retract the result or discard", at); err != nil {
		return err
	}
	if _, err := t.exec("UPDATE job SET again = 0 WHERE id = ?", j.id); err != nil || !anew {
		return err
	}
	for _, o := range lost {
		i := slices.IndexFunc(made, func(m Object) bool { return m.Name == o.name })
		if i < 0 || made[i].Instance.SOPInstanceUID == o.uid {
			continue
		}
		if _, err := t.exec("UPDATE span SET findings = replace(findings, ?2, ?3) WHERE job = ?1", j.id, string(o.uid), string(made[i].Instance.SOPInstanceUID)); err != nil {
			return err
		}
	}
	return t.reviseReport(j.exam, at)
}

// reviseReport makes another revision of an exam's report due: it speaks of what has been replaced.
func (t *tx) reviseReport(exam int64, at time.Time) error {
	_, err := t.exec(`UPDATE exam SET state = 'open', reason = '', again = 0, version = version + 1, results = version + 1,
		since = ?2 WHERE id = ?1`, exam, micros(at))
	return err
}

// endAgain says why a job that was done once more did not give what is lost.
func (t *tx) endAgain(j jobRow, reason string, at time.Time) error {
	lost, err := t.jobLost(j)
	if err == nil {
		err = t.unmade(lost, reason, at)
	}
	if err == nil {
		_, err = t.exec("UPDATE job SET again = 0 WHERE id = ?", j.id)
	}
	if err != nil || !strings.Contains(reason, LostBytes) {
		return err
	}
	pages, err := t.objects("WHERE o.study = ? AND o.lost > 0 AND o.model = ''", j.study) // they wait for the pictures
	for _, o := range pages {
		err = errors.Join(err, t.sayLost(o, lostSource))
	}
	return err
}

const jobsAgain = selectJob + "WHERE j.again > 0 AND j.id > coalesce((SELECT id FROM job WHERE name = ?), 0) ORDER BY j.id LIMIT ?"

// JobsAgain returns at most limit jobs that are to be done once more, from the one after the job with the ID after, or from the
// first with "".
func (l *Ledger) JobsAgain(ctx context.Context, after string, limit int) ([]Job, error) {
	jobs, err := query(ctx, l.readDB, scanJob, jobsAgain, strings.TrimPrefix(after, againPrefix), limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: jobs again: %w", err)
	}
	for i := range jobs {
		jobs[i].again()
	}
	return jobs, nil
}

// again makes j the job that is done once more.
func (j *Job) again() {
	j.ID, j.Again, j.State, j.Attempts = againPrefix+j.ID, true, JobOpen, max(j.tries-1, 0)
	if j.tries == 0 {
		j.State = JobDone
	}
}

const examsAgain = selectExam + `WHERE e.again = 1 AND e.state = 'reported' AND NOT EXISTS (SELECT 1 FROM job j WHERE j.exam = e.id AND j.again > 0) ORDER BY e.id LIMIT 100`

// examsAgain are the exams whose report is made once more, of what its last revision had.
func (l *Ledger) examsAgain(ctx context.Context) ([]Exam, error) {
	exams, err := query(ctx, l.readDB, scanExam, examsAgain)
	for i := range exams {
		exams[i].Again, exams[i].Version = true, exams[i].covered
	}
	return exams, err
}

// RemakeReport takes of the objects of a report that was made once more those that are lost. What has come out otherwise is
// for another revision, which is due then: this one may be with somebody.
func (l *Ledger) RemakeReport(ctx context.Context, e Exam, objects []Object, at time.Time) error {
	err := l.act(ctx, "reports", &action{Name: "remake-report", Exam: nameOf(e), Objects: objects, At: at}, func(t *tx) error {
		lost, err := t.reportLost(e)
		if err != nil || len(lost) == 0 {
			return err
		}
		for _, o := range objects {
			if o.Alternate != nil {
				objects = append(objects, *o.Alternate)
			}
		}
		for _, o := range lost {
			if !slices.ContainsFunc(objects, func(m Object) bool { return m.Name == o.name && m.Digest == o.digest }) {
				return t.reviseReport(e.ID, at)
			}
		}
		if _, _, err := t.remade(lost, objects, at); err != nil {
			return err
		}
		_, err = t.exec("UPDATE exam SET again = 0 WHERE id = ?", e.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: make report on exam %d again: %w", e.ID, err)
	}
	return nil
}

// reportLost are the lost documents of e's model in e's study.
func (t *tx) reportLost(e Exam) ([]objectRow, error) {
	var again bool
	err := t.row("SELECT again FROM exam WHERE id = ? AND state = 'reported'", []any{e.ID}, &again)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !again {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return t.objects(`WHERE o.lost > 0 AND o.purpose NOT IN `+pictures+` AND o.model = ?2 AND o.study = (SELECT study FROM exam WHERE id = ?1) AND o.revision = (
		SELECT revision FROM exam WHERE id = ?1) ORDER BY o.id`, e.ID, e.Model)
}

// supersedeReports ends the wait for lost documents of a model in a study that a new revision takes the place of.
func (t *tx) supersedeReports(study int64, e Exam, at time.Time) error {
	lost, err := t.objects("WHERE o.study = ? AND o.lost > 0 AND o.purpose NOT IN "+pictures+" AND o.model = ? AND o.revision < ? ORDER BY o.id", study, e.Model, e.Revision)
	if err != nil {
		return err
	}
	for _, o := range lost {
		if err := t.supersedeLost(o, fmt.Sprintf("revision %d", e.Revision), at); err != nil {
			return err
		}
	}
	_, err = t.exec("UPDATE exam SET again = 0 WHERE id = ?", e.ID)
	return err
}

// parkAgain says why a report cannot be made once more.
func (t *tx) parkAgain(e Exam, reason string, at time.Time) error {
	lost, err := t.reportLost(e)
	if err == nil {
		err = t.unmade(lost, reason, at)
	}
	if err == nil {
		_, err = t.exec("UPDATE exam SET again = 0 WHERE id = ?", e.ID)
	}
	return err
}

// LostReport is a version of a draft of which an object is lost: the signed report, or its pages.
type LostReport struct {
	Study           dicom.UID
	Number, Version int
}

const lostReports = `SELECT DISTINCT s.study_instance_uid, d.number, d.version FROM object o
	JOIN delivery d ON d.entry = (SELECT entry FROM object m WHERE m.id = coalesce(o.twin_of, o.id)) AND d.number > 0
	JOIN study s ON s.id = o.study WHERE o.lost = 1 AND o.model = ''
	AND NOT EXISTS (SELECT 1 FROM object h JOIN delivery x ON x.entry = h.entry AND x.state IN ('pending', 'parked')
		WHERE h.study = o.study AND h.lost > 0 AND h.purpose = 'heatmap') LIMIT ?`

// LostReports returns at most limit versions of drafts of which something has to be made again, by RemakeDraft. Their pages
// show heatmaps: they wait for those that are made again too.
func (l *Ledger) LostReports(ctx context.Context, limit int) ([]LostReport, error) {
	lost, err := query(ctx, l.readDB, func(rows *sql.Rows) (r LostReport, err error) {
		return r, rows.Scan(&r.Study, &r.Number, &r.Version)
	}, lostReports, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: lost reports: %w", err)
	}
	return lost, nil
}

// RemakeDraft takes of the objects of a version of a draft that were made once more those that are lost. For those that
// are not among them reason says why.
func (l *Ledger) RemakeDraft(ctx context.Context, of LostReport, made []Outgoing, reason string, at time.Time) error {
	a := &action{Name: "remake-draft", Draft: &Draft{Study: of.Study, Number: of.Number, Version: of.Version}, Outgoing: made, Reason: reason, At: at}
	err := l.act(ctx, "desk", a, func(t *tx) error {
		lost, err := t.objects(`WHERE o.lost = 1 AND o.model = '' AND o.study = (SELECT id FROM study WHERE study_instance_uid = ?1) AND EXISTS (
			SELECT 1 FROM delivery d WHERE d.number = ?2 AND d.version = ?3 AND d.entry = (SELECT entry FROM object m WHERE m.id = coalesce(o.twin_of, o.id)))
			ORDER BY o.id`, of.Study, of.Number, of.Version)
		if err != nil {
			return err
		}
		var objects []Object
		for _, o := range made {
			if o.Kind != KindDICOM || slices.ContainsFunc(objects, func(m Object) bool { return m.Entry == o.Entry }) {
				continue
			}
			object := o.object(of.Version)
			if o.Alternate != nil {
				alternate := o.Alternate.object(of.Version)
				object.Alternate = &alternate
				objects = append(objects, alternate)
			}
			objects = append(objects, object)
		}
		_, missing, err := t.remade(lost, objects, at)
		if err != nil {
			return err
		}
		for _, o := range missing {
			if _, err := t.exec("UPDATE object SET lost = 2 WHERE id = ?", o.id); err != nil {
				return err
			}
		}
		return t.unmade(missing, reason, at)
	})
	if err != nil {
		return fmt.Errorf("ledger: make report of study %s again: %w", of.Study, err)
	}
	return nil
}
