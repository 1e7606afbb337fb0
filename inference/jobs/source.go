package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// source asks the queues of several models for one message at a time. While there is work it asks one after the other, lane
// by lane and the models of a lane in turn, and is answered at once; when none has any it waits at all of them, so that a new
// job begins without delay. A
// message that it waited for and has no use for any more is given back as soon as it comes. It is used by one goroutine.
type source struct {
	q       *Queue
	c       Consumer
	asks    []*ask
	lanes   []*lane // the most urgent first
	answers chan answer
	closed  chan struct{}    // receives once for each ask whose subscription has ended
	again   chan nats.Status // receives when the server is there again
}

// lane are the queues whose models take turns.
type lane struct {
	asks []*ask
	turn int // the model to begin with
}

// ask is what is known of the queue of a model.
type ask struct {
	model    Model
	lane     Lane
	peers    *lane
	inbox    string
	sub      *nats.Subscription
	consumer string    // its name; "": to be found or made
	until    time.Time // when the answer to an open request is overdue; zero: none is open
	waits    bool      // the open request waits for a job to come
	nobody   bool      // no gateway has jobs of the model: none is open, and the consumer is looked for again then
	ackWait  time.Duration
	empty    bool // it had none when asked last
}

type answer struct {
	from *ask
	msg  *nats.Msg
}

// grace is how long after its time an answer may come.
const grace = 2 * time.Second

func (q *Queue) newSource(c Consumer) (*source, error) {
	queues := len(lanes) * len(c.Models)
	s := &source{q: q, c: c, answers: make(chan answer, 4*queues), closed: make(chan struct{}, queues)}
	s.again = q.nc.StatusChanged(nats.CONNECTED)
	for _, l := range lanes {
		peers := &lane{}
		s.lanes = append(s.lanes, peers)
		for _, model := range c.Models {
			a := &ask{model: model, lane: l, peers: peers, inbox: q.nc.NewInbox()}
			sub, err := q.nc.Subscribe(a.inbox, func(msg *nats.Msg) { s.answers <- answer{a, msg} })
			if err != nil {
				s.close()
				return nil, fmt.Errorf("jobs: inbox: %w", err)
			}
			sub.SetClosedHandler(func(string) { s.closed <- struct{}{} })
			a.sub = sub
			s.asks, peers.asks = append(s.asks, a), append(peers.asks, a)
		}
	}
	return s, nil
}

