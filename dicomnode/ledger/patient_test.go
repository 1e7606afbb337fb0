package ledger

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// id is an identifier of the hospital.
func id(of string) Identifier { return Identifier{of, "HOSP"} }

// named is a patient of the hospital.
func named(of, name string) Person { return Person{Identifier: id(of), Name: name} }

// told is a message that says changes of patients.
func told(control string, changes ...PatientChange) Inbound {
	m := inbound(control)
	m.Type, m.Patients = "ADT^A40", changes
	return m
}

// mergeInto is what an A40 says.
func mergeInto(surviving Person, prior ...string) PatientChange {
	c := PatientChange{Person: surviving}
	for _, p := range prior {
		c.Prior = append(c.Prior, id(p))
	}
	return c
}

func orderFor(accession string, p Person) OrderChange {
	return OrderChange{Patch: patch(Order{Accession: accession, Patient: p})}
}

// patientsOf are whom the orders are for, by accession number.
func patientsOf(t require.TestingT, l *Ledger) map[string]Person {
	of := map[string]Person{}
	for _, o := range allOrders(t, l) {
		of[o.Accession] = o.Patient
	}
	return of
}

func TestPatients_merge(t *testing.T) {
	type step struct {
		in   Inbound
		code string // of the answer; empty: AA
		why  string
	}
	born := func(p Person, date, sex string) Person {
		p.BirthDate, p.Sex = date, sex
		return p
	}
	anywhere := func(of string) Person { return Person{Identifier: Identifier{ID: of}} }
	elsewhere := func(m Inbound) Inbound {
		m.Application, m.Facility = "ELSEWHERE", "SOUTH"
		return m
	}
	for _, row := range []struct {
		name  string
		steps []step
		want  map[string]Person
	}{
		{"order, then merge", []step{
			{in: inbound("1", orderFor("A1", named("X", "Old^Name")))},
			{in: told("2", mergeInto(named("Y", "New^Name"), "X"))},
		}, map[string]Person{"A1": named("Y", "New^Name")}},
		{"merge, then order", []step{
			{in: told("2", mergeInto(named("Y", "New^Name"), "X"))},
			{in: inbound("1", orderFor("A1", named("X", "Old^Name")))},
		}, map[string]Person{"A1": named("Y", "New^Name")}},
		{"chain, then an order for the first", []step{
			{in: inbound("1", orderFor("A1", named("X", "N")))},
			{in: told("2", mergeInto(named("Y", "N"), "X"))},
			{in: told("3", mergeInto(named("W", "N"), "Y"))},
			{in: inbound("4", orderFor("A2", named("X", "N")))},
		}, map[string]Person{"A1": named("W", "N"), "A2": named("W", "N")}},
		{"chain, its end first", []step{
			{in: told("3", mergeInto(named("W", "N"), "Y"))},
			{in: told("2", mergeInto(named("Y", ""), "X"))},
			{in: inbound("4", orderFor("A2", named("X", "")))},
		}, map[string]Person{"A2": named("W", "N")}},
		{"two groups", []step{
			{in: inbound("1", orderFor("A1", named("X", "")), orderFor("A2", named("U", "")))},
			{in: told("2", mergeInto(named("Y", ""), "X"), mergeInto(named("V", ""), "U"))},
		}, map[string]Person{"A1": named("Y", ""), "A2": named("V", "")}},
		{"two prior identifiers", []step{
			{in: inbound("1", orderFor("A1", named("X", "")), orderFor("A2", named("U", "")))},
			{in: told("2", mergeInto(named("Y", ""), "X", "U"))},
		}, map[string]Person{"A1": named("Y", ""), "A2": named("Y", "")}},
		{"what only the prior one had stays known", []step{
			{in: inbound("1", orderFor("A1", born(named("X", "N"), "19610203", "F")))},
			{in: told("2", mergeInto(named("Y", ""), "X"))},
		}, map[string]Person{"A1": born(named("Y", "N"), "19610203", "F")}},
		{"cycle of two", []step{
			{in: inbound("1", orderFor("A1", named("X", "")))},
			{in: told("2", mergeInto(named("Y", ""), "X"))},
			{in: told("3", mergeInto(named("X", ""), "Y")), code: "AE", why: "cycle"},
		}, map[string]Person{"A1": named("Y", "")}},
		{"cycle of three", []step{
			{in: inbound("1", orderFor("A1", named("X", "")))},
			{in: told("2", mergeInto(named("Y", ""), "X"))},
			{in: told("3", mergeInto(named("W", ""), "Y"))},
			{in: told("4", mergeInto(named("X", ""), "W")), code: "AE", why: "cycle"},
		}, map[string]Person{"A1": named("W", "")}},
		{"a cycle in one message undoes all of it", []step{
			{in: inbound("1", orderFor("A1", named("X", "")))},
			{in: told("2", mergeInto(named("Y", ""), "X"), mergeInto(named("X", ""), "Y")), code: "AE", why: "cycle"},
		}, map[string]Person{"A1": named("X", "")}},
		{"into itself", []step{
			{in: told("2", mergeInto(named("X", ""), "X")), code: "AE", why: "into itself"},
		}, map[string]Person{}},
		{"told twice", []step{
			{in: inbound("1", orderFor("A1", named("X", "")))},
			{in: told("2", mergeInto(named("Y", ""), "X"))},
			{in: told("3", mergeInto(named("Y", "N"), "X"))},
		}, map[string]Person{"A1": named("Y", "N")}},
		{"prior of another already", []step{
			{in: inbound("1", orderFor("A1", named("X", "")))},
			{in: told("2", mergeInto(named("Y", ""), "X"))},
			{in: told("3", mergeInto(named("W", ""), "X")), code: "AE", why: "merged into another one"},
		}, map[string]Person{"A1": named("Y", "")}},
		{"another authority", []step{
			{in: inbound("1", orderFor("A1", Person{Identifier: Identifier{"X", "OTHER"}}))},
			{in: told("2", PatientChange{Person: named("Y", ""), Prior: []Identifier{{"X", "OTHER"}}}), code: "AE", why: "authorities"},
			{in: told("3", mergeInto(named("Y", ""), "X"))}, // another patient of that number
		}, map[string]Person{"A1": {Identifier: Identifier{"X", "OTHER"}}}},
		{"an authority that one message leaves out", []step{
			{in: inbound("1", orderFor("A1", anywhere("X")))},
			{in: inbound("2", orderFor("A2", named("X", "")))},
			{in: told("3", PatientChange{Person: named("Y", ""), Prior: []Identifier{{ID: "X"}}})},
			{in: inbound("4", orderFor("A3", anywhere("X")))},
		}, map[string]Person{"A1": named("Y", ""), "A2": named("Y", ""), "A3": named("Y", "")}},
		{"an authority that is left out and may be one of two", []step{
			{in: inbound("1", orderFor("A1", named("X", "")))},
			{in: inbound("2", orderFor("A2", Person{Identifier: Identifier{"X", "OTHER"}}))},
			{in: told("3", mergeInto(named("Y", ""), "X"))},
			{in: inbound("4", orderFor("A3", anywhere("X")))},
		}, map[string]Person{"A1": named("Y", ""), "A2": {Identifier: Identifier{"X", "OTHER"}}, "A3": anywhere("X")}},
		{"a number of another sender without an authority", []step{
			{in: inbound("1", orderFor("A1", anywhere("X")))},
			{in: elsewhere(told("2", mergeInto(named("Y", "Of^B"), "X")))},
			{in: elsewhere(inbound("3", orderFor("A2", named("X", ""))))},
		}, map[string]Person{"A1": anywhere("X"), "A2": named("Y", "Of^B")}},
		{"a number without an authority that another sender has told of", []step{
			{in: elsewhere(told("1", PatientChange{Person: named("X", "Of^B")}))},
			{in: inbound("2", orderFor("A1", anywhere("X")))},
			{in: elsewhere(told("3", mergeInto(named("Y", ""), "X")))},
		}, map[string]Person{"A1": anywhere("X")}},
		{"no prior identifier", []step{
			{in: told("3", PatientChange{Person: named("Y", ""), Prior: []Identifier{{Authority: "HOSP"}}}), code: "AE", why: "MRG-1"},
		}, map[string]Person{}},
		{"demographics are updated and removed", []step{
			{in: inbound("1", orderFor("A1", born(named("X", "Old"), "19610203", "F")))},
			{in: told("2", PatientChange{Person: named("X", "New"), Removed: []PatientField{FieldBirthDate, FieldSex}})},
		}, map[string]Person{"A1": named("X", "New")}},
		{"an update of an identifier that is used no more fills in what is unknown", []step{
			{in: told("1", mergeInto(named("Y", "New"), "X"))},
			{in: told("2", PatientChange{Person: born(named("X", "Old"), "19610203", "")})},
			{in: inbound("3", orderFor("A1", named("Y", "")))},
		}, map[string]Person{"A1": born(named("Y", "New"), "19610203", "")}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := openLedger(t)
			for _, s := range row.steps {
				taken := take(t, l, s.in)
				if s.code == "" {
					s.code = "AA"
				}
				require.Equal(t, s.code, taken.Answer.Code, taken.Answer.Text)
				require.Contains(t, taken.Answer.Text, s.why)
			}
			require.Equal(t, row.want, patientsOf(t, l))
		})
	}
}

