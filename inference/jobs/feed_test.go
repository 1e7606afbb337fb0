package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestFeed_retriesItsSource(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	var failed int
	feed := Feed{Every: time.Hour, Open: func(ctx context.Context, after string, limit int) ([]Job, error) {
		if failed < 2 {
			failed++
			return nil, errors.New("ledger is locked")
		}
		return b.list(ctx, after, limit)
	}}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, feed) })
	eventually(t, "published", func() bool { return messages(t, q) == 1 })
}

func TestFeed_passesOverABadJob(t *testing.T) {
	q := openQueue(t, Options{})
	bad := testJob(1)
	bad.Instance.SOPInstanceUID = "not a uid"
	b := newBook(bad, testJob(2))
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	eventually(t, "the good one published", func() bool { return messages(t, q) == 1 })
}

func TestFeed_wokenLooksAtTheNewOnes(t *testing.T) {
	q := openQueue(t, Options{})
	const backlog = 5*page + 10
	b := newBook()
	for i := range backlog {
		j := testJob(2 * i)
		b.open[j.ID] = j
	}
	var mu sync.Mutex
	var asked []string // after which jobs are listed
	again := make(chan struct{}, 1)
	feed := Feed{Every: time.Hour, Wake: b.wake, Again: again, Open: func(ctx context.Context, after string, limit int) ([]Job, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, after)
		return b.list(ctx, after, limit)
	}}
	rounds := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked)
	}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, feed) })
	eventually(t, "fed", func() bool { return messages(t, q) == backlog })
	first := rounds()
	b.add(testJob(2 * backlog))
	eventually(t, "the new one fed", func() bool { return messages(t, q) == backlog+1 })
	b.add(testJob(2*backlog - 101)) // its instance began to come in earlier, by 50 others
	eventually(t, "one out of order fed", func() bool { return messages(t, q) == backlog+2 })
	for _, after := range rounds()[len(first):] {
		assert.Greater(t, after, testJob(2*3*page).ID, "the backlog is left alone")
	}

	old := testJob(1)
	b.mu.Lock()
	b.open[old.ID] = old // as a retry of a person brings it
	b.mu.Unlock()
	again <- struct{}{}
	eventually(t, "the old one fed", func() bool { return messages(t, q) == backlog+3 })
}

func TestFeed_jobOpenedAgain(t *testing.T) {
	// It was on the stream, has left it, and is opened again before anybody looked.
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	again := make(chan struct{}, 1)
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Every: time.Hour, Open: b.list, Wake: b.wake, Again: again})
	})
	eventually(t, "fed", func() bool { return messages(t, q) == 1 })
	eventually(t, "gone", func() bool {
		s, err := q.js.Stream(t.Context(), Stream)
		return err == nil && s.Purge(t.Context()) == nil
	})
	again <- struct{}{}
	eventually(t, "fed again", func() bool { return messages(t, q) == 1 })
}
