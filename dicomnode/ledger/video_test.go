package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/inference/analysis"
)

// What is said of a video under way is kept in its order, shows how far it is, and goes with the job's end; what it says as a whole stays.
func TestVideo(t *testing.T) {
	l := openLedger(t)
	receive(t, l, receipt(1))
	_, err := l.StartJob(t.Context(), job1, at(10))
	require.NoError(t, err)
	require.NoError(t, l.KeepPart(t.Context(), job1, 0, 2, 5, []byte("first")))
	require.NoError(t, l.KeepPart(t.Context(), job1, 2, 4, 5, []byte("second")))
	require.NoError(t, l.KeepPart(t.Context(), "entry002.demo", 0, 4, 5, []byte("of no job")))
	parts, of, err := l.Parts(t.Context(), job1)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("first"), []byte("second")}, parts)
	require.Equal(t, 5, of)
	uid := study(t, l).StudyInstanceUID
	videos, err := l.Videos(t.Context(), uid)
	require.NoError(t, err)
	require.Len(t, videos, 1)
	require.Equal(t, []int{4, 5}, []int{videos[0].Done, videos[0].Of})
	moving := &analysis.Moving{Frames: 9, Analysed: 5, Segments: []analysis.Segment{{Class: "polyp", FirstFrame: 1, LastFrame: 5, PeakFrame: 3}}}
	require.NoError(t, l.FinishVideo(t.Context(), job1, testModel, moving, frames(), "", nil, at(11)))
	parts, _, err = l.Parts(t.Context(), job1)
	require.NoError(t, err)
	require.Empty(t, parts)
	videos, err = l.Videos(t.Context(), uid)
	require.NoError(t, err)
	require.Len(t, videos, 1)
	require.Equal(t, moving, videos[0].Moving)
	require.NoError(t, l.KeepPart(t.Context(), job1, 0, 6, 5, []byte("too late")))
	parts, _, err = l.Parts(t.Context(), job1)
	require.NoError(t, err)
	require.Empty(t, parts)
}

// What is kept follows on what is kept: a second one at the same video says no frame twice, and what is not gone on with goes.
func TestKeepPart(t *testing.T) {
	l := openLedger(t)
	receive(t, l, receipt(1))
	keep := func(behind, done, of int, body string) error {
		return l.KeepPart(t.Context(), job1, behind, done, of, []byte(body))
	}
	kept := func(of int) (all string) {
		parts, total, err := l.Parts(t.Context(), job1)
		require.NoError(t, err)
		require.Equal(t, of, total)
		for _, p := range parts {
			all += string(p)
		}
		return all
	}
	require.NoError(t, keep(0, 2, 6, "a"))
	require.NoError(t, keep(2, 4, 6, "b"))
	require.ErrorIs(t, keep(3, 5, 6, "other"), ErrKept)
	require.Equal(t, "ab", kept(6))
	require.NoError(t, keep(2, 3, 6, "c"))
	require.Equal(t, "ac", kept(6))
	require.ErrorIs(t, keep(4, 6, 6, "b went"), ErrKept)
	require.ErrorIs(t, keep(2, 4, 7, "other frames are chosen"), ErrKept)
	require.NoError(t, keep(0, 5, 7, "d"))
	require.Equal(t, "d", kept(7))
}
