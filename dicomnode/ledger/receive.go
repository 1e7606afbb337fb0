package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
)

// Position returns the Seq of the last spool entry that the ledger has taken in.
func (l *Ledger) Position(ctx context.Context) (uint64, error) {
	var n int64
	if err := l.readDB.QueryRowContext(ctx, "SELECT position FROM meta").Scan(&n); err != nil {
		return 0, fmt.Errorf("ledger: position: %w", err)
	}
	return uint64(n), nil
}

// Newest returns the highest Seq of the spool that the ledger knows of: of an entry taken in, or of actions.
func (l *Ledger) Newest(ctx context.Context) (uint64, error) {
	var n int64
	if err := l.readDB.QueryRowContext(ctx, "SELECT max(position, acted) FROM meta").Scan(&n); err != nil {
		return 0, fmt.Errorf("ledger: newest: %w", l.orTrouble(err))
	}
	return uint64(n), nil
}

// Receive takes in receipts, in the order of their Seq, and moves the position to position.
// It returns a verdict for each. Receipts that are in already change nothing and get the
// verdict they got before, so a batch that a crash cut short is simply given again. The entry
// of a duplicate is not needed once the caller has seen that the bytes of KeptAs are good: it releases it, or gives it
// again as the one to take the place of what was lost. A data set that comes again and was not
// analysed gets its jobs when its receipt has models now; one whose bytes are gone is restored.
func (l *Ledger) Receive(ctx context.Context, receipts []Receipt, position uint64) ([]Verdict, error) {
	var verdicts []Verdict
	receipts = slices.Clone(receipts) // what was lost is noted in them
	err := l.act(ctx, "follower", &action{Name: "receive", how: batched, Receipts: receipts, Position: position}, func(t *tx) error {
		b := newBatch(t)
		verdicts = make([]Verdict, len(receipts))
		var refused bool // anything at all, which is rare
		if err := t.row("SELECT position, EXISTS (SELECT 1 FROM need WHERE by = 'refused') FROM meta", nil, &b.position, &refused); err != nil {
			return err
		}
		for i, r := range receipts {
			var err error
			if verdicts[i], err = b.receive(r); err != nil {
				return fmt.Errorf("entry %s: %w", r.ID, err)
			}
			if !refused {
				continue
			}
			if _, err := b.exec("DELETE FROM need WHERE entry = ? AND by = 'refused'", r.ID); err != nil {
				return err
			}
		}
		return b.finish(position)
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: receive: %w", err)
	}
	return verdicts, nil
}

// batch is one call of Receive. What is of a study or exam is asked and written once in it, however many
// instances they get.
type batch struct {
	*tx
	position int64
	studies  map[dicom.UID]*arrivals
	exams    map[examKey]*arrivals
	urgency  map[dicom.UID]Priority // of studies
	claimed  map[claimed]bool
}

func newBatch(t *tx) *batch {
	return &batch{tx: t, studies: map[dicom.UID]*arrivals{}, exams: map[examKey]*arrivals{}, urgency: map[dicom.UID]Priority{}, claimed: map[claimed]bool{}}
}

// claimed is what an image says of a study, and how strict its route is with that.
type claimed struct {
	study int64
	claim claim
	gate  Gate
}

type examKey struct {
	study        int64
	route, model string
}

// arrivals is a study or exam that a batch has touched.
type arrivals struct {
	id                  int64
	first, last, newest time.Time // newest: of what came last, whatever the clock said
	version             int64     // exam
	ordered             bool      // study: it has an order
	said                map[studySaid]bool
}

// studySaid is what an image says of its study: what the ones before did not say is taken from it.
type studySaid struct {
	patientID, patientName, accession, date, time, description string
}

func (a *arrivals) add(at time.Time) {
	a.newest = at
	if at.After(a.last) {
		a.last = at
	}
}

func (b *batch) receive(r Receipt) (Verdict, error) {
	k, err := b.lookUp(r)
	if err != nil {
		return 0, err
	}
	switch {
	case k.in:
		return k.verdict, nil
	case k.verdict == Duplicate && k.id == 0:
		return Duplicate, b.forgotten(r)
	case k.verdict == Duplicate:
		return b.again(r, k)
	}
	return k.verdict, b.record(r, k.verdict)
}

// known is what the ledger has of a receipt's SOP Instance UID.
type known struct {
	verdict Verdict
	in      bool // this very entry

	// Of the duplicate, if its history is not forgotten:
	id, study int64
	entry     string
	route     string
	state     InstanceState
	released  bool
}

const lookUpInstances = `SELECT id, study, entry, route, state, released_at IS NOT NULL, digest FROM instance WHERE sop_instance_uid = ?1
	UNION ALL SELECT 0, 0, '', '', '', 0, digest FROM known WHERE sop_instance_uid = ?1 AND made = 0`

func (b *batch) lookUp(r Receipt) (known, error) {
	rows, err := b.rows(lookUpInstances, r.Header.SOPInstanceUID)
	if err != nil {
		return known{}, err
	}
	defer func() { _ = rows.Close() }()
	var k known
	for rows.Next() {
		row := known{verdict: Duplicate}
		var digest string
		if err := rows.Scan(&row.id, &row.study, &row.entry, &row.route, &row.state, &row.released, &digest); err != nil {
			return known{}, err
		}
		switch {
		case row.entry == r.ID && row.state == InstanceConflict:
			return known{verdict: Conflict, in: true}, nil
		case row.entry == r.ID:
			return known{verdict: New, in: true}, nil
		case digest == r.Digest && k.id == 0: // what is not forgotten says more
			k = row
		case k.verdict == New:
			k.verdict = Conflict
		}
	}
	return k, rows.Err()
}

// record writes a receipt that is kept.
func (b *batch) record(r Receipt, v Verdict) error {
	study, err := b.study(r)
	if err != nil {
		return err
	}
	in := instanceRow{r: r, study: study, state: InstanceQueued}
	switch {
	case v == Conflict:
		in.state, in.reason = InstanceConflict, "another data set of the same SOP Instance UID was received before"
	case r.Skip != "" || len(r.Models) == 0:
		in.state, in.reason = InstanceNotAnalysed, r.Skip
	}
	if in.id, err = b.insertInstance(in); err != nil {
		return err
	}
	if err := b.claims(study, r); err != nil {
		return err
	}
	if err := b.event(in.event(EventReceived, fmt.Sprintf("from %s, %d bytes", r.CallingAE, r.Size))); err != nil {
		return err
	}
	if h := r.Header; h.Remarks != "" {
		if err := b.event(in.event(EventRemarked, h.Remarks)); err != nil {
			return err
		}
	}
	switch in.state {
	case InstanceConflict:
		err = b.event(in.event(EventConflict, in.reason))
	case InstanceNotAnalysed:
		err = b.event(in.event(EventNotAnalysed, in.reason))
	}
	if err != nil {
		return err
	}
	if v != Conflict {
		if err := b.makeJobs(in); err != nil {
			return err
		}
		if b.studies[r.Header.StudyInstanceUID].ordered {
			if _, err := b.follow(studyName{study, r.Header.StudyInstanceUID}, newWork, r.At); err != nil {
				return err
			}
		}
	}
	return b.forward(in)
}

// instanceRow is a row of instance being made.
type instanceRow struct {
	r      Receipt
	id     int64
	study  int64
	state  InstanceState
	reason string

	screening string // that offers its jobs; empty: they are fresh
}

func (in instanceRow) event(what What, detail string) event {
	e := event{study: in.study, instance: in.r.Header.SOPInstanceUID, entry: in.r.ID, what: what, at: in.r.At, detail: detail}
	switch what {
	case EventReceived:
		e.by = in.r.sender()
	case EventQueued, EventNotAnalysed, EventRetried:
		e.by = Actor{Kind: ActorRoute, Name: in.r.Route}
	}
	return e
}

// sender is who sent the data set.
func (r Receipt) sender() Actor { return Actor{Kind: ActorPeer, Name: r.CallingAE} }

const upsertStudy = `INSERT INTO study
	(study_instance_uid, patient_id, patient_name, accession_number, study_date, study_time, study_description, first_at, last_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?8, ?8)
	ON CONFLICT (study_instance_uid) DO UPDATE SET
		patient_id = coalesce(nullif(patient_id, ''), excluded.patient_id),
		patient_name = coalesce(nullif(patient_name, ''), excluded.patient_name),
		accession_number = coalesce(nullif(accession_number, ''), excluded.accession_number),
		study_date = coalesce(nullif(study_date, ''), excluded.study_date),
		study_time = coalesce(nullif(study_time, ''), excluded.study_time),
		study_description = coalesce(nullif(study_description, ''), excluded.study_description),
		last_at = max(last_at, excluded.last_at), forgotten_at = NULL
	RETURNING id, accession_number`

func (b *batch) study(r Receipt) (int64, error) {
	h := r.Header
	a, ok := b.studies[h.StudyInstanceUID]
	if !ok {
		a = &arrivals{first: r.At, last: r.At, said: map[studySaid]bool{}}
		b.studies[h.StudyInstanceUID] = a
	}
	said := studySaid{h.PatientID, h.PatientName, h.AccessionNumber, h.StudyDate, h.StudyTime, h.StudyDescription}
	if !a.said[said] {
		a.said[said] = true
		var accession string
		nameless, err := b.withoutAccession(said, h.StudyInstanceUID)
		if err != nil {
			return 0, err
		}
		err = b.row(upsertStudy, []any{
			h.StudyInstanceUID, h.PatientID, h.PatientName, h.AccessionNumber,
			h.StudyDate, h.StudyTime, h.StudyDescription, micros(r.At),
		}, &a.id, &accession)
		if err != nil {
			return 0, err
		}
		if err := b.fileMessages(studyName{a.id, h.StudyInstanceUID}, accession); err != nil {
			return 0, err
		}
		if _, a.ordered, err = b.orderOf(h.StudyInstanceUID); err != nil {
			return 0, err
		}
		delete(b.urgency, h.StudyInstanceUID) // the order may be one that it says
		if nameless && a.ordered {
			if err := b.hurry(studyName{a.id, h.StudyInstanceUID}); err != nil {
				return 0, err
			}
		}
	}
	a.add(r.At)
	return a.id, nil
}

// withoutAccession reports whether said has the first accession number of a study that there is: its jobs may be of an order then.
func (b *batch) withoutAccession(said studySaid, study dicom.UID) (is bool, err error) {
	if said.accession == "" {
		return false, nil
	}
	err = b.row("SELECT accession_number = '' FROM study WHERE study_instance_uid = ?", []any{study}, &is)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return is, err
}

const insertInstance = `INSERT INTO instance
	(entry, seq, study, series_instance_uid, sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling_ae, called_ae,
	 received_at, size, digest, route, instance_number, header, state, reason, held)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func (b *batch) insertInstance(in instanceRow) (int64, error) {
	r, h := in.r, in.r.Header
	h.SOPInstance = dicom.SOPInstance{} // has columns of its own
	header, err := json.Marshal(h)
	if err != nil {
		return 0, err
	}
	at := r.Header.SOPInstance
	return b.insert(insertInstance, r.ID, int64(r.Seq), in.study, at.SeriesInstanceUID, at.SOPClassUID, at.SOPInstanceUID,
		r.TransferSyntaxUID, r.CallingAE, r.CalledAE, micros(r.At), r.Size, r.Digest, r.Route, h.InstanceNumber,
		string(header), in.state, in.reason, in.held())
}

// held says whether the bytes are kept until a person decides: nobody else has them, or someone has others.
func (in instanceRow) held() bool {
	return in.state == InstanceConflict || len(in.r.Models) == 0 && len(in.r.Forward) == 0
}

// makeJobs makes the jobs of an instance, or with Skip the rows that let its exams know of it.
func (b *batch) makeJobs(in instanceRow) error {
	state := JobOpen
	if in.state == InstanceNotAnalysed {
		state = JobSkipped
	}
	for _, model := range in.r.Models {
		exam, err := b.exam(in, model)
		if err != nil {
			return err
		}
		if err := b.makeJob(in, model, state, exam); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) makeJob(in instanceRow, model string, state JobState, exam *arrivals) error {
	id := JobID(in.r.ID, model)
	if state == JobOpen {
		priority, err := b.priority(in.r.Header.StudyInstanceUID)
		if err != nil {
			return err
		}
		n, err := b.exec("INSERT INTO job (name, instance, study, exam, model, priority, source, screening, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open') ON CONFLICT (name) DO NOTHING",
			id, in.id, in.study, exam.id, model, priority, in.source(), in.screening)
		if err != nil || n == 0 {
			return err
		}
		return b.event(in.event(EventQueued, "for "+model))
	}
	_, err := b.exec(`INSERT INTO job (name, instance, study, exam, model, state, ended_at, version, reason)
		VALUES (?, ?, ?, ?, ?, 'skipped', ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
		id, in.id, in.study, exam.id, model, micros(in.r.At), exam.version, in.reason)
	if err != nil {
		return err
	}
	_, err = b.exec("UPDATE exam SET results = version WHERE id = ?", exam.id)
	return err
}

