package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// Direction says who has sent a message.
type Direction string

// The directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Message is a message of another protocol than DICOM, as it was received or sent. Its bytes are in the spool until
// ReleaseMessages.
type Message struct {
	Entry       string    `json:"entry"` // in the spool
	Direction   Direction `json:"direction"`
	Application string    `json:"application"` // of the sender: MSH-3
	Facility    string    `json:"facility"`    // MSH-4
	ControlID   string    `json:"control_id"`  // MSH-10
	Digest      string    `json:"digest"`      // SHA-256, hex, of what makes it another one than those of the same control ID
	Size        int64     `json:"size"`
	Type        string    `json:"type"`           // such as ORM^O01
	Note        string    `json:"note,omitempty"` // what it is about; no patient data
	Answer      Answer    `json:"answer"`
	Subjects    []Subject `json:"subjects,omitempty"`
	At          time.Time `json:"at"`

	// Only in views.
	LastAt   time.Time `json:"-"` // it came again
	Count    int       `json:"-"`
	Released bool      `json:"-"` // its bytes are gone
}

// sender is who gave numbers that no authority is said of.
func (m Message) sender() string { return m.Application + "|" + m.Facility }

// Subject is a study that a message is about, as the message names it. Any may be empty.
type Subject struct {
	StudyInstanceUID dicom.UID `json:"study_uid"`
	Accession        string    `json:"accession"`
	// Numbers of its order. What that says takes the place of what is empty here.
	Placer Identifier `json:"placer,omitzero"`
	Filler Identifier `json:"filler,omitzero"`
}

// Inbound is a message that was received, with what it asks for.
type Inbound struct {
	Message
	Patients []PatientChange `json:"patients,omitempty"`
	Orders   []OrderChange   `json:"orders,omitempty"`
	Readings []ReportReading `json:"readings,omitempty"` // what its reports say
}

// Refusal is why a message changes nothing: it asks for what cannot be done. Its text goes to the sender.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return "ledger: refused: " + r.Why }

// refusedCode answers a message that is refused for what it asks: an application error (HL7 table 0008).
const refusedCode = "AE"

// Taken is what became of a message.
type Taken struct {
	Answer Answer
	// Again is the entry that was received as the same message before, with the same answer: nothing was done, and the new
	// entry is not needed.
	Again string
	// Changed are the studies in the ledger that an order was changed for.
	Changed []dicom.UID
	// Late is of how many studies an order was cancelled too late: work was done, or under way.
	Late int
	// Contested says that it leaves orders of different patients with one accession number.
	Contested bool
}

// TakeMessage does all that a message asks for and remembers it with its answer, or, where a part of it cannot be done,
// does nothing and remembers why. A message of the same sender, control ID and digest as one that was done is answered as
// that one was, and done once; one that was refused is tried again.
func (l *Ledger) TakeMessage(ctx context.Context, m Inbound) (Taken, error) {
	var taken Taken
	m.Direction = In
	err := l.act(ctx, "hl7", &action{Name: "take-message", Inbound: &m, At: m.At}, func(t *tx) (err error) {
		taken, err = t.takeMessage(m)
		return err
	})
	if err != nil {
		return Taken{}, fmt.Errorf("ledger: message: %w", err)
	}
	return taken, nil
}

func (t *tx) takeMessage(m Inbound) (Taken, error) {
	taken, err := t.cameBefore(m.Message)
	if err != nil || taken.Again != "" {
		return taken, err
	}
	taken.Answer = m.Answer
	var no *Refusal
	err = t.tentative(func() (err error) {
		return t.changes(&m, &taken)
	})
	switch {
	case errors.As(err, &no):
		taken = Taken{Answer: Answer{taken.Answer.Protocol, refusedCode, no.Why}}
	case err != nil:
		return Taken{}, err
	}
	m.Answer = taken.Answer
	if no == nil {
		if err := t.insertReadings(m); err != nil { // before the message is filed, which has its studies looked at
			return Taken{}, err
		}
	}
	return taken, t.insertMessage(m.Message)
}

