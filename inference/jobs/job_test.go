package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testModel(name string) Model { return Model{Name: name, Version: "1.0", Digest: "d16e57"} }

func testJob(n int) Job {
	return Job{ID: fmt.Sprintf("E%05d.demo", n), Model: testModel("demo"), Node: "_"}
}

func TestJob_message(t *testing.T) {
	message, err := Job{ID: "E1.demo", Model: testModel("demo"), Node: "n"}.encode()
	require.NoError(t, err)
	// All that a message ever holds: no names, no patient's ID, no UIDs, no pixels.
	assert.JSONEq(t, `{"id":"E1.demo","model":{"name":"demo","version":"1.0","digest":"d16e57"},"node":"n"}`, string(message))
}

func TestJob_Validate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Job)
		want   string
	}{
		{"good", func(*Job) {}, ""},
		{"no id", func(j *Job) { j.ID = "" }, "jobs: job: id is missing"},
		{"no model", func(j *Job) { j.Model.Name = "" }, "jobs: job: model name is missing"},
		{"no version", func(j *Job) { j.Model.Version = "" }, "jobs: job: model version is missing"},
		{"long", func(j *Job) { j.ID = strings.Repeat("x", 257) }, "jobs: job: id has 257 bytes, at most 256 are allowed"},
		{"two at once", func(j *Job) { j.ID, j.Model.Digest = "", "" }, "jobs: job: id is missing\njobs: job: model digest is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := testJob(1)
			tt.change(&j)
			if tt.want == "" {
				require.NoError(t, j.Validate())
				return
			}
			require.EqualError(t, j.Validate(), tt.want)
			_, err := j.encode()
			require.Error(t, err)
		})
	}
}

func TestModel_Key(t *testing.T) {
	m := Model{Name: "demo-colon", Version: "1.2.0", Digest: "ab"}
	assert.Equal(t, "demo-colon-1_2_0-38c29b6dcdd6", m.Key())
	for _, other := range []Model{
		{Name: "demo_colon", Version: "1.2.0", Digest: "ab"},
		{Name: "demo-colon", Version: "1.2_0", Digest: "ab"},
		{Name: "demo-colon", Version: "1.2.0", Digest: "ac"},
	} {
		assert.NotEqual(t, m.Key(), other.Key())
	}
	strange := Model{Name: strings.Repeat("x.*>", 50) + "é", Version: "> \n", Digest: "ab"}
	assert.Regexp(t, `^[A-Za-z0-9_-]{1,60}$`, strange.Key())
}

func TestToken(t *testing.T) {
	for in, want := range map[string]string{
		"demo":                  "demo",
		"demo-colon_2":          "demo-colon_2",
		"E1.demo":               "=d4aa62c7d9d0adb2ae3e7b14a5b6ad4e",
		"a b":                   "",
		"*":                     "",
		">":                     "",
		strings.Repeat("x", 49): "",
	} {
		got := token(in)
		if want != "" && want[0] != '=' {
			assert.Equal(t, want, got)
			continue
		}
		assert.Regexp(t, `^=[0-9a-f]{32}$`, got)
		assert.Equal(t, got, token(in))
	}
	assert.NotEqual(t, token("E1.demo"), token("E2.demo"))
}

type jobError bool

func (e jobError) Error() string   { return "boom" }
func (e jobError) Temporary() bool { return !bool(e) }

// postponedError says nothing of Temporary, or that it is not: being postponed comes first.
type postponedError struct{ jobError }

func (postponedError) Postponed() bool { return true }

func TestDispositionOf(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name string
		err  error
		want Disposition
	}{
		{"done", nil, Ack},
		{"unknown", boom, Nak},
		{"temporary", jobError(false), Nak},
		{"permanent", jobError(true), Term},
		{"full disk", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, Nak},
		{"network", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Nak},
		{"permanent around a full disk", fmt.Errorf("%w: %w", jobError(true), syscall.ENOSPC), Term},
		{"deadline", context.DeadlineExceeded, Nak},
		{"permanent inside", fmt.Errorf("worker: %w", jobError(true)), Term},
		{"no fault of the job", fmt.Errorf("worker: %w", postponedError{}), Postpone},
		{"no fault of the job, not temporary", postponedError{jobError(true)}, Postpone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, DispositionOf(tt.err)) })
	}
}

func TestBackoff(t *testing.T) {
	for delivery, want := range []time.Duration{1, 1, 4, 16, 64, 256, 300, 300} {
		for d, want := range map[Disposition]time.Duration{Nak: want * time.Second, Postpone: min(want, 30) * time.Second} {
			got := backoff(d, uint64(delivery))
			assert.GreaterOrEqual(t, got, want, "%s, delivery %d", d, delivery)
			assert.Less(t, got, want+want/5, "%s, delivery %d", d, delivery)
		}
	}
	assert.GreaterOrEqual(t, backoff(Nak, 1<<60), retries.Last)
}

func FuzzDecodeJob(f *testing.F) {
	message, err := testJob(1).encode()
	require.NoError(f, err)
	f.Add(message)
	f.Add([]byte(`{"id":"a","entry":"b","model":"c","later":1}`))
	f.Add([]byte(`{"id":1}`))
	f.Add([]byte(`null`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, message []byte) {
		j, err := decodeJob(message)
		if err != nil {
			return
		}
		again, err := j.encode()
		if err != nil {
			t.Fatalf("decoded %+v does not encode: %v", j, err)
		}
		back, err := decodeJob(again)
		if err != nil || back != j {
			t.Fatalf("%+v came back as %+v, %v", j, back, err)
		}
		if !json.Valid(again) {
			t.Fatal("encoded to something that is not JSON")
		}
	})
}
