package dicomnode

import (
	"context"
	"io"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// Handler takes the instances of a Storage service. It is called by one goroutine for each association.
type Handler interface {
	// Store returns nil once the instance is durable; the peer then gets Success and forgets it. An error is
	// answered with dimse.StatusOf and dimse.CommentOf, and the association goes on. ctx ends with the association
	// and when Shutdown gives up waiting; Store must return then.
	Store(ctx context.Context, req *StoreRequest) error
}

// StoreRequest is a C-STORE request (PS3.7 9.1.1), received or to be sent.
type StoreRequest struct {
	SOPClassUID    dicom.UID
	SOPInstanceUID dicom.UID // of a received request: one that is Fileable, otherwise as the peer sent it
	TransferSyntax dicom.UID
	Priority       dimse.Priority

	// ResponseTimeout, of a request to be sent, is how long the response may take to begin; the Client's by default.
	ResponseTimeout time.Duration

	// StudyInstanceUID, of a received request, is the study that the instance has to be of; empty: any.
	StudyInstanceUID dicom.UID

	// Set on a received request only; Associate sets both titles of what is sent.
	CallingAE, CalledAE dicom.AETitle
	User                string // whom the requestor has proved to be (PS3.7 D.3.3.7); empty: it was not asked
	RemoteAddr          string // host:port

	// MoveOriginator is set when the instance is part of a C-MOVE (PS3.7 9.1.1.1.5).
	MoveOriginatorAETitle   dicom.AETitle
	MoveOriginatorMessageID uint16

	// Dataset is the bytes of the data set in TransferSyntax, without file meta information. Of a received request
	// it is still on the wire: it is valid until Store returns, and gives io.EOF only after the last fragment.
	Dataset io.Reader
}

// request returns what is sent.
func (s *StoreRequest) request() *Request {
	return &Request{Request: dimse.Request{
		CommandField: dimse.CStoreRQ, Priority: s.Priority, SOPClassUID: s.SOPClassUID, SOPInstanceUID: s.SOPInstanceUID,
		MoveOriginatorApplicationEntityTitle: string(s.MoveOriginatorAETitle), MoveOriginatorMessageID: s.MoveOriginatorMessageID,
	}, TransferSyntax: s.TransferSyntax, Dataset: s.Dataset, ResponseTimeout: s.ResponseTimeout}
}

// Storage is the Storage service class (PS3.4 annex B): C-STORE through a Handler, the data set as a stream.
type Storage struct{ Handler Handler }

// Serve checks a C-STORE request (PS3.7 9.1.1.1.9) and hands it to the handler. UIDs that break PS3.5 9.1 exist and are let
// through where an instance can be kept under them.
func (s Storage) Serve(ctx context.Context, req *Request) (*Response, error) {
	switch {
	case req.CommandField != dimse.CStoreRQ:
		return nil, ErrNotOffered
	case !req.HasDataset:
		return nil, &dimse.Error{Status: dimse.CannotUnderstand, Comment: "no data set"}
	case !req.SOPInstanceUID.Fileable():
		return nil, &dimse.Error{Status: dimse.InvalidSOPInstance, Comment: "SOP Instance UID is missing or wrong"}
	}
	return nil, s.Handler.Store(ctx, &StoreRequest{
		SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID, TransferSyntax: req.TransferSyntax, Priority: req.Priority,
		CallingAE: req.CallingAE, CalledAE: req.CalledAE, User: req.User, RemoteAddr: req.RemoteAddr,
		MoveOriginatorAETitle: dicom.AETitle(req.MoveOriginatorApplicationEntityTitle), MoveOriginatorMessageID: req.MoveOriginatorMessageID,
		Dataset: req.Dataset,
	})
}

// verification is the Verification service class (PS3.4 annex A): C-ECHO.
func verification(_ context.Context, req *Request) (*Response, error) {
	if req.CommandField != dimse.CEchoRQ {
		return nil, ErrNotOffered
	}
	return nil, nil
}

// loggable keeps out of the log whatever a peer has put in the place of a UID.
func loggable(uid dicom.UID) dicom.UID {
	if uid != "" && !digitsAndDots(uid) {
		return "not a UID"
	}
	return uid
}

func digitsAndDots(uid dicom.UID) bool {
	for _, c := range []byte(uid) {
		if c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return len(uid) > 0 && len(uid) <= 64
}
