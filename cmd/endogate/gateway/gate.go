package gateway

import (
	"context"
	"errors"
	"fmt"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Release implements admin.Gates.
func (v *views) Release(ctx context.Context, uid dicom.UID, reason string, by draft.Author) (admin.Gate, error) {
	return v.decided(ctx, uid, v.ledger.ReleaseGate(ledger.By(ctx, person(by)), uid, reason, v.now()))
}

// Correct implements admin.Gates.
func (v *views) Correct(ctx context.Context, uid dicom.UID, c ledger.Correction, by draft.Author) (admin.Gate, error) {
	return v.decided(ctx, uid, v.ledger.CorrectGate(ledger.By(ctx, person(by)), uid, c, v.now()))
}

// decided returns how the study stands at the gate after a decision, and has what is due by it sent.
func (v *views) decided(ctx context.Context, uid dicom.UID, err error) (admin.Gate, error) {
	var no *ledger.Refusal
	if errors.As(err, &no) {
		return admin.Gate{}, fmt.Errorf("%w: %s", admin.ErrRefused, no.Why)
	}
	if err != nil {
		return admin.Gate{}, notFound(err)
	}
	for _, d := range v.destinations() {
		v.try(d.Name)
	}
	v.jobs()
	g, err := v.ledger.GateOf(ctx, uid)
	return admin.GateView(g), notFound(err)
}
