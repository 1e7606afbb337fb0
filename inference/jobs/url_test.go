package jobs

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPublicURL(t *testing.T) {
	for in, want := range map[string]string{
		"nats://10.1.2.3:4222":                       "nats://10.1.2.3:4222",
		"nats://me:secret@a:4222,tls://token@b:4222": "nats://…@a:4222,tls://…@b:4222",
		"": "",
	} {
		assert.Equal(t, want, PublicURL(in))
	}
}

// While there is no server, whoever asks is told so, and where it was looked for.
func TestQueue_noServer(t *testing.T) {
	q := openQueue(t, Options{URL: "nats://me:secret@127.0.0.1:1", Node: "n"})
	model := Model{Name: "m", Version: "1", Digest: "d"}
	_, lag := q.Lag(t.Context(), model)
	_, workers := q.Workers(t.Context())
	for _, err := range []error{q.Check(t.Context()), lag, workers, q.Publish(t.Context(), testJob(1))} {
		assert.ErrorContains(t, err, "no nats-server answers at nats://…@127.0.0.1:1")
		assert.NotContains(t, err.Error(), "secret")
	}
}
