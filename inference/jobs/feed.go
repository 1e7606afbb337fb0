package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Feed says where open jobs come from.
//
// They wait in lines outside the stream, one for each source of a model's jobs in a lane, and of each line only a few wait on
// the stream at a time. So whoever has many in line holds up nobody by more than those few, and the stream is as long as there
// are sources.
type Feed struct {
	// Lines lists the lines that have open jobs, with a number each that grows when a job is opened in it.
	Lines func(ctx context.Context) (map[string]int64, error)
	// Open lists at most limit open jobs of a line in the order they were opened, from the one after the job with the ID after,
	// or from the first with "". One that is opened again goes to the end.
	Open func(ctx context.Context, line, after string, limit int) ([]Job, error)
	// Wake receives when jobs were opened: only those after the last one seen of each line are looked at. What is missed because
	// that very job was opened again is found with Every.
	Wake <-chan struct{}
	// Again receives when all open jobs are to be looked at, such as after one was opened again or got another lane.
	Again <-chan struct{}
	// Every is how often what is on the stream is looked at whatever is believed to be there; 0: a minute.
	Every time.Duration
	// Ahead is how many jobs of a line wait on the stream; 0: 8. Of large ones it is fewer: two, or as many as have aheadBytes.
	Ahead int
	// Models are those that jobs may be for: each has a consumer for each lane on the stream, for workers elsewhere and for whoever
	// watches the queue, before there is any worker. AckWait is as in Consumer.
	Models  []Model
	AckWait time.Duration
}

// page is how many jobs of a line are listed at once.
const page = 32

const (
	ahead      = 8
	aheadBytes = 16 << 20

	// Where lines have more than may wait, it is looked so often whether some of it was taken: more often as workers are quick.
	soonest, latest = 2 * time.Millisecond, 250 * time.Millisecond
)

// Feed keeps what is next of every line on the stream until ctx is done: at start, on Wake, as workers take it, every f.Every,
// and when the stream turns out to be a new one. It waits for a lost server and returns nil when ctx is done.
func (q *Queue) Feed(ctx context.Context, f Feed) error {
	if f.Lines == nil || f.Open == nil {
		return errors.New("jobs: feed: Lines and Open must be set")
	}
	ticker := time.NewTicker(cmp.Or(f.Every, time.Minute))
	defer ticker.Stop()
	refill := time.NewTimer(0)
	defer refill.Stop()
	pause := pauses()
	r := &round{q: q, f: f, seqs: map[string]uint64{}}
	changed := q.changed()
	all, every := true, soonest
	for ctx.Err() == nil {
		more, err := r.feed(ctx, all)
		if err != nil {
			if ctx.Err() == nil {
				q.log.Warn("open jobs not all on the job queue, trying again", "err", err)
			}
			pause.Wait(ctx)
			all = true
			continue
		}
		pause.Over()
		q.took(nil) // also what it took and could not answer in time
		all = false
		refill.Stop()
		switch {
		case !more:
			every = soonest
		case 2*r.placed >= cmp.Or(f.Ahead, ahead):
			every = max(every/2, soonest)
		default:
			every = min(2*every, latest)
		}
		if more {
			refill.Reset(every)
		}
		select {
		case <-ctx.Done():
		case <-f.Wake:
		case <-refill.C:
		case <-f.Again:
			all = true
		case <-ticker.C:
			all = true
		case <-changed:
			changed, all = q.changed(), true
		}
	}
	return nil
}

// round puts on the stream what is next.
type round struct {
	q *Queue
	f Feed

	lines    map[string]*line
	standing standing          // as it was when all was looked at last
	seqs     map[string]uint64 // of our messages on the stream, by subject
	taken    map[string]uint64 // the last message that workers took of each queue, asked for once a round
	placed   int               // the most that were published of a line
}

// line is what is known of a line: those before last were looked at, and of them those that wait are on the stream.
type line struct {
	last    string
	newest  int64 // when it was listed to its end
	waiting []waiting
}

// waiting is a job on the stream that no worker has taken.
type waiting struct {
	queue string
	seq   uint64
	size  int64
}

// feed publishes what is next of each line after what was looked at, or with all from the beginning, but for what stands. more
// says that there are lines of which more is to come.
func (r *round) feed(ctx context.Context, all bool) (more bool, err error) {
	if all {
		if err := r.begin(ctx); err != nil {
			return false, err
		}
	}
	r.taken, r.placed = map[string]uint64{}, 0
	newest, err := r.f.Lines(ctx)
	if err != nil {
		return false, err
	}
	maps.DeleteFunc(r.lines, func(name string, _ *line) bool { _, open := newest[name]; return !open })
	for name, newest := range newest {
		l := r.lines[name]
		if l == nil {
			l = &line{}
			r.lines[name] = l
		}
		if l.newest == newest {
			continue // it is all there
		}
		done, err := r.fill(ctx, name, l)
		if err != nil {
			return false, err
		}
		if more = more || !done; done {
			l.newest = newest
		}
	}
	return more, nil
}

