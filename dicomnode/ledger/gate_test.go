package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// by is a receipt of instance n whose route has gate g.
func by(n int, g Gate, change func(*Receipt)) Receipt {
	r := receipt(n)
	r.Gate, r.Forward, r.Destinations = g, []string{"pacs"}, []string{"pacs"}
	if change != nil {
		change(&r)
	}
	return r
}

func gateOf(t require.TestingT, l *Ledger) GateState {
	g, err := l.GateOf(bg, "1.2")
	require.NoError(t, err)
	return g
}

// leaving are the purposes of what is due to pacs.
func leaving(t require.TestingT, l *Ledger) []string {
	ds, err := l.DueDeliveries(bg, "pacs", at(1000), longest, 100)
	require.NoError(t, err)
	_, some, err := l.NextDelivery(bg, "pacs")
	require.NoError(t, err)
	require.Equal(t, len(ds) > 0, some)
	return purposes(ds)
}

func TestGate(t *testing.T) {
	ordered := func(o Order) func(*testing.T, *Ledger) {
		return func(t *testing.T, l *Ledger) {
			take(t, l, inbound(o.Accession+o.Patient.ID, OrderChange{Patch: patch(o)}))
		}
	}
	received := func(r Receipt) func(*testing.T, *Ledger) {
		return func(t *testing.T, l *Ledger) { receive(t, l, r) }
	}
	another := func(n int, g Gate) Receipt {
		return by(n, g, func(r *Receipt) { r.Header.PatientID = "P2" })
	}
	p1, p2 := named("P1", "Hébert^Zoë"), named("P2", "Other^One")
	born := func(p Person) Person {
		p.BirthDate = "19610203"
		return p
	}
	sexed := func(p Person, sex string) Person {
		p.Sex = sex
		return p
	}
	for _, row := range []struct {
		name  string
		steps []func(*testing.T, *Ledger)
		want  []Mismatch
		held  bool
	}{
		{"no order", []func(*testing.T, *Ledger){received(by(1, GateHold, nil))}, nil, false},
		{"they agree", []func(*testing.T, *Ledger){received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", StudyInstanceUID: "1.2", Patient: p1})}, nil, false},
		{"another patient, hold", []func(*testing.T, *Ledger){received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", Patient: p2})}, []Mismatch{MismatchPatient}, true},
		{"another patient, the order first", []func(*testing.T, *Ledger){ordered(Order{Accession: "A1", Patient: p2}), received(by(1, GateHold, nil))}, []Mismatch{MismatchPatient}, true},
		{"another patient, warn", []func(*testing.T, *Ledger){received(by(1, GateWarn, nil)), ordered(Order{Accession: "A1", Patient: p2})}, []Mismatch{MismatchPatient}, false},
		{"another patient, as configured by default", []func(*testing.T, *Ledger){received(by(1, "", nil)), ordered(Order{Accession: "A1", Patient: p2})}, []Mismatch{MismatchPatient}, false},
		{"another patient, off", []func(*testing.T, *Ledger){received(by(1, GateOff, nil)), ordered(Order{Accession: "A1", Patient: p2})}, nil, false},
		{"the strictest of its routes counts", []func(*testing.T, *Ledger){received(by(1, GateOff, nil)), received(by(2, GateHold, nil)), received(by(3, GateWarn, nil)), ordered(Order{Accession: "A1", Patient: p2})}, []Mismatch{MismatchPatient}, true},
		{"accession number of orders of two patients", []func(*testing.T, *Ledger){
			ordered(Order{Accession: "A1", Patient: p2, Placer: Identifier{ID: "PL2"}}), ordered(Order{Accession: "A1", Patient: p1, Placer: Identifier{ID: "PL1"}}),
			received(by(1, GateHold, nil)),
		}, []Mismatch{MismatchContested}, true},
		{"the second of them comes after the images", []func(*testing.T, *Ledger){
			ordered(Order{Accession: "A1", Patient: p1, Placer: Identifier{ID: "PL1"}}), received(by(1, GateHold, nil)),
			ordered(Order{Accession: "A1", Patient: p2, Placer: Identifier{ID: "PL2"}}),
		}, []Mismatch{MismatchPatient, MismatchContested}, true},
		{"one of them names the study", []func(*testing.T, *Ledger){
			ordered(Order{Accession: "A1", Patient: p2, Placer: Identifier{ID: "PL2"}}),
			ordered(Order{Accession: "A1", StudyInstanceUID: "1.2", Patient: p1, Placer: Identifier{ID: "PL1"}}), received(by(1, GateHold, nil)),
		}, nil, false},
		{"accession number of another study", []func(*testing.T, *Ledger){received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", StudyInstanceUID: "1.9", Patient: p1})}, []Mismatch{MismatchStudy}, true},
		{"study of another accession number", []func(*testing.T, *Ledger){received(by(1, GateHold, nil)), ordered(Order{Accession: "A7", StudyInstanceUID: "1.2", Patient: p1})}, []Mismatch{MismatchAccession}, true},
		{"two orders, the UID counts", []func(*testing.T, *Ledger){
			received(by(1, GateHold, nil)), ordered(Order{Accession: "A7", StudyInstanceUID: "1.2", Patient: p2}), ordered(Order{Accession: "A1", Patient: p1}),
		}, []Mismatch{MismatchPatient, MismatchAccession}, true},
		{"the order is corrected by a message", []func(*testing.T, *Ledger){
			received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", Patient: p2}), ordered(Order{Accession: "A1", Patient: p1}),
		}, nil, false},
		{"the patients turn out to be one", []func(*testing.T, *Ledger){
			received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", Patient: p2}),
			func(t *testing.T, l *Ledger) { take(t, l, told("m", mergeInto(p2, "P1"))) },
		}, nil, false},
		{"one of the order's further identifiers", []func(*testing.T, *Ledger){
			received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", Patient: Person{Identifier: id("P2"), Others: []Identifier{{"P1", "NATIONAL"}}}}),
		}, nil, false},
		{"the same number of another authority", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.IssuerOfPatientID = "OTHER" })), ordered(Order{Accession: "A1", Patient: p1}),
		}, []Mismatch{MismatchPatient}, true},
		{"images without a patient", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.PatientID = "" })), ordered(Order{Accession: "A1", Patient: named("P2", "HEBERT^ZOE")}),
		}, nil, false},
		{"images without a patient, of another name", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.PatientID = "" })), ordered(Order{Accession: "A1", Patient: p2}),
		}, []Mismatch{MismatchPatient}, true},
		{"the patient, of another name", []func(*testing.T, *Ledger){received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", Patient: named("P1", "Other^One")})}, []Mismatch{MismatchName}, true},
		{"the patient, of another name in a later image", []func(*testing.T, *Ledger){
			ordered(Order{Accession: "A1", Patient: p1}), received(by(1, GateHold, nil)),
			received(by(2, GateHold, func(r *Receipt) { r.Header.PatientName = "Other^One" })),
		}, []Mismatch{MismatchName, MismatchPatients}, true},
		{"the patient, called otherwise since", []func(*testing.T, *Ledger){
			received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", Patient: p1}),
			func(t *testing.T, l *Ledger) { take(t, l, told("m", PatientChange{Person: named("P1", "Other^One")})) },
		}, nil, false},
		{"the patient, written otherwise", []func(*testing.T, *Ledger){received(by(1, GateHold, nil)), ordered(Order{Accession: "A1", Patient: named("P1", "ZOE^HEBERT")})}, nil, false},
		{"the patient, a placeholder for a name", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.PatientName = "?^?" })), ordered(Order{Accession: "A1", Patient: p1}),
		}, nil, false},
		{"the patient, of another sex", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.PatientSex = "M" })), ordered(Order{Accession: "A1", Patient: sexed(p1, "F")}),
		}, []Mismatch{MismatchSex}, true},
		{"the patient, of a sex that is not known", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.PatientSex = "O" })), ordered(Order{Accession: "A1", Patient: sexed(p1, "F")}),
		}, nil, false},
		{"images without a patient, born on another day", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.PatientID, r.Header.PatientBirthDate = "", "19400101" })), ordered(Order{Accession: "A1", Patient: born(p2)}),
		}, []Mismatch{MismatchPatient}, true},
		{"the patient, born on another day", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.PatientBirthDate = "19400101" })), ordered(Order{Accession: "A1", Patient: born(p1)}),
		}, []Mismatch{MismatchBirthDate}, true},
		{"the patient, born on the same day", []func(*testing.T, *Ledger){
			received(by(1, GateHold, func(r *Receipt) { r.Header.PatientBirthDate = "19610203" })), ordered(Order{Accession: "A1", Patient: born(p1)}),
		}, nil, false},
		{"two patients, off", []func(*testing.T, *Ledger){received(by(1, GateOff, nil)), received(another(2, GateOff))}, []Mismatch{MismatchPatients}, true},
		{"two patients who turn out to be one", []func(*testing.T, *Ledger){
			received(by(1, GateOff, nil)), received(another(2, GateOff)),
			func(t *testing.T, l *Ledger) { take(t, l, told("m", mergeInto(p2, "P1"))) },
		}, nil, false},
		{"two patients in one batch", []func(*testing.T, *Ledger){func(t *testing.T, l *Ledger) { receive(t, l, by(1, GateOff, nil), another(2, GateOff)) }}, []Mismatch{MismatchPatients}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := openLedger(t)
			for _, step := range row.steps {
				step(t, l)
			}
			require.NoError(t, l.FinishJob(t.Context(), "entry001.demo", testModel, frames(), []Object{object(1, "pacs")}, at(900)))
			got := gateOf(t, l)
			require.ElementsMatch(t, row.want, got.Mismatches)
			require.Equal(t, row.held, got.Held)
			require.Equal(t, row.held, !slices.Contains(leaving(t, l), "heatmap"), "results wait")
			require.Contains(t, leaving(t, l), "source", "images never")
			require.Equal(t, row.held, study(t, l).Parked == 1)
		})
	}
}

