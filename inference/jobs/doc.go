// Package jobs hands inference jobs to workers over NATS JetStream, with a server inside the
// process or one that is elsewhere.
//
// The stream is never the only place where a job lives: [Queue.Feed] puts every open job of the
// ledger on it, at start, when new ones are made and every now and then, so the stream may be
// deleted at any time. Every job has a subject of its own and the stream holds one message for a
// subject, so a job cannot stand in the queue twice, however often it is published.
// A message is a reference: UIDs and the name of a spool entry, never pixels, never patient data.
package jobs
