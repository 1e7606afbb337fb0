package results

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/spool"
	"endogate/inference"
	"endogate/reports"
)

// Keeper puts what the gateway makes into the spool, and reads what it is made from.
type Keeper struct {
	Spool *spool.Spool
	Now   func() time.Time
}

// Keep makes an object durable and returns its spool entry. A disk without room is a Postponed error.
func (k *Keeper) Keep(_ context.Context, o reports.Object) (string, error) {
	id, err := k.keep(o)
	return id, hindered(err)
}

func (k *Keeper) keep(o reports.Object) (string, error) {
	w, err := k.Spool.Create()
	if err != nil {
		return "", err
	}
	defer w.Abort() // nothing happens after Commit
	if _, err := io.Copy(w, bytes.NewReader(o.Dataset)); err != nil {
		return "", err
	}
	entry, err := w.Commit(spool.Entry{Kind: spool.Derived, Header: o.Header, TransferSyntaxUID: o.TransferSyntaxUID, At: k.Now()})
	return entry.ID, err
}

// hindered marks errors of the system, such as a full disk or too many open files, for which no job is at fault.
// Bytes that cannot be read are of their entry: they count, or the job would never come to an end.
func hindered(err error) error {
	var system syscall.Errno
	if errors.As(err, &system) && system != syscall.EIO {
		return inference.Postponed(err)
	}
	return err
}

// Source reads the attributes that derived objects copy from a spool entry.
func (k *Keeper) Source(_ context.Context, id string) (reports.Source, error) {
	entry, dataset, err := k.Spool.Open(id)
	if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
		return reports.Source{}, inference.Permanent(fmt.Errorf("%w: %w", err, reports.ErrGone))
	}
	if err != nil {
		return reports.Source{}, hindered(err)
	}
	defer dataset.Close()
	ts, _ := dicom.LookupTransferSyntax(entry.TransferSyntaxUID)
	attributes, err := dicom.ReadAttributes(dataset, ts)
	var system syscall.Errno
	switch {
	case errors.As(err, &system): // the disk, not the bytes
		return reports.Source{}, hindered(err)
	case err != nil:
		return reports.Source{}, fmt.Errorf("spool entry %s: %w: %w", id, err, reports.ErrGone)
	}
	return reports.Source{Attributes: attributes, TransferSyntaxUID: entry.TransferSyntaxUID, Size: entry.Size}, nil
}

// Dataset opens the data set of a spool entry for a worker.
func (k *Keeper) Dataset(_ context.Context, id string) (io.ReadCloser, dicom.TransferSyntax, error) {
	entry, dataset, err := k.Spool.Open(id)
	if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
		return nil, dicom.TransferSyntax{}, inference.Permanent(err)
	}
	if err != nil {
		return nil, dicom.TransferSyntax{}, hindered(err)
	}
	ts, _ := dicom.LookupTransferSyntax(entry.TransferSyntaxUID)
	return dataset, ts, nil
}