// TestGate_release lets go what a person has seen, and no more.
func TestGate_release(t *testing.T) {
	l := openLedger(t)
	person := By(t.Context(), Actor{Kind: ActorPerson, Name: "an operator"})
	receive(t, l, by(1, GateHold, nil))
	require.NoError(t, l.FinishJob(t.Context(), "entry001.demo", testModel, frames(), []Object{object(1, "pacs")}, at(900)))
	require.Equal(t, []string{"source", "heatmap"}, leaving(t, l))
	require.ErrorIs(t, l.ReleaseGate(person, "1.2", "", at(10)), ErrState)
	require.ErrorIs(t, l.ReleaseGate(person, "1.7", "", at(10)), ErrNotFound)

	p2 := named("P2", "Other^One")
	take(t, l, inbound("1", orderFor("A1", p2)))
	require.Equal(t, []string{"source"}, leaving(t, l), "what was pending waits, too")
	require.NoError(t, l.ReleaseGate(person, "1.2", "the sticker was wrong", at(11)))
	require.Equal(t, []string{"source", "heatmap"}, leaving(t, l))
	require.True(t, gateOf(t, l).Released)
	require.Zero(t, study(t, l).Parked)
	events := study(t, l).Events
	last := events[len(events)-1]
	require.Equal(t, EventGateReleased, find(events, EventGateReleased).What, last)
	require.Equal(t, "an operator", find(events, EventGateReleased).By.Name)

	receive(t, l, by(2, GateHold, nil))
	require.True(t, gateOf(t, l).Released, "nothing new")
	take(t, l, told("2", mergeInto(named("P3", ""), "P2")))
	require.True(t, gateOf(t, l).Released, "another name of the same patient")
	receive(t, l, by(3, GateHold, func(r *Receipt) { r.Header.PatientID = "P4" }))
	g := gateOf(t, l)
	require.True(t, g.Held, "that, nobody has seen")
	require.ElementsMatch(t, []Mismatch{MismatchPatient, MismatchPatients}, g.Mismatches)
}

