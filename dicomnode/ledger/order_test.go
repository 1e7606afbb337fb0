package ledger

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger/ledgertest"
)

// patch is a merge patch that says all of o.
func patch(o Order) json.RawMessage {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var values map[string]any
	if err := json.Unmarshal(b, &values); err != nil {
		panic(err)
	}
	prune(values)
	b, err = json.Marshal(values)
	if err != nil {
		panic(err)
	}
	return b
}

// prune takes away what a message would leave empty.
func prune(values map[string]any) {
	for name, v := range values {
		switch v := v.(type) {
		case map[string]any:
			if prune(v); len(v) == 0 {
				delete(values, name)
			}
		case nil:
			delete(values, name)
		case string:
			if v == "" || v == "0001-01-01T00:00:00Z" {
				delete(values, name)
			}
		}
	}
}

func inbound(control string, orders ...OrderChange) Inbound {
	m := Inbound{
		Message: Message{
			Entry: "message" + control, Application: "RIS", Facility: "HOSP", ControlID: control, Digest: "digest of " + control, Size: 100,
			Type: "ORM^O01", Answer: Answer{Protocol: "hl7", Code: "AA"}, At: at(500),
		},
		Orders: orders,
	}
	return m
}

func take(t require.TestingT, l *Ledger, m Inbound) Taken {
	taken, err := l.TakeMessage(context.Background(), m)
	require.NoError(t, err)
	return taken
}

func allOrders(t require.TestingT, l *Ledger) []Order {
	page, total, err := l.Orders(context.Background(), OrderFilter{})
	require.NoError(t, err)
	require.Len(t, page, total)
	all := make([]Order, len(page))
	for i, v := range page {
		all[i] = v.Order
	}
	return all
}

