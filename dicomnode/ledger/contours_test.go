package ledger

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/inference/analysis"
)

// TestContours_nothingIsLost: findings come back as they were, to the last bit.
func TestContours_nothingIsLost(t *testing.T) {
	coordinate := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 221.5, 385.66364509692835, 5e-324, math.MaxFloat64}))
	polygon := rapid.Custom(func(t *rapid.T) [][2]float64 {
		n := rapid.IntRange(-1, 20).Draw(t, "points")
		if n < 0 {
			return nil
		}
		points := make([][2]float64, n)
		for i := range points {
			points[i] = [2]float64{coordinate.Draw(t, "column"), coordinate.Draw(t, "row")}
		}
		return points
	})
	rapid.Check(t, func(t *rapid.T) {
		var findings []analysis.Finding
		for range rapid.IntRange(0, 4).Draw(t, "findings") {
			f := analysis.Finding{Class: "polyp", Probability: 0.5, Heatmap: "2.25.1"}
			if n := rapid.IntRange(-1, 3).Draw(t, "contours"); n >= 0 {
				f.Contours = rapid.SliceOfN(polygon, n, n).Draw(t, "of")
			}
			findings = append(findings, f)
		}
		before, err := json.Marshal(findings)
		require.NoError(t, err)
		text, packed, err := splitFindings(findings)
		require.NoError(t, err)
		var again []analysis.Finding
		require.NoError(t, json.Unmarshal([]byte(text), &again))
		require.NoError(t, joinFindings(again, packed))
		require.Equal(t, findings, again)
		after, err := json.Marshal(findings)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), "what was given stays as it is")
	})
}

func FuzzContours(f *testing.F) {
	_, packed, err := splitFindings([]analysis.Finding{{Contours: contours{{{1, 2}, {3, 4}}, nil, {}}}, {}})
	require.NoError(f, err)
	f.Add(packed)
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := unpackContours(b)
		if err != nil {
			return
		}
		again, err := packContours(all)
		require.NoError(t, err)
		same, err := unpackContours(again)
		require.NoError(t, err)
		require.Len(t, same, len(all))
	})
}

// TestContours_room packs what the ledger of a release before had as text: every view stays, and it takes less than half.
func TestContours_room(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	db := openDatabase(dsn(path), func(error) {})
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	steps, err := migrations()
	require.NoError(t, err)
	x := &tx{ctx: t.Context(), conn: conn}
	before := slices.IndexFunc(steps, func(s string) bool { return strings.Contains(s, "contours_of_findings") })
	require.NoError(t, migrateBy(x, steps[:before]))
	var polygon [][2]float64
	for angle := 0.0; angle < 2*math.Pi; angle += math.Pi / 500 {
		polygon = append(polygon, [2]float64{math.Floor(200+100*math.Cos(angle)) + 0.5, float64(float32(200 + 90*math.Sin(angle)))})
	}
	findings := []analysis.Finding{{Class: "polyp", Contours: contours{polygon}}, {Class: "blood"}}
	text, err := json.Marshal(findings)
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), `PRAGMA foreign_keys = off;
		INSERT INTO study (id, study_instance_uid, patient_id, patient_name, accession_number, study_date, study_time, study_description, first_at, last_at) VALUES (1, '1.2', '', '', '', '', '', '', 1, 1);
		INSERT INTO exam (id, study, route, model, state, first_at, last_at, since, version, destinations) VALUES (1, 1, 'endoscopy', 'demo', 'open', 1, 1, 1, 1, '[]');
		INSERT INTO instance (id, entry, seq, study, series_instance_uid, sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling_ae, called_ae, received_at, size, digest, route, instance_number, header, state, held)
			VALUES (1, 'entry001', 1, 1, '1.2', '1.2', '1.2.3', '1.2', '', '', 1, 1, '', 'endoscopy', 1, '{}', 'analysed', 0);
		INSERT INTO job (id, name, instance, study, exam, model, state) VALUES (1, 'entry001.demo', 1, 1, 1, 'demo', 'done')`)
	require.NoError(t, err)
	for n := range 100 {
		_, err = conn.ExecContext(t.Context(), `INSERT INTO span (job, first, count, start, duration, rows, columns, scores, findings, notes)
			VALUES (1, ?, 1, 0, 0, 400, 400, '{"polyp":0.9}', ?, '[]')`, n+1, string(text))
		require.NoError(t, err)
	}
	require.NoError(t, conn.Close())
	require.NoError(t, db.Close())
	was := size(t, path)
	l := reopen(t, path)
	results, err := l.results(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, results, 100)
	for _, r := range results {
		require.Equal(t, findings, r.Findings)
	}
	problems, err := l.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NoError(t, l.Scrub(t.Context()))
	require.Less(t, size(t, path), was/2)
	_, err = l.writes.tx.conn.ExecContext(t.Context(), "UPDATE span SET contours = x'0102' WHERE first = 1")
	require.NoError(t, err)
	_, err = l.results(t.Context(), 1)
	require.ErrorIs(t, err, errContours)
	require.NoError(t, l.Trouble())
	l.health.sound = time.Time{} // the check above was long ago
	l.Look(t.Context())
	require.ErrorContains(t, l.Trouble(), "a row of span holds what cannot be read", "what is read tells of damage, too")
}

func size(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}