// changes does what m asks for and says in taken what has changed by it. The studies that have another order or patient then
// are subjects of m, too.
func (t *tx) changes(m *Inbound, taken *Taken) error {
	if err := t.byNumber(m); err != nil {
		return err
	}
	for _, c := range m.Patients {
		_, followed, err := t.changePatient(c, m.sender(), m.At)
		if err != nil {
			return err
		}
		taken.Changed = append(taken.Changed, followed...)
		for _, study := range followed {
			m.Subjects = append(m.Subjects, Subject{StudyInstanceUID: study})
		}
	}
	for _, c := range m.Orders {
		o, followed, err := t.changeOrder(c, m.Message)
		if err != nil {
			return err
		}
		taken.Changed, taken.Late = append(taken.Changed, followed.studies...), taken.Late+followed.late
		of, err := t.contested(o.Accession)
		if err != nil {
			return err
		}
		if of && !taken.Contested {
			taken.Contested = true
			m.Note = strings.TrimPrefix(m.Note+"; "+MismatchContested.String(), "; ")
		}
		if s := (Subject{StudyInstanceUID: o.StudyInstanceUID, Accession: o.Accession}); !slices.Contains(m.Subjects, s) {
			m.Subjects = append(m.Subjects, s)
		}
	}
	slices.Sort(taken.Changed)
	taken.Changed = slices.Compact(taken.Changed)
	return nil
}

// byNumber finds the studies that m names by numbers of their orders alone. A number that no order has says nothing where any
// study is named otherwise, too.
func (t *tx) byNumber(m *Inbound) error {
	var named []Subject
	for _, s := range m.Subjects {
		if s.Placer.ID+s.Filler.ID != "" {
			o, err := t.findOrder(Order{Accession: s.Accession, Placer: s.Placer, Filler: s.Filler, Sender: m.Application})
			if err != nil {
				return err
			}
			s.StudyInstanceUID, s.Accession = cmp.Or(s.StudyInstanceUID, o.StudyInstanceUID), cmp.Or(s.Accession, o.Accession)
		}
		if s.StudyInstanceUID != "" || s.Accession != "" {
			named = append(named, s)
		}
	}
	if len(named) == 0 && len(m.Subjects) > 0 {
		return &Refusal{"no order has this placer or filler number, and the message names neither accession number nor study"}
	}
	m.Subjects = named
	return nil
}

// tentative undoes what do did when it is refused.
func (t *tx) tentative(do func() error) error {
	if _, err := t.exec("SAVEPOINT tentative"); err != nil {
		return err
	}
	err := do()
	var no *Refusal
	if errors.As(err, &no) {
		if _, err := t.exec("ROLLBACK TO tentative"); err != nil {
			return err
		}
	} else if err != nil {
		return err // all of the action is undone
	}
	if _, err := t.exec("RELEASE tentative"); err != nil {
		return err
	}
	return err
}

const messageAgain = `SELECT entry, protocol, code, text FROM message
	WHERE application = ? AND facility = ? AND control_id = ? AND direction = 'in' AND digest = ? AND code = ? ORDER BY id LIMIT 1`

// cameBefore looks for the message among those that were done.
func (t *tx) cameBefore(m Message) (Taken, error) {
	var taken Taken
	a := &taken.Answer
	err := t.row(messageAgain, []any{m.Application, m.Facility, m.ControlID, m.Digest, m.Answer.Code}, &taken.Again, &a.Protocol, &a.Code, &a.Text)
	if errors.Is(err, sql.ErrNoRows) {
		return Taken{}, nil
	}
	if err != nil {
		return Taken{}, err
	}
	_, err = t.exec("UPDATE message SET count = count + 1, last_at = max(last_at, ?) WHERE entry = ?", micros(m.At), taken.Again)
	return taken, err
}

