package gateway

import (
	"context"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/ledger"
)

// gauges are the numbers of the moment for /metrics and the page.
func (g *parts) gauges(ctx context.Context) (admin.Gauges, error) {
	counts, err := g.ledger.Counts(ctx)
	if err != nil {
		return admin.Gauges{LedgerSound: g.ledger.Trouble() == nil}, err
	}
	is := g.current()
	var names []string
	for _, d := range is.cfg.Destinations {
		names = append(names, d.Name)
	}
	ages, err := g.ledger.Ages(ctx, names)
	if err != nil {
		return admin.Gauges{}, err
	}
	usage := g.spool.Usage()
	out := admin.Gauges{
		LedgerSound:   g.ledger.Trouble() == nil,
		SpoolLag:      is.follower.Lag(),
		PendingByPeer: map[string]int{},
		HeldStudies:   int(counts.HeldStudies), Mismatches: int(counts.Mismatches),
		Unanalysed:    int(counts.Instances[ledger.InstanceFailed] + counts.Instances[ledger.InstanceNotAnalysed]),
		TurnedAway:    g.metrics.TurnedAwayLately(),
		HeldInstances: int(counts.Held), RefusedEntries: int(counts.Refused),
		SpoolEntries: usage.Entries, SpoolBytes: usage.Bytes, SpoolDisk: usage.Disk,
		DiskFree: usage.Free, InodesFree: usage.Inodes, DiskReserve: int64(g.start.Spool.Reserve),
	}
	r, l := is.models.sessions.routes.Stats(), is.models.sessions.live.Stats()
	out.Sessions = admin.SessionGauges{
		Loaded: r.Sessions + l.Sessions, Bytes: r.Bytes + l.Bytes, Loads: r.Loads + l.Loads, Hits: r.Hits + l.Hits, Evictions: r.Evictions + l.Evictions,
	}
	for model, states := range counts.Jobs {
		out.OpenJobs += int(states[ledger.JobOpen])
		out.ParkedJobs += int(states[ledger.JobParked])
		if lag, err := g.queue.Lag(ctx, is.models.queue(model)); err == nil { // the broker may be away; readyz says so
			out.QueueLag += lag.Waiting
		}
	}
	for _, states := range counts.Exams {
		out.ParkedExams += int(states[ledger.ExamParked])
	}
	for _, d := range is.cfg.Destinations {
		states := counts.Deliveries[d.Name]
		out.PendingByPeer[d.Name] = int(states[ledger.DeliveryPending])
		out.ParkedDeliveries += int(states[ledger.DeliveryParked])
	}
	out.Ages = is.ages(counts, ages)
	for _, age := range out.Ages.Jobs {
		out.OldestJobSeconds = max(out.OldestJobSeconds, age)
	}
	return out, nil
}

// ages says for how long the oldest of each kind of work has waited.
func (g *generation) ages(counts ledger.Counts, since ledger.Ages) admin.Ages {
	now := g.now()
	age := func(at time.Time) float64 {
		if at.IsZero() {
			return 0
		}
		return max(0, now.Sub(at).Seconds()) // a clock that was set back makes nothing younger than new
	}
	out := admin.Ages{
		Jobs: map[string]float64{}, OpenJobs: map[string]int{}, Exam: age(since.Exams), Held: age(since.Held), ParkedDrafts: since.ParkedDrafts,
		ClockSteps: g.time.steps.Load(), ClockUnproven: max(0, now.Sub(g.clock.Proven()).Seconds()),
	}
	for model, states := range counts.Jobs {
		out.OpenJobs[model], out.Jobs[model] = int(states[ledger.JobOpen]), age(since.Jobs[model])
	}
	for _, d := range g.cfg.Destinations {
		condition, _ := g.outbox.Condition(d.Name)
		out.Destinations = append(out.Destinations, admin.DestinationAge{
			Name: d.Name, Kind: string(d.Kind), Up: condition.Up, Oldest: age(since.Deliveries[d.Name]),
		})
	}
	return out
}
