package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Remote does a job that another process owns, with nothing of that process but the input, and writes its result. Its
// error's methods say what DispositionOf asks; what becomes of the job the owner decides.
type Remote func(ctx context.Context, j Job, header []byte, input io.Reader, keep Keep, result io.Writer) error

// Keep has the owner of a job make durable what was done of it so far; whoever goes on with it is given that.
type Keep func(ctx context.Context, part []byte) error

// elsewhere does a job of another process, and returns after how long its message is to be offered again; 0: it goes.
func (q *Queue) elsewhere(ctx context.Context, j Job, c Consumer, delivery uint64) (again time.Duration) {
	try := nuid.Next()
	begun, err := q.ask(ctx, j.Node, opBegin, question{
		Job: j, Delivery: delivery, Try: try, Inline: true, Takes: Takes{Prepares: c.Prepares(j), Videos: c.Videos},
	})
	if err != nil {
		q.unheard.add(j.Node, try)
		q.log.Warn("job not begun", "job", j.ID, "delivery", delivery, "err", err)
		return backoff(Postpone, delivery)
	}
	if begun.Object == "" && !begun.Inline {
		return begun.Again
	}
	result := &spill{most: maxInline, stream: func(r io.Reader) (object, error) {
		o, err := q.put(ctx, objectName(j.Node, resultBytes), j.ID, r)
		if err != nil {
			err = postpone{err} // the store's fault, or that of the job, which is said before
		}
		return o, err
	}}
	err = q.remote(ctx, j, begun, c.Remote, result)
	if err = result.finish(err); err == nil {
		err = q.deliver(ctx, j, result)
	}
	if err == nil {
		return 0
	}
	verdict := DispositionOf(err)
	q.log.Log(ctx, levelOf(verdict), "job not done", "job", j.ID, "model", j.Model.Name, "delivery", delivery, "err", err)
	// Whoever stops this process still wants to hear of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	failed, err := q.ask(ctx, j.Node, opFailed, question{
		Job: j, Delivery: delivery, Try: try, Object: begun.Object, Fault: err.Error(), Verdict: verdict.String(),
	})
	if err != nil {
		if verdict == Postpone {
			q.unheard.add(j.Node, try)
		}
		q.log.Warn("the end of a try not told", "job", j.ID, "err", err)
		return backoff(Postpone, delivery)
	}
	return failed.Again
}

func (q *Queue) remote(ctx context.Context, j Job, begun reply, do Remote, result io.Writer) error {
	keep := func(ctx context.Context, part []byte) error { return q.keep(ctx, j, part) }
	if begun.Inline {
		return do(ctx, j, begun.Header, bytes.NewReader(begun.input), keep, result)
	}
	input, err := q.get(ctx, begun.Object)
	if err != nil {
		return postpone{err}
	}
	return do(ctx, j, begun.Header, input, keep, result)
}

// keep gives a part to the owner of a job: with the question if it is small, else by the bucket.
func (q *Queue) keep(ctx context.Context, j Job, part []byte) error {
	asked := question{Job: j, Part: part}
	if int64(len(part)) > q.maxAnswer() {
		o, err := q.put(ctx, objectName(j.Node, resultBytes), j.ID, bytes.NewReader(part))
		if err != nil {
			return postpone{err}
		}
		asked.Part, asked.Object = nil, o.name
	}
	kept, err := q.ask(ctx, j.Node, opKeep, asked)
	switch {
	case err != nil:
		return postpone{err}
	case !kept.Kept:
		return postpone{fmt.Errorf("jobs: a part of %s is not kept: another may be at it, or its gateway has no room", j.ID)}
	}
	return nil
}

// deliver makes a result durable. While there is no server it tries again; a job that was taken over by another worker
// in the meantime has one result all the same.
func (q *Queue) deliver(ctx context.Context, j Job, result *spill) error {
	msg := nats.NewMsg(resultsPrefix + j.Node + "." + token(j.ID))
	reference, err := j.encode()
	if err != nil {
		return err
	}
	msg.Header.Set(jobHeader, string(reference))
	if result.into.name != "" {
		msg.Header.Set(bytesHeader, result.into.name)
	} else {
		msg.Data = result.small.Bytes()
	}
	pause := pauses()
	for deadline := time.Now().Add(maxDelivery); ; {
		err := q.publishResult(ctx, msg)
		switch {
		case err == nil:
			return nil
		case standsAlready(err):
			if result.into.name == "" {
				return nil
			}
			if err := q.drop(ctx, result.into); err != nil {
				q.log.Warn("a second result's bytes not removed, their gateway removes them", "job", j.ID, "err", err)
			}
			return nil
		case ctx.Err() != nil || time.Now().After(deadline):
			return postpone{fmt.Errorf("jobs: result of %s not delivered: %w", j.ID, err)}
		}
		q.log.Warn("result not delivered, trying again", "job", j.ID, "err", err)
		pause.Wait(ctx)
	}
}

// maxDelivery is how long a worker holds on to a result that it cannot deliver.
const maxDelivery = 5 * time.Minute

func (q *Queue) publishResult(ctx context.Context, msg *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := q.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0), jetstream.WithExpectStream(Results))
	return err
}

// ask asks the owner of a job, and waits as long as it says that it is at it.
func (q *Queue) ask(ctx context.Context, node, op string, asked question) (reply, error) {
	asked.Unheard = q.unheard.of(node)
	body, err := json.Marshal(asked)
	if err != nil {
		return reply{}, err
	}
	msg, err := q.call(ctx, ownerPrefix+node+"."+op, body, callTimeout)
	if err != nil {
		return reply{}, fmt.Errorf("jobs: the gateway that owns %s does not answer: %w", asked.Job.ID, err)
	}
	q.unheard.told(node, asked.Unheard)
	return replyOf(msg)
}

// postpone marks what is no fault of the job.
type postpone struct{ error }

func (p postpone) Unwrap() error { return p.error }
func (postpone) Temporary() bool { return true }
func (postpone) Postponed() bool { return true }

// repeat calls do again and again, until the function it returns has returned.
func repeat(every time.Duration, do func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				do()
			}
		}
	}()
	return func() { close(done); <-ended }
}