// TestGate_waits has a message wait for its report as long as it would have without the time that both were held.
func TestGate_waits(t *testing.T) {
	l := openLedger(t)
	receive(t, l, by(1, GateHold, nil))
	send := func(number, when int, entry string) {
		d := draft(number, 1)
		d.At, d.Standing = at(when), "signed"
		require.NoError(t, l.PutDraft(bg, d, nil, []Outgoing{
			{Kind: KindDICOM, Entry: "sr" + entry, Digest: entry, Purpose: "sr", Instance: instance("2.25.7" + entry), Destination: "pacs"},
			{Kind: KindHL7, Entry: "oru" + entry, Purpose: "oru", Destination: "ris", After: "sr" + entry, Until: at(when + 300)},
		}))
	}
	send(1, 400, "1")
	take(t, l, inbound("1", orderFor("A1", named("P2", "Other^One"))))
	require.True(t, gateOf(t, l).Held)
	require.Equal(t, at(500), gateOf(t, l).Since)
	send(2, 600, "2")
	released := at(4000)
	require.NoError(t, l.ReleaseGate(By(bg, Actor{Kind: ActorPerson}), "1.2", "", released))
	var next []time.Duration
	for _, d := range study(t, l).Deliveries {
		if d.Kind == KindHL7 {
			next = append(next, d.NextAt.Sub(released))
		}
	}
	require.Equal(t, []time.Duration{200 * time.Second, 300 * time.Second}, next)
	require.Empty(t, dueEntries(t, l, "ris", 4001))
}

