package audit

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// trail keeps what is recorded, and refuses when it is told to.
type kept struct {
	events []Event
	full   bool
}

func (k *kept) record(_ context.Context, e Event) error {
	if k.full {
		return errors.New("full")
	}
	k.events = append(k.events, e)
	return nil
}

// TestTransfers has any transfers come in any order, with flushes that fail now and then, and restarts: each is told of, what
// has a sequence after a restart too, and nothing is told of twice while the process lives and nothing comes meanwhile.
func TestTransfers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		k := &kept{}
		tr := &Transfers{Record: k.record, Self: "ENDOGATE", Quiet: 10 * time.Second, Longest: time.Minute, Now: func() time.Time { return now }}
		tr.Begin(0)
		var log []Transfer // what came, as the spool has it
		sent := 0
		told := func(sentByUs bool) int {
			n := 0
			for _, e := range k.events {
				for _, o := range e.Objects {
					for _, c := range o.Counts {
						if (e.Action == Read) == sentByUs {
							n += c
						}
					}
				}
			}
			return n
		}
		steps := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 60).Draw(t, "steps")
		crashed := false
		for _, step := range steps {
			x := Exchange{Event: InstancesTransferred, Study: fmt.Sprintf("1.2.%d", step%3), Patient: "P", Peer: "SCOPE"}
			switch step {
			case 0, 1, 2:
				one := Transfer{Exchange: x, SOPClass: "1.2.3", At: now, Sequence: uint64(len(log) + 1)}
				log = append(log, one)
				require.True(t, tr.Add(one))
				require.True(t, tr.Add(one), "the same is not counted again")
			case 3:
				x.Sent = true
				require.True(t, tr.Add(Transfer{Exchange: x, SOPClass: "1.2.3", At: now}))
				sent++
			case 4:
				now = now.Add(11 * time.Second)
				k.full = rapid.Bool().Draw(t, "full")
				err := tr.Flush(t.Context(), false)
				assert.Equal(t, k.full && len(tr.open) > 0, err != nil)
				if !k.full {
					assert.Empty(t, tr.open)
					assert.EqualValues(t, len(log), tr.Done())
				}
			case 5:
				done := tr.Done()
				tr.Begin(done)
				for _, one := range log[done:] {
					tr.Add(one)
				}
				crashed = true
			}
		}
		k.full = false
		require.NoError(t, tr.Flush(t.Context(), true))
		assert.EqualValues(t, len(log), tr.Done())
		assert.GreaterOrEqual(t, told(false), len(log))
		if !crashed {
			assert.Equal(t, len(log), told(false))
			assert.Equal(t, sent, told(true))
		}
	})
}

// TestTransfers_study gives one message for a study that comes in one go, and few for one that takes an hour.
func TestTransfers_study(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := &kept{}
	tr := &Transfers{Record: k.record, Self: "ENDOGATE", Quiet: 15 * time.Second, Longest: 5 * time.Minute, Now: func() time.Time { return now }}
	tr.Begin(0)
	x := Exchange{Event: InstancesTransferred, Study: "1.2.3", Patient: "P-1", Peer: "SCOPE1", AETitle: "SCOPE1", User: "anna", Host: netip.MustParseAddr("10.1.2.3")}
	send := func(n int, every time.Duration) {
		for i := range n {
			now = now.Add(every)
			tr.Add(Transfer{Exchange: x, SOPClass: fmt.Sprintf("1.2.840.%d", i%2), At: now, Sequence: tr.heard + 1})
			require.NoError(t, tr.Flush(t.Context(), false))
		}
		now = now.Add(15 * time.Second)
		require.NoError(t, tr.Flush(t.Context(), false))
	}
	send(2000, time.Millisecond)
	require.Len(t, k.events, 1)
	text, err := k.events[0].marshal(now, "ENDOGATE")
	require.NoError(t, err)
	for _, part := range []string{
		`EventActionCode="C"`, `csd-code="110104"`, `UserID="SCOPE1" AlternativeUserID="AETITLES=SCOPE1" UserIsRequestor="true" NetworkAccessPointID="10.1.2.3"`, `csd-code="110153"`,
		`AETITLES=ENDOGATE`, `UserID="anna"`, `ParticipantObjectID="1.2.3"`, `<SOPClass UID="1.2.840.0" NumberOfInstances="1000">`, `ParticipantObjectID="P-1"`,
		`EventDateTime="2026-03-01T12:00:02.000Z"`,
	} {
		assert.Contains(t, string(text), part)
	}
	send(360, 10*time.Second) // a capture each ten seconds for an hour
	assert.LessOrEqual(t, len(k.events), 1+13)
	last := uint64(0)
	for range mostExchanges + 10 { // many studies at once while nothing can be recorded
		x.Study += "1"
		if len(x.Study) > 60 {
			x.Study = fmt.Sprintf("1.%d.", tr.heard)
		}
		last = tr.heard + 1
		tr.Add(Transfer{Exchange: x, SOPClass: "1.2", At: now, Sequence: last})
	}
	assert.LessOrEqual(t, len(tr.open), mostExchanges)
	require.NoError(t, tr.Flush(t.Context(), true))
	assert.Less(t, tr.Done(), last, "what found no room is told of after a restart")
}

func TestRefusals(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := &kept{}
	r := &Refusals{Record: k.record, Again: 10 * time.Minute, Now: func() time.Time { return now }}
	flush := func() { require.NoError(t, r.Flush(t.Context(), false)) }
	node := Refusal{AETitle: "MALLORY", Host: netip.MustParseAddr("192.0.2.1"), Why: "neither title nor address is listed"}
	r.Add(node)
	flush()
	require.Len(t, k.events, 1)
	for range 500 {
		r.Add(node)
		flush()
	}
	require.Len(t, k.events, 1, "no flood")
	now = now.Add(10 * time.Minute)
	flush()
	require.Len(t, k.events, 2)
	assert.Equal(t, "500", k.events[1].Objects[0].Detail["Times"])
	now = now.Add(10 * time.Minute)
	flush()
	assert.Empty(t, r.seen, "and it is forgotten")
	k.full = true
	r.Add(node)
	require.Error(t, r.Flush(t.Context(), false))
	k.full = false
	flush()
	require.Len(t, k.events, 3, "told of later")
	text, err := k.events[2].marshal(now, "ENDOGATE")
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(text, new(message)))
	for _, part := range []string{`EventOutcomeIndicator="4"`, `csd-code="110113"`, `csd-code="110126"`, `csd-code="110182"`, `type="Alert Description"`, `ParticipantObjectID="192.0.2.1"`} {
		assert.Contains(t, string(text), part)
	}
	for i := range 3 * mostRefusals { // one who comes under many names
		r.Add(Refusal{AETitle: strings.Repeat("X", i%16) + fmt.Sprint(i), Why: "x"})
	}
	flush()
	assert.LessOrEqual(t, len(k.events), mostRefusals+5)
}