// request sees to it that a job of any model comes when there is one.
func (s *source) request(ctx context.Context) error {
	for _, l := range s.lanes {
		for range l.asks {
			a := l.asks[l.turn%len(l.asks)]
			switch {
			case !a.until.IsZero() && !a.waits:
				return nil // it will say in a moment
			case a.until.IsZero() && !a.empty:
				if err := s.ask(ctx, a, false); err != nil || !a.nobody {
					return err
				}
			}
			l.turn++
		}
	}
	for _, a := range s.asks {
		if a.until.IsZero() {
			if err := s.ask(ctx, a, true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *source) ask(ctx context.Context, a *ask, wait bool) (err error) {
	if a.consumer == "" {
		a.consumer, a.ackWait, err = s.q.consumer(ctx, a.model, a.lane, s.c.AckWait)
		if errors.Is(err, errNobody) {
			if !a.nobody && a.lane == Routine {
				s.q.log.Info("no gateway has jobs for a model, waiting for one", "model", a.model.String(), "consumer", a.model.Key())
			}
			a.until, a.waits, a.nobody = time.Now().Add(lookAgain), true, true
			return nil
		}
		if err != nil {
			return err
		}
		a.nobody = false
	}
	patience, request := callTimeout, pullRequest{Batch: 1, NoWait: true}
	if wait {
		patience, request = pullExpiry, pullRequest{Batch: 1, Expires: pullExpiry}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	a.until, a.waits = time.Now().Add(patience+grace), wait
	if err := s.q.nc.PublishRequest(nextMessage+Stream+"."+a.consumer, a.inbox, body); err != nil {
		a.until = time.Time{}
		return fmt.Errorf("jobs: ask %s: %w", a.consumer, err)
	}
	return nil
}

// nextMessage begins the subject that a request for messages goes to.
const nextMessage = "$JS.API.CONSUMER.MSG.NEXT."

// expired is the status of a request whose time is over.
const expired = "408"

// isMessage tells a stream's message from the status that a request for one is answered with.
func isMessage(msg *nats.Msg) bool { return msg.Header.Get("Status") == "" || len(msg.Data) > 0 }

// pullRequest is the body of a request for messages.
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires,omitempty"`
	NoWait  bool          `json:"no_wait,omitempty"`
}

// read takes note of an answer and returns the job's message in it; nil without an error: there was none.
func (s *source) read(a answer) (*nats.Msg, error) {
	a.from.until = time.Time{}
	status := a.msg.Header.Get("Status")
	switch {
	case isMessage(a.msg):
		a.from.empty = false
		a.from.peers.turn++ // the next model's turn
		return a.msg, nil
	case status == "404", status == expired: // no messages
		a.from.empty = true
		return nil, nil
	default: // no responders, consumer deleted, leadership changed, …
		a.from.consumer = ""
		return nil, fmt.Errorf("jobs: queue of %s: %s", a.from.model, describe(a.msg.Header))
	}
}

func describe(h nats.Header) string {
	if text := h.Get("Description"); text != "" {
		return text
	}
	return "status " + h.Get("Status")
}

// freed has models asked that had nothing when asked last.
func (s *source) freed() {
	for _, a := range s.asks {
		a.empty = false
	}
}

// forget takes open requests for lost: the server that had them is gone, or the stream.
func (s *source) forget() {
	for _, a := range s.asks {
		a.until, a.consumer, a.empty = time.Time{}, "", false
	}
}

// expire forgets open requests whose answer is overdue: their server is gone.
func (s *source) expire(now time.Time) (err error) {
	for _, a := range s.asks {
		if a.until.IsZero() || now.Before(a.until) {
			continue
		}
		a.until = time.Time{}
		if !a.nobody {
			a.consumer, err = "", errors.New("jobs: the server does not answer")
		}
	}
	return err
}

// expires is when the next open request is overdue; at most a while from now.
func (s *source) expires(now time.Time) time.Time {
	next := now.Add(pullExpiry)
	for _, a := range s.asks {
		if !a.until.IsZero() && a.until.Before(next) {
			next = a.until
		}
	}
	return next
}

// close ends the requests that are open, and gives back what they have brought.
func (s *source) close() {
	s.q.nc.RemoveStatusListener(s.again)
	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	for _, a := range s.asks {
		if a.sub.Drain() != nil { // there is no server
			s.closed <- struct{}{}
		}
	}
	for open := len(s.asks); open > 0; {
		select {
		case a := <-s.answers:
			giveBack(a.msg)
		case <-s.closed:
			open--
		case <-timeout.C:
			return
		}
	}
	for len(s.answers) > 0 {
		giveBack((<-s.answers).msg)
	}
}

// giveBack has a message offered to another worker at once.
func giveBack(msg *nats.Msg) {
	if msg.Reply != "" {
		_ = msg.Nak() // without a server there is nobody to tell; it is offered again
	}
}

// errNobody: no gateway has made a consumer for the model.
var errNobody = errors.New("jobs: no gateway has jobs for the model")

// consumer finds the consumer of a model's jobs in a lane, or makes it, and returns its name and how long it waits for a silent
// worker. A guest takes what is there.
func (q *Queue) consumer(ctx context.Context, model Model, lane Lane, ackWait time.Duration) (string, time.Duration, error) {
	if _, err := q.stream(ctx); err != nil {
		if q.guest && errors.Is(err, jetstream.ErrStreamNotFound) {
			err = errNobody
		}
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := queueKey(model, lane)
	if q.guest {
		consumer, err := q.js.Consumer(ctx, Stream, name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return "", 0, errNobody
		}
		if err != nil {
			return "", 0, fmt.Errorf("jobs: consumer %s: %w", name, err)
		}
		return name, consumer.CachedInfo().Config.AckWait, nil
	}
	q.finding.Lock()
	defer q.finding.Unlock()
	_, err := q.js.CreateOrUpdateConsumer(ctx, Stream, jetstream.ConsumerConfig{
		Durable:       name,
		Description:   model.String(),
		FilterSubject: subjectsOf(model, lane),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1, // tries are counted where the jobs are kept: a job must be parked before its message goes
		MaxAckPending: maxUnderWay,

		InactiveThreshold: abandoned,
	})
	if hasNoFolder(err) {
		err = errors.Join(err, q.js.DeleteConsumer(ctx, Stream, name))
	}
	if err != nil {
		return "", 0, fmt.Errorf("jobs: consumer %s: %w", name, err)
	}
	return name, ackWait, nil
}

// hasNoFolder tells a consumer that the server has, and the folder of which is gone: as when it was made while the server still removed that of
// its predecessor of the same name. It is never of use again, and is made anew once it is deleted.
func hasNoFolder(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeConsumerCreate && strings.Contains(api.Description, syscall.ENOENT.Error())
}
