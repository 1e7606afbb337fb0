package intake

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// TestReclaim_messages keeps a message until its retention is over, though nothing waits for it, and no longer one whose
// sender was told nothing of it.
func TestReclaim_messages(t *testing.T) {
	s := openStores(t)
	keep := func(text string) string {
		e, err := s.spool.Append(spool.Entry{Kind: spool.Message, MediaType: "x-application/hl7-v2+er7", At: s.now}, []byte(text))
		require.NoError(t, err)
		return e.ID
	}
	taken, untold := keep("MSH|taken"), keep("MSH|untold")
	_, err := s.ledger.TakeMessage(t.Context(), ledger.Inbound{Message: ledger.Message{
		Entry: taken, Application: "RIS", ControlID: "1", Digest: "d", Type: "ORU^R01", Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}, At: s.now,
	}})
	require.NoError(t, err)
	s.close()
	s.open()
	require.NoError(t, s.clean.Orphans(t.Context()))
	require.True(t, s.spool.Has(taken))
	require.False(t, s.spool.Has(untold))

	s.clean.Messages = 720 * time.Hour
	s.now = s.now.Add(719 * time.Hour)
	require.NoError(t, s.clean.Expired(t.Context()))
	require.True(t, s.spool.Has(taken))
	s.now = s.now.Add(2 * time.Hour)
	require.NoError(t, s.clean.Expired(t.Context()))
	require.False(t, s.spool.Has(taken))
	m, err := s.ledger.Message(t.Context(), taken)
	require.NoError(t, err)
	require.True(t, m.Released)

	s.clean.History = 1000 * time.Hour
	s.now = s.now.Add(1000 * time.Hour)
	require.NoError(t, s.clean.forget(t.Context()))
	_, err = s.ledger.Message(t.Context(), taken)
	require.ErrorIs(t, err, ledger.ErrNotFound)
}
