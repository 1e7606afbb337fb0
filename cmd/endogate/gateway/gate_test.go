package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/configs"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Who has decided at the gate stands in the timeline, as named by whom nobody had to believe.
func TestViews_decidesAtTheGate(t *testing.T) {
	ctx := t.Context()
	cfg := configs.Default()
	cfg.DataDir, cfg.Spool.Reserve = t.TempDir(), 0
	f := &folder{t: t, cfg: cfg}
	f.open()
	defer f.close()
	_, err := f.ledger.TakeMessage(ctx, ledger.Inbound{
		Message: ledger.Message{Entry: "m", Application: "RIS", ControlID: "m", Type: "ORM^O01", At: time.Now(), Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}},
		Orders:  []ledger.OrderChange{{Patch: []byte(`{"study_uid": "2.25.1", "accession": "ACC-P1", "patient": {"identifier": {"id": "OTHER", "authority": "HOSP"}, "name": "Other"}}`)}},
	})
	require.NoError(t, err)
	f.image("P1", "2.25.1")
	v := &views{ledger: f.ledger, now: time.Now, destinations: func() []configs.Destination { return nil }, jobs: func() {}, try: func(string) {}}
	by := draft.Author{Name: "Dr. A", Unauthenticated: true}
	_, err = v.Release(ctx, "2.25.1", "looked at", by)
	require.NoError(t, err)
	_, err = v.Correct(ctx, "2.25.1", ledger.Correction{Accession: "ACC-P1", Reason: "order is right"}, by)
	require.NoError(t, err)
	studies, err := f.ledger.Trace(ctx, "2.25.1")
	require.NoError(t, err)
	said := map[ledger.What]string{}
	for _, e := range studies[0].Events {
		said[e.What] = e.By.String()
	}
	for _, what := range []ledger.What{ledger.EventGateReleased, ledger.EventCorrected} {
		require.Equal(t, "person Dr. A (unauthenticated)", said[what])
	}
}
