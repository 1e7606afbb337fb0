package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gaugesTime is how long a scrape waits for the ledger and the spool.
const gaugesTime = 5 * time.Second

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("endogate_"+name, help, labels, nil)
}

var (
	descReadable  = desc("state_readable", "1 when ledger, spool and broker could be read for this scrape.")
	descSound     = desc("ledger_sound", "1 while the ledger can be used; 0: it is damaged or cannot be written, nothing is taken over, and readyz says why.")
	descQueueLag  = desc("queue_lag_jobs", "Jobs on the stream that no worker has taken yet: the next few of each source; open_jobs has all.")
	descOldest    = desc("queue_oldest_seconds", "Age of the oldest open job.")
	descOpenJobs  = desc("open_jobs", "Jobs in the ledger that are not done.")
	descSpoolLag  = desc("spool_lag_entries", "Spool entries that the ledger has not taken yet.")
	descDepth     = desc("delivery_queue_depth", "Deliveries that wait for a destination.", "destination")
	descParked    = desc("parked", "Work that waits for a person, by kind.", "kind")
	descHeld      = desc("held_instances", "Instances kept until they are analysed or discarded: conflicts, and those without model or destination.")
	descUnseen    = desc("unanalysed_instances", "Instances in the ledger that no model has seen: none applies, could read them, or did in time.")
	descGate      = desc("held_studies", "Studies whose results wait until a person releases or corrects: images, order and patient do not agree.")
	descMismatch  = desc("mismatched_studies", "Studies whose images, order and patient do not agree, held or not.")
	descRefused   = desc("refused_entries", "Spool entries that the ledger cannot take in.")
	descEntries   = desc("spool_entries", "Entries in the spool.")
	descBytes     = desc("spool_bytes", "Bytes of the data sets and messages in the spool.")
	descDisk      = desc("spool_disk_bytes", "Bytes that the spool takes on the disk, with what is released and not yet given back.")
	descFree      = desc("disk_free_bytes", "Bytes free where the spool lies.")
	descInodes    = desc("inodes_free", "Files that can still be made where the spool lies; 0 where they are not counted.")
	descReserve   = desc("disk_reserve_bytes", "Free bytes below which nothing is accepted.")
	descSessions  = desc("explain_sessions", "Explanation sessions in memory, besides those that classify.")
	descSessByte  = desc("explain_session_bytes", "Bytes of the models in these sessions.")
	descSessEvent = desc("explain_session_events_total", "Explanation sessions loaded, found in memory, and given up, since the start.", "event")
	descDestUp    = desc("destination_up", "1 while a destination answers, 0 while it is down and what is for it waits.", "destination", "kind")
	descDestAge   = desc("delivery_oldest_seconds", "For how long the oldest delivery to a destination has been due or tried; not what is held, or waits for another one.", "destination", "kind")
	descJobAge    = desc("job_oldest_seconds", "Age of the oldest open job of a model.", "model")
	descModelJobs = desc("model_open_jobs", "Jobs of a model that are not done.", "model")
	descExamAge   = desc("exam_oldest_seconds", "For how long the oldest image or result is in no report.")
	descHeldAge   = desc("held_oldest_seconds", "For how long the oldest results wait until a person releases or corrects.")
	descSteps     = desc("clock_steps_total", "Steps of the clock seen since the start.")
	descUnproven  = desc("clock_unproven_seconds", "How far the clock is ahead of the time that has passed for sure, by which what is old is deleted.")
	gaugeDescs    = []*prometheus.Desc{
		descReadable, descSound, descQueueLag, descOldest, descOpenJobs, descSpoolLag, descDepth, descParked, descHeld, descUnseen, descGate, descMismatch, descRefused, descEntries, descBytes, descDisk, descFree, descInodes, descReserve, descSessions, descSessByte, descSessEvent,
		descDestUp, descDestAge, descJobAge, descModelJobs, descExamAge, descHeldAge, descSteps, descUnproven,
	}
)

