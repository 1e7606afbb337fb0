package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Feed says where open jobs come from.
type Feed struct {
	// Open lists at most limit open jobs in the order they were opened, from the one after the job with the ID after,
	// or from the first with "". One that is opened again goes to the end.
	Open func(ctx context.Context, after string, limit int) ([]Job, error)
	// Wake receives when jobs were opened: only those after the last one seen are looked at. What is missed because that
	// very job was opened again is found with Every.
	Wake <-chan struct{}
	// Again receives when all open jobs are to be looked at, such as after one was opened again or got another lane.
	Again <-chan struct{}
	// Every is how often all open jobs are put on the stream whatever is believed to be there; 0: a minute.
	Every time.Duration
	// Models are those that jobs may be for: each has a consumer for each lane on the stream, for workers elsewhere and for whoever
	// watches the queue, before there is any worker. AckWait is as in Consumer.
	Models  []Model
	AckWait time.Duration
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
	pause := pauses()
	last := "" // ID of the last job seen; "": look at all
	changed := q.changed()
	for ctx.Err() == nil {
		var err error
		if last, err = q.feed(ctx, f, last); err != nil {
			if ctx.Err() == nil {
				q.log.Warn("open jobs not all on the job queue, trying again", "err", err)
			}
			pause.Wait(ctx)
			last = ""
			continue
		}
		pause.Over()
		select {
		case <-ctx.Done():
		case <-f.Wake:
			continue
		case <-f.Again:
		case <-ticker.C:
		case <-changed:
			changed = q.changed()
		}
		last = ""
	}
	return nil
}

// feed publishes the open jobs after the one with the ID after, or all with "" but those that stand in the queue, and
// returns the ID of the last.
func (q *Queue) feed(ctx context.Context, f Feed, after string) (last string, err error) {
	var standing standing
	if after == "" {
		if _, err := q.stream(ctx); err != nil {
			return "", err // also finds out that the stream is a new one when there is nothing to publish
		}
		for _, model := range f.Models {
			for _, lane := range lanes {
				if _, _, err := q.consumer(ctx, model, lane, cmp.Or(f.AckWait, defaultAckWait)); err != nil {
					return "", err
				}
			}
		}
		if standing, err = q.standing(ctx); err != nil {
			return "", err
		}
	}
	for {
		list, err := f.Open(ctx, after, page)
		if err != nil {
			return "", err
		}
		for _, j := range list {
			after = j.ID
			if err := q.feedJob(ctx, j, standing[token(j.ID)]); err != nil {
				return "", err
			}
		}
		if len(list) < page {
			return after, nil
		}
	}
}

// standing are subjects of our jobs, by the jobs' tokens: those of their messages, and of results that wait to be taken.
type standing map[string][]string

// standing lists what stands. It is asked for in the order that a job goes, and before the ledger: one that none of the two
// streams has any more when it is asked is open no more.
func (q *Queue) standing(ctx context.Context) (standing, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	there := standing{}
	for _, on := range []struct{ stream, subjects string }{
		{Stream, subjectPrefix + "*." + q.node + ".*"}, {Results, resultsPrefix + q.node + ".*"},
	} {
		s, err := q.js.Stream(ctx, on.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) && on.stream == Results {
			continue // there are no workers elsewhere
		}
		if err != nil {
			return nil, fmt.Errorf("jobs: stream %s: %w", on.stream, q.explained(err))
		}
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(on.subjects))
		if err != nil {
			return nil, fmt.Errorf("jobs: stream %s: %w", on.stream, err)
		}
		for subject := range info.State.Subjects {
			job := subject[strings.LastIndexByte(subject, '.')+1:]
			there[job] = append(there[job], subject)
		}
	}
	return there, nil
}

// feedJob publishes a job where neither it nor its result stands. Its messages for other models and lanes go: the one that
// it was for has been replaced, and perhaps nobody has that any more.
func (q *Queue) feedJob(ctx context.Context, j Job, standing []string) error {
	if err := j.Validate(); err != nil {
		q.log.Error("open job cannot be queued", "job", j.ID, "err", err)
		return nil
	}
	stands := false
	for _, subject := range standing {
		if subject == q.subjectOf(j) || strings.HasPrefix(subject, resultsPrefix) {
			stands = true
		} else if err := q.purge(ctx, subject); err != nil {
			return err
		}
	}
	if stands {
		return nil
	}
	return q.Publish(ctx, j)
}

// purge removes a job's message.
func (q *Queue) purge(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := q.js.Stream(ctx, Stream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		return fmt.Errorf("jobs: stream %s: remove a message: %w", Stream, err)
	}
	return nil
}
