package audit

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A search goes through the log from its end on, in parts, and finds each entry once, whatever the parts are; by who, what and when.
func TestSearch(t *testing.T) {
	dir := t.TempDir()
	key, err := OpenKey(filepath.Join(dir, "key"))
	require.NoError(t, err)
	now := time.Date(2026, 3, 4, 8, 0, 0, 0, time.UTC)
	log, err := Open(filepath.Join(dir, "audit"), key, "ENDOGATE", func() time.Time { now = now.Add(time.Second); return now })
	require.NoError(t, err)
	const many = 400
	for n := range many {
		require.NoError(t, log.Record(t.Context(), Event{
			ID: Query, Action: Execute, Why: strings.Repeat("x", n*8),
			Participants: []Participant{{ID: "endogate", Role: Application}, {ID: []string{"anna", "Berta"}[n%2], Requested: true, Address: netip.MustParseAddr("10.0.0.7")}},
			Objects:      []Object{{Kind: Study, ID: fmt.Sprintf("2.25.%d", n), Detail: map[string]string{"query": fmt.Sprintf("accession=A%d", n)}}, {Kind: Patient, ID: "7405121234", Name: "Doe^Jane", Detail: map[string]string{"query": "born=1974"}}},
		}))
	}
	log.Close()
	all := func(f Filter, limit int) (found []Entry) {
		for next := int64(0); ; {
			var some []Entry
			some, next, err = Search(filepath.Join(dir, "audit"), f, next, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(some), limit)
			if found = append(found, some...); next == 0 {
				return found
			}
		}
	}
	for _, limit := range []int{7, 1000, 10_000} {
		found := all(Filter{}, limit)
		require.Len(t, found, many)
		for i, e := range found {
			require.Equal(t, uint64(many-i), e.Sequence)
		}
	}
	require.Len(t, all(Filter{Text: "berta"}, 100), many/2)
	one := all(Filter{Text: "accession=a39"}, 100)
	require.Len(t, one, 11, "A39 and A390 to A399")
	require.Equal(t, []string{"anna 10.0.0.7", "endogate"}, all(Filter{Text: "2.25.378"}, 1)[0].Who)
	require.Equal(t, "Study Instance UID 2.25.378, query: accession=A378", all(Filter{Text: "2.25.378"}, 1)[0].About[0])
	begin := time.Date(2026, 3, 4, 8, 0, 0, 0, time.UTC)
	span := all(Filter{From: begin.Add(100 * time.Second), Before: begin.Add(110 * time.Second)}, 100)
	require.Len(t, span, 10)
	require.Equal(t, "Query", span[0].Event)

	require.Equal(t, "Patient Number hidden", all(Filter{Text: "2.25.378"}, 1)[0].About[1])
	require.Empty(t, all(Filter{Text: "7405121234"}, 1), "nobody finds out by asking")
	require.Equal(t, "Patient Number 7405121234 Doe^Jane, query: born=1974", all(Filter{Text: "7405121234", Patients: true}, 1)[0].About[1])

	none, next, err := Search(filepath.Join(dir, "nowhere"), Filter{}, 0, 10)
	require.NoError(t, err)
	require.Empty(t, none)
	require.Zero(t, next)
	f, err := os.OpenFile(filepath.Join(dir, "audit", logName), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"seq": 401, "mess`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Len(t, all(Filter{}, 5000), many, "what a crash cut off is no entry")
}

// What is damaged is said, wherever it stands, and hides nothing else.
func TestSearch_damaged(t *testing.T) {
	dir := t.TempDir()
	key, err := OpenKey(filepath.Join(dir, "key"))
	require.NoError(t, err)
	log, err := Open(filepath.Join(dir, "audit"), key, "ENDOGATE", time.Now)
	require.NoError(t, err)
	for n := range 9 {
		require.NoError(t, log.Record(t.Context(), Event{ID: Query, Action: Execute, Participants: []Participant{{ID: fmt.Sprintf("user-%d", n), Requested: true}}}))
	}
	log.Close()
	path := filepath.Join(dir, "audit", logName)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	lines[1] = "\x00\xff no line\n"
	lines[3] = strings.Replace(lines[3], "EventIdentification", "Event", 1)
	lines[5] = strings.Repeat("x", 4*maxEntry) + "\n"
	lines[7] = "{}\n"
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600))
	for _, limit := range []int{1, 2, 100} {
		var who []string
		for next := int64(0); ; {
			var some []Entry
			some, next, err = Search(filepath.Join(dir, "audit"), Filter{Text: "user-"}, next, limit)
			require.NoError(t, err)
			for _, e := range some {
				if len(e.Who) == 0 {
					require.Contains(t, e.Why, "endogate audit verify")
					e.Who = []string{e.Event}
				}
				who = append(who, e.Who[0])
			}
			if next == 0 {
				break
			}
		}
		bad := "An entry that cannot be read"
		require.Equal(t, []string{"user-8", bad, "user-6", bad, "user-4", bad, "user-2", bad, "user-0"}, who, "%d at a time", limit)
	}
}
