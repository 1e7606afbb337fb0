package jobs

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"endogate/dicomnode/secure"
)

const (
	// Stream is the name of the work queue.
	Stream = "ENDOGATE_INSTANCES"

	subjectPrefix = "endogate.jobs."

	pingInterval = 5 * time.Second

	// callTimeout bounds one request to the server.
	callTimeout = 5 * time.Second

	// maxStore bounds what the server inside the process keeps on disk, in bytes.
	maxStore = 1 << 30

	// abandoned is after how long messages and consumers that nobody cares for go from a server that is shared, such as
	// those of a data folder that is no more. What is still wanted is put back by the next round of Feed.
	abandoned = 7 * 24 * time.Hour
)

// Options say where the server is. With an empty URL it runs inside the process, listens on
// no port and keeps its store in StoreDir.
type Options struct {
	URL             string // nats://host:4222, tls://…; several are separated by commas
	CredentialsFile string // a NATS credentials file
	CAFile          string // PEM; empty: the system's
	CertFile        string // PEM, with KeyFile: our certificate, for a server that asks for one
	KeyFile         string

	// Node tells the jobs of one data folder from those of the others on the same server: up to 48 letters, digits, - and _.
	// It must be set where URL is, but for a Guest.
	Node string
	// Guest owns no jobs and makes nothing on the server: it works for those who do.
	Guest bool
	// Replicas is on how many servers of a cluster each stream is kept; 0: 1.
	Replicas int

	StoreDir string

	Log *slog.Logger // nil: slog.Default
}

// Queue is the work queue. All its methods may be called from any goroutine.
type Queue struct {
	log      *slog.Logger
	node     string
	guest    bool
	replicas int
	storeDir string
	url      string         // without its passwords
	srv      *server.Server // nil with a server elsewhere
	finding  sync.Mutex     // held by who makes or removes streams and consumers
	nc       *nats.Conn
	js       jetstream.JetStream

	held held // of the object store

	inboxes chan inbox // that nobody uses

	mu      sync.Mutex
	created time.Time     // of the stream as last seen
	renewed chan struct{} // closed when the stream is found to be another one

	turnedDown atomic.Pointer[error] // why the server did not let us in when it was tried last
	refusal    atomic.Pointer[error] // why it took no job when it was given one last; nil: it did

	running sync.Map // IDs of jobs that are being done in this process
	unheard unheard  // tries of jobs of gateways elsewhere
}

// Open connects to the server, or starts it. A server elsewhere need not be up yet.
func Open(o Options) (*Queue, error) {
	q := &Queue{
		log:      cmp.Or(o.Log, slog.Default()),
		node:     cmp.Or(o.Node, "_"),
		guest:    o.Guest,
		replicas: cmp.Or(o.Replicas, 1),
		storeDir: o.StoreDir,
		url:      PublicURL(o.URL),
		renewed:  make(chan struct{}),
		inboxes:  make(chan inbox, maxInboxes),
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	options := append(o.connection(q.log),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { q.turnedDown.Store(&err) }),
		nats.ConnectHandler(func(*nats.Conn) { q.turnedDown.Store(nil) }))
	if o.URL == "" {
		srv, err := startServer(o.StoreDir, q.log)
		if err != nil {
			return nil, err
		}
		q.srv = srv
		options = append(options, nats.InProcessServer(srv))
	}
	if err := q.connect(o.URL, options); err != nil {
		q.Close()
		return nil, fmt.Errorf("jobs: connect: %w", err)
	}
	return q, nil
}

func (q *Queue) connect(servers string, options []nats.Option) (err error) {
	if q.nc, err = nats.Connect(servers, options...); err != nil {
		return err
	}
	q.js, err = jetstream.New(q.nc)
	return err
}

// PublicURL is nats.url, which may be several, as it may be shown: without passwords and tokens.
func PublicURL(servers string) string {
	all := strings.Split(servers, ",")
	for i, one := range all {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.User != nil {
			all[i] = strings.Replace(one, u.User.String()+"@", "…@", 1)
		}
	}
	return strings.Join(all, ",")
}

