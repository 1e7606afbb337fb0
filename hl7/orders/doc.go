// Package orders does what HL7 messages ask for that other systems send: it keeps imaging orders, knows of patients who
// change and are merged, and files reports of other systems to their study.
//
// A [Receiver] reads a message, has its bytes in the spool, then all of its effects in the ledger in one transaction, and
// only then says so (HL7 2.5.1 2.9). A message that comes again is answered as before and done once. What a message says of an
// order is in the tables [OrderFields], [StepFields] and [PatientFields], what its control code and status mean in [Controls]
// and [Statuses], and which messages are read in [Kinds]; docs/hl7.md is made of them.
//
// It sends nothing, and does not read what reports say.
package orders