func TestTakeMessage_effects(t *testing.T) {
	colonoscopy := Order{
		Accession: "A1", StudyInstanceUID: "1.2", Placer: Identifier{"P1", "HIS"}, Filler: Identifier{"F1", ""},
		Patient: Person{Identifier: Identifier{"PAT1", "HOSP"}, Name: "Berg^Anna", BirthDate: "19600101", Sex: "F"},
		Reason:  "bleeding", Priority: Stat,
	}
	other := colonoscopy
	other.Accession, other.Placer, other.Filler = "A2", Identifier{"P2", "HIS"}, Identifier{"F2", ""}
	for _, c := range []struct {
		name  string
		given [][]OrderChange // messages before
		last  []OrderChange
		code  string
		check func(t *testing.T, all []Order)
	}{
		{"new", nil, []OrderChange{{Patch: patch(colonoscopy)}}, "AA", func(t *testing.T, all []Order) {
			require.Len(t, all, 1)
			want := colonoscopy
			want.State, want.Sender, want.Message, want.ChangedAt = OrderOpen, "RIS", "messagelast", at(500)
			require.Equal(t, want, all[0])
		}},
		{
			"a change leaves what it does not name",
			[][]OrderChange{{{Patch: patch(colonoscopy)}}},
			[]OrderChange{{Patch: json.RawMessage(`{"placer":{"id":"P1","authority":"HIS"},"reason":null,"requester":"Dahl^Per"}`)}},
			"AA",
			func(t *testing.T, all []Order) {
				require.Len(t, all, 1)
				require.Equal(t, "Dahl^Per", all[0].Requester)
				require.Empty(t, all[0].Reason)
				require.Equal(t, Stat, all[0].Priority)
				require.Equal(t, OrderOpen, all[0].State)
			},
		},
		{
			"a status by the filler number alone",
			[][]OrderChange{{{Patch: patch(colonoscopy)}}},
			[]OrderChange{{Patch: json.RawMessage(`{"filler":{"id":"F1"}}`), State: OrderCompleted, Known: true}},
			"AA",
			func(t *testing.T, all []Order) { require.Equal(t, OrderCompleted, all[0].State) },
		},
		{
			"a cancel of what is not there",
			nil,
			[]OrderChange{{Patch: patch(colonoscopy), State: OrderCancelled, Known: true}},
			"AE",
			func(t *testing.T, all []Order) { require.Empty(t, all) },
		},
		{
			"one of two cannot be done: neither is",
			[][]OrderChange{{{Patch: patch(colonoscopy)}}},
			[]OrderChange{{Patch: patch(colonoscopy), State: OrderCancelled}, {Patch: patch(other), State: OrderCancelled, Known: true}},
			"AE",
			func(t *testing.T, all []Order) {
				require.Len(t, all, 1)
				require.Equal(t, OrderOpen, all[0].State)
			},
		},
		{
			"no accession number",
			nil,
			[]OrderChange{{Patch: json.RawMessage(`{"placer":{"id":"P1"}}`)}},
			"AE",
			func(t *testing.T, all []Order) { require.Empty(t, all) },
		},
		{
			"two orders of one accession",
			[][]OrderChange{{{Patch: patch(colonoscopy)}}},
			[]OrderChange{{Patch: json.RawMessage(`{"accession":"A1","placer":{"id":"P2","authority":"HIS"}}`)}},
			"AA",
			func(t *testing.T, all []Order) { require.Len(t, all, 2) },
		},
		{
			"the same number of another authority is another order",
			[][]OrderChange{{{Patch: patch(colonoscopy)}}},
			[]OrderChange{{Patch: json.RawMessage(`{"accession":"A9","placer":{"id":"P1","authority":"ELSEWHERE"}}`)}},
			"AA",
			func(t *testing.T, all []Order) { require.Len(t, all, 2) },
		},
		{
			"two orders of a group have one placer number",
			[][]OrderChange{{{Patch: patch(colonoscopy)}}},
			[]OrderChange{{Patch: json.RawMessage(`{"accession":"A2","placer":{"id":"P1","authority":"HIS"},"filler":{"id":"F2"}}`)}},
			"AA",
			func(t *testing.T, all []Order) { require.Len(t, all, 2) },
		},
		{
			"two orders of a group that has no filler numbers",
			nil,
			[]OrderChange{{Patch: json.RawMessage(`{"accession":"A1","placer":{"id":"P1"}}`)}, {Patch: json.RawMessage(`{"accession":"A2","placer":{"id":"P1"}}`)}},
			"AA",
			func(t *testing.T, all []Order) { require.Len(t, all, 2) },
		},
		{
			"another accession number of the same order",
			[][]OrderChange{{{Patch: patch(colonoscopy)}}},
			[]OrderChange{{Patch: json.RawMessage(`{"accession":"A2","placer":{"id":"P1","authority":"HIS"},"filler":{"id":"F1"}}`)}},
			"AA",
			func(t *testing.T, all []Order) {
				require.Len(t, all, 1)
				require.Equal(t, "A2", all[0].Accession)
			},
		},
		{
			"another patient: nothing of the first stays",
			[][]OrderChange{{{Patch: patch(colonoscopy)}}},
			[]OrderChange{{Patch: json.RawMessage(`{"accession":"A1","patient":{"identifier":{"id":"PAT2","authority":"HOSP"}}}`)}},
			"AA",
			func(t *testing.T, all []Order) {
				require.Len(t, all, 1)
				require.Equal(t, Person{Identifier: Identifier{"PAT2", "HOSP"}}, all[0].Patient)
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := &memoryJournal{}
			l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
			for i, orders := range c.given {
				require.Equal(t, "AA", take(t, l, inbound(string(rune('a'+i)), orders...)).Answer.Code)
			}
			taken := take(t, l, inbound("last", c.last...))
			require.Equal(t, c.code, taken.Answer.Code)
			require.Equal(t, c.code == "AE", taken.Answer.Text != "")
			c.check(t, allOrders(t, l))
			m, err := l.Message(t.Context(), "messagelast")
			require.NoError(t, err)
			require.Equal(t, taken.Answer, m.Answer)
			again, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
			require.Equal(t, dump(t, l), dump(t, again))
		})
	}
}

// TestTakeMessage_again answers a message that comes again as before; one that was refused is tried again.
func TestTakeMessage_again(t *testing.T) {
	l := openLedger(t)
	made := inbound("c1", OrderChange{Patch: patch(Order{Accession: "A1"})})
	require.Empty(t, take(t, l, made).Again)
	again := made
	again.Entry, again.At = "another", at(501)
	require.Equal(t, Taken{Answer: made.Answer, Again: made.Entry}, take(t, l, again))
	m, err := l.Message(t.Context(), made.Entry)
	require.NoError(t, err)
	require.Equal(t, 2, m.Count)
	require.Equal(t, at(501), m.LastAt)

	other := inbound("c1", OrderChange{Patch: patch(Order{Accession: "A2"})})
	other.Entry, other.Digest = "yet another", "other bytes"
	require.Empty(t, take(t, l, other).Again)
	require.Len(t, allOrders(t, l), 2)

	cancel := inbound("c2", OrderChange{Patch: patch(Order{Accession: "A3"}), State: OrderCancelled, Known: true})
	require.Equal(t, "AE", take(t, l, cancel).Answer.Code)
	take(t, l, inbound("c3", OrderChange{Patch: patch(Order{Accession: "A3"})}))
	cancel.Entry = "cancel again"
	require.Equal(t, "AA", take(t, l, cancel).Answer.Code)
}