// TestPatients_anyOrder has messages on one person, who is given new numbers twice, come in any order: the orders end as
// the same patient's, with the same data, whatever comes first.
func TestPatients_anyOrder(t *testing.T) {
	l := openLedger(t)
	for n, order := range permutations(6) {
		of := func(name string) string { return fmt.Sprintf("%s%d", name, n) }
		messages := []Inbound{
			inbound(of("1"), orderFor(of("A1-"), Person{Identifier: id(of("X")), Name: "Last^First", BirthDate: "19610203"})),
			inbound(of("2"), orderFor(of("A2-"), named(of("Y"), "Last^First"))),
			inbound(of("3"), orderFor(of("A3-"), named(of("W"), "Last^First"))),
			told(of("4"), mergeInto(named(of("Y"), "Last^First"), of("X"))),
			told(of("5"), mergeInto(named(of("W"), "Last^First"), of("Y"))),
			told(of("6"), PatientChange{Person: Person{Identifier: id(of("W")), Sex: "F"}}),
		}
		for _, i := range order {
			messages[i].Digest = of(messages[i].Digest)
			require.Equal(t, "AA", take(t, l, messages[i]).Answer.Code, "%v", order)
		}
		want := Person{Identifier: id(of("W")), Name: "Last^First", BirthDate: "19610203", Sex: "F"}
		page, total, err := l.Orders(bg, OrderFilter{PatientID: of("W")})
		require.NoError(t, err)
		require.Equal(t, 3, total, "%v", order)
		for _, o := range page {
			require.Equal(t, want, o.Patient, "%v", order)
		}
	}
}

