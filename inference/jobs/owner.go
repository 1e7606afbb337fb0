package jobs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// Results is the stream on which workers elsewhere return what came of a job, for its owner to take.
	Results = "ENDOGATE_RESULTS"

	resultsPrefix = "endogate.results."
	ownerPrefix   = "endogate.owner."

	// maxInline is the size of an input or a result above which it goes through the object store.
	maxInline = 512 << 10
	// maxAnswers bounds the questions of workers that are answered at a time.
	maxAnswers = 16

	jobHeader   = "Endogate-Job"
	bytesHeader = "Endogate-Bytes"
	busyHeader  = "Endogate-Busy"
	replyHeader = "Endogate-Reply" // of an answer whose body is the input
)

// Owner is what a gateway does for workers elsewhere that have taken one of its jobs. Its functions may be called from
// any goroutine, and for one job at the same time: two workers may be at it when one was taken for dead. What becomes of a
// job after an error is for DispositionOf to say, as after Consumer's Do.
type Owner struct {
	// Begin counts a try and returns what the job needs; nil without an error: there is nothing left to do.
	Begin func(ctx context.Context, j Job, takes Takes) (*Input, error)
	// Keep makes durable what a worker has done of a job so far, as its Remote has given it.
	Keep func(ctx context.Context, j Job, part io.Reader) error
	// Failed is told that a try has come to nothing, and why; its error decides about the job. nil: nobody waits for it.
	Failed func(ctx context.Context, j Job, why error) error
	// Take makes a result durable, the first one of a job; what comes for one that is not open it drops.
	// Where its error has a Refused method that says true the result is of no use, and the job is offered again.
	Take func(ctx context.Context, j Job, result io.Reader) error
	// Park is as in Consumer.
	Park func(ctx context.Context, j Job, reason string) error
	// Open says whether a job still is.
	Open func(ctx context.Context, id string) (bool, error)

	Takers int           // results taken at a time; 0: 2
	Drain  time.Duration // that a result being taken has left when ctx ends; 0: 20s
	Sweep  time.Duration // how often bytes that no open job needs are looked for; 0: a minute
}

// Takes is what Consumer says of a worker; zero of one of an earlier release.
type Takes struct {
	Prepares string `json:"prepares,omitempty"`
	Videos   bool   `json:"videos,omitempty"`
}

// Input is what a job needs where it is done.
type Input struct {
	Header []byte        // a few KiB at most: how the bytes are to be read, and what is wanted
	Bytes  io.ReadCloser // closed by the queue
}

// Own answers workers elsewhere and takes their results until ctx is done. It waits for a lost server.
func (q *Queue) Own(ctx context.Context, o Owner) error {
	if o.Begin == nil || o.Keep == nil || o.Failed == nil || o.Take == nil || o.Park == nil || o.Open == nil {
		return errors.New("jobs: owner: Begin, Keep, Failed, Take, Park and Open must be set")
	}
	w := &owner{q: q, Owner: o, inputs: map[string]map[string]object{}, tries: map[string]*try{}, slots: make(chan struct{}, maxAnswers)}
	sub, err := q.nc.Subscribe(ownerPrefix+q.node+".*", func(msg *nats.Msg) { w.ask(ctx, msg) })
	if err != nil {
		return fmt.Errorf("jobs: owner: %w", err)
	}
	working, stop := outliving(ctx, cmp.Or(o.Drain, defaultDrain))
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { w.sweep(ctx) })
	takers := o.Takers
	if takers == 0 {
		takers = 2
	}
	for range takers {
		loops.Go(func() { w.take(ctx, working) })
	}
	<-ctx.Done()
	_ = sub.Unsubscribe() // the connection may be gone
	loops.Wait()
	w.end()
	return nil
}

// owner is an Owner at work.
type owner struct {
	Owner
	q         *Queue
	answering sync.WaitGroup
	slots     chan struct{}

	mu     sync.Mutex
	ended  bool
	inputs map[string]map[string]object // by job and name, what was put into the bucket for workers elsewhere
	tries  map[string]*try              // by their workers' names for them
}

// question is what a worker asks about a job that it has taken.
type question struct {
	Job      Job    `json:"job"`
	Delivery uint64 `json:"delivery"`         // how often its message was given to a worker
	Inline   bool   `json:"inline,omitempty"` // it takes a small input with the answer, as earlier releases do not
	Takes
	Try     string   `json:"try,omitempty"`     // the worker's name for it; "": of an earlier release
	Unheard []string `json:"unheard,omitempty"` // tries of this gateway's jobs of which it has heard nothing
	Object  string   `json:"object,omitempty"`  // the input that it was given; "": it came with the answer; of opKeep the part
	Part    []byte   `json:"part,omitempty"`    // what is to be kept, where it is small
	Fault   string   `json:"fault,omitempty"`   // why the try came to nothing
	Verdict string   `json:"verdict,omitempty"` // what the worker's error says of itself
}

