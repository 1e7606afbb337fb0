package ledger

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger/ledgertest"
)

// TestModel runs the ledger beside plain lists that say the same in other words: an exam is a
// list of news that no report has, an entry is releasable when nothing that names it is open.
func TestModel(t *testing.T) {
	base, err := os.MkdirTemp("/dev/shm", "ledger") // a sync costs nothing there
	if err != nil {
		base = t.TempDir()
	}
	defer func() { require.NoError(t, os.RemoveAll(base)) }()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		require.NoError(t, err)
		m := &model{path: filepath.Join(dir, "ledger.db"), ctx: context.Background(), jobs: map[string]*modelJob{}, exams: map[string]*modelExam{}}
		m.open(t)
		defer func() { require.NoError(t, m.l.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"receive": m.receive, "replay": m.replay, "finish": m.finish, "park": m.park, "retry": m.retry, "discard": m.discardJob,
			"look": m.look, "report": m.report, "delivered": m.delivered, "defer": m.deferDelivery, "park delivery": m.parkDelivery,
			"unpark": m.unpark, "discard delivery": m.discardDelivery, "release": m.release, "reopen": m.reopen, "copy": m.copy, "": m.check,
		})
	})
}

type modelInstance struct {
	r        Receipt
	conflict bool
	released bool
	held     bool
}

type modelJob struct {
	id, entry, exam string
	state           JobState
}

type news struct {
	at     time.Time
	result bool
}

type modelExam struct {
	news     []news
	last     time.Time
	revision int
	seen     *Exam // by look
	seenNews int
}

type modelDelivery struct {
	id          int64
	destination string
	entry       string
	alternate   string
	rank        int
	state       DeliveryState
	next        time.Time
	behind      bool
}

type model struct {
	path       string
	ctx        context.Context
	l          *Ledger
	journal    memoryJournal
	now        int
	receipts   []Receipt // all that were ever given
	instances  []*modelInstance
	jobs       map[string]*modelJob
	order      []string // of jobs, as they were opened
	exams      map[string]*modelExam
	deliveries []*modelDelivery
	objects    map[string]bool // entry to whether it was released
	made       int
}

func (m *model) tick() time.Time {
	m.now += 20
	return at(m.now)
}

func (m *model) position() uint64 { return uint64(len(m.receipts)) }

func (m *model) receive(t *rapid.T) {
	var batch []Receipt
	var want []Verdict
	for range rapid.IntRange(1, 3).Draw(t, "batch") {
		n := len(m.receipts) + 1
		r := receipt(n)
		uid := rapid.IntRange(1, 8).Draw(t, "uid")
		r.Header.SOPInstance = instance(fmt.Sprintf("1.2.3.%d", uid))
		r.Header.StudyInstanceUID = dicom.UID(fmt.Sprintf("1.2.%d", uid%2))
		r.Digest = fmt.Sprintf("%064d", uid*10+rapid.IntRange(0, 1).Draw(t, "bytes"))
		r.Models = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"demo", "other"}), 0, 2, rapid.ID).Draw(t, "models")
		r.Forward = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b"}), 0, 2, rapid.ID).Draw(t, "forward")
		if rapid.IntRange(0, 4).Draw(t, "skip") == 0 {
			r.Skip = "no frames"
		}
		r.At = m.tick()
		batch = append(batch, r)
		want = append(want, m.expect(r))
	}
	got, err := m.l.Receive(m.ctx, batch, m.position())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// expect notes what r does and returns its verdict.
func (m *model) expect(r Receipt) Verdict {
	v := New
	var same *modelInstance
	for _, in := range m.instances {
		if in.r.Header.SOPInstanceUID != r.Header.SOPInstanceUID {
			continue
		}
		if in.r.Digest == r.Digest {
			v, same = Duplicate, in
			break
		}
		v = Conflict
	}
	m.receipts = append(m.receipts, r)
	if v == Duplicate {
		return m.expectAgain(r, same)
	}
	held := v == Conflict || len(r.Models) == 0 && len(r.Forward) == 0
	m.instances = append(m.instances, &modelInstance{r: r, conflict: v == Conflict, held: held})
	if v == New {
		m.expectJobs(r)
	}
	for _, destination := range r.Forward {
		d := &modelDelivery{destination: destination, entry: r.ID, state: DeliveryPending, next: r.At}
		if v == Conflict {
			d.state = DeliveryParked
		}
		m.addDelivery(d)
	}
	return v
}

