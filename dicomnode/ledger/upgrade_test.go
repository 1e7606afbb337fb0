package ledger

import (
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/inference/analysis"
)

// TestUpgrade brings the database of an earlier release, with work of every kind in it, to today's schema without loss.
func TestUpgrade(t *testing.T) {
	path := unpacked(t)
	want, err := os.ReadFile("testdata/0001.txt")
	require.NoError(t, err)
	problems, err := CheckFile(t.Context(), path)
	require.NoError(t, err)
	require.Empty(t, problems)
	for range 2 { // upgraded, and opened again
		l := reopen(t, path)
		require.Equal(t, string(want), allViews(t, l))
		requireTally(t, l)
		problems, err := l.Check(t.Context())
		require.NoError(t, err)
		require.Empty(t, problems)
		require.NoError(t, l.Close())
	}
}

// unpacked returns the path of the database of an earlier release.
func unpacked(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "ledger.db")
	packed, err := os.Open("testdata/0001.db.gz")
	require.NoError(t, err)
	defer func() { require.NoError(t, packed.Close()) }()
	from, err := gzip.NewReader(packed)
	require.NoError(t, err)
	old, err := io.ReadAll(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, old, 0o600))
	return path
}

// TestUpgrade_patient: whose a study is, is known as well as before.
func TestUpgrade_patient(t *testing.T) {
	path := unpacked(t)
	db, err := sql.Open("sqlite3", dsn(path))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "UPDATE instance SET header = json_set(header, '$.patient_birth_date', '19610203', '$.patient_sex', 'F')")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	l := reopen(t, path)
	studies, _, err := l.Studies(t.Context(), StudyFilter{})
	require.NoError(t, err)
	for _, s := range studies {
		w, err := l.PatientOf(t.Context(), s.StudyInstanceUID)
		require.NoError(t, err)
		require.Equal(t, Person{Identifier: Identifier{ID: s.PatientID}, Name: s.PatientName, BirthDate: "19610203", Sex: "F"}, w.Person)
	}
}

