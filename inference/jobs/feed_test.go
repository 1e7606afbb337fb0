package jobs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFeed_retriesItsSource(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	var failed int
	feed := Feed{Every: time.Hour, Lines: b.lines, Open: func(ctx context.Context, line, after string, limit int) ([]Job, error) {
		if failed < 2 {
			failed++
			return nil, errors.New("ledger is locked")
		}
		return b.list(ctx, line, after, limit)
	}}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, feed) })
	eventually(t, "published", func() bool { return messages(t, q) == 1 })
}

func TestFeed_passesOverABadJob(t *testing.T) {
	q := openQueue(t, Options{})
	bad := testJob(1)
	bad.Model.Version = ""
	b := newBook(bad, testJob(2))
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
	eventually(t, "the good one published", func() bool { return messages(t, q) == 1 })
}

func TestFeed_wokenLooksAtTheNewOnes(t *testing.T) {
	q := openQueue(t, Options{})
	const backlog = 2*page + 10
	b := newBook(jobList(backlog)...)
	var mu sync.Mutex
	var asked []string // after which jobs are listed
	again := make(chan struct{}, 1)
	feed := Feed{Every: time.Hour, Wake: b.wake, Again: again, Lines: b.lines, Ahead: everything}
	feed.Open = func(ctx context.Context, line, after string, limit int) ([]Job, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, after)
		return b.list(ctx, line, after, limit)
	}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, feed) })
	eventually(t, "fed", func() bool { return messages(t, q) == backlog })
	fresh, old := testJob(backlog+1), testJob(backlog) // whose instance began to come in earlier
	b.add(fresh)
	eventually(t, "the new one fed", func() bool { return messages(t, q) == backlog+1 })
	b.add(old)
	eventually(t, "one out of the order of IDs fed", func() bool { return messages(t, q) == backlog+2 })
	s, err := q.js.Stream(t.Context(), Stream)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context()))
	b.add(testJob(7)) // opened again, it goes to the end
	eventually(t, "the one opened again fed", func() bool { return messages(t, q) == 1 })
	mu.Lock()
	assert.Equal(t, []string{"", testJob(page - 1).ID, testJob(2*page - 1).ID, testJob(backlog - 1).ID, fresh.ID, old.ID}, asked,
		"what was seen is left alone")
	mu.Unlock()
	again <- struct{}{}
	eventually(t, "all fed", func() bool { return messages(t, q) == backlog+2 })
}

func TestFeed_jobOpenedAgain(t *testing.T) {
	// It was on the stream, has left it, and is opened again before anybody looked.
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	again := make(chan struct{}, 1)
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Every: time.Hour, Lines: b.lines, Open: b.list, Wake: b.wake, Again: again})
	})
	eventually(t, "fed", func() bool { return messages(t, q) == 1 })
	eventually(t, "gone", func() bool {
		s, err := q.js.Stream(t.Context(), Stream)
		return err == nil && s.Purge(t.Context()) == nil
	})
	again <- struct{}{}
	eventually(t, "fed again", func() bool { return messages(t, q) == 1 })
}

// Every minute all open jobs are looked at: that must cost little where they stand in the queue.
func TestFeed_publishesOnlyWhatIsMissing(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(jobList(2*page + 10)...)
	again := feedOnce(t, q, b.all())
	s, err := q.js.Stream(t.Context(), Stream)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSubject(q.subjectOf(testJob(3)))))
	before := q.nc.Stats().OutMsgs
	again()
	assert.Equal(t, 2*page+10, messages(t, q), "what was missing is back")
	assert.Less(t, q.nc.Stats().OutMsgs-before, uint64(10), "messages sent to the server")
}

// The model was replaced while jobs for the old one stood in the queue, and nobody has the old one any more.
func TestFeed_replacedModel(t *testing.T) {
	q := openQueue(t, Options{})
	old, other := testJob(1), testJob(2)
	feedOnce(t, q, newBook(old, other).all())
	elsewhere := strings.Replace(q.subjectOf(old), "._.", ".other.", 1)
	_, err := q.publish(t.Context(), elsewhere, []byte("{}"))
	require.NoError(t, err)
	fresh := old
	fresh.Model.Version, fresh.Model.Digest = "2.0", "d16e58"
	b := newBook(fresh, other)
	for range 2 {
		feedOnce(t, q, b.all())
		s, err := q.js.Stream(t.Context(), Stream)
		require.NoError(t, err)
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{q.subjectOf(fresh), q.subjectOf(other), elsewhere}, slices.Collect(maps.Keys(info.State.Subjects)),
			"the job is for its new model alone, and other gateways' are left alone")
	}
}