// expectAgain notes what r does that has the bytes of in.
func (m *model) expectAgain(r Receipt, in *modelInstance) Verdict {
	v := Duplicate
	if in.released {
		v = Restored
		m.expectRestored(r, in)
	}
	analysed := in.conflict
	for _, j := range m.jobs {
		analysed = analysed || j.entry == in.r.ID && j.state != JobSkipped
	}
	if analysed || r.Skip != "" || len(r.Models) == 0 {
		return v
	}
	in.held = false
	for _, name := range r.Models {
		id := JobID(in.r.ID, name)
		if j := m.jobs[id]; j != nil {
			m.opened(j)
			continue
		}
		late := r
		late.ID, late.Models = in.r.ID, []string{name}
		m.expectJobs(late)
	}
	return v
}

func (m *model) expectRestored(r Receipt, in *modelInstance) {
	for _, d := range m.deliveries {
		if d.entry == in.r.ID {
			d.entry = r.ID
		}
	}
	for _, id := range slices.Clone(m.order) {
		j := m.jobs[id]
		if j.entry != in.r.ID {
			continue
		}
		delete(m.jobs, id)
		j.id, j.entry = r.ID+strings.TrimPrefix(id, in.r.ID), r.ID
		m.jobs[j.id] = j
		m.order[slices.Index(m.order, id)] = j.id
		if j.state == JobOpen {
			m.opened(j) // again: it is new to who feeds the workers
		}
	}
	any := func(d *modelDelivery) bool { return d.entry == r.ID }
	job := func(id string) bool { return m.jobs[id].entry == r.ID }
	in.held = in.conflict || !slices.ContainsFunc(m.deliveries, any) && !slices.ContainsFunc(m.order, job)
	in.r.ID, in.released = r.ID, false
}

// opened puts a job at the end of the order.
func (m *model) opened(j *modelJob) {
	j.state = JobOpen
	m.order = append(slices.DeleteFunc(m.order, func(id string) bool { return id == j.id }), j.id)
}

func (m *model) expectJobs(r Receipt) {
	for _, name := range r.Models {
		key := string(r.Header.StudyInstanceUID) + "/" + name
		e := m.exams[key]
		if e == nil {
			e = &modelExam{}
			m.exams[key] = e
		}
		state := JobOpen
		if r.Skip != "" {
			state = JobSkipped
		}
		e.last = r.At
		e.news = append(e.news, news{r.At, state == JobSkipped})
		id := JobID(r.ID, name)
		m.jobs[id] = &modelJob{id, r.ID, key, state}
		m.order = append(m.order, id)
	}
}

func (m *model) addDelivery(d *modelDelivery) {
	d.id = int64(len(m.deliveries) + 1)
	m.deliveries = append(m.deliveries, d)
}

func (m *model) replay(t *rapid.T) {
	n := len(m.receipts)
	if n == 0 {
		t.Skip("nothing received")
	}
	from := rapid.IntRange(0, n-1).Draw(t, "from")
	got, err := m.l.Receive(m.ctx, m.receipts[from:], m.position())
	require.NoError(t, err)
	var want []Verdict
	for _, r := range m.receipts[from:] {
		v := Duplicate
		for _, in := range m.instances {
			if in.r.ID == r.ID {
				v = New
				if in.conflict {
					v = Conflict
				}
			}
		}
		want = append(want, v)
	}
	require.Equal(t, want, got)
}

// pick draws one of the jobs in state.
func (m *model) pick(t *rapid.T, state JobState) *modelJob {
	ids := slices.Sorted(maps.Keys(m.jobs))
	ids = slices.DeleteFunc(ids, func(id string) bool { return m.jobs[id].state != state })
	if len(ids) == 0 {
		t.Skip("no such job")
	}
	return m.jobs[rapid.SampledFrom(ids).Draw(t, "job")]
}

func (m *model) end(j *modelJob, state JobState, when time.Time) {
	j.state = state
	e := m.exams[j.exam]
	e.news = append(e.news, news{when, true})
}

func (m *model) finish(t *rapid.T) {
	j, when := m.pick(t, JobOpen), m.tick()
	objects := m.makeObjects(t, "heatmap", RankHeatmap, when)
	require.NoError(t, m.l.FinishJob(m.ctx, j.id, testModel, frames(), objects, when))
	require.ErrorIs(t, m.l.FinishJob(m.ctx, j.id, testModel, frames(), objects, when), ErrState)
	m.end(j, JobDone, when)
}