// reply is what the owner says to that.
type reply struct {
	Object string        `json:"object,omitempty"` // the input's name in the bucket
	Inline bool          `json:"inline,omitempty"` // the input is in the answer
	Header []byte        `json:"header,omitempty"`
	Kept   bool          `json:"kept,omitempty"`     // the part is durable
	Again  time.Duration `json:"again_ns,omitempty"` // else: after how long the job's message is to be offered again; 0: it goes

	input []byte // with Inline
}

// message is r as it travels. An input is the body, as it would be half as much again in JSON.
func (r reply) message() (*nats.Msg, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if r.Inline {
		return &nats.Msg{Header: nats.Header{replyHeader: {string(text)}}, Data: r.input}, nil
	}
	return &nats.Msg{Data: text}, nil
}

// replyOf reads what message made.
func replyOf(msg *nats.Msg) (r reply, err error) {
	text := msg.Header.Get(replyHeader)
	if text == "" {
		return r, json.Unmarshal(msg.Data, &r)
	}
	r.input = msg.Data
	return r, json.Unmarshal([]byte(text), &r)
}

// end waits for answers under way. Questions that come now all the same, as Unsubscribe waits for none, are not answered.
func (w *owner) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.answering.Wait()
}

// ask answers a worker in a goroutine of its own.
func (w *owner) ask(ctx context.Context, msg *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.answering.Go(func() {
		// From now on, or the worker would give up, and a try would begin that nobody is at.
		stop := repeat(callTimeout/3, func() {
			_ = msg.RespondMsg(&nats.Msg{Header: nats.Header{busyHeader: {"1"}}})
		})
		defer stop()
		select {
		case w.slots <- struct{}{}:
			defer func() { <-w.slots }()
		case <-ctx.Done():
			return
		}
		var asked question
		answer := reply{Again: lastPostponed} // another release may understand it
		err := json.Unmarshal(msg.Data, &asked)
		if err = cmp.Or(err, asked.Job.Validate()); err != nil {
			w.q.log.Warn("a worker's question is not understood", "err", err)
		} else {
			w.takeBack(ctx, asked.Unheard)
			answer = w.answer(ctx, msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:], asked)
		}
		said, err := answer.message()
		if err == nil {
			err = msg.RespondMsg(said)
		}
		if err != nil {
			w.q.log.Warn("worker not answered", "job", asked.Job.ID, "err", err)
		}
	})
}

func (w *owner) answer(ctx context.Context, op string, asked question) reply {
	switch op {
	case opBegin:
		return w.begin(ctx, asked)
	case opKeep:
		err := w.keep(ctx, asked)
		if err != nil {
			w.q.log.Warn("what a worker has done of a job so far is not kept", "job", asked.Job.ID, "err", err)
		}
		return reply{Kept: err == nil}
	case opFailed:
		w.tryEnded(asked.Try)
		err := w.Failed(ctx, asked.Job, &remoteError{asked.Fault, asked.Verdict})
		if asked.Object != "" { // else it would be those of another worker
			w.forget(ctx, asked.Job.ID, asked.Object)
		}
		return reply{Again: w.q.fate(ctx, asked.Job, err, w.Park, asked.Delivery)}
	}
	w.q.log.Warn("a worker's question is not understood", "op", op)
	return reply{Again: lastPostponed}
}

const (
	opBegin  = "begin"
	opKeep   = "keep"
	opFailed = "failed"
)

// keep has a part kept, and removes its bytes where it was a large one.
func (w *owner) keep(ctx context.Context, asked question) error {
	if asked.Object == "" {
		return w.Keep(ctx, asked.Job, bytes.NewReader(asked.Part))
	}
	r, err := w.q.get(ctx, asked.Object)
	if err != nil {
		return err
	}
	err = w.Keep(ctx, asked.Job, r)
	return errors.Join(err, w.q.drop(context.WithoutCancel(ctx), object{name: r.info.Name, nuid: r.info.NUID}))
}

