package jobs

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// of is job n of a source.
func of(source string, n int) Job {
	j := testJob(n)
	j.ID = source + "-" + j.ID
	return j
}

// TestFeed_anyBacklogs: whoever has jobs open waits for about its share: from when one is put on the stream, no other source has more
// done before it than waits there of each, whatever they have, and whoever came first; and each one's are done in their order.
func TestFeed_anyBacklogs(t *testing.T) {
	q := openQueue(t, Options{})
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		model := testModel(fmt.Sprint("demo", run)) // a queue of its own
		few := rapid.IntRange(2, 6).Draw(t, "ahead")
		b, want, done := newBook(), map[string]int{}, map[string]int{}
		placed := map[uint64]map[string]int{} // what was done when a message came onto the stream, by its number
		for i, n := range rapid.SliceOfN(rapid.IntRange(1, 40), 1, 5).Draw(t, "backlogs") {
			source := fmt.Sprintf("run%d-room%d", run, i)
			for k := range n {
				j := of(source, k)
				j.Model = model
				b.from(source, j)
			}
			want[source] = n
		}
		r := &round{q: q, f: Feed{Lines: b.lines, Open: b.list, Ahead: few, Models: []Model{model}}, seqs: map[string]uint64{}}
		for all := true; len(b.open) > 0; all = rapid.IntRange(0, 9).Draw(t, "all") == 0 {
			_, err := r.feed(context.Background(), all)
			require.NoError(t, err)
			for _, l := range r.lines {
				for _, w := range l.waiting {
					if placed[w.seq] == nil {
						placed[w.seq] = maps.Clone(done)
					}
				}
			}
			c, err := q.js.Consumer(context.Background(), Stream, model.Key())
			require.NoError(t, err)
			there := len(placed) // and not what the server says, which lags: a fetch waits for as many as it asks for
			for _, n := range done {
				there -= n
			}
			require.Positive(t, there)
			taken, err := c.Fetch(min(rapid.IntRange(1, few).Draw(t, "taken"), there), jetstream.FetchMaxWait(time.Minute))
			require.NoError(t, err)
			for msg := range taken.Messages() {
				j, err := decodeJob(msg.Data())
				require.NoError(t, err)
				source := b.source[j.ID]
				require.Equal(t, of(source, done[source]).ID, j.ID)
				require.NoError(t, b.do(context.Background(), j))
				require.NoError(t, msg.DoubleAck(context.Background()))
				done[source]++
				about, err := msg.Metadata()
				require.NoError(t, err)
				before, known := placed[about.Sequence.Stream]
				require.True(t, known)
				for other := range want {
					if other != source {
						require.LessOrEqual(t, done[other]-before[other], few, "%s before %s: %v of %v", other, source, done, want)
					}
				}
			}
		}
		require.Equal(t, want, done)
		for _, lane := range lanes {
			require.NoError(t, q.js.DeleteConsumer(context.Background(), Stream, queueKey(model, lane))) // a stream has room for some hundred
		}
	})
}

// A room that begins when another has sent thousands waits for those that are ahead on the stream, and no more; so does its
// urgent job, which goes before all.
func TestFeed_oneFloods(t *testing.T) {
	q := openQueue(t, Options{})
	b, d := newBook(), newDiary()
	for n := range 2000 {
		b.from("flood", of("flood", n))
	}
	c := b.consumer(1)
	c.Do = func(ctx context.Context, j Job) error { d.note(j); return b.do(ctx, j) }
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Wake: b.wake, Models: c.Models, Every: time.Hour})
	})
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "the slot is taken", func() bool { return len(d.read()) == 1 })
	eventually(t, "the next few wait", func() bool { return messages(t, q) == 1+ahead })
	for n := range 3 {
		b.from("room", of("room", n))
	}
	urgent := of("room", 9)
	urgent.Lane = Stat
	b.from("room", urgent)
	b.wake <- struct{}{}
	eventually(t, "fed", func() bool { return messages(t, q) == 1+ahead+4 })
	close(d.release)
	eventually(t, "the room's are done", func() bool { return b.runsOf(of("room", 2).ID) == 1 })
	begun := d.read()
	assert.Equal(t, urgent.ID, begun[1])
	for n := range 3 {
		assert.Contains(t, begun[:1+1+ahead+3], of("room", n).ID, "they wait for those on the stream and for one another")
	}
}

// Of large ones fewer wait ahead of others, however few jobs that is.
func TestFeed_largeOnes(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook()
	for n := range 20 {
		large, small := of("large", n), of("small", n)
		large.Size = aheadBytes
		b.from("large", large)
		b.from("small", small)
	}
	feedOnce(t, q, Feed{Lines: b.lines, Open: b.list})
	assert.Equal(t, ahead+2, messages(t, q))
	feedOnce(t, q, Feed{Lines: b.lines, Open: b.list})
	assert.Equal(t, ahead+2, messages(t, q), "also after a start, when what stands was put there by another process")
}

// What is tried again later, or under way elsewhere, is no reason to put less on the stream.
func TestFeed_whatWaitsForAnotherTry(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook()
	for n := range 5 * ahead {
		b.from("room", of("room", n))
	}
	c := b.consumer(1)
	c.Do = func(ctx context.Context, j Job) error {
		if j.ID < of("room", 3*ahead).ID {
			return fmt.Errorf("not now")
		}
		return b.do(ctx, j)
	}
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Models: c.Models})
	})
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "those behind are done", func() bool { return b.runsOf(of("room", 5*ahead-1).ID) == 1 })
}
