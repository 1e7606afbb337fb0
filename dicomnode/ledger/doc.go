// Package ledger remembers what happened to every SOP Instance received and every object made,
// and what is next. It is one SQLite database: WAL, one writer whose
// concurrent transactions share a commit, readers beside it.
//
// Every exported method that writes is one transaction, seen by all when it returns, and may be
// called again with the same arguments after a crash: what is done is not done twice. What nobody else could give back, or
// somebody was told, is on the disk then too: see durability. Time comes in as an argument.
//
// With a Journal (Keep), each of these methods is an action that is durable there before it is rows here: the call itself,
// with names in place of row IDs, one append for all that share a commit. The ledger notes in the same transaction where
// the last action stands that it has done, and does those behind it first: at start, after a commit that failed, and
// from the beginning where its file is lost. So the journal alone holds what a person did, a peer was told and a model
// said; the database is what follows from it, in the same order, and its own commits need not wait for the disk. An
// action that was refused, such as a retry of what is done, is refused again. Times and decisions that hang on anything
// but rows are in the action.
//
// The tables (migrations/ has them in full):
//
//	meta       spool position the ledger has taken in
//	study      what the admin looks for, with counters of open and parked work
//	instance   one row per data set received and kept
//	job        one row per instance and model; span holds its results, the contours of findings packed
//	exam       one row per study, route and model: what a report is about
//	object     one row per object made
//	delivery   one row per destination and entry
//	event      the timeline
//	need       what else needs a spool entry; refused: it could not be taken in
//	known      UID and digest of what was made, or received and worked on, when the rest is forgotten
//	desk       one row per study that a draft was or is to be made on: what it is made of has this version
//	draft      one row per version of a report draft
//	agreement  what persons decided about what models said
//	patient    one row per identifier that a message has named, with whom it was merged into
//	claim      what the images of a study say of patient and accession number, each once
//	gate       one row per study: whose it is, and whether its results may leave
//	version    one row per version of a model that is or was in force
//	tally      how many rows are in which state, kept by triggers
//
// The states:
//
//	instance   queued ──► analysed        every job done
//	           queued ──► failed          a job parked or discarded, none open
//	           not-analysed ──► queued    received again when its route has models, or RetryJob
//	                                      (not analysed: no job, or every job skipped)
//	           conflict                   same SOP Instance UID as another, other bytes
//
//	job        open ──FinishJob──► done
//	           open ──ParkJob──► parked ──RetryJob──► open
//	           open ──ParkLost──► parked ──received again──► open
//	                             parked ──DiscardJob──► discarded
//	           open ──SkipJob──► skipped  also at once, with Receipt.Skip: no use in trying
//	                             skipped ──RetryJob, received again──► open
//
//	exam       open ──FinishReport──► reported ──arrival, result──► open
//	           open ──ParkExam──► parked ──RetryExam, arrival, result──► open
//
//	delivery   pending ──Delivered──► done
//	           pending ──Sent──► sent ──Delivered──► done    a peer that commits later
//	                             sent ──Uncommitted, Defer──► pending
//	           pending ──Defer──► pending, later
//	           pending, sent ──Park──► parked ──Unpark, RetryDeliveries──► pending
//	           pending, sent ──ReconcileDestinations──► parked ──ReconcileDestinations──► pending
//	           pending ──ParkLost──► parked ──received again──► pending
//	           pending, sent, parked ──Discard──► discarded
//
// Results are taken of open jobs alone. A worker that was thought lost is late for a job that is parked or done: what it
// says is refused, as is its failure. RetryJob has a parked one wait for results again.
//
// An exam is due when something is in it that no report has, and either no job is open and
// nothing arrived for the quiet time, or the oldest of it has waited for the maximum time and
// there is a result to report. A parked, discarded or skipped job is a result: that of a
// failure. So an exam always ends in a report.
//
// A data set that comes again is a duplicate while the bytes of the first are kept. When they are gone, released
// or lost, the second is Restored: it takes the place of the first, whose jobs get the IDs of the new entry and
// whose work that was parked for LostBytes opens again. Work that is done is not done twice.
//
// An instance in conflict, and one that no route gave a model or a destination, is held: nobody else has its bytes,
// so they are not releasable before it is analysed or DiscardInstance. Entries that Refuse names are not before Dismiss.
//
// Forget ends the history of a study that is long at rest. Its UID, the revisions of its reports, what persons did, and
// UID and digest of what was made, or received and analysed or passed on, stay: what is sent again then is a duplicate or
// a conflict as before, and a UID that was given here never gets a second content. What nobody worked on is new again.
//
// A draft is due when all exams of its study are reported or parked, and anything in them, in its order or its patient is
// in no draft yet. What is made of it may wait for the delivery of something else.
//
// Results go to the destinations that the exam's last arrival named, whatever the routes are today. Deliveries to a
// destination that is configured no more are parked, not forgotten.
//
// A study is on the patient whom a person has said, else its order, else its images, by the name that merges have left. What
// changes that takes back the messages that wait to be sent, and has the draft made anew. Where images, order and patient
// do not agree, its results are held as its routes ask for, or where its images are of two patients always, until
// ReleaseGate, CorrectGate, or they agree: judged in the transaction that changes one of them. Images are never held.
//
// Patient attributes are stored for the admin's views and for reports. No error has them.
// The ledger has no data sets (the spool has), sends nothing and schedules nothing.
package ledger