// begin gives the worker the input: with the answer if it is small, which spares the broker a store of it, else by the bucket.
func (w *owner) begin(ctx context.Context, asked question) reply {
	w.trying(asked)
	in, err := w.Begin(ctx, asked.Job, asked.Takes)
	if in == nil {
		w.tryEnded(asked.Try)
		return reply{Again: w.q.fate(ctx, asked.Job, err, w.Park, asked.Delivery)}
	}
	defer in.Bytes.Close()
	answer, err := w.hand(ctx, asked, in)
	if err != nil {
		if !permanent(err) {
			err = postpone{err} // the bytes are good, so it is the store
		}
		w.tryEnded(asked.Try)
		return reply{Again: w.q.fate(ctx, asked.Job, w.Failed(ctx, asked.Job, err), w.Park, asked.Delivery)}
	}
	if !w.handing(asked.Try, answer.Object) {
		w.void(ctx, asked.Job, answer.Object)
		return reply{Again: backoff(Postpone, asked.Delivery)}
	}
	return answer
}

func (w *owner) hand(ctx context.Context, asked question, in *Input) (reply, error) {
	var start bytes.Buffer
	if asked.Inline {
		most := w.q.maxAnswer()
		if _, err := start.ReadFrom(io.LimitReader(in.Bytes, most+1)); err != nil {
			return reply{}, fmt.Errorf("jobs: input: %w", err)
		}
		if int64(start.Len()) <= most {
			return reply{Inline: true, Header: in.Header, input: start.Bytes()}, nil
		}
	}
	job, name := asked.Job.ID, objectName(w.q.node, inputBytes)
	w.offer(object{name: name, job: job}) // before it is there: sweep lets it be
	o, err := w.q.put(ctx, name, job, io.MultiReader(&start, in.Bytes))
	if err != nil {
		w.withdraw(job, name)
		return reply{}, err
	}
	w.offer(o)
	return reply{Object: name, Header: in.Header}, nil
}

// maxAnswer is the size of an input that goes with an answer; the rest of what the server allows is for the header.
func (q *Queue) maxAnswer() int64 { return min(maxInline, q.nc.MaxPayload()/2) }

// offer takes note of an input.
func (w *owner) offer(o object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inputs[o.job] == nil {
		w.inputs[o.job] = map[string]object{}
	}
	w.inputs[o.job][o.name] = o
}

// withdraw forgets an input of a job, or all of them, and returns them.
func (w *owner) withdraw(job, name string) (inputs []object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.inputs[job] {
		if name == "" || name == o.name {
			inputs = append(inputs, o)
			delete(w.inputs[job], o.name)
		}
	}
	if len(w.inputs[job]) == 0 {
		delete(w.inputs, job)
	}
	return inputs
}

// forget removes an input of a job that is needed no more, or with "" all of them.
func (w *owner) forget(ctx context.Context, job, name string) {
	for _, o := range w.withdraw(job, name) {
		if o.nuid == "" {
			continue // it is being put in; sweep finds it
		}
		if err := w.q.drop(context.WithoutCancel(ctx), o); err != nil {
			w.q.log.Warn("input not removed, trying again later", "job", job, "err", err)
		}
	}
}

// take takes one result after the other.
func (w *owner) take(ctx, working context.Context) {
	pause := pauses()
	found := false
	for ctx.Err() == nil {
		var msg *nats.Msg
		var err error
		if !found {
			err = w.q.findResults(ctx)
		}
		if found = err == nil; found {
			msg, err = w.q.nextResult(ctx)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			w.q.log.Warn("results not available, trying again", "err", err)
			found = false
			pause.Wait(ctx)
		case msg != nil:
			pause.Over()
			w.takeOne(working, msg)
		}
	}
}

// nextResult waits a while for a result's message; nil without an error means there was none.
func (q *Queue) nextResult(ctx context.Context) (*nats.Msg, error) {
	body, err := json.Marshal(pullRequest{Batch: 1, Expires: pullExpiry})
	if err != nil {
		return nil, err
	}
	msg, err := q.call(ctx, nextMessage+Results+"."+q.node, body, pullExpiry+grace)
	switch {
	case err != nil:
		return nil, fmt.Errorf("jobs: consumer %s on %s: %w", q.node, Results, err)
	case isMessage(msg):
		return msg, nil
	case msg.Header.Get("Status") == expired:
		return nil, nil
	}
	return nil, fmt.Errorf("jobs: consumer %s on %s: %s", q.node, Results, describe(msg.Header))
}