func find(events []Event, what What) Event {
	for _, e := range events {
		if e.What == what {
			return e
		}
	}
	return Event{}
}

// TestGate_correct files a study with the patient and order that a person names.
func TestGate_correct(t *testing.T) {
	l := openLedger(t)
	person := By(t.Context(), Actor{Kind: ActorPerson, Name: "an operator"})
	receive(t, l, by(1, GateHold, nil))
	take(t, l, inbound("1", orderFor("A1", named("P2", "Other^One"))))
	take(t, l, inbound("2", orderFor("A5", named("P5", "Right^One"))))
	require.True(t, gateOf(t, l).Held)
	whose := func() Whose {
		w, err := l.PatientOf(bg, "1.2")
		require.NoError(t, err)
		return w
	}
	require.Equal(t, "P1", whose().ID, "as its images say, whatever the order says")

	var no *Refusal
	require.ErrorAs(t, l.CorrectGate(person, "1.2", Correction{}, at(20)), &no)
	require.ErrorAs(t, l.CorrectGate(person, "1.2", Correction{Accession: "A6"}, at(20)), &no)
	require.ErrorAs(t, l.CorrectGate(person, "1.2", Correction{Patient: Person{Identifier: id("P9")}}, at(20)), &no)
	require.True(t, gateOf(t, l).Held)

	require.NoError(t, l.CorrectGate(person, "1.2", Correction{Accession: "A5", Reason: "wrong worklist entry"}, at(21)))
	g := gateOf(t, l)
	require.False(t, g.Held)
	require.True(t, g.Corrected)
	require.Equal(t, "P5", whose().ID)
	order, ok, err := l.OrderOf(bg, "1.2")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "A5", order.Accession)

	require.NoError(t, l.CorrectGate(person, "1.2", Correction{Patient: named("P9", "Walk^In")}, at(22)))
	require.Equal(t, Whose{named("P9", "Walk^In"), true}, whose())
	take(t, l, told("3", mergeInto(named("P10", ""), "P9")))
	require.Equal(t, Whose{named("P10", "Walk^In"), true}, whose(), "and follows merges")
	require.False(t, gateOf(t, l).Held)
}

// TestGate_takesBack has what waits to be sent under another identity sent no more, and what is on its way stay.
func TestGate_takesBack(t *testing.T) {
	l := openLedger(t)
	receive(t, l, by(1, GateWarn, nil))
	deliver := func(entry, destination string, d Delivery) {
		d.Entry, d.Kind, d.Purpose, d.State = entry, "hl7", "oru", DeliveryPending
		require.NoError(t, l.write(bg, func(tx *tx) error { return tx.deliver(1, d, []string{destination}, at(0)) }))
	}
	deliver("m1", "ris", Delivery{})
	deliver("m2", "ris", Delivery{})
	ds, err := l.DueDeliveries(bg, "ris", at(1), longest, 10)
	require.NoError(t, err)
	require.Len(t, ds, 2)
	require.NoError(t, l.Delivered(bg, ds[0].ID, "m1", Answer{Protocol: "hl7", Code: "AA"}, at(2)))
	take(t, l, told("1", mergeInto(named("P2", ""), "P1")))
	ds, err = l.DueDeliveries(bg, "ris", at(1), longest, 10)
	require.NoError(t, err)
	require.Empty(t, ds)
	var states []DeliveryState
	for _, d := range study(t, l).Deliveries {
		if d.Destination == "ris" {
			states = append(states, d.State)
		}
	}
	require.Equal(t, []DeliveryState{DeliveryDone, DeliveryDiscarded}, states)
	require.NotContains(t, leaving(t, l), "oru")
	require.Contains(t, leaving(t, l), "source")
}