// priority is priorityOf, asked once for a study.
func (b *batch) priority(study dicom.UID) (Priority, error) {
	if p, known := b.urgency[study]; known {
		return p, nil
	}
	p, err := b.priorityOf(study)
	b.urgency[study] = p
	return p, err
}

const upsertExam = `INSERT INTO exam (study, route, model, state, first_at, last_at, quiet_at, since, version, destinations)
	VALUES (?1, ?2, ?3, 'open', ?4, ?4, ?4, ?4, 1, ?5)
	ON CONFLICT (study, route, model) DO UPDATE SET
		destinations = excluded.destinations,
		last_at = max(last_at, excluded.last_at), quiet_at = excluded.quiet_at,
		since = iif(state = 'open', since, excluded.since),
		version = version + 1, state = 'open', reason = ''
	RETURNING id, version`

// exam returns the exam of an instance, which has something new in it from now on.
func (b *batch) exam(in instanceRow, model string) (*arrivals, error) {
	key := examKey{in.study, in.r.Route, model}
	a, ok := b.exams[key]
	if !ok {
		a = &arrivals{first: in.r.At, last: in.r.At}
		err := b.row(upsertExam, []any{in.study, in.r.Route, model, micros(in.r.At), namesText(in.r.Destinations)}, &a.id, &a.version)
		if err != nil {
			return nil, err
		}
		b.exams[key] = a
	}
	a.add(in.r.At)
	return a, nil
}