func (m *model) makeObjects(t *rapid.T, purpose string, rank int, when time.Time) []Object {
	m.made++
	o := object(m.made, rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b"}), 0, 2, rapid.ID).Draw(t, "destinations")...)
	o.Purpose, o.Rank = purpose, rank
	if m.objects == nil {
		m.objects = map[string]bool{}
	}
	m.objects[o.Entry] = false
	alternate := ""
	if rapid.Bool().Draw(t, "alternate") {
		m.made++
		twin := object(m.made)
		o.Alternate, alternate = &twin, twin.Entry
		m.objects[twin.Entry] = false
	}
	for _, destination := range o.Destinations {
		m.addDelivery(&modelDelivery{destination: destination, entry: o.Entry, alternate: alternate, rank: rank, state: DeliveryPending, next: when})
	}
	return []Object{o}
}

func (m *model) park(t *rapid.T) {
	j, when := m.pick(t, JobOpen), m.tick()
	require.NoError(t, m.l.ParkJob(m.ctx, j.id, "no", when))
	m.end(j, JobParked, when)
}

func (m *model) retry(t *rapid.T) {
	j := m.pick(t, rapid.SampledFrom([]JobState{JobParked, JobSkipped}).Draw(t, "state"))
	err := m.l.RetryJob(m.ctx, j.id, m.tick())
	if slices.ContainsFunc(m.instances, func(in *modelInstance) bool { return in.r.ID == j.entry && in.released }) {
		require.ErrorIs(t, err, ErrState)
		return
	}
	require.NoError(t, err)
	m.opened(j)
}

func (m *model) discardJob(t *rapid.T) {
	j := m.pick(t, JobParked)
	require.NoError(t, m.l.DiscardJob(m.ctx, j.id, m.tick()))
	j.state = JobDiscarded
}

func (m *model) openJobs(exam string) int {
	n := 0
	for _, j := range m.jobs {
		if j.exam == exam && j.state == JobOpen {
			n++
		}
	}
	return n
}

func (m *model) due(key string, now time.Time) bool {
	e := m.exams[key]
	if len(e.news) == 0 {
		return false
	}
	if m.openJobs(key) == 0 && !e.last.Add(quiet).After(now) {
		return true
	}
	return slices.ContainsFunc(e.news, func(n news) bool { return n.result }) && !e.news[0].at.Add(maxWait).After(now)
}

// look asks what is due; the reports on it are made later, when more may have come.
func (m *model) look(t *rapid.T) {
	m.now += rapid.SampledFrom([]int{0, 60, 600}).Draw(t, "wait")
	exams, err := m.l.DueExams(m.ctx, at(m.now), quiet, maxWait)
	require.NoError(t, err)
	var got, want []string
	for _, e := range exams {
		key := string(e.StudyInstanceUID) + "/" + e.Model
		got = append(got, key)
		require.Equal(t, m.exams[key].revision+1, e.Revision)
		m.exams[key].seen, m.exams[key].seenNews = &e, len(m.exams[key].news)
	}
	for key := range m.exams {
		if m.due(key, at(m.now)) {
			want = append(want, key)
		}
	}
	require.ElementsMatch(t, want, got)
}

func (m *model) report(t *rapid.T) {
	keys := slices.Sorted(maps.Keys(m.exams))
	keys = slices.DeleteFunc(keys, func(k string) bool { return m.exams[k].seen == nil })
	if len(keys) == 0 {
		t.Skip("no exam was seen to be due")
	}
	e := m.exams[rapid.SampledFrom(keys).Draw(t, "exam")]
	when := m.tick()
	objects := m.makeObjects(t, "sr", RankSR, when)
	for range 2 {
		require.NoError(t, m.l.FinishReport(m.ctx, *e.seen, objects, when))
	}
	e.news = e.news[e.seenNews:]
	for i := range e.news {
		e.news[i].at = when // what is left waits from now on
	}
	e.revision++
	e.seen = nil
}

// pickDelivery draws one of the deliveries in one of states.
func (m *model) pickDelivery(t *rapid.T, states ...DeliveryState) *modelDelivery {
	var all []*modelDelivery
	for _, d := range m.deliveries {
		if slices.Contains(states, d.state) {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		t.Skip("no such delivery")
	}
	return rapid.SampledFrom(all).Draw(t, "delivery")
}

func (m *model) delivered(t *rapid.T) {
	d := m.pickDelivery(t, DeliveryPending, DeliveryParked)
	require.NoError(t, m.l.Delivered(m.ctx, d.id, d.entry, said("0000"), m.tick()))
	d.state = DeliveryDone
}

func (m *model) deferDelivery(t *rapid.T) {
	d := m.pickDelivery(t, DeliveryPending)
	now := m.tick()
	behind := rapid.Bool().Draw(t, "behind")
	d.next = now.Add(100 * time.Second)
	require.NoError(t, m.l.Defer(m.ctx, d.id, Deferral{Next: d.next, Behind: behind, Answer: said("A700"), Reason: "full"}, now))
	study := func(d *modelDelivery) (study int64) {
		require.NoError(t, m.l.readDB.QueryRow("SELECT study FROM delivery WHERE id = ?", d.id).Scan(&study))
		return study
	}
	for _, other := range m.deliveries { // all of a study are of one series
		if behind && other.state == DeliveryPending && other.destination == d.destination && study(other) == study(d) {
			other.behind = true
		}
	}
}

func (m *model) parkDelivery(t *rapid.T) {
	d := m.pickDelivery(t, DeliveryPending)
	require.NoError(t, m.l.Park(m.ctx, d.id, said("0122"), "refused", m.tick()))
	d.state = DeliveryParked
}

func (m *model) unpark(t *rapid.T) {
	d := m.pickDelivery(t, DeliveryParked)
	d.next = m.tick()
	_, err := m.l.Unpark(m.ctx, d.id, d.next)
	require.NoError(t, err)
	d.state, d.behind = DeliveryPending, false
}

func (m *model) discardDelivery(t *rapid.T) {
	d := m.pickDelivery(t, DeliveryPending, DeliveryParked)
	require.NoError(t, m.l.Discard(m.ctx, d.id, m.tick()))
	d.state = DeliveryDiscarded
}

// releasable lists the entries that nothing needs.
func (m *model) releasable() []string {
	needed := map[string]bool{}
	for _, d := range m.deliveries {
		if d.state == DeliveryPending || d.state == DeliveryParked {
			needed[d.entry], needed[d.alternate] = true, true
		}
	}
	for _, j := range m.jobs {
		if j.state == JobOpen || j.state == JobParked || len(m.exams[j.exam].news) > 0 || m.openJobs(j.exam) > 0 {
			needed[j.entry] = true
		}
	}
	var all []string
	for _, in := range m.instances {
		if !in.released && !in.held && !needed[in.r.ID] {
			all = append(all, in.r.ID)
		}
	}
	for entry, released := range m.objects {
		if !released && !needed[entry] {
			all = append(all, entry)
		}
	}
	return all
}

func (m *model) release(t *rapid.T) {
	ids, err := m.l.Release(m.ctx, at(m.now+1), 1000, m.tick())
	require.NoError(t, err)
	require.ElementsMatch(t, m.releasable(), ids)
	for _, in := range m.instances {
		in.released = in.released || slices.Contains(ids, in.r.ID)
	}
	for entry, released := range m.objects {
		m.objects[entry] = released || slices.Contains(ids, entry)
	}
}

func (m *model) open(t *rapid.T) {
	var err error
	m.l, err = ledgertest.Open(m.path, Open)
	require.NoError(t, err)
	_, err = m.l.Keep(m.ctx, &m.journal)
	require.NoError(t, err)
}

// copy keeps the database as a power cut may leave it.
func (m *model) copy(t *rapid.T) {
	require.NoError(t, os.RemoveAll(m.path+".copy"))
	_, err := m.l.writes.tx.conn.ExecContext(m.ctx, "VACUUM INTO ?", m.path+".copy")
	require.NoError(t, err)
}

// reopen ends the process, and may lose the database, or what was last written to it.
func (m *model) reopen(t *rapid.T) {
	before := dump(t, m.l)
	require.NoError(t, m.l.Close())
	lost := rapid.SampledFrom([]string{"nothing", "all", "the last"}).Draw(t, "lost")
	_, err := os.Stat(m.path + ".copy")
	if copied := err == nil; lost == "all" || lost == "the last" && copied {
		for _, end := range []string{"", "-wal", "-shm"} {
			require.NoError(t, os.RemoveAll(m.path+end))
		}
		if lost == "the last" {
			require.NoError(t, os.Rename(m.path+".copy", m.path))
		}
	}
	m.open(t)
	require.Equal(t, before, dump(t, m.l))
}

func (m *model) check(t *rapid.T) {
	jobs, err := m.l.OpenJobs(m.ctx, "", 1000)
	require.NoError(t, err)
	var got, want []string
	for _, j := range jobs {
		got = append(got, j.ID)
	}
	for _, id := range m.order {
		if m.jobs[id].state == JobOpen {
			want = append(want, id)
		}
	}
	require.Equal(t, want, got)
	for _, destination := range []string{"a", "b"} {
		m.checkDue(t, destination)
	}
	requireTally(t, m.l)
}

func (m *model) checkDue(t *rapid.T, destination string) {
	ds, err := m.l.DueDeliveries(m.ctx, destination, at(m.now), longest, 1000)
	require.NoError(t, err)
	var got []int64
	for _, d := range ds {
		got = append(got, d.ID)
	}
	var due []*modelDelivery
	for _, d := range m.deliveries {
		if d.destination == destination && d.state == DeliveryPending && !d.next.After(at(m.now)) {
			due = append(due, d)
		}
	}
	slices.SortStableFunc(due, func(a, b *modelDelivery) int {
		switch {
		case a.behind != b.behind && a.behind:
			return 1
		case a.behind != b.behind:
			return -1
		case a.behind:
			return a.next.Compare(b.next)
		}
		return a.rank - b.rank
	})
	var want []int64
	for _, d := range due {
		want = append(want, d.id)
	}
	require.Equal(t, want, got)
}