// validate finds out now what the connection, tried again for ever, would only log.
func (o Options) validate() error {
	if o.Guest {
		if o.URL == "" || o.Node != "" {
			return errors.New("jobs: a guest needs a URL, and no node")
		}
	} else if (o.URL != "" || o.Node != "") && !safeToken.MatchString(o.Node) {
		return fmt.Errorf("jobs: node %q: give 1 to 48 letters, digits, - or _", o.Node)
	}
	for _, path := range []string{o.CredentialsFile, o.CAFile} {
		if path == "" {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("jobs: connect: %w", err)
		}
		file.Close()
	}
	if o.CertFile != "" || o.KeyFile != "" {
		if _, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile); err != nil {
			return fmt.Errorf("jobs: connect: certificate: %w", err)
		}
	}
	return nil
}

func (o Options) connection(log *slog.Logger) []nats.Option {
	options := []nats.Option{
		nats.Name("endogate"),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(time.Second),
		nats.PingInterval(pingInterval), // a network that is cut without a word is noticed with the third
		nats.IgnoreAuthErrorAbort(),     // credentials may be put right while we run
		nats.ReconnectBufSize(-1),       // a call fails at once while there is no server, and is tried again by its caller
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the nats-server, reconnecting", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("reconnected to the nats-server") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("nats", "err", err) }),
	}
	if o.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(o.CredentialsFile))
	}
	if o.CAFile+o.CertFile != "" || strings.HasPrefix(o.URL, "tls://") {
		options = append(options, nats.Secure(secure.Config()))
	}
	if o.CAFile != "" { // read at each connection, as the certificate is
		options = append(options, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		options = append(options, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	return options
}

// Close disconnects, and stops the server where it runs inside the process. Work and Feed
// must have returned.
func (q *Queue) Close() {
	if q.nc != nil {
		if q.nc.IsConnected() {
			_ = q.nc.FlushTimeout(callTimeout) // what does not arrive is offered again
		}
		q.nc.Close()
	}
	if q.srv != nil {
		stopServer(q.srv)
	}
}

// Publish puts a job into the queue; one that stands in it already stays as it is.
// The stream is made where there is none.
func (q *Queue) Publish(ctx context.Context, j Job) error {
	_, err := q.place(ctx, j)
	return err
}

// place is Publish; it returns the number of the job's message, 0 where one stands already.
func (q *Queue) place(ctx context.Context, j Job) (seq uint64, err error) {
	j.Node = q.node
	message, err := j.encode()
	if err != nil {
		return 0, err
	}
	subject := q.subjectOf(j)
	seq, err = q.publish(ctx, subject, message)
	defer func() { q.took(err) }()
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		if _, err = q.stream(ctx); err == nil {
			seq, err = q.publish(ctx, subject, message)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("jobs: publish %s: %w", j.ID, q.explained(err))
	}
	return seq, nil
}

func (q *Queue) publish(ctx context.Context, subject string, message []byte) (seq uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ack, err := q.js.Publish(ctx, subject, message, jetstream.WithRetryAttempts(0), jetstream.WithExpectStream(Stream))
	switch {
	case standsAlready(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return ack.Sequence, nil
}

// streamStoreFailed is the server's code for a message that the stream's limits refuse.
const streamStoreFailed jetstream.ErrorCode = 10077

// standsAlready tells the stream's refusal of a second message for a subject from its other limits.
func standsAlready(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == streamStoreFailed &&
		api.Description == server.ErrMaxMsgsPerSubject.Error()
}

// subjectOf is the subject of a job of ours.
func (q *Queue) subjectOf(j Job) string {
	return subjectPrefix + queueKey(j.Model, j.Lane) + "." + q.node + "." + token(j.ID)
}

// subjectsOf is the subject of all jobs of a model in a lane, whoever owns them.
func subjectsOf(model Model, lane Lane) string { return subjectPrefix + queueKey(model, lane) + ".*.*" }

// stream finds the stream or makes it, and notices when it is not the one seen before. One caller at a time:
// nobody makes a consumer while the stream's configuration is written.
func (q *Queue) stream(ctx context.Context) (*jetstream.StreamInfo, error) {
	q.finding.Lock()
	defer q.finding.Unlock()
	if err := q.reviveJetStream(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var s jetstream.Stream
	var err error
	first := !q.guest && q.seen().IsZero()
	if !first {
		s, err = q.js.Stream(ctx, Stream)
	}
	if err == nil && !first && q.lostFolder() {
		q.log.Error("job queue has lost its folder, making it anew; jobs are fed again from the ledger", "store", q.storeDir)
		if err = q.js.DeleteStream(ctx, Stream); err == nil {
			err = jetstream.ErrStreamNotFound
		}
	}
	if first || !q.guest && errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = q.ensure(ctx, q.streamConfig())
		q.took(err) // a stream that has no room takes no job
	}
	if err != nil {
		return nil, fmt.Errorf("jobs: stream %s: %w", Stream, q.explained(err))
	}
	info := s.CachedInfo()
	q.saw(info.Created)
	return info, nil
}

// ensure finds a stream or makes it. One of another release or with other options is changed, one as it should be is not:
// the server is not meant to change a stream while somebody makes a consumer on it.
func (q *Queue) ensure(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := q.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return q.js.CreateStream(ctx, want)
	case err == nil && !alike(s.CachedInfo().Config, want):
		return q.js.UpdateStream(ctx, want)
	}
	return s, err
}

// alike compares what we set.
func alike(is, want jetstream.StreamConfig) bool {
	return is.Description == want.Description && slices.Equal(is.Subjects, want.Subjects) && is.Retention == want.Retention &&
		is.Storage == want.Storage && is.Replicas == want.Replicas && is.MaxBytes == want.MaxBytes && is.MaxAge == want.MaxAge &&
		is.MaxMsgSize == cmp.Or(want.MaxMsgSize, -1) && is.MaxMsgsPerSubject == want.MaxMsgsPerSubject &&
		is.Discard == want.Discard && is.DiscardNewPerSubject == want.DiscardNewPerSubject && is.AllowDirect == want.AllowDirect
}

// seen is when the stream was made that was seen last.
func (q *Queue) seen() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.created
}

// saw takes note of the stream, and wakes who waits for changed when it is another one.
func (q *Queue) saw(created time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !created.Equal(q.created) && !q.created.IsZero() {
		close(q.renewed)
		q.renewed = make(chan struct{})
	}
	q.created = created
}

func (q *Queue) streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        Stream,
		Description: "endogate: references to instances that wait for inference; rebuilt from the ledgers when deleted",
		Subjects:    []string{subjectPrefix + ">"},
		Retention:   jetstream.WorkQueuePolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    q.replicas,
		MaxBytes:    maxStore / 2, // the rest is for the server's own records
		MaxAge:      abandoned,
		MaxMsgSize:  maxJob,
		// One message for a subject, and the second is refused: that is what keeps a job from standing in the queue twice.
		MaxMsgsPerSubject:    1,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		AllowDirect:          true,
	}
}