// TestGate_takesBackPages takes back a page of an unsigned draft, too: it names who it is on, and why it is held.
func TestGate_takesBackPages(t *testing.T) {
	l := openLedger(t)
	receive(t, l, by(1, GateWarn, nil))
	page := Delivery{Kind: KindDICOM, Entry: "page", Purpose: "pdf", State: DeliveryPending, Number: 1, Version: 1}
	require.NoError(t, l.write(bg, func(tx *tx) error {
		if _, err := tx.exec("INSERT INTO desk (study, version, number) VALUES (1, 1, 1) ON CONFLICT DO UPDATE SET number = 1"); err != nil {
			return err
		}
		if _, err := tx.exec(`INSERT INTO draft (study, number, version, event, standing, author, unauthenticated, system, at, document, edit, basis)
			VALUES (1, 1, 1, 'drafted', 'draft', '', 0, 1, 1, '{}', '', '{}')`); err != nil {
			return err
		}
		return tx.deliver(1, page, []string{"pacs"}, at(0))
	}))
	take(t, l, told("1", mergeInto(named("P2", ""), "P1")))
	require.NotContains(t, leaving(t, l), "pdf")
	require.Contains(t, leaving(t, l), "source")
}

// TestGate_whose never puts the patient, or the words, of an order on images that name another patient, unless a person has
// said so.
func TestGate_whose(t *testing.T) {
	for _, gate := range []Gate{GateOff, GateWarn, GateHold} {
		t.Run(string(gate), func(t *testing.T) {
			l := openLedger(t)
			stands := func(patient string, doubt bool) {
				t.Helper()
				whose, err := l.PatientOf(bg, "1.2")
				require.NoError(t, err)
				require.Equal(t, patient, whose.ID)
				order, _, err := l.OrderOf(bg, "1.2")
				require.NoError(t, err)
				require.Equal(t, doubt, gateOf(t, l).InDoubt(order))
			}
			receive(t, l, by(1, gate, nil))
			stands("P1", false)
			take(t, l, inbound("1", orderFor("A1", named("P2", "Other^One"))))
			stands("P1", true)
			take(t, l, told("2", mergeInto(named("P3", ""), "P2")))
			stands("P1", true)
			take(t, l, inbound("3", orderFor("A1", named("P1", "Hébert^Zoë"))))
			stands("P1", false)
			take(t, l, inbound("4", orderFor("A1", named("P2", "Other^One"))))
			stands("P1", true)
			require.NoError(t, l.CorrectGate(By(t.Context(), Actor{Kind: ActorPerson}), "1.2", Correction{Accession: "A1"}, at(30)))
			stands("P3", false)
		})
	}
}

// TestGate_contestedWithoutPatient: images that name nobody are filed to neither of the patients whose orders have their
// accession number, and the order's words have no place in their report.
func TestGate_contestedWithoutPatient(t *testing.T) {
	l := openLedger(t)
	for _, n := range []string{"1", "2"} {
		taken, err := l.TakeMessage(bg, inbound("c"+n, OrderChange{Patch: patch(Order{
			Accession: "A1", Patient: named("P"+n, "Some^One"), Placer: Identifier{ID: "PL" + n},
		})}))
		require.NoError(t, err)
		require.Equal(t, n == "2", taken.Contested)
	}
	receive(t, l, by(1, GateWarn, func(r *Receipt) { r.Header.PatientID = "" }))
	g := gateOf(t, l)
	require.Contains(t, g.Mismatches, MismatchContested)
	require.Empty(t, g.Patient.ID)
	o, ok, err := l.OrderOf(bg, "1.2")
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, g.InDoubt(o))
	m, _, err := l.Messages(bg, MessageFilter{})
	require.NoError(t, err)
	require.Contains(t, m[0].Note, "orders of different patients have this accession number")

	_, err = l.TakeMessage(bg, inbound("c3", OrderChange{State: OrderCancelled, Patch: patch(Order{
		Accession: "A1", Patient: named("P2", "Some^One"), Placer: Identifier{ID: "PL2"},
	})}))
	require.NoError(t, err)
	require.NotContains(t, gateOf(t, l).Mismatches, MismatchContested, "one of the two is cancelled")
}

