package gateway_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
)

// soakFor names the variable that says for how long to soak, as make soak sets it.
const soakFor = "ENDOGATE_SOAK"

// TestGateway_soak sends examinations as fast as they are analysed and delivered: nothing is lost or twice, nothing waits longer and
// longer, the spool is empty at the end, and memory does not grow once everything has been used.
func TestGateway_soak(t *testing.T) {
	long := installed.Scaled(2*time.Second, time.Minute)
	if v := os.Getenv(soakFor); v != "" {
		var err error
		long, err = time.ParseDuration(v)
		require.NoError(t, err)
	} else {
		t.Parallel()
	}
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, "")+"log: {level: warn}\n")
	g.replace("spool: {", "spool: {retention: 1s, ")
	g.apart = true
	g.start()

	const each, ahead = 10, 4
	studies := 0
	done := func(n int) {
		t.Helper()
		g.waitFor(fmt.Sprintf("%d examinations to be done", n), func() bool {
			var answer struct{ Total int }
			g.get("/api/v1/studies?status=done&limit=1", &answer)
			return answer.Total >= n
		})
	}
	one := func() {
		t.Helper()
		storeAll(t, g.scp, polyps(t, studies, 1, each)...)
		studies++
		done(studies - ahead)
	}
	began := time.Now()
	for time.Since(began) < long/4 || studies < ahead {
		one()
	}
	idle := g.idle()
	for said := began; time.Since(began) < long; {
		one()
		if time.Since(said) > time.Minute {
			said = time.Now()
			t.Logf("%v: %d examinations, %d KiB resident", time.Since(began).Round(time.Second), studies, g.memory("VmRSS"))
		}
	}
	peak := g.memory("VmHWM")
	done(studies)
	classes := classesOf(t, scp)
	assert.Equal(t, map[string]int{"SC": studies * each, "SR3": studies, "KO": studies}, classes)
	g.waitFor("the spool to be empty", func() bool {
		var answer struct{ Gauges admin.Gauges }
		g.get("/api/v1/status", &answer)
		return answer.Gauges.SpoolEntries == 0
	})
	assert.LessOrEqual(t, peak-idle, 64<<10, "KiB of resident memory above what it had after a quarter of the time")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("examinations of %d frames for %v, as fast as they are analysed and delivered: %.1f frames a second", each, long, float64(studies*each)/time.Since(began).Seconds()),
		Kept:  studies * each, Memory: installed.Memory{Idle: idle, Peak: peak},
	})
}
