package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/spool"
)

// Receiver takes instances off associations into the spool. Its fields are set before the first Store.
type Receiver struct {
	Spool  *spool.Spool
	Ready  func() error // an error: nothing is taken over now, as what follows could not go on; nil: always
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
	if r.Ready != nil {
		if err := r.Ready(); err != nil {
			return &dimse.Error{Status: dimse.OutOfResources, Comment: "gateway takes nothing over now, see its log", Err: err}
		}
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
		User:              req.User,
		RemoteAddr:        req.RemoteAddr,
		At:                r.Now(),
	})
	if err != nil {
		return err
	}
	r.Stored(entry.CallingAE, entry.Size)
	r.Log.Info("instance received", "sop_instance_uid", header.SOPInstanceUID, "study_instance_uid", header.StudyInstanceUID,
		"calling_ae", req.CallingAE, "bytes", entry.Size, "entry", entry.ID)
	if header.Remarks != "" {
		r.Log.Warn("instance is not as it should be: kept as it came", "sop_instance_uid", header.SOPInstanceUID, "calling_ae", req.CallingAE, "what", header.Remarks)
	}
	return nil
}

// ReadHeader reads a data set to its end and returns the attributes that the instance is filed by, held against the command
// (PS3.4 B.2.3). What is cut off is refused: whoever sent it may have it whole.
func ReadHeader(r io.Reader, ts dicom.TransferSyntax, req *dicomnode.StoreRequest) (dicom.Header, error) {
	attributes, remarks, err := dicom.ReadWhole(r, ts)
	refused := func(comment string) (dicom.Header, error) {
		return dicom.Header{}, &dimse.Error{Status: dimse.CannotUnderstand, Comment: comment, Err: err}
	}
	switch {
	case errors.Is(err, dicom.ErrCutOff):
		return refused("data set ends before its own lengths do")
	case errors.Is(err, dicom.ErrDeflate):
		return refused("the deflated stream is corrupt")
	case errors.Is(err, dicom.ErrTooLarge):
		return refused("sequences are nested too deep")
	case errors.Is(err, dicom.ErrCorrupt), errors.Is(err, io.ErrUnexpectedEOF):
		return refused("data set cannot be read")
	case err != nil: // of the spool or the network: that may pass
		return dicom.Header{}, err
	}
	header := attributes.Header()
	if err = header.Validate(); err != nil {
		comment := err.Error()
		if bad := (*dicom.UIDError)(nil); errors.As(err, &bad) {
			comment = bad.Faults[0]
		}
		return refused(comment)
	}
	header.Remarks = strings.Join(slices.Concat(remarks, header.BadUIDs(), attributes.BadMoments()), "; ")
	if header.SOPClassUID != req.SOPClassUID || header.SOPInstanceUID != req.SOPInstanceUID {
		return header, &dimse.Error{
			Status: dimse.DataSetDoesNotMatchSOPClass, Comment: "command and data set name different instances",
			Err: errors.New("receive: SOP class or instance of command and data set differ"),
		}
	}
	if req.StudyInstanceUID != "" && header.StudyInstanceUID != req.StudyInstanceUID {
		return header, &dimse.Error{
			Status: dimse.DataSetDoesNotMatchSOPClass, Comment: "data set is of another study", Err: errors.New("receive: instance is of another study than it was sent to"),
		}
	}
	return header, nil
}