// insertMessage writes a message and files it to the studies in the ledger that it is about.
func (t *tx) insertMessage(m Message) error {
	id, err := t.insert(`INSERT INTO message
		(entry, direction, application, facility, control_id, digest, size, type, note, protocol, code, text, at, last_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?13, ?13)`,
		m.Entry, m.Direction, m.Application, m.Facility, m.ControlID, m.Digest, m.Size, m.Type, m.Note,
		m.Answer.Protocol, m.Answer.Code, m.Answer.Text, micros(m.At))
	if err != nil {
		return err
	}
	for _, s := range m.Subjects {
		if _, err := t.exec("INSERT INTO subject VALUES (?, ?, ?)", id, s.StudyInstanceUID, s.Accession); err != nil {
			return err
		}
		studies, err := t.studiesOf(s)
		if err != nil {
			return err
		}
		for _, study := range studies {
			if err := t.fileMessage(study.id, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// studyName is a row of study and the UID that it has in all databases.
type studyName struct {
	id  int64
	uid dicom.UID
}

// namedStudies are those by UID, and those by accession number, that are not forgotten.
const namedStudies = `SELECT id, study_instance_uid FROM study WHERE study_instance_uid = ?1 AND forgotten_at IS NULL
	UNION SELECT id, study_instance_uid FROM study WHERE accession_number IN (?2, ?3) AND ?2 <> '' AND forgotten_at IS NULL ORDER BY 1`

// studiesOf returns the studies in the ledger that have the UID or the accession number, which modalities may have cut.
func (t *tx) studiesOf(s Subject) ([]studyName, error) {
	rows, err := t.rows(namedStudies, s.StudyInstanceUID, s.Accession, cutAccession(s.Accession))
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (n studyName, err error) {
		return n, rows.Scan(&n.id, &n.uid)
	})
}

// fileMessage puts a message that was received into the timeline of a study, once. What is sent has the steps of its
// deliveries there.
func (t *tx) fileMessage(study int64, m Message) error {
	if m.Direction != In {
		return nil
	}
	merge := fmt.Sprintf("message %s %d", m.Entry, study)
	var there bool
	if err := t.row("SELECT EXISTS (SELECT 1 FROM event WHERE merge = ?)", []any{merge}, &there); err != nil || there {
		return err
	}
	detail := m.Type + " from " + m.Application
	if m.Note != "" {
		detail += ": " + m.Note
	}
	return t.event(event{
		study: study, entry: m.Entry, what: EventMessage, at: m.At, answer: m.Answer, detail: detail, merge: merge,
		by: Actor{Kind: ActorPeer, Name: m.Application},
	})
}

var messagesAbout = selectMessage + `WHERE id IN (SELECT message FROM subject WHERE study_instance_uid = ?1 AND study_instance_uid <> ''
	UNION SELECT message FROM subject WHERE accession = ?2 AND accession <> ''
	UNION SELECT message FROM subject u WHERE u.accession <> '' AND ` + fmt.Sprintf(beginsAs, "u", "?2") + `) ORDER BY id`

// fileMessages puts the messages that were received on a study before it was into its timeline.
func (t *tx) fileMessages(study studyName, accession string) error {
	rows, err := t.rows(messagesAbout, study.uid, accession)
	if err != nil {
		return err
	}
	messages, err := scanAll(rows, scanMessage)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := t.fileMessage(study.id, m); err != nil {
			return err
		}
	}
	return nil
}

const selectMessage = `SELECT entry, direction, application, facility, control_id, digest, size, type, note, protocol, code, text, at, last_at,
	count, released_at IS NOT NULL FROM message `

func scanMessage(rows *sql.Rows) (Message, error) {
	var m Message
	err := rows.Scan(&m.Entry, &m.Direction, &m.Application, &m.Facility, &m.ControlID, &m.Digest, &m.Size, &m.Type, &m.Note,
		&m.Answer.Protocol, &m.Answer.Code, &m.Answer.Text, timeColumn{&m.At}, timeColumn{&m.LastAt}, &m.Count, &m.Released)
	return m, err
}

// Message returns the message whose bytes are, or were, the spool entry.
func (l *Ledger) Message(ctx context.Context, entry string) (Message, error) {
	found, err := query(ctx, l.readDB, scanMessage, selectMessage+"WHERE entry = ?", entry)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Message{}, fmt.Errorf("ledger: message %s: %w", entry, err)
	}
	return found[0], nil
}

// MessageFilter picks messages. Empty fields pick all.
type MessageFilter struct {
	StudyUID  dicom.UID // that the message names
	Accession string    // that it names
	Type      string    // such as ORM^O01
	Answer    string    // code that it was answered
	Limit     int       // 0: 100
	Offset    int
	After     Cursor
}

const (
	countMessages = `SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'message' AND (?1 = '' OR name = ?1) AND (?2 = '' OR state = ?2)`
	subjectsOf    = `SELECT study_instance_uid, accession FROM subject s JOIN message m ON m.id = s.message WHERE m.entry = ? ORDER BY s.rowid`
)

// Messages returns a page of the messages that f picks, the last first, with what they are about, and how many f picks in all.
func (l *Ledger) Messages(ctx context.Context, f MessageFilter) (page []Message, total int, err error) {
	where, args := "WHERE TRUE ", []any(nil)
	pick := func(condition, value string) { // what is not asked for is no condition, so that the index of what is serves
		if value != "" {
			where, args = where+"AND "+condition+" ", append(args, value)
		}
	}
	pick("id IN (SELECT message FROM subject WHERE study_instance_uid = ? AND study_instance_uid <> '')", string(f.StudyUID))
	pick("id IN (SELECT message FROM subject WHERE accession = ? AND accession <> '')", f.Accession)
	pick("type = ?", f.Type)
	pick("code = ?", f.Answer)
	if f.StudyUID == "" && f.Accession == "" {
		err = l.readDB.QueryRowContext(ctx, countMessages, f.Type, f.Answer).Scan(&total)
	} else {
		err = l.readDB.QueryRowContext(ctx, "SELECT count(*) FROM message "+where, args...).Scan(&total)
	}
	pick("id < (SELECT id FROM message WHERE entry = ?)", f.After.ID)
	if err == nil {
		page, err = query(ctx, l.readDB, scanMessage, selectMessage+where+"ORDER BY id DESC LIMIT ? OFFSET ?", append(args, limit(f.Limit), f.Offset)...)
	}
	for i := range page {
		if err == nil {
			page[i].Subjects, err = query(ctx, l.readDB, scanSubject, subjectsOf, page[i].Entry)
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: messages: %w", err)
	}
	return page, total, nil
}

func scanSubject(rows *sql.Rows) (s Subject, err error) {
	return s, rows.Scan(&s.StudyInstanceUID, &s.Accession)
}

var releasableMessages = `SELECT m.entry FROM message m WHERE m.released_at IS NULL AND m.at < ? ` + nothingNeeds("m") + ` ORDER BY m.at LIMIT ?`

// ReleaseMessages marks at most limit messages as released that were received or made before the given time and that no
// delivery needs. The caller releases their entries in the spool; that there was such a message stays known.
func (l *Ledger) ReleaseMessages(ctx context.Context, before time.Time, limit int, at time.Time) (entries []string, err error) {
	if l.replaying == nil {
		some, err := query(ctx, l.readDB, scanString, releasableMessages, micros(before), 1)
		if err != nil {
			return nil, fmt.Errorf("ledger: release messages: %w", err)
		}
		if len(some) == 0 {
			return nil, nil // nothing that the journal need know
		}
	}
	a := &action{Name: "release-messages", Until: before, Limit: limit, At: at}
	err = l.act(ctx, "reclaimer", a, func(t *tx) error {
		if entries, err = t.strings(releasableMessages, micros(before), limit); err != nil {
			return err
		}
		for _, entry := range entries {
			if _, err := t.exec("UPDATE message SET released_at = ? WHERE entry = ?", micros(at), entry); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: release messages: %w", err)
	}
	return entries, nil
}
