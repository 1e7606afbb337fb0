package dicomnode

import (
	"crypto/tls"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// AssociationEvent is a step of an association that a peer has asked a Server for: how it began, a request that was answered, how it
// ended. It says nothing of patients.
type AssociationEvent struct {
	Association         uint64 // numbered from 1 on, in the order in which they were asked for
	At                  time.Time
	CallingAE, CalledAE dicom.AETitle // as the peer says; any text
	Remote              string        // host:port
	TLS                 bool

	Contexts []PresentationContext // with the beginning: what was proposed, as it was answered
	Answered *Answered             // with a request
	Ended    string                // with the end: EndReleased, EndRejected or one of the Cause constants
	Reason   string                // of a rejection, or of an end without release
}

// How an association ends, besides the Cause constants.
const (
	EndReleased = "released"
	EndRejected = "rejected"
)

// Answered is a request of a peer with its answer.
type Answered struct {
	Command                                        string // such as C-STORE-RQ
	SOPClassUID, SOPInstanceUID, TransferSyntaxUID dicom.UID
	Status                                         dimse.Status
	Bytes                                          int64 // of the data set
	Elapsed                                        time.Duration
}

// tell tells the observer of a step of an association.
func (s *Server) tell(a *association, e AssociationEvent) {
	if s.Observe.Association == nil || a.number == 0 { // our own, which asks whether it would be answered
		return
	}
	e.Association, e.At, e.CallingAE, e.CalledAE, e.Remote = a.number, time.Now(), a.callingAE, a.calledAE, a.remote
	_, e.TLS = a.Conn.(*tls.Conn)
	s.Observe.Association(e)
}
