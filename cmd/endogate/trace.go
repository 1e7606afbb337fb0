package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"endogate/cmd/endogate/gateway"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

type traceCmd struct {
	Name string `arg:"" help:"Study or SOP Instance UID, or accession number."`
}

// Run reads the ledger's file, beside a gateway that is running or without one.
func (t *traceCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.LedgerFile()); err != nil {
		return fmt.Errorf("trace: %w; give --config, or data_dir in it", err)
	}
	l, err := ledger.OpenReadOnly(cfg.LedgerFile())
	if err != nil {
		return err
	}
	orders, err := ordersOf(ctx, l, t.Name)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	studies, err := l.Trace(ctx, t.Name)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return errors.Join(err, l.Close())
	}
	var shown []dicom.UID
	for _, s := range studies {
		shown = append(shown, s.StudyInstanceUID)
	}
	if failed := looked(ctx, cfg, "trace", shown); failed != nil {
		return errors.Join(failed, l.Close())
	}
	for _, o := range orders {
		fmt.Fprintf(tty.out, "order  accession %s  study %s  %s %s  from %s, %s\n", o.Accession, o.StudyInstanceUID, o.Priority, o.State, o.Sender, o.ChangedAt.Local().Format(clockTime))
	}
	switch {
	case errors.Is(err, ledger.ErrNotFound) && len(orders) > 0:
		fmt.Fprintln(tty.out, "no images of it yet")
		err = nil
	case errors.Is(err, ledger.ErrNotFound):
		err = fmt.Errorf("trace: not found in %s: searched for it as Study Instance UID, SOP Instance UID and accession number, each in full; "+
			"patients are not searched: the page's list of studies finds them by patient ID", cfg.LedgerFile())
	}
	for _, study := range studies {
		writeTrace(tty.out, study)
	}
	return errors.Join(err, l.Close())
}

// ordersOf returns the orders that have name as accession number or Study Instance UID.
func ordersOf(ctx context.Context, l *ledger.Ledger, name string) ([]ledger.OrderView, error) {
	orders, _, err := l.Orders(ctx, ledger.OrderFilter{Accession: name})
	if err != nil || len(orders) > 0 || !dicom.UID(name).Fileable() {
		return orders, err
	}
	orders, _, err = l.Orders(ctx, ledger.OrderFilter{StudyUID: dicom.UID(name)})
	return orders, err
}

func writeTrace(w io.Writer, d ledger.StudyDetail) {
	study := gateway.StudyView(d)
	fmt.Fprintf(w, "study %s  accession %s  %s\n", study.StudyInstanceUID, study.AccessionNumber, study.Status)
	if study.NotAnalysed > 0 {
		fmt.Fprintf(w, "  %s\n", strings.Join(append([]string{fmt.Sprintf("%d of %d instances not analysed", study.NotAnalysed, study.InstanceCount)}, study.NotAnalysedWhy...), "; "))
	}
	for _, i := range study.Instances {
		fmt.Fprintf(w, "  instance  %s  %s %s\n", i.SOPInstanceUID, i.State, i.Reason)
	}
	for _, delivery := range study.Deliveries {
		fmt.Fprintf(w, "  %-8s  %s  to %s: %s %s %s\n", delivery.Purpose, delivery.SOPInstanceUID, delivery.Destination, delivery.State, delivery.Status, delivery.Reason)
	}
	for _, e := range study.Timeline {
		fmt.Fprintf(w, "  %s\n", eventText(e))
	}
}
