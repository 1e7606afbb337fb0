package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/spool"
)

// Receiver takes instances off associations into the spool. Its fields are set before the first Store.
type Receiver struct {
	Spool  *spool.Spool
	Now    func() time.Time
	Stored func(callingAE string, size int64) // called for each instance that is durable
	Log    *slog.Logger
}

// Store returns nil once the instance is in the spool, synced.
// What happens to it next is the follower's business: it reads the same spool.
func (r *Receiver) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	ts, ok := dicom.LookupTransferSyntax(req.TransferSyntax)
	if !ok {
		return &dimse.Error{Status: dimse.CannotUnderstand, Comment: "transfer syntax is unknown"}
	}
	w, err := r.Spool.Create()
	if err != nil {
		return err
	}
	defer w.Abort() // nothing happens after Commit
	received := io.TeeReader(req.Dataset, w)
	header, err := ReadHeader(received, ts, req)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, received); err != nil {
		return fmt.Errorf("receive: data set broke off: %w", err)
	}
	entry, err := w.Commit(spool.Entry{
		Kind:              spool.Received,
		Header:            header,
		TransferSyntaxUID: req.TransferSyntax,
		CallingAE:         string(req.CallingAE),
		CalledAE:          string(req.CalledAE),
		RemoteAddr:        req.RemoteAddr,
		At:                r.Now(),
	})
	if err != nil {
		return err
	}
	r.Stored(entry.CallingAE, entry.Size)
	r.Log.Info("instance received", "sop_instance_uid", header.SOPInstanceUID, "study_instance_uid", header.StudyInstanceUID,
		"calling_ae", req.CallingAE, "bytes", entry.Size, "entry", entry.ID)
	return nil
}

// ReadHeader reads the attributes that the instance is filed by and holds them against the command (PS3.4 B.2.3).
func ReadHeader(r io.Reader, ts dicom.TransferSyntax, req *dicomnode.StoreRequest) (dicom.Header, error) {
	attributes, err := dicom.ReadAttributes(r, ts)
	switch {
	case errors.Is(err, dicom.ErrCorrupt), errors.Is(err, dicom.ErrTooLarge), errors.Is(err, io.ErrUnexpectedEOF):
		return dicom.Header{}, &dimse.Error{Status: dimse.CannotUnderstand, Comment: "data set cannot be read", Err: err}
	case err != nil: // of the spool or the network: that may pass
		return dicom.Header{}, err
	}
	header := attributes.Header()
	if err := header.Validate(); err != nil {
		return header, &dimse.Error{Status: dimse.CannotUnderstand, Comment: "UID missing or wrong in the data set", Err: err}
	}
	if header.SOPClassUID != req.SOPClassUID || header.SOPInstanceUID != req.SOPInstanceUID {
		return header, &dimse.Error{
			Status: dimse.DataSetDoesNotMatchSOPClass, Comment: "command and data set name different instances",
			Err: errors.New("receive: SOP class or instance of command and data set differ"),
		}
	}
	return header, nil
}
