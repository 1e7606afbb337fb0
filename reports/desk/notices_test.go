package desk

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// TestNotices holds that all that the gate warns of has words in every language, and in English those that the page has.
func TestNotices(t *testing.T) {
	all := ledger.GateState{Mismatches: ledger.Mismatches}
	said := map[string]bool{}
	for _, language := range []string{"en", "de", "nb"} {
		for state, g := range map[string]ledger.GateState{"held": {Held: true}, "corrected": {Corrected: true}, "released": {Released: true}} {
			g.Mismatches = all.Mismatches
			in := draft.Input{Study: "1.2.3", At: time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC), Language: language, Notices: append(notices(g), "doubtful-name")}
			doc, err := draft.Default().New(in)
			require.NoError(t, err)
			require.Len(t, doc.Notices, len(ledger.Mismatches)+2, "%s, %s", language, state)
			for i, n := range doc.Notices {
				require.NotEmpty(t, n, "%s: %s", language, in.Notices[i])
				said[n] = true
				if language == "en" && i < len(ledger.Mismatches) {
					require.Equal(t, ledger.Mismatches[i].String(), n)
				}
			}
		}
	}
	require.Len(t, said, 3*(len(ledger.Mismatches)+3+1), "none stands for another")
}