// forward makes the deliveries of the data set itself. Those of a conflict wait for a person:
// the modality was told that we have it, but a PACS may take one of the two for the other.
func (b *batch) forward(in instanceRow) error {
	d := Delivery{
		Kind: KindDICOM, Entry: in.r.ID, Instance: in.r.Header.SOPInstance, TransferSyntaxUID: in.r.TransferSyntaxUID,
		Purpose: "source", Rank: RankSource, State: DeliveryPending, NextAt: in.r.At,
	}
	if in.state == InstanceConflict {
		d.State, d.Reason = DeliveryParked, in.reason
	}
	return b.deliver(in.study, d, in.r.Forward, in.r.At)
}

// finish writes what the batch has gathered.
func (b *batch) finish(position uint64) error {
	for _, a := range b.studies {
		if a.last.After(a.first) {
			if _, err := b.exec("UPDATE study SET last_at = max(last_at, ?) WHERE id = ?", micros(a.last), a.id); err != nil {
				return err
			}
		}
	}
	for _, a := range b.exams {
		if !a.newest.Equal(a.first) {
			if _, err := b.exec("UPDATE exam SET last_at = max(last_at, ?), quiet_at = ? WHERE id = ?", micros(a.last), micros(a.newest), a.id); err != nil {
				return err
			}
		}
	}
	_, err := b.exec("UPDATE meta SET position = max(position, ?)", int64(position))
	return err
}
