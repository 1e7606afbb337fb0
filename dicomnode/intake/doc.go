// Package intake leads what modalities send from 0000 to the ledger.
//
// A Receiver takes data sets off associations into the spool and answers once they are durable (PS3.4 B.2.3). A Follower
// reads the spool's log behind it, finds the Route of each instance and brings it into the ledger, which knows the work from
// then on. Beside it, where it holds up nothing, it reads the bytes of what was received again, and gives up the second
// entry only when those of the first are good: otherwise the second takes its place. A Reclaimer releases what no work needs any more, has the spool give its room back, and brings spool and ledger
// together after a crash.
//
// A Journal keeps what the ledger does in the same log, among the data sets that it is about, so that the spool alone can
// give back the ledger. Its actions are released when the ledger has forgotten all that they may speak of.
//
// The giver forgets only after the taker has made it durable: the modality after 0000, the follower's position in the log
// moves with the rows it has led to, and an entry goes only when its row says so. What is done with an instance after that,
// analysis, reports and delivery, lives elsewhere.
package intake