// state reads the gauges at each scrape, so that they are never older than the scrape.
type state struct {
	read func(context.Context) (Gauges, error)
}

// Describe implements prometheus.Collector.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range gaugeDescs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), gaugesTime)
	defer cancel()
	g, err := s.read(ctx)
	sound := 0.0
	if g.LedgerSound {
		sound = 1
	}
	gauge(descSound, sound)
	if err != nil {
		gauge(descReadable, 0)
		return
	}
	gauge(descReadable, 1)
	gauge(descQueueLag, float64(g.QueueLag))
	gauge(descOldest, g.OldestJobSeconds)
	gauge(descOpenJobs, float64(g.OpenJobs))
	gauge(descSpoolLag, float64(g.SpoolLag))
	for destination, n := range g.PendingByPeer {
		gauge(descDepth, float64(n), label(destination))
	}
	gauge(descParked, float64(g.ParkedJobs), string(ParkedJob))
	gauge(descParked, float64(g.ParkedExams), string(ParkedExam))
	gauge(descParked, float64(g.ParkedDeliveries), string(ParkedDelivery))
	gauge(descParked, float64(g.Ages.ParkedDrafts), string(ParkedDraft))
	for model, n := range g.Ages.OpenJobs {
		gauge(descModelJobs, float64(n), label(model))
		gauge(descJobAge, g.Ages.Jobs[model], label(model))
	}
	for _, d := range g.Ages.Destinations {
		up := 0.0
		if d.Up {
			up = 1
		}
		gauge(descDestUp, up, label(d.Name), label(d.Kind))
		gauge(descDestAge, d.Oldest, label(d.Name), label(d.Kind))
	}
	gauge(descExamAge, g.Ages.Exam)
	gauge(descHeldAge, g.Ages.Held)
	gauge(descUnproven, g.Ages.ClockUnproven)
	ch <- prometheus.MustNewConstMetric(descSteps, prometheus.CounterValue, float64(g.Ages.ClockSteps))
	gauge(descHeld, float64(g.HeldInstances))
	gauge(descUnseen, float64(g.Unanalysed))
	gauge(descGate, float64(g.HeldStudies))
	gauge(descMismatch, float64(g.Mismatches))
	gauge(descRefused, float64(g.RefusedEntries))
	gauge(descEntries, float64(g.SpoolEntries))
	gauge(descBytes, float64(g.SpoolBytes))
	gauge(descDisk, float64(g.SpoolDisk))
	gauge(descInodes, float64(g.InodesFree))
	gauge(descFree, float64(g.DiskFree))
	gauge(descReserve, float64(g.DiskReserve))
	gauge(descSessions, float64(g.Sessions.Loaded))
	gauge(descSessByte, float64(g.Sessions.Bytes))
	for event, n := range map[string]uint64{"load": g.Sessions.Loads, "hit": g.Sessions.Hits, "evict": g.Sessions.Evictions} {
		ch <- prometheus.MustNewConstMetric(descSessEvent, prometheus.CounterValue, float64(n), event)
	}
}

var descCheck = desc("check_ok", "1 while a check of /readyz holds; where it is not advisory, nothing can be taken over while it fails.", "check", "advisory")

// Describe implements prometheus.Collector.
func (p *prober) Describe(ch chan<- *prometheus.Desc) { ch <- descCheck }

// Collect implements prometheus.Collector. It says what the checks said last, and makes none.
func (p *prober) Collect(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.checks {
		last := p.probes[c.Name]
		if last == nil {
			continue
		}
		ok := 0.0
		select {
		case <-last.done:
			if last.err == nil {
				ok = 1
			}
		default: // under way: what it will say is not known, but that it hangs is
			if time.Since(last.began) <= p.timeout {
				continue
			}
		}
		ch <- prometheus.MustNewConstMetric(descCheck, prometheus.GaugeValue, ok, c.Name, strconv.FormatBool(c.Advisory))
	}
}
