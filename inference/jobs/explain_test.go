package jobs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestExplained: a server that is not there, one that does not know us, one without JetStream and one that is full are said to be
// what they are, and nothing else.
func TestExplained(t *testing.T) {
	const down, unknown, without, full = "no nats-server answers", "does not accept us", "has no JetStream", "is full"
	for _, row := range []struct {
		name, url, says string
		o               *server.Options
	}{
		{"down", "nats://me:secret@127.0.0.1:1", down, nil},
		{"unauthorised", "nats://me:wrong@%s", unknown, &server.Options{Username: "me", Password: "secret", JetStream: true}},
		{"no credentials", "nats://%s", unknown, &server.Options{Username: "me", Password: "secret", JetStream: true}},
		{"without JetStream", "nats://%s", without, &server.Options{}},
		{"full", "nats://%s", full, &server.Options{JetStream: true, JetStreamMaxStore: 1 << 20}},
	} {
		t.Run(row.name, func(t *testing.T) {
			url := row.url
			if row.o != nil {
				row.o.Host, row.o.Port, row.o.NoSigs, row.o.NoLog, row.o.StoreDir = "127.0.0.1", -1, true, true, t.TempDir()
				srv, err := server.NewServer(row.o)
				require.NoError(t, err)
				srv.Start()
				t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
				require.True(t, srv.ReadyForConnections(patience))
				url = fmt.Sprintf(url, srv.Addr())
			}
			q := openQueue(t, Options{URL: url, Node: "n"})
			var err error
			for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				if err = q.Publish(t.Context(), testJob(1)); err != nil && strings.Contains(err.Error(), row.says) {
					break
				}
			}
			for _, other := range []string{down, unknown, without, full} {
				assert.Equal(t, other == row.says, strings.Contains(err.Error(), other), "%v", err)
			}
			assert.NotContains(t, err.Error(), "secret")
			if row.says == full {
				require.ErrorContains(t, q.Refused(), full)
				require.ErrorContains(t, q.Check(t.Context()), full)
			}
		})
	}
}

// TestRefused_noAnswer: a server that is there, and does not answer when it is given a job, is said to do so.
func TestRefused_noAnswer(t *testing.T) {
	dir := t.TempDir()
	srv := external(t, dir, server.RANDOM_PORT)
	t.Cleanup(func() { stopServer(srv) })
	q := openQueue(t, Options{URL: srv.ClientURL(), Node: "n"})
	loseFolder(t, q, dir)
	require.ErrorContains(t, q.Publish(t.Context(), testJob(1)), "gives no answer")
	require.ErrorContains(t, q.Check(t.Context()), "gives no answer")
	require.NoError(t, q.js.DeleteStream(t.Context(), Stream))
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	require.NoError(t, q.Check(t.Context()))
}
