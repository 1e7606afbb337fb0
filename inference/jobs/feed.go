package jobs

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// Feed says where open jobs come from.
type Feed struct {
	// Open lists open jobs with an ID above after, in order of ID, at most limit.
	Open func(ctx context.Context, after string, limit int) ([]Job, error)
	// Wake receives when jobs were made: those with the highest IDs are looked at, some 500 at least, and not all that are
	// open. One that is missed is found with Every.
	Wake <-chan struct{}
	// Again receives when jobs were opened again, whatever their IDs: all are looked at.
	Again <-chan struct{}
	// Every is how often all open jobs are put on the stream whatever is believed to be there; 0: a minute.
	Every time.Duration
}

const page = 500

// Feed keeps every open job on the stream until ctx is done: at start, on Wake, every f.Every, and when
// the stream turns out to be a new one. It waits for a lost server and returns nil when ctx is done.
func (q *Queue) Feed(ctx context.Context, f Feed) error {
	if f.Open == nil {
		return errors.New("jobs: feed: Open must be set")
	}
	ticker := time.NewTicker(cmp.Or(f.Every, time.Minute))
	defer ticker.Stop()
	var pause pause
	r := rounds{published: map[string]bool{}}
	changed := q.changed()
	for ctx.Err() == nil {
		if err := q.feed(ctx, f, &r); err != nil {
			if ctx.Err() == nil {
				q.log.Warn("open jobs not all on the job queue, trying again", "err", err)
			}
			pause.wait(ctx)
			r.startOver()
			continue
		}
		pause = 0
		select {
		case <-ctx.Done():
		case <-f.Wake:
			continue // from where the last round has left off
		case <-f.Again:
		case <-ticker.C:
		case <-changed:
			changed = q.changed()
		}
		r.startOver()
	}
	return nil
}

// rounds is what a round of Feed leaves to the next.
type rounds struct {
	// from is the ID that the next round begins after. It stays a page behind the end: IDs rise with the time an
	// instance began to come in, and one that began later may be there first.
	from      string
	published map[string]bool // on this stream
}

// startOver has the next round look at all jobs, whatever is believed to be on the stream.
func (r *rounds) startOver() {
	r.from = ""
	clear(r.published)
}

// feed publishes the open jobs after r.from that are not in r.published, and forgets those no longer open.
func (q *Queue) feed(ctx context.Context, f Feed, r *rounds) error {
	if len(r.published) == 0 {
		if _, err := q.stream(ctx); err != nil {
			return err // also finds out that the stream is a new one when there is nothing to publish
		}
	}
	open := map[string]bool{}
	after, last := r.from, r.from // where the page begins, and the one before
	for {
		list, err := f.Open(ctx, after, page)
		if err != nil {
			return err
		}
		for _, j := range list {
			open[j.ID] = true
			if err := q.feedJob(ctx, j, r.published); err != nil {
				return err
			}
		}
		if len(list) < page {
			break
		}
		last, after = after, list[len(list)-1].ID
	}
	for id := range r.published {
		if id > r.from && !open[id] {
			delete(r.published, id)
		}
	}
	r.from = last
	return nil
}

func (q *Queue) feedJob(ctx context.Context, j Job, published map[string]bool) error {
	if published[j.ID] {
		return nil
	}
	if err := j.Validate(); err != nil {
		q.log.Error("open job cannot be queued", "job", j.ID, "err", err)
		return nil
	}
	if err := q.Publish(ctx, j); err != nil {
		return err
	}
	published[j.ID] = true
	return nil
}
