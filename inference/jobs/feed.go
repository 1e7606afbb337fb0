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
	// Wake receives when jobs were made; one that is missed is found with Every.
	Wake <-chan struct{}
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
	published := map[string]bool{} // on this stream, since the last full round
	changed := q.changed()
	for ctx.Err() == nil {
		err := q.feed(ctx, f, published)
		if err != nil {
			if ctx.Err() == nil {
				q.log.Warn("open jobs not all on the job queue, trying again", "err", err)
			}
			pause.wait(ctx)
			clear(published)
			continue
		}
		pause = 0
		select {
		case <-ctx.Done():
		case <-f.Wake:
		case <-ticker.C:
			clear(published)
		case <-changed:
			clear(published)
			changed = q.changed()
		}
	}
	return nil
}

// feed publishes the open jobs that are not in published, and forgets those no longer open.
func (q *Queue) feed(ctx context.Context, f Feed, published map[string]bool) error {
	if len(published) == 0 {
		if _, err := q.stream(ctx); err != nil {
			return err // also finds out that the stream is a new one when there is nothing to publish
		}
	}
	open := map[string]bool{}
	for after := ""; ; {
		list, err := f.Open(ctx, after, page)
		if err != nil {
			return err
		}
		for _, j := range list {
			after = j.ID
			open[j.ID] = true
			if published[j.ID] {
				continue
			}
			if err := j.Validate(); err != nil {
				q.log.Error("open job cannot be queued", "job", j.ID, "err", err)
				continue
			}
			if err := q.Publish(ctx, j); err != nil {
				return err
			}
			published[j.ID] = true
		}
		if len(list) < page {
			break
		}
	}
	for id := range published {
		if !open[id] {
			delete(published, id)
		}
	}
	return nil
}
