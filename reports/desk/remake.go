package desk

import (
	"context"
	"errors"

	"endogate/dicomnode/ledger"
)

// remake makes what archives are to get of reports once more where its bytes are lost: of the version that it was made of.
func (d *Desk) remake(ctx context.Context) error {
	if d.Publisher == nil {
		return nil
	}
	lost, err := d.Ledger.LostReports(ctx, batch+len(d.retries))
	if err != nil {
		return err
	}
	for _, of := range lost {
		if held, ok := d.retries[of.Study]; ctx.Err() != nil || ok && !held.Over(d.now()) {
			continue
		}
		log := d.Log.With("study", of.Study, "number", of.Number, "version", of.Version)
		made, err := d.remade(ctx, of)
		switch {
		case ctx.Err() != nil:
			continue
		case err != nil && temporary(err) && !errors.Is(err, ledger.ErrNotFound):
			d.hold(of.Study)
			log.WarnContext(ctx, "report that was lost is not made again, will be tried again", "err", err)
			continue
		}
		reason := ledger.LostBytes
		if err != nil {
			reason = err.Error()
			log.ErrorContext(ctx, "report that was lost cannot be made again", "err", err)
		}
		delete(d.retries, of.Study)
		if err := d.Ledger.RemakeDraft(ctx, of, made, reason, d.now()); err != nil {
			return err
		}
		if d.Entered != nil {
			d.Entered(of.Study, true)
		}
	}
	return nil
}

func (d *Desk) remade(ctx context.Context, of ledger.LostReport) (made []ledger.Outgoing, err error) {
	defer d.recovered(ctx, of.Study, &err)
	doc, err := d.version(ctx, of.Study, of.Number, of.Version)
	if err != nil {
		return nil, err
	}
	return d.Publisher.Objects(ctx, doc)
}
