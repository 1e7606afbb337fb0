package gateway

import (
	"context"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/ledger"
)

// gauges are the numbers of the moment for /metrics and the page.
func (g *parts) gauges(ctx context.Context) (admin.Gauges, error) {
	counts, err := g.ledger.Counts(ctx)
	if err != nil {
		return admin.Gauges{LedgerSound: g.ledger.Trouble() == nil}, err
	}
	oldest, err := g.ledger.OldestOpenJob(ctx)
	if err != nil {
		return admin.Gauges{LedgerSound: g.ledger.Trouble() == nil}, err
	}
	usage := g.spool.Usage()
	out := admin.Gauges{
		LedgerSound:   g.ledger.Trouble() == nil,
		SpoolLag:      g.follower.Lag(),
		PendingByPeer: map[string]int{},
		HeldStudies:   int(counts.HeldStudies), Mismatches: int(counts.Mismatches),
		HeldInstances: int(counts.Held), RefusedEntries: int(counts.Refused),
		SpoolEntries: usage.Entries, SpoolBytes: usage.Bytes, SpoolDisk: usage.Disk,
		DiskFree: usage.Free, InodesFree: usage.Inodes, DiskReserve: int64(g.cfg.Spool.Reserve),
	}
	if g.models != nil {
		r, l := g.models.sessions.routes.Stats(), g.models.sessions.live.Stats()
		out.Sessions = admin.SessionGauges{
			Loaded: r.Sessions + l.Sessions, Bytes: r.Bytes + l.Bytes, Loads: r.Loads + l.Loads, Hits: r.Hits + l.Hits, Evictions: r.Evictions + l.Evictions,
		}
	}
	if !oldest.IsZero() {
		out.OldestJobSeconds = g.now().Sub(oldest).Seconds()
	}
	for model, states := range counts.Jobs {
		out.OpenJobs += int(states[ledger.JobOpen])
		out.ParkedJobs += int(states[ledger.JobParked])
		if lag, err := g.queue.Lag(ctx, g.models.queue(model)); err == nil { // the broker may be away; readyz says so
			out.QueueLag += lag.Waiting
		}
	}
	for _, states := range counts.Exams {
		out.ParkedExams += int(states[ledger.ExamParked])
	}
	for _, d := range g.cfg.Destinations {
		states := counts.Deliveries[d.Name]
		out.PendingByPeer[d.Name] = int(states[ledger.DeliveryPending])
		out.ParkedDeliveries += int(states[ledger.DeliveryParked])
	}
	return out, nil
}
