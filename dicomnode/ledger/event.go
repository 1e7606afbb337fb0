package ledger

import (
	"time"

	"endogate/dicomnode/dicom"
)

// event is a row of the timeline to write.
type event struct {
	study       int64
	instance    dicom.UID
	entry       string
	what        What
	at          time.Time
	destination string
	answer      Answer
	detail      string
	by          Actor  // zero: who does what is being done
	merge       string // events of the same key become one row with a count
}

const insertEvent = `INSERT INTO event
	(study, sop_instance_uid, entry, what, at, last_at, destination, protocol, code, text, detail, merge, actor_kind, actor)
	VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, nullif(?11, ''), ?12, ?13)
	ON CONFLICT (merge) DO UPDATE SET count = count + 1, last_at = excluded.last_at, text = excluded.text, detail = excluded.detail`

func (t *tx) event(e event) error {
	if e.by == (Actor{}) {
		e.by = t.by
	}
	_, err := t.exec(insertEvent, e.study, e.instance, e.entry, e.what, micros(e.at), e.destination,
		e.answer.Protocol, e.answer.Code, e.answer.Text, e.detail, e.merge, e.by.Kind, e.by.Name)
	return err
}
