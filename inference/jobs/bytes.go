package jobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Bucket is the object store that holds what is too large for a message: inputs of jobs that are done elsewhere, and
// results. A name there is the node that owns the job, what it is, and a random part.
const Bucket = "ENDOGATE"

const bucketStream = "OBJ_" + Bucket

const (
	inputBytes  = "in"
	resultBytes = "out"
)

// object is something in the bucket.
type object struct {
	name, nuid string
	job        string // the ID of the job that it is of
}

func objectName(node, kind string) string { return node + "." + kind + "." + nuid.Next() }

// put puts what r has into the bucket, for a job.
func (q *Queue) put(ctx context.Context, name, job string, r io.Reader) (object, error) {
	h, err := q.bucket(ctx)
	if err != nil {
		return object{}, err
	}
	info, err := h.store.Put(ctx, jetstream.ObjectMeta{Name: name, Description: job}, r)
	if err != nil {
		return object{}, fmt.Errorf("jobs: object store: %w", err)
	}
	return object{info.Name, info.NUID, job}, nil
}

// get opens an object. Its chunks are asked for one by one, which needs no consumer on the server.
func (q *Queue) get(ctx context.Context, name string) (*chunks, error) {
	h, err := q.bucket(ctx)
	if err != nil {
		return nil, err
	}
	var info *jetstream.ObjectInfo
	err = patiently(ctx, jetstream.ErrObjectNotFound, func(ctx context.Context) error {
		info, err = h.store.GetInfo(ctx, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: object %s: %w", name, err)
	}
	return &chunks{ctx: ctx, stream: h.stream, info: info, next: 1, hash: sha256.New()}, nil
}

// patiently calls ask again a few times when it gives missing: not every server of a cluster has at once what another has
// confirmed.
func patiently(ctx context.Context, missing error, ask func(context.Context) error) (err error) {
	wait := pauses()
	for range 4 {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err = ask(call)
		cancel()
		if !errors.Is(err, missing) || ctx.Err() != nil {
			return err
		}
		wait.Wait(ctx)
	}
	return err
}

// chunks reads an object.
type chunks struct {
	ctx    context.Context // of the job that the object is for
	stream jetstream.Stream
	info   *jetstream.ObjectInfo
	next   uint64 // sequence number that the next chunk has at least
	had    uint32 // chunks
	rest   []byte
	hash   hash.Hash
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.had == c.info.Chunks {
			return 0, c.check()
		}
		if err := c.chunk(); err != nil {
			return 0, postpone{fmt.Errorf("jobs: object %s: chunk %d of %d: %w", c.info.Name, c.had+1, c.info.Chunks, err)}
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *chunks) chunk() error {
	return patiently(c.ctx, jetstream.ErrMsgNotFound, func(ctx context.Context) error {
		msg, err := c.stream.GetMsg(ctx, c.next, jetstream.WithGetMsgSubject(chunksOf(c.info.NUID)))
		if err != nil {
			return err
		}
		c.hash.Write(msg.Data)
		c.next, c.had, c.rest = msg.Sequence+1, c.had+1, msg.Data
		return nil
	})
}

// check is the end of an object that came as it was put.
func (c *chunks) check() error {
	if want, err := jetstream.DecodeObjectDigest(c.info.Digest); err != nil || !bytes.Equal(want, c.hash.Sum(nil)) {
		return postpone{fmt.Errorf("jobs: object %s: its bytes are others than were put", c.info.Name)}
	}
	return io.EOF
}

func chunksOf(nuid string) string { return "$O." + Bucket + ".C." + nuid }

// drop removes an object without a trace of it: the store's own Delete leaves a record behind.
func (q *Queue) drop(ctx context.Context, o object) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	h, err := q.bucket(ctx)
	if err != nil {
		return err
	}
	record := "$O." + Bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(o.name))
	err = errors.Join(h.stream.Purge(ctx, jetstream.WithPurgeSubject(chunksOf(o.nuid))), h.stream.Purge(ctx, jetstream.WithPurgeSubject(record)))
	if err != nil {
		return fmt.Errorf("jobs: object store: remove %s: %w", o.name, err)
	}
	return nil
}

// objects lists what is in the bucket of a node.
func (q *Queue) objects(ctx context.Context, node string) ([]object, error) {
	h, err := q.bucket(ctx)
	if err != nil {
		return nil, err
	}
	list, err := h.store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("jobs: object store: %w", err)
	}
	var ours []object
	for _, info := range list {
		if strings.HasPrefix(info.Name, node+".") {
			ours = append(ours, object{info.Name, info.NUID, info.Description})
		}
	}
	return ours, nil
}

// held is the object store once it was found: names, by which it is found also after it was made anew.
type held struct {
	mu     sync.Mutex
	store  jetstream.ObjectStore
	stream jetstream.Stream // the one that it lies on
}

// bucket finds the object store, or makes it where this process owns jobs.
func (q *Queue) bucket(ctx context.Context) (*held, error) {
	q.held.mu.Lock()
	defer q.held.mu.Unlock()
	if q.held.store != nil {
		return &q.held, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	store, err := q.js.ObjectStore(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) && !q.guest {
		store, err = q.makeBucket(ctx)
	}
	if err == nil {
		q.held.stream, err = q.js.Stream(ctx, bucketStream)
	}
	if err != nil {
		return nil, fmt.Errorf("jobs: object store: %w", err)
	}
	q.held.store = store
	return &q.held, nil
}

// makeBucket makes the object store, or has one of another release or with other options as it should be.
func (q *Queue) makeBucket(ctx context.Context) (jetstream.ObjectStore, error) {
	return q.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket:      Bucket,
		Description: "endogate: pixels of jobs under way and large results, under opaque names; removed with the job",
		TTL:         leftBehind,
		Storage:     jetstream.FileStorage,
		Replicas:    q.replicas,
	})
}

// leftBehind is how long bytes stay that nobody removes, such as those of a gateway that is no more.
const leftBehind = 24 * time.Hour

// spill is a writer that keeps a little in memory, and has what is more than that streamed into the bucket.
type spill struct {
	most   int
	stream func(r io.Reader) (object, error)

	small bytes.Buffer
	pipe  *io.PipeWriter // nil: all is in small
	done  chan struct{}
	into  object
	err   error
}

func (s *spill) Write(p []byte) (int, error) {
	if s.pipe == nil && s.small.Len()+len(p) <= s.most {
		return s.small.Write(p)
	}
	if s.pipe == nil {
		r, w := io.Pipe()
		s.pipe, s.done = w, make(chan struct{})
		go func() {
			defer close(s.done)
			s.into, s.err = s.stream(r)
			r.CloseWithError(cmp.Or(s.err, io.ErrClosedPipe))
		}()
		if _, err := w.Write(s.small.Bytes()); err != nil {
			return 0, err
		}
	}
	return s.pipe.Write(p)
}

// finish ends the stream; with an error nothing of it stays.
func (s *spill) finish(err error) error {
	if s.pipe == nil {
		return err
	}
	s.pipe.CloseWithError(err)
	<-s.done
	return cmp.Or(err, s.err)
}
