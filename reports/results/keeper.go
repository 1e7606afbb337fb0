package results

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/inference"
	"endogate/reports"
)

// Keeper puts what the gateway makes into the spool, and reads what it is made from.
type Keeper struct {
	Spool  *spool.Spool
	Decode pixeldata.Options
	Now    func() time.Time
}

// Keep makes an object durable and returns its spool entry and the digest of its data set. A disk without room is a
// Postponed error.
func (k *Keeper) Keep(_ context.Context, o reports.Object) (id, digest string, err error) {
	entry, err := k.keep(o)
	return entry.ID, entry.Digest, hindered(err)
}

func (k *Keeper) keep(o reports.Object) (spool.Entry, error) {
	w, err := k.Spool.CreateMade()
	if err != nil {
		return spool.Entry{}, err
	}
	defer w.Abort() // nothing happens after Commit
	if _, err := io.Copy(w, bytes.NewReader(o.Dataset)); err != nil {
		return spool.Entry{}, err
	}
	return w.Commit(spool.Entry{Kind: spool.Derived, Header: o.Header, TransferSyntaxUID: o.TransferSyntaxUID, At: k.Now()})
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

// Entry is an open spool entry: what derived objects copy from it, and its frames.
type Entry struct {
	reports.Source
	Instance *pixeldata.Instance
	io.Closer
}

// Open opens a spool entry and reads it up to its pixel data. An entry that is gone for good is a Permanent error that
// wraps reports.ErrGone; so is, but for the former, one whose attributes cannot be read.
func (k *Keeper) Open(_ context.Context, id string) (*Entry, error) {
	entry, dataset, err := k.Spool.Open(id)
	if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
		return nil, inference.Permanent(fmt.Errorf("%w: %w", err, reports.ErrGone))
	}
	if err != nil {
		return nil, hindered(err)
	}
	ts, _ := dicom.LookupTransferSyntax(entry.TransferSyntaxUID)
	instance, err := pixeldata.Open(dataset, ts, k.Decode)
	if err == nil {
		err = k.lookAhead(instance, entry, ts)
	}
	if err == nil {
		source := reports.Source{Attributes: instance.Attributes, TransferSyntaxUID: entry.TransferSyntaxUID, Size: entry.Size}
		return &Entry{Source: source, Instance: instance, Closer: dataset}, nil
	}
	_ = dataset.Close()                                      // only read from
	if system := syscall.Errno(0); errors.As(err, &system) { // the disk, not the bytes
		return nil, hindered(err)
	}
	return nil, fmt.Errorf("spool entry %s: %w: %w", id, err, reports.ErrGone)
}

// lookAhead has i know what stands behind where it is read from: which fragments its frames are made of, and attributes that
// belong before Pixel Data. It reads the entry once more, so that whoever reads it straight through still has its digest checked.
func (k *Keeper) lookAhead(i *pixeldata.Instance, e spool.Entry, ts dicom.TransferSyntax) error {
	late := strings.Contains(e.Header.Remarks, dicom.RemarkLate)
	if !late && (!ts.Encapsulated || ts.Video || e.Header.NumberOfFrames < 2) {
		return nil
	}
	_, dataset, err := k.Spool.Open(e.ID)
	if err != nil {
		return err
	}
	defer dataset.Close()
	survey, err := pixeldata.Look(dataset, ts)
	if err == nil && late {
		i.Attributes, _, err = dicom.ReadWhole(bufio.NewReader(dataset), ts)
	}
	i.Surveyed(survey)
	return err
}

// Source reads the attributes that derived objects copy from a spool entry. Errors as Open.
func (k *Keeper) Source(ctx context.Context, id string) (reports.Source, error) {
	entry, err := k.Open(ctx, id)
	if err != nil {
		return reports.Source{}, err
	}
	return entry.Source, entry.Close()
}
