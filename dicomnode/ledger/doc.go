// Package ledger remembers what happened to every SOP Instance received and every object made,
// and what is next. It is one SQLite database: WAL, synchronous FULL, one writer whose
// concurrent transactions share a commit, readers beside it.
//
// Every exported method that writes is one transaction, durable when it returns, and may be
// called again with the same arguments after a crash. Time comes in as an argument.
//
// The tables (migrations/ has them in full):
//
//	meta       spool position the ledger has taken in
//	study      what the admin looks for, with counters of open and parked work
//	instance   one row per data set received and kept
//	job        one row per instance and model; frame holds its results
//	exam       one row per study, route and model: what a report is about
//	object     one row per object made
//	delivery   one row per destination and entry
//	event      the timeline
//	tally      how many rows are in which state, kept by triggers
//
// The states:
//
//	instance   queued ──► analysed        every job done
//	           queued ──► failed          a job parked or discarded, none open
//	           not-analysed               every job skipped
//	           conflict                   same SOP Instance UID as another, other bytes
//
//	job        open ──FinishJob──► done
//	           open ──ParkJob──► parked ──RetryJob──► open
//	                             parked ──FinishJob──► done       a worker that was thought lost
//	                             parked ──DiscardJob──► discarded
//	           open ──SkipJob──► skipped  also at once, with Receipt.Skip: no use in trying
//
//	exam       open ──FinishReport──► reported ──arrival, result──► open
//	           open ──ParkExam──► parked ──RetryExam, arrival, result──► open
//
//	delivery   pending ──Delivered──► done
//	           pending ──Defer──► pending, later
//	           pending ──Park──► parked ──Unpark──► pending
//	           pending, parked ──Discard──► discarded
//
// An exam is due when something is in it that no report has, and either no job is open and
// nothing arrived for the quiet time, or the oldest of it has waited for the maximum time and
// there is a result to report. A parked, discarded or skipped job is a result: that of a
// failure. So an exam always ends in a report.
//
// Patient attributes are stored for the admin's views and for reports. No error has them.
// The ledger has no data sets (the spool has), sends nothing and schedules nothing.
package ledger
