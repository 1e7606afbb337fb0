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

// OrderView is an order with how it stands beside others, and beside images.
type OrderView struct {
	Order
	ID        int64        `json:"-"`
	ChangedAt time.Time    `json:"-"`
	Contested bool         `json:"contested"` // an order of another patient has its accession number
	Studies   []OrderStudy `json:"studies"`   // in the ledger, that name it or that it names
}

// OrderStudy is how the images of an order's study stand at the gate.
type OrderStudy struct {
	StudyInstanceUID dicom.UID  `json:"study_uid"`
	Mismatches       []Mismatch `json:"mismatches"` // of images, order and patient
	Held             bool       `json:"held"`       // its results wait for a person
}

// AnyMismatch of a filter is all of them.
const AnyMismatch Mismatch = "any"

// studiesOfOrder are the studies s at their gates g of order o. One that a person has said to be of another order is not.
const studiesOfOrder = `study s JOIN gate g ON g.study = s.id WHERE s.forgotten_at IS NULL AND (g.correct_order IS NULL OR g.correct_order = o.id)
	AND s.id IN (SELECT id FROM study WHERE study_instance_uid = o.study_instance_uid
		UNION SELECT id FROM study WHERE o.accession <> '' AND accession_number IN (o.accession, substr(o.accession, 1, 16))
		UNION SELECT study FROM gate WHERE correct_order = o.id)`

var (
	contestedOrder  = fmt.Sprintf(contestedBy, "o")
	selectOrderView = "SELECT id, changed_at, patient, state, document, EXISTS (" + contestedOrder + `),
		(SELECT json_group_array(json_object('study_uid', s.study_instance_uid, 'mismatches', json(g.mismatches), 'held', json(iif(g.held, 'true', 'false')))
			ORDER BY s.id) FROM ` + studiesOfOrder + ") FROM imaging_order o "
)

func scanOrderView(rows *sql.Rows) (OrderView, error) {
	var v OrderView
	var state OrderState
	var patient Person
	err := rows.Scan(&v.ID, timeColumn{&v.ChangedAt}, jsonColumn{&patient}, &state, jsonColumn{&v.Order}, &v.Contested, jsonColumn{&v.Studies})
	v.Patient, v.State = patient, state
	return v, err
}

// OrderFilter picks orders. Empty fields pick all.
type OrderFilter struct {
	Accession, PatientID string
	StudyUID             dicom.UID
	Placer, Filler       string
	State                OrderState
	Mismatch             Mismatch // that its images have, or AnyMismatch; of contested also an order without images
	Limit                int      // 0: 100
	Offset               int
	After                Cursor
}

var errOrderState = errors.New("state is not one of open, in-progress, completed, cancelled")

func (f OrderFilter) where() (string, []any, error) {
	conditions, args := []string{"1"}, []any(nil)
	for _, c := range []struct{ column, value string }{
		{"accession", f.Accession},
		{"patient_id", f.PatientID},
		{"study_instance_uid", string(f.StudyUID)},
		{"placer", f.Placer},
		{"filler", f.Filler},
		{"state", string(f.State)},
	} {
		if c.value != "" {
			conditions, args = append(conditions, "o."+c.column+" = ?"), append(args, c.value)
		}
	}
	if !slices.Contains([]OrderState{"", OrderOpen, OrderStarted, OrderCompleted, OrderCancelled}, f.State) {
		return "", nil, errOrderState
	}
	switch f.Mismatch {
	case "":
	case AnyMismatch:
		conditions = append(conditions, "(EXISTS ("+contestedOrder+") OR EXISTS (SELECT 1 FROM "+studiesOfOrder+" AND g.mismatches <> '[]'))")
	default:
		conditions, args = append(conditions, "(EXISTS (SELECT 1 FROM "+studiesOfOrder+" AND EXISTS (SELECT 1 FROM json_each(g.mismatches) m WHERE m.value = ?)) OR ? = '"+
			string(MismatchContested)+"' AND EXISTS ("+contestedOrder+"))"), append(args, f.Mismatch, f.Mismatch)
	}
	return "WHERE " + strings.Join(conditions, " AND ") + " ", args, nil
}

// countOrders counts by the tally: however many there are, it costs the same.
const countOrders = "SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'order' AND (?1 = '' OR state = ?1)"

// isOfState says whether f picks by state alone, or all.
func (f OrderFilter) isOfState() bool {
	return f == OrderFilter{State: f.State, Limit: f.Limit, Offset: f.Offset, After: f.After}
}

// Orders returns a page of the orders that f picks, the one that was changed last first, and how many f picks in all.
func (l *Ledger) Orders(ctx context.Context, f OrderFilter) (page []OrderView, total int, err error) {
	where, args, err := f.where()
	if err == nil {
		count, values := "SELECT count(*) FROM imaging_order o "+where, args
		if f.isOfState() {
			count, values = countOrders, []any{f.State}
		}
		err = l.readDB.QueryRowContext(ctx, count, values...).Scan(&total)
	}
	if err == nil {
		if f.After.ID != "" {
			where, args = where+"AND (o.changed_at, o.id) < (?, CAST(? AS INTEGER)) ", append(args, micros(f.After.At), f.After.ID)
		}
		args = append(args, limit(f.Limit), f.Offset)
		page, err = query(ctx, l.readDB, scanOrderView, selectOrderView+where+"ORDER BY o.changed_at DESC, o.id DESC LIMIT ? OFFSET ?", args...)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: orders: %w", err)
	}
	return page, total, nil
}
