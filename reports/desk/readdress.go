package desk

import (
	"context"

	"endogate/dicomnode/ledger"
)

// readdress makes every message anew that waits to be sent of a signed report, and names a patient by an identity of before a
// merge or a correction. One that cannot be made is parked with the reason: it is tried once more when a person retries it.
func (d *Desk) readdress(ctx context.Context) error {
	if d.Publisher == nil {
		return nil
	}
	stale, err := d.Ledger.Stale(ctx, batch+len(d.retries))
	if err != nil {
		return err
	}
	for _, delivery := range stale {
		study := delivery.Instance.StudyInstanceUID
		if held, ok := d.retries[study]; ctx.Err() != nil || ok && !held.Over(d.now()) {
			continue
		}
		log := d.Log.With("study", study, "destination", delivery.Destination)
		err := d.addressed(ctx, delivery)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			delete(d.retries, study)
			log.InfoContext(ctx, "message of a signed report made anew: its patient has another identity")
		case temporary(err):
			d.hold(study)
			log.WarnContext(ctx, "message of a signed report not made anew for the patient's new identity, will be tried again", "err", err)
		default:
			log.ErrorContext(ctx, "a message of a signed report cannot be made anew for the patient's new identity: mend what it says, then retry", "err", err)
			if err := d.Ledger.Park(ctx, delivery.ID, ledger.Answer{}, err.Error(), d.now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// addressed puts a message that names the patient of today in the place of one that is to be sent.
func (d *Desk) addressed(ctx context.Context, delivery ledger.Delivery) (err error) {
	study := delivery.Instance.StudyInstanceUID
	defer d.recovered(ctx, study, &err)
	unlock, err := d.lock(ctx, study)
	if err != nil {
		return err
	}
	defer unlock()
	doc, err := d.version(ctx, study, delivery.Number, delivery.Version)
	if err != nil {
		return err
	}
	patient := doc.Patient
	if _, err := d.identify(ctx, study, &patient); err != nil {
		return err
	}
	message, err := d.Publisher.Readdress(ctx, doc, patient, delivery.Destination)
	if err != nil {
		return err
	}
	named := ledger.Person{Identifier: ledger.Identifier{ID: patient.ID, Authority: patient.Issuer}, Name: patient.Name, BirthDate: patient.BirthDate, Sex: patient.Sex}
	err = d.Ledger.Readdress(ctx, delivery.ID, message, named, later(d.now(), doc.At))
	if d.drop(ctx, err, []ledger.Outgoing{message}); err != nil {
		return err
	}
	if d.Entered != nil {
		d.Entered(study, true)
	}
	return nil
}