// begin looks at what stands, and makes what is missing of stream and consumers.
func (r *round) begin(ctx context.Context) (err error) {
	if _, err := r.q.stream(ctx); err != nil {
		return err // also finds out that the stream is a new one when there is nothing to publish
	}
	for _, model := range r.f.Models {
		for _, lane := range lanes {
			if _, _, err := r.q.consumer(ctx, model, lane, cmp.Or(r.f.AckWait, defaultAckWait)); err != nil {
				return err
			}
		}
	}
	if r.standing, err = r.q.standing(ctx); err != nil {
		return err
	}
	seqs := map[string]uint64{}
	for _, subjects := range r.standing {
		for _, subject := range subjects {
			if seq, known := r.seqs[subject]; known {
				seqs[subject] = seq
			}
		}
	}
	r.lines, r.seqs = map[string]*line{}, seqs
	return nil
}

// fill publishes the next jobs of a line until enough of them wait. done says that there are no more.
func (r *round) fill(ctx context.Context, name string, l *line) (done bool, err error) {
	for placed := 0; ; {
		jobs, err := r.f.Open(ctx, name, l.last, page)
		if err != nil {
			return false, err
		}
		for _, j := range jobs {
			if full, err := r.isFull(ctx, l); full || err != nil {
				return false, err
			}
			w, published, err := r.job(ctx, j)
			if err != nil {
				return false, err
			}
			if l.last = j.ID; w.seq > 0 {
				l.waiting = append(l.waiting, w)
			}
			if published {
				placed++
				r.placed = max(r.placed, placed)
			}
		}
		if len(jobs) < page {
			return true, nil
		}
	}
}

// isFull says whether no more of a line is to be put on the stream now.
func (r *round) isFull(ctx context.Context, l *line) (bool, error) {
	full := func() bool {
		var size int64
		for _, w := range l.waiting {
			size += w.size
		}
		return len(l.waiting) >= cmp.Or(r.f.Ahead, ahead) || len(l.waiting) > 1 && size >= aheadBytes
	}
	if !full() {
		return false, nil
	}
	var err error
	l.waiting = slices.DeleteFunc(l.waiting, func(w waiting) bool {
		taken, asked := r.taken[w.queue]
		if !asked && err == nil {
			taken, err = r.q.taken(ctx, w.queue)
			r.taken[w.queue] = taken
		}
		return w.seq <= taken
	})
	return full(), err
}

// job publishes a job where neither it nor its result stands. Its messages for other models and lanes go: the one that
// it was for has been replaced, and perhaps nobody has that any more. It returns where it waits, at number 0 where it does not.
func (r *round) job(ctx context.Context, j Job) (w waiting, published bool, err error) {
	if err := j.Validate(); err != nil {
		r.q.log.Error("open job cannot be queued", "job", j.ID, "err", err)
		return waiting{}, false, nil
	}
	subject := r.q.subjectOf(j)
	w = waiting{queue: queueKey(j.Model, j.Lane), size: j.Size}
	stands := false
	for _, other := range r.standing[token(j.ID)] {
		switch {
		case strings.HasPrefix(other, resultsPrefix):
			return waiting{}, false, nil
		case other == subject:
			stands = true
		default:
			if err := r.q.purge(ctx, other); err != nil {
				return waiting{}, false, err
			}
		}
	}
	if seq, known := r.seqs[subject]; stands && known {
		w.seq = seq
		return w, false, nil
	}
	if !stands {
		w.seq, err = r.q.place(ctx, j)
	}
	if err == nil && w.seq == 0 {
		w.seq, err = r.q.seqOf(ctx, subject)
	}
	if w.seq > 0 {
		r.seqs[subject] = w.seq
	}
	return w, !stands, err
}

// taken is the number of the last message of a queue that a worker was given; what waits is behind it.
func (q *Queue) taken(ctx context.Context, queue string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := q.js.Consumer(ctx, Stream, queue)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, nil // nobody has the model
	}
	if err != nil {
		return 0, fmt.Errorf("jobs: consumer %s: %w", queue, q.explained(err))
	}
	return c.CachedInfo().Delivered.Stream, nil
}

// seqOf is the number of the message that stands for a subject; 0: none does any more.
func (q *Queue) seqOf(ctx context.Context, subject string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := q.js.Stream(ctx, Stream)
	if err == nil {
		var msg *jetstream.RawStreamMsg
		if msg, err = s.GetLastMsgForSubject(ctx, subject); err == nil {
			return msg.Sequence, nil
		}
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	return 0, fmt.Errorf("jobs: stream %s: %w", Stream, q.explained(err))
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
