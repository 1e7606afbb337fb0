package jobs

import (
	"context"
	"errors"
	"testing"
	"time"
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