// TestOrderOf holds that a study has the order that names it before the one of its accession number, and one that stands
// before one that is cancelled.
func TestOrderOf(t *testing.T) {
	l := openLedger(t)
	accession := receipt(1).Header.AccessionNumber
	receive(t, l, receipt(1))
	of := func() string {
		o, ok, err := l.OrderOf(t.Context(), "1.2")
		require.NoError(t, err)
		require.Equal(t, ok, o.Accession != "")
		return o.Accession + " " + o.Placer.ID
	}
	require.Equal(t, " ", of())
	take(t, l, inbound("c1", OrderChange{Patch: patch(Order{Accession: accession, Placer: Identifier{ID: "P1"}, StudyInstanceUID: "1.99"})}))
	require.Equal(t, accession+" P1", of())
	take(t, l, inbound("c2", OrderChange{Patch: patch(Order{Accession: "A2", Placer: Identifier{ID: "P2"}, StudyInstanceUID: "1.2"})}))
	require.Equal(t, "A2 P2", of())
	take(t, l, inbound("c3", OrderChange{Patch: patch(Order{Accession: "A3", Placer: Identifier{ID: "P3"}, StudyInstanceUID: "1.2"})}))
	take(t, l, inbound("c4", OrderChange{Patch: patch(Order{Placer: Identifier{ID: "P3"}}), State: OrderCancelled, Known: true}))
	require.Equal(t, "A2 P2", of())
}

// TestOrders_arrival holds that it does not matter whether an order or the images come first: the study has the order, its
// timeline the message once, and the last report is of after the order.
func TestOrders_arrival(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("/dev/shm", "ledger") // a sync costs nothing there
		require.NoError(t, err)
		defer func() { require.NoError(t, os.RemoveAll(dir)) }()
		l, err := ledgertest.Open(filepath.Join(dir, "ledger.db"), Open)
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }()
		ctx := context.Background()
		order := Order{Accession: receipt(1).Header.AccessionNumber, Placer: Identifier{ID: "P1"}}
		if rapid.Bool().Draw(t, "by study") {
			order = Order{Accession: "other", Placer: Identifier{ID: "P1"}, StudyInstanceUID: "1.2"}
		}
		steps := []func(){
			func() { receiveAll(t, l, receipt(1)) },
			func() { require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, frames(), nil, at(502))) },
			func() { report(t, l) },
		}
		when := rapid.IntRange(0, len(steps)).Draw(t, "order before step")
		looked := rapid.Bool().Draw(t, "while a report is being made") && when == 2
		for i, step := range steps {
			var exams []Exam
			if i == when && looked {
				exams, err = l.DueExams(ctx, at(5000), time.Second, time.Hour)
				require.NoError(t, err)
				require.Len(t, exams, 1)
			}
			if i == when {
				take(t, l, inbound("c1", OrderChange{Patch: patch(order)}))
			}
			if looked && i == 2 {
				require.NoError(t, l.FinishReport(ctx, exams[0], nil, at(510)))
			}
			step()
		}
		if when == len(steps) {
			take(t, l, inbound("c1", OrderChange{Patch: patch(order)}))
			report(t, l)
		}
		o, ok, err := l.OrderOf(ctx, "1.2")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "P1", o.Placer.ID)
		d, err := l.Study(ctx, "1.2", Page{})
		require.NoError(t, err)
		messages := 0
		for _, e := range d.Events {
			if e.What == EventMessage {
				messages++
				require.Equal(t, "messagec1", e.Entry)
				require.Equal(t, Actor{Kind: ActorPeer, Name: "RIS"}, e.By)
			}
		}
		require.Equal(t, 1, messages)
		require.Equal(t, ExamReported, d.Exams[0].State)
		want := 1
		if when == 3 || looked {
			want = 2
		}
		require.Equal(t, want, d.Exams[0].Revision)

		take(t, l, inbound("c2", OrderChange{Patch: patch(Order{Placer: Identifier{ID: "P1"}}), State: OrderCompleted, Known: true}))
		due, err := l.DueExams(ctx, at(9000), time.Second, time.Hour)
		require.NoError(t, err)
		require.Empty(t, due, "a status is no reason to report again")
	})
}

