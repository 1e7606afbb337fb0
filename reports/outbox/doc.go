// Package outbox delivers what the ledger says is to be delivered: one worker for each destination takes its
// deliveries in order, sends them and tells the ledger what came of each. A dead destination delays no other.
//
// What happens after a failure is decided by its class (see [Class]): the delivery is tried again later, parked for a
// person to look at, or the alternate object is sent; when the destination itself cannot be reached, all of it waits,
// so that everything goes at once when it is back. The same holds for one that does not let us in (0124 Not Authorised).
// A kind of object that a peer refuses, and its alternate too, stays pending and is offered once a day: it is a matter of
// configuration over there, and [Outbox.Retry] tells it sooner. What is not delivered after about [Backoff].Dead is
// parked with its last reason.
//
// The ledger remembers attempts and when the next is due. Kept in memory alone is since when a destination is down.
//
// [DICOM] is the sender for application entities: C-STORE as service class user (PS3.4 annex B, PS3.7 9.1.1).
// Storage Commitment, STOW-RS and HL7 are not here.
package outbox
