// Package dicomnode is a DICOM application entity: Server takes associations (SCP), Client makes them (SCU).
//
// Standard parts: the upper layer protocol of PS3.8 9 over TCP with its state machine written as straight-line
// code (table 9-10 is a test), negotiation of PS3.7 annex D, the DIMSE services C-ECHO and C-STORE of PS3.7 9.1.5
// and 9.1.1, the Verification and Storage service classes of PS3.4 annexes A and B.
//
// A data set is a stream in both directions and is passed on byte for byte. An association holds one PDU in
// memory, however large the object is; one goroutine reads and answers it. Every wait on the network has a deadline.
// Whoever is not listed as a peer is refused.
//
// Left out, deliberately: transcoding and any reading of data sets (the caller has them as they are sent), the
// query, retrieve and worklist services and the N-services (answered with 0211, unrecognised operation), asynchronous
// operations (one message at a time, PS3.7 D.3.3.3 default 1/1), extended negotiation, and user identity, which
// is read and not acted upon: hosts and AE titles decide, and AE titles are not authentication.
package dicomnode