// TestGate_correctedFrom: the timeline says what a study was on, by whom it was corrected and why, and its images' claim stays.
func TestGate_correctedFrom(t *testing.T) {
	l := openLedger(t)
	receive(t, l, by(1, GateHold, nil))
	take(t, l, inbound("1", orderFor("A1", named("P2", "Other^One"))))
	take(t, l, inbound("2", orderFor("A2", Person{Identifier: Identifier{ID: "P3", Authority: "HOSP"}, Name: "Third^One"})))
	anna := By(t.Context(), Actor{Kind: ActorPerson, Name: "anna"})
	require.NoError(t, l.CorrectGate(anna, "1.2", Correction{Accession: "A2", Reason: "wrong worklist entry"}, at(30)))
	require.NoError(t, l.CorrectGate(anna, "1.2", Correction{Patient: named("P1", "Hébert^Zoë"), Reason: "no, only the order"}, at(31)))
	d, err := l.Study(bg, "1.2", Page{})
	require.NoError(t, err)
	var said []string
	for _, e := range d.Events {
		if e.What == EventCorrected {
			require.Equal(t, Actor{Kind: ActorPerson, Name: "anna"}, e.By)
			require.Empty(t, e.Detail)
			said = append(said, e.Answer.Text)
		}
	}
	require.Equal(t, []string{
		"wrong worklist entry (from patient P1, order A1 to patient P3 of HOSP, order A2)",
		"no, only the order (from patient P3 of HOSP, order A2 to patient P1 of HOSP, order A2)",
	}, said)
	var claims []claim
	require.NoError(t, l.write(bg, func(t *tx) (err error) {
		claims, err = t.claimsOf(1)
		return err
	}))
	require.Len(t, claims, 1)
	require.Equal(t, Identifier{ID: "P1"}, claims[0].Patient)
	require.Equal(t, "A1", claims[0].Accession)
}

// TestOrders_mismatches: the list of orders says which are contested, and what does not agree with their images.
func TestOrders_mismatches(t *testing.T) {
	l := openLedger(t)
	receive(t, l, by(1, GateHold, nil))
	take(t, l, inbound("1", OrderChange{Patch: patch(Order{Accession: "A1", Patient: named("P1", "Hébert^Zoë"), Placer: Identifier{ID: "PL1"}})}))
	list := func(m Mismatch) (all []string) {
		page, total, err := l.Orders(bg, OrderFilter{Mismatch: m})
		require.NoError(t, err)
		require.Len(t, page, total)
		for _, o := range page {
			all = append(all, fmt.Sprintf("%s of %s %v %v", o.Accession, o.Patient.ID, o.Contested, o.Studies))
		}
		return all
	}
	require.Equal(t, []string{"A1 of P1 false [{1.2 [] false}]"}, list(""))
	require.Empty(t, list(AnyMismatch))
	second := Order{Accession: "A1", Patient: named("P2", "Other^One"), Placer: Identifier{ID: "PL2"}}
	take(t, l, inbound("2", OrderChange{Patch: patch(second)}))
	require.Len(t, list(MismatchContested), 2)
	require.Len(t, list(AnyMismatch), 2)
	require.Equal(t, "A1 of P2 true [{1.2 ["+MismatchPatient.String()+" "+MismatchContested.String()+"] true}]", list("")[0])
	require.Empty(t, list(MismatchCut))
	for _, p := range []string{"P1", "P2"} { // before there are images
		take(t, l, inbound("3"+p, OrderChange{Patch: patch(Order{Accession: "A7", Patient: named(p, ""), Placer: Identifier{ID: "PL3" + p}})}))
	}
	require.Len(t, list(MismatchContested), 4)
	take(t, l, told("5", mergeInto(named("P1", ""), "P2")))
	require.Empty(t, list(AnyMismatch), "they are one patient now")
}