// permutations are the orders in which n things can come.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, rest := range permutations(n - 1) {
		for at := range n {
			p := append([]int{}, rest[:at]...)
			all = append(all, append(append(p, n-1), rest[at:]...))
		}
	}
	return all
}

// TestPatients_model holds merges against a model: who is whom is an equivalence, no merge makes two of one, and every
// identifier names somebody who was not merged.
func TestPatients_model(t *testing.T) {
	l := openLedger(t)
	people := 0
	rapid.Check(t, func(t *rapid.T) {
		people++
		into := map[string]string{}
		end := func(id string) string {
			for into[id] != "" {
				id = into[id]
			}
			return id
		}
		var names []string
		for _, letter := range "PQRST" {
			names = append(names, fmt.Sprintf("%c%d", letter, people))
		}
		for n := range rapid.IntRange(1, 12).Draw(t, "steps") {
			prior, surviving := rapid.SampledFrom(names).Draw(t, "prior"), rapid.SampledFrom(names).Draw(t, "surviving")
			taken := take(t, l, told(fmt.Sprint(people, "-", n), mergeInto(named(surviving, ""), prior)))
			done := end(prior) == end(surviving) && prior != end(prior) && prior != surviving
			switch {
			case done:
				require.Equal(t, "AA", taken.Answer.Code)
			case end(prior) != prior, end(surviving) == prior:
				require.Equal(t, "AE", taken.Answer.Code, "%s into %s: %v", prior, surviving, into)
			default:
				require.Equal(t, "AA", taken.Answer.Code, taken.Answer.Text)
				into[prior] = end(surviving)
			}
		}
		for _, name := range names {
			take(t, l, inbound("order of "+name, orderFor("A"+name, named(name, ""))))
			page, _, err := l.Orders(bg, OrderFilter{Accession: "A" + name})
			require.NoError(t, err)
			require.Equal(t, end(name), page[0].Patient.ID)
		}
	})
}

// bg ends never.
var bg = context.Background()

// Identifiers of one person are those that were merged, however often, and one that only leaves the authority out.
func TestSamePerson(t *testing.T) {
	l := openLedger(t)
	take(t, l, told("1", PatientChange{Person: Person{Identifier: Identifier{"Y", "HOSP"}}, Prior: []Identifier{{"X", "HOSP"}}}))
	take(t, l, told("2", PatientChange{Person: Person{Identifier: Identifier{"Z", "HOSP"}}, Prior: []Identifier{{"Y", "HOSP"}}}))
	for _, row := range []struct {
		a, b Identifier
		want bool
	}{
		{Identifier{"X", "HOSP"}, Identifier{"Z", "HOSP"}, true},
		{Identifier{"X", ""}, Identifier{"Z", "HOSP"}, true},
		{Identifier{"X", "OTHER"}, Identifier{"Z", "HOSP"}, false},
		{Identifier{"Q", ""}, Identifier{"Q", "HOSP"}, true},
		{Identifier{"Q", ""}, Identifier{"Z", "HOSP"}, false},
	} {
		same, err := l.SamePerson(t.Context(), row.a, row.b)
		require.NoError(t, err)
		require.Equal(t, row.want, same, "%v %v", row.a, row.b)
	}
}