// report makes every report that is due.
func report(t require.TestingT, l *Ledger) {
	exams, err := l.DueExams(context.Background(), at(5000), time.Second, time.Hour)
	require.NoError(t, err)
	for _, e := range exams {
		require.NoError(t, l.FinishReport(context.Background(), e, nil, at(511)))
	}
}

func receiveAll(t require.TestingT, l *Ledger, receipts ...Receipt) {
	_, err := l.Receive(context.Background(), receipts, receipts[len(receipts)-1].Seq)
	require.NoError(t, err)
}

func TestReleaseMessages(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	take(t, l, inbound("c1", OrderChange{Patch: patch(Order{Accession: "A1", StudyInstanceUID: dicom.UID("1.77")})}))
	needed, err := l.Needed(ctx, []string{"messagec1", "nobody's"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"messagec1": true}, needed)
	none, err := l.ReleaseMessages(ctx, at(499), 10, at(600))
	require.NoError(t, err)
	require.Empty(t, none)
	entries, err := l.ReleaseMessages(ctx, at(501), 10, at(600))
	require.NoError(t, err)
	require.Equal(t, []string{"messagec1"}, entries)
	m, err := l.Message(ctx, "messagec1")
	require.NoError(t, err)
	require.True(t, m.Released)
	more, err := l.ForgetMessages(ctx, at(501), 10, at(601))
	require.NoError(t, err)
	require.True(t, more)
	require.Empty(t, allOrders(t, l))
	_, err = l.Message(ctx, "messagec1")
	require.ErrorIs(t, err, ErrNotFound)
	more, err = l.ForgetMessages(ctx, at(501), 10, at(601))
	require.NoError(t, err)
	require.False(t, more)
}

// An order that a person has said a study belongs to is remembered as long as the study.
func TestForgetMessages_correctedTo(t *testing.T) {
	l, ctx := openLedger(t), t.Context()
	take(t, l, inbound("c1", OrderChange{Patch: patch(Order{Accession: "ELSE", Patient: Person{Identifier: Identifier{ID: "P1"}}})}))
	receive(t, l, by(1, GateHold, nil))
	require.NoError(t, l.CorrectGate(ctx, "1.2", Correction{Accession: "ELSE", Reason: "entered twice"}, at(600)))
	_, err := l.ReleaseMessages(ctx, at(700), 10, at(700))
	require.NoError(t, err)
	for _, want := range []bool{true, false} { // the message goes
		more, err := l.ForgetMessages(ctx, at(650), 10, at(701))
		require.NoError(t, err)
		require.Equal(t, want, more)
	}
	require.Len(t, allOrders(t, l), 1)
	_, corrected, err := l.OrderOf(ctx, "1.2")
	require.NoError(t, err)
	require.True(t, corrected)
}

// A job has the priority of the order of its study, whichever came first, until it has begun.
func TestTakeMessage_priorityOfJobs(t *testing.T) {
	l, ctx := openLedger(t), t.Context()
	order := func(p Priority) OrderChange {
		return OrderChange{Patch: patch(Order{
			Accession: "A9", StudyInstanceUID: receipt(1).Header.StudyInstanceUID, Placer: Identifier{ID: "P9"},
			Patient: Person{Identifier: Identifier{ID: "PAT9"}}, Priority: p,
		})}
	}
	priorities := func() (all []Priority) {
		jobs, err := l.OpenJobs(ctx, "", 10)
		require.NoError(t, err)
		for _, j := range jobs {
			all = append(all, j.Priority)
		}
		return all
	}
	receive(t, l, receipt(1))
	require.Equal(t, []Priority{Routine}, priorities(), "nobody has said more")
	take(t, l, inbound("1", order(Stat)))
	require.Equal(t, []Priority{Stat}, priorities(), "the order came later")
	receive(t, l, receipt(2))
	require.Equal(t, []Priority{Stat, Stat}, priorities(), "the order was there")
	first, err := l.OpenJobs(ctx, "", 1)
	require.NoError(t, err)
	_, err = l.StartJob(ctx, first[0].ID, at(600))
	require.NoError(t, err)
	take(t, l, inbound("2", order(High)))
	require.Equal(t, []Priority{Stat, High}, priorities(), "one has begun")
	require.NoError(t, l.ParkJob(ctx, first[0].ID, "boom", at(601)))
	take(t, l, inbound("3", order(Medium)))
	require.NoError(t, l.RetryJob(ctx, first[0].ID, at(602)))
	require.Equal(t, []Priority{Medium, Medium}, priorities())
	take(t, l, inbound("4", order("SOON")))
	require.Equal(t, []Priority{Routine, Routine}, priorities(), "no priority that is known")
}
