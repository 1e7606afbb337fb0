// Package jobs hands inference jobs to workers over NATS JetStream, with a server inside the
// process or one that is elsewhere.
//
// The stream is never the only place where a job lives: [Queue.Feed] puts the open jobs of the
// ledger on it, the next few of each source, at start, when new ones are made and every now and then, so the stream may be
// deleted at any time. Every job has a subject of its own and the stream holds one message for a
// subject, so a job cannot stand in the queue twice, however often it is published.
//
// The jobs of a model wait in lanes, and a worker takes the urgent ones first ([Lane]). Within a lane sources take turns: only a
// few jobs of each are on the stream at a time ([Feed]).
//
// Tries are not counted here either. What Do says of its error decides ([DispositionOf]), and whoever keeps the jobs
// counts, so that the count outlives the stream and leaves out what was no fault of the job: a full disk, a stop.
//
// Gateways may share a server: each has its own subjects and consumers, by [Options].Node, on one stream. What a
// gateway that is no more has left there goes after a week.
//
// A message is a reference: UIDs and the name of a spool entry, never pixels, never patient data.
package jobs