// takeOne takes a result and lets its message go; its bytes go with the job's others.
func (w *owner) takeOne(ctx context.Context, msg *nats.Msg) {
	delivery := uint64(1)
	if meta, err := msg.Metadata(); err == nil {
		delivery = meta.NumDelivered
	}
	var again time.Duration
	j, err := decodeJob([]byte(msg.Header.Get(jobHeader)))
	if err != nil {
		w.q.log.Error("result dropped", "subject", msg.Subject, "err", err)
	} else {
		stop := repeat(takeWait/3, func() { _ = msg.InProgress() })
		err := w.takeResult(ctx, j, msg)
		if again = w.q.fate(ctx, j, err, w.Park, delivery); refused(err) {
			again = 0 // the job is open still, and its message is not on the stream
		}
		stop()
	}
	w.q.settle(j, msg, again)
	if again == 0 {
		w.triesEnded(j.ID)
		w.forget(ctx, j.ID, "")
	}
}

// takeResult has a result taken, and removes its bytes where it was a large one.
func (w *owner) takeResult(ctx context.Context, j Job, msg *nats.Msg) error {
	large := msg.Header.Get(bytesHeader)
	if large == "" {
		return w.Take(ctx, j, bytes.NewReader(msg.Data))
	}
	r, err := w.q.get(ctx, large)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		w.q.log.Warn("result's bytes are gone, the job is offered again", "job", j.ID)
		return nil // the job is open still, and its message is not on the stream
	}
	if err != nil {
		return postpone{err}
	}
	taken := w.Take(ctx, j, r)
	if taken != nil && !refused(taken) {
		return taken
	}
	if err := w.q.drop(ctx, object{name: r.info.Name, nuid: r.info.NUID}); err != nil {
		w.q.log.Warn("result's bytes not removed, trying again later", "job", j.ID, "err", err)
	}
	return taken
}

// refused reports whether a result is of no use to anybody.
func refused(err error) bool {
	var r interface{ Refused() bool }
	return errors.As(err, &r) && r.Refused()
}

// takeWait is how long a result may be under way before it is offered again.
const takeWait = 30 * time.Second

// findResults finds or makes the stream of results and our consumer on it.
func (q *Queue) findResults(ctx context.Context) error {
	q.finding.Lock()
	defer q.finding.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := q.ensure(ctx, q.resultsConfig()); err != nil {
		return fmt.Errorf("jobs: stream %s: %w", Results, q.explained(err))
	}
	if s, err := q.js.Stream(ctx, bucketStream); err != nil || s.CachedInfo().Config.Replicas != q.replicas {
		if _, err := q.makeBucket(ctx); err != nil {
			return fmt.Errorf("jobs: object store: %w", err)
		}
	}
	_, err := q.js.CreateOrUpdateConsumer(ctx, Results, jetstream.ConsumerConfig{
		Durable: q.node, FilterSubject: resultsPrefix + q.node + ".*",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: takeWait, MaxDeliver: -1, InactiveThreshold: abandoned,
	})
	if err != nil {
		return fmt.Errorf("jobs: consumer %s on %s: %w", q.node, Results, err)
	}
	return nil
}

func (q *Queue) resultsConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        Results,
		Description: "endogate: what came of jobs, for the gateway that owns them; without patient data",
		Subjects:    []string{resultsPrefix + ">"},
		Retention:   jetstream.WorkQueuePolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    q.replicas,
		MaxBytes:    maxStore,
		MaxAge:      abandoned,
		// The first result of a job that is durable counts.
		MaxMsgsPerSubject:    1,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
	}
}

// sweep removes bytes that no open job needs, such as those of a process that was killed, and forgets the tries of jobs that have ended.
func (w *owner) sweep(ctx context.Context) {
	every := w.Sweep
	if every == 0 {
		every = time.Minute
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := w.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			w.q.log.Warn("bytes left in the object store, trying again later", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (w *owner) sweepOnce(ctx context.Context) error {
	for job := range w.triedJobs() {
		open, err := w.Open(ctx, job)
		if err != nil {
			return err
		}
		if !open {
			w.triesEnded(job)
		}
	}
	list, err := w.q.objects(ctx, w.q.node)
	if err != nil {
		return err
	}
	for _, o := range list {
		open, err := w.Open(ctx, o.job)
		if err != nil {
			return err
		}
		if open && (strings.HasPrefix(o.name, w.q.node+"."+resultBytes+".") || w.offered(o)) {
			continue
		}
		if err := w.q.drop(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// offered reports whether this process gives the object to a worker.
func (w *owner) offered(o object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ours := w.inputs[o.job][o.name]
	return ours
}

// remoteError is a worker's error as its job's owner sees it.
type remoteError struct{ text, verdict string }

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Temporary() bool { return e.verdict != Term.String() }
func (e *remoteError) Postponed() bool { return e.verdict == Postpone.String() }