// TestGate_cutAccession: images find the order of an accession number of which DICOM has no more than 16 characters, whichever of
// the two comes first, as long as it can be no other's.
func TestGate_cutAccession(t *testing.T) {
	const cut = "2026-ENDO-000012" // 16
	image := func(accession string) func(*Receipt) {
		return func(r *Receipt) { r.Header.AccessionNumber = accession }
	}
	order := func(l *Ledger, accession, state string) {
		take(t, l, inbound(accession+state, OrderChange{State: OrderState(state), Patch: patch(Order{
			Accession: accession, Patient: named("P1", "Hébert^Zoë"), Placer: Identifier{ID: "PL" + accession},
		})}))
	}
	for _, c := range []struct {
		name   string
		image  string
		orders [][2]string
		want   string // its order
		found  []Mismatch
	}{
		{"cut", cut, [][2]string{{cut + "34", ""}}, cut + "34", nil},
		{"cut, and others are near", cut, [][2]string{{cut + "34", ""}, {"2026-ENDO-00001", ""}, {"2026-ENDO-0000134", ""}}, cut + "34", nil},
		{"two", cut, [][2]string{{cut + "34", ""}, {cut + "35", ""}}, "", []Mismatch{MismatchCut}},
		{"one whole, one longer", cut, [][2]string{{cut, ""}, {cut + "35", ""}}, "", []Mismatch{MismatchCut}},
		{"one was cancelled", cut, [][2]string{{cut + "34", "cancelled"}, {cut + "35", ""}}, cut + "35", nil},
		{"the only one was cancelled", cut, [][2]string{{cut + "34", "cancelled"}}, cut + "34", nil},
		{"not cut", cut + "34", [][2]string{{cut + "34", ""}, {cut + "35", ""}, {cut, ""}}, cut + "34", nil},
		{"shorter", "2026-ENDO", [][2]string{{"2026-ENDO-000012345", ""}}, "", nil},
		{"other characters", "ÆØÅ-6-ENDO-00001", [][2]string{{"ÆØÅ-6-ENDO-00001234", ""}}, "ÆØÅ-6-ENDO-00001234", nil},
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the image first %v", c.name, first), func(t *testing.T) {
				l := openLedger(t)
				if first {
					receive(t, l, by(1, GateWarn, image(c.image)))
				}
				for _, o := range c.orders {
					order(l, o[0], o[1])
				}
				if !first {
					receive(t, l, by(1, GateWarn, image(c.image)))
				}
				o, ok, err := l.OrderOf(bg, "1.2")
				require.NoError(t, err)
				require.Equal(t, c.want != "", ok)
				require.Equal(t, c.want, o.Accession)
				require.Equal(t, append([]Mismatch{}, c.found...), append([]Mismatch{}, gateOf(t, l).Mismatches...))
				d, err := l.Study(bg, "1.2", Page{})
				require.NoError(t, err)
				filed := slices.ContainsFunc(d.Events, func(e Event) bool { return e.What == EventMessage })
				require.Equal(t, c.want != "" || len(c.found) > 0, filed, "its messages are in its timeline")
			})
		}
	}
	l := openLedger(t)
	receive(t, l, by(1, GateHold, image(cut)))
	order(l, cut+"34", "")
	order(l, cut+"35", "")
	require.True(t, gateOf(t, l).Held)
	require.NoError(t, l.CorrectGate(By(t.Context(), Actor{Kind: ActorPerson}), "1.2", Correction{Accession: cut + "35", Reason: "by its time"}, at(30)))
	require.False(t, gateOf(t, l).Held)
	require.Empty(t, gateOf(t, l).Mismatches)
	o, _, err := l.OrderOf(bg, "1.2")
	require.NoError(t, err)
	require.Equal(t, cut+"35", o.Accession)
}
