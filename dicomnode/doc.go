// Package dicomnode is a DICOM application entity: Server takes associations (SCP), Client makes them (SCU).
//
// Standard parts: the upper layer protocol of PS3.8 9 over TCP with its state machine written as straight-line
// code (table 9-10 is a test), negotiation of PS3.7 annex D with SCP/SCU role selection, all DIMSE services of PS3.7 9.1
// and 10.1 on either side of an association, and two service classes: Verification and Storage of PS3.4 annexes A and B.
//
// Any other service class is a Service: it gets a Request with its data set and returns a Response, after as many
// Pending ones as it has, and sees C-CANCEL. The table of services by abstract syntax is Server.Services, and
// Client.Services for what a peer asks on our own associations (C-STORE of a C-GET, N-EVENT-REPORT of an N-ACTION).
// Association.Send sends any request.
//
// The data set of a request is a stream in both directions and is passed on byte for byte; those of responses are kept in
// memory, up to a bound. An association holds one PDU in memory, however large the object is; one goroutine reads and
// answers it. Every wait on the network has a deadline. Whoever is not listed as a peer is refused.
//
// Left out, deliberately: transcoding and any reading of data sets (the caller has them as they are sent), asynchronous
// operations (one message at a time, PS3.7 D.3.3.3 default 1/1), extended negotiation, and user identity, which
// is read and not acted upon: hosts and AE titles decide, and AE titles are not authentication.
package dicomnode
