// Package outbox delivers what the ledger says is to be delivered: one worker for each destination takes its
// deliveries in order, sends them and tells the ledger what came of each. A dead destination delays no other.
//
// A [Sender] speaks one protocol and answers with an [Outcome], whose [Class] decides what is next: the delivery is done,
// or taken and to be committed, is tried again later, parked for a person to look at, or the alternate is sent; when the
// destination itself cannot be reached, all of it waits, so that everything goes at once when it is back. The same holds
// for one that does not let us in (0124 Not Authorised). What a peer took and does not commit to in time is sent again.
// A kind of object that a peer refuses, and its alternate too, stays pending and is offered once a day: it is a matter of
// configuration over there, and [Outbox.Retry] tells it sooner.
//
// Failures are the object's until others say otherwise. What was not taken goes behind the others with the rest of its
// series, which may be like it, and each has its own wait; what was never tried and what was have the same time. An answer
// is waited for some times as long as the slowest of a day took, longer after each silence and for a larger object; what
// gets none, while the peer answers otherwise or breaks down, is parked after ten times. Where objects of three studies get
// none one after the other, the destination is shown as failing, and it is held against none of them. Three that fail
// otherwise hold back what failed; one that was never tried still goes once in the shortest wait. What is not delivered after
// about [Backoff].Dead is parked with its last reason. What a peer says with its answer is stored and shown; no log has it.
//
// The ledger remembers attempts, what is behind and when the next is due. Kept in memory alone is since when a destination
// is down, how often an object got no answer, and how long answers take.
//
// [DICOM] is the sender for application entities: C-STORE as service class user (PS3.4 annex B, PS3.7 9.1.1). [HL7] hands
// over one message at a time by MLLP, until it is acknowledged (HL7 v2.5.1 2.9). [FHIR] posts transaction bundles to a server
// of FHIR R4, with a token where it asks for one.
// Storage Commitment and STOW-RS are not here.
package outbox