// changed is closed when the stream is found to be another one than before.
func (q *Queue) changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.renewed
}

// Check says what is wrong with the server, or nil: whether it has room is known once it has the stream of jobs, which is made
// where it is not there.
func (q *Queue) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := q.js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("jobs: JetStream: %w", q.explained(err))
	}
	if !q.guest {
		if _, err := q.stream(ctx); err != nil {
			return err
		}
	}
	return q.Refused()
}

// Lag is how much work stands in the queue.
type Lag struct {
	Waiting int // not yet given to a worker
	Working int // given to a worker, or waiting to be tried again
}

// Lag counts a model's jobs in all lanes of the queue, whoever owns them. There is none as long as there is no stream.
func (q *Queue) Lag(ctx context.Context, model Model) (Lag, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := q.js.Stream(ctx, Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return Lag{}, nil
	}
	if err != nil {
		return Lag{}, fmt.Errorf("jobs: lag: %w", q.explained(err))
	}
	var all Lag
	for _, lane := range lanes {
		one, err := q.laneLag(ctx, s, model, lane)
		if err != nil {
			return Lag{}, err
		}
		all.Waiting, all.Working = all.Waiting+one.Waiting, all.Working+one.Working
	}
	return all, nil
}

func (q *Queue) laneLag(ctx context.Context, s jetstream.Stream, model Model, lane Lane) (Lag, error) {
	c, err := s.Consumer(ctx, queueKey(model, lane))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return q.subjectLag(ctx, s, subjectsOf(model, lane))
	}
	if err != nil {
		return Lag{}, fmt.Errorf("jobs: lag: %w", err)
	}
	info := c.CachedInfo()
	return Lag{Waiting: int(info.NumPending), Working: info.NumAckPending}, nil
}

// subjectLag counts messages that no worker has asked for yet.
func (q *Queue) subjectLag(ctx context.Context, s jetstream.Stream, subjects string) (Lag, error) {
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subjects))
	if err != nil {
		return Lag{}, fmt.Errorf("jobs: lag: %w", err)
	}
	return Lag{Waiting: len(info.State.Subjects)}, nil
}
