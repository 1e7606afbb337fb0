// Package spool keeps data sets, and messages of other protocols, on disk until their work is done, and beside them what
// was done with them: actions.
//
// A spool is one folder, held by one process:
//
//	LOCK             flock, with the process ID of the holder
//	log/<seq>.log    segments: preallocated files of records, named by the Seq of their first record
//	index/<seq>.log  where the records of the segment of that name stand, once nothing is added to it: made of it, see index.go
//	large/<id>       what is above Options.InlineLimit, or was made and is above what CreateMade says, one file each
//	tmp/             what is being written, and the segment to come, see MakeAhead; emptied at Open
//	damaged/         segments that Open could not read whole, as they were found; there when there is one
//
// The log is the one ordered sequence of entries. A record is a fixed header, the entry as
// JSON and, for a small data set, its bytes; a large data set stands in its own file, which
// is on disk before its record is. Seq rises along the log, by one as long as nothing breaks.
//
// What an entry is, its Kind says: a data set has a DICOM header, an action or message a JSON record that its maker
// defines. Entries of releases that knew only data sets read the same.
//
// Commit returns once the entry is durable. Writers that commit at the same time share one
// fdatasync: the first to come writes and syncs for all that wait, then hands over to the
// first of those that came meanwhile. A writer that is alone never waits for company.
//
// A write or sync that the disk refuses fails every commit it was meant for. The segment is
// never written again, because a second fsync may report success for pages that the first one
// lost; the next commit opens a new segment, named by the Seq that the failed ones would have
// had. Records of the old segment from that Seq on do not count, so nothing hangs on what the
// disk did with them. An entry whose Commit returned an error may be there after a restart if
// it reached the disk whole before the process ended; half an entry never is.
//
// Actions that stand in the log are notes. There may be millions of them, kept for years and read in their order alone: they
// are not found by their ID, and where they stand is in memory only while somebody reads them. All else is held by ID.
//
// Open takes what an index says of a segment whose length, time of change, header and salt the index has; it has checksums
// and is never more than a copy of what the segment says, which counts where the two differ. Of a segment without one, Open
// scans record headers, checks the last segment in full, and writes it anew unless it was
// closed in order: a record that is only in the page cache of a process that died is not taken
// on trust. Which entries are no longer needed is not stored here: after Open every entry of
// every segment is there again, and the caller releases what its ledger does not need. So is a data set
// whose large file is gone: whether it was released before, or somebody removed the file, the caller knows (ErrGone).
//
// Released entries leave their segment when all of it is released, or when Compact copies what is needed of it, and of
// sparse or small neighbours, into one. The copy is synced, then takes the name of the first; its header says up to
// which Seq it stands for the others, so that the one rename puts it in the place of all of them: what a crash leaves
// of their files is void, and Open removes it. Records keep their ID and Seq.
//
// Damage stops nothing: Open goes on without what it cannot read and says so in Recovered. A damaged segment is kept
// for good, in its place or, when Open has to write it anew or cannot read its header, in damaged/; while one is kept,
// large files without a record are kept too, because one of its records may name them. A header is made anew where the index has
// what stood in it. A file that somebody removed is damage too: the entries of a segment whose index is left are named by that, until the
// file is back, or they are released. A disk that does not answer is another matter, and stops Open; so does a segment of a newer release.
//
// The reserve is for what gives room back: Append and Compact go below it, Create does not.
//
// Names on disk are made here; nothing that a peer sent becomes one. The spool does not look
// into data sets, does not copy to other machines and does not encrypt.
package spool
