package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/hl7/mllp/mllptest"
)

// One examination is reported to a receiver of every kind there is in the field: each gets the same report until it has
// acknowledged or refused it, under one control ID and with the same bytes, and none keeps it from another.
func TestGateway_reportsToEveryKindOfReceiver(t *testing.T) {
	t.Parallel()
	const timeout = 8 * time.Second // longer than an answer takes on a busy machine
	receivers := map[string]*mllptest.Receiver{}
	var names, destinations []string
	for mode, play := range mllptest.Modes(timeout + time.Second) {
		r := mllptest.Start(t, play)
		receivers[mode] = r
		names = append(names, mode)
		destinations = append(destinations, fmt.Sprintf("  - {name: %s, kind: hl7, address: %q}\n", mode, r.Addr))
	}
	g := newGateway(t, fmt.Sprintf("routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [%s]}]\ndestinations:\n%sexam: {quiet: 1s}\n",
		strings.Join(names, ", "), strings.Join(destinations, "")))
	g.replace("max_backoff: 1s}", "max_backoff: 1s, timeout: 8s}")
	g.start()
	g.send(sample(t, "study1-01*")...)
	refused := map[string]bool{"ae-without-text": true, "ar-201-unsupported": true, "cr": true}
	again := map[string]bool{
		"wrong-msa2": true, "late": true, "close-after-frame": true, "half-ack-then-close": true, "nothing": true,
		"no-ack-but-a-message": true, "garbage": true,
	}
	g.waitFor("the report to be delivered or parked everywhere", func() bool {
		for mode := range receivers {
			counts := g.destination(mode).Counts
			if counts.Pending > 0 || counts.Done+counts.Parked == 0 {
				return false
			}
		}
		return true
	})
	for mode, r := range receivers {
		got := r.Got()
		require.NotEmpty(t, got, mode)
		assert.Equal(t, 1, distinct(got), mode)
		times, err := r.Times(mllptest.ControlID(got[0]))
		require.NoError(t, err, mode)
		want := 1
		if again[mode] {
			want = 2
		}
		assert.Equal(t, want, times, mode)
		assert.Contains(t, string(got[0]), "ORU^R01", mode)
		counts := g.destination(mode).Counts
		assert.Equal(t, refused[mode], counts.Parked == 1, mode)
		assert.Equal(t, !refused[mode], counts.Done == 1, mode)
	}
	for _, p := range g.parked() {
		assert.Contains(t, p.Reason, "refuses the message", p.Destination)
	}
}