// allViews is what every view says, in words of its own, so that it stays the same when the types change.
func allViews(t *testing.T, l *Ledger) string {
	ctx, later := t.Context(), at(1<<20)
	var b strings.Builder
	say := func(what string, values ...any) {
		b.WriteString(what)
		for _, v := range values {
			if moment, ok := v.(time.Time); ok && !moment.IsZero() {
				v = moment.Format(time.RFC3339Nano)
			} else if ok {
				v = "-"
			}
			text, err := json.Marshal(v)
			require.NoError(t, err)
			b.WriteString(" " + string(text))
		}
		b.WriteString("\n")
	}
	frame := func(r analysis.Result) {
		require.Equal(t, analysis.Still(r.Span.First), r.Span)
		say("   frame", r.Span.First, r.Rows, r.Columns, r.Scores, strings.Join(r.Notes, "; "))
		for _, x := range r.Findings {
			say("    finding", x.Class, x.Probability, x.Threshold, x.Role, x.Heatmap, x.Contours,
				x.Finding.Value, x.Finding.Scheme, x.Finding.Meaning, x.Site.Value, x.Site.Scheme, x.Site.Meaning)
		}
	}
	job := func(j Job) {
		say("  job", j.ID, j.Entry, j.Model, j.Route, j.Instance, j.State, j.Attempts, j.Retries, j.InferredAt, j.EndedAt, j.Reason, j.Destinations)
	}
	exam := func(e Exam) {
		say(" exam", e.ID, e.StudyInstanceUID, e.Route, e.Model, e.State, e.Reason, e.Revision, e.FirstAt, e.LastAt, e.ReportedAt,
			e.OpenJobs, e.Version, e.Destinations)
	}
	delivery := func(d Delivery) {
		say(" delivery", d.ID, d.Destination, d.Entry, d.Alternate, d.Instance, d.TransferSyntaxUID, d.Purpose, d.Rank, d.State,
			d.Attempts, d.NextAt, d.EndedAt, d.Used, d.Answer.Code, d.Reason)
	}
	received := func(v InstanceView) {
		say(" instance", v.Entry, v.Instance, v.Header, v.TransferSyntaxUID, v.CallingAE, v.CalledAE, v.ReceivedAt, v.Size, v.Digest,
			v.Route, v.State, v.Reason, v.ReleasedAt)
	}

	position, err := l.Position(ctx)
	require.NoError(t, err)
	say("position", position)
	studies, total, err := l.Studies(ctx, StudyFilter{})
	require.NoError(t, err)
	say("studies", total)
	for _, s := range studies {
		say("study", s.StudyInstanceUID, s.PatientID, s.PatientName, s.AccessionNumber, s.StudyDate, s.StudyTime, s.StudyDescription,
			s.FirstAt, s.LastAt, s.Modality, s.Instances, s.Conflicts, s.Frames, s.Findings, s.Open, s.Parked,
			s.Deliveries.Pending, s.Deliveries.Done, s.Deliveries.Parked, s.Deliveries.Discarded, s.Status)
		d, err := l.Study(ctx, s.StudyInstanceUID, Page{})
		require.NoError(t, err)
		for _, v := range d.InstanceViews {
			received(v)
			for _, j := range v.Jobs {
				job(j.Job)
				for _, f := range j.Results {
					frame(f)
				}
			}
		}
		for _, e := range d.Exams {
			exam(e)
			results, err := l.ExamResults(ctx, e)
			require.NoError(t, err)
			for _, r := range results {
				say("  result", r.Entry, r.Instance, r.Header, r.TransferSyntaxUID, r.InferredAt, r.Failed, r.Skipped, r.Released)
				for _, f := range r.Results {
					frame(f)
				}
			}
		}
		for _, o := range d.Objects {
			say(" object", o.Entry, o.Instance, o.TransferSyntaxUID, o.Purpose, o.Model, o.Source, o.Span.Frame(), o.Revision, o.Rank,
				o.Destinations, o.State, o.MadeAt, o.ReleasedAt, o.TwinOf)
		}
		for _, v := range d.Deliveries {
			delivery(v)
		}
		for _, e := range d.Events {
			say(" event", e.At, e.LastAt, e.Count, e.SOPInstanceUID, e.Entry, e.What, e.Destination, e.Answer.Code, e.Detail)
		}
	}
	open, err := l.OpenJobs(ctx, "", 100)
	require.NoError(t, err)
	say("open jobs")
	for _, j := range open {
		job(j)
	}
	due, err := l.DueExams(ctx, later, time.Second, time.Second)
	require.NoError(t, err)
	say("due exams")
	for _, e := range due {
		exam(e)
	}
	parked, _, err := l.Parked(ctx, ParkedFilter{})
	require.NoError(t, err)
	say("parked")
	for _, j := range parked.Jobs {
		job(j)
	}
	for _, e := range parked.Exams {
		exam(e)
	}
	for _, d := range parked.Deliveries {
		delivery(d)
	}
	for _, v := range parked.Instances {
		received(v)
	}
	for _, destination := range []string{"archive", "pacs", "gone"} {
		ds, err := l.DueDeliveries(ctx, destination, later, longest, 100)
		require.NoError(t, err)
		slices.SortFunc(ds, func(a, b Delivery) int { return int(a.ID - b.ID) }) // whose turn it is may change
		say("due deliveries", destination)
		for _, d := range ds {
			delivery(d)
		}
		next, ok, err := l.NextDelivery(ctx, destination)
		require.NoError(t, err)
		last, err := l.LastDelivered(ctx, destination)
		require.NoError(t, err)
		say("next and last", next, ok, last)
	}
	unreleased, err := l.Unreleased(ctx, "", 100)
	require.NoError(t, err)
	say("unreleased", unreleased)
	refused, err := l.Refused(ctx)
	require.NoError(t, err)
	say("refused", refused)
	counts, err := l.Counts(ctx)
	require.NoError(t, err)
	say("counts", counts.Held, counts.Refused, counts.Instances, counts.Jobs, counts.Exams, counts.Deliveries)
	ages, err := l.Ages(ctx, nil)
	require.NoError(t, err)
	oldest := ages.Jobs["demo"]
	say("oldest open job", oldest)
	for _, name := range []string{"A1", "1.2.3.1", "2.25.1"} {
		traced, err := l.Trace(ctx, name)
		require.NoError(t, err)
		for _, d := range traced {
			say("trace", name, d.StudyInstanceUID, len(d.InstanceViews), len(d.Objects), len(d.Deliveries), len(d.Events))
		}
		if !strings.HasPrefix(name, "A") {
			entry, err := l.EntryOf(ctx, name)
			require.NoError(t, err)
			say("entry of", name, entry)
		}
	}
	return b.String()
}
