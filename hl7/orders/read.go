package orders

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

// Control is what a control code (ORC-1, table 0119) asks for.
type Control struct {
	Code, Meaning string
	State         ledger.OrderState // that the order takes on, unless ORC-5 says another one; empty: it stays, or is open
	Known         bool              // of an order that is there
}

// Controls are the codes that are done. Another one is answered AE.
var Controls = []Control{
	{"NW", "order new", ledger.OrderOpen, false},
	{"SN", "order new", ledger.OrderOpen, false},
	{"RO", "order new", ledger.OrderOpen, false},
	{"XO", "order changed", "", false},
	{"XX", "order changed", "", false},
	{"SC", "order status", "", true},
	{"NA", "order numbered", "", true},
	{"HD", "order held", "", true},
	{"RL", "order goes on", "", true},
	{"RP", "order replaced", ledger.OrderCancelled, true},
	{"RU", "order replaced", ledger.OrderCancelled, true},
	{"CA", "order cancelled", ledger.OrderCancelled, true},
	{"DC", "order discontinued", ledger.OrderCancelled, true},
	{"OC", "order cancelled", ledger.OrderCancelled, true},
	{"OD", "order discontinued", ledger.OrderCancelled, true},
	{"CR", "order cancelled", ledger.OrderCancelled, true},
	{"DR", "order discontinued", ledger.OrderCancelled, true},
}

// Statuses are what ORC-5 (table 0038) says of an order that is not cancelled by ORC-1. Others, and none, say nothing.
var Statuses = map[string]ledger.OrderState{
	"SC": ledger.OrderOpen, "IP": ledger.OrderStarted, "A": ledger.OrderStarted, "CM": ledger.OrderCompleted,
	"CA": ledger.OrderCancelled, "DC": ledger.OrderCancelled, "RP": ledger.OrderCancelled,
}

// change is what a message says of one order.
type change struct {
	Control
	values map[string]any
	steps  []map[string]any
	state  ledger.OrderState
}

// readOrders reads all orders of a message.
func readOrders(m *hl7.Message, s Sender) (asked, error) {
	var changes []change
	var notes []string
	for _, g := range groupsOf(m) {
		c, err := readOrder(g, s)
		if err != nil {
			return asked{}, err
		}
		note := c.Meaning
		if c.state != "" && c.state != c.State {
			note += ", " + string(c.state)
		}
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
		same := func(d change) bool { return d.Control == c.Control && sameOrder(c.values, d.values) }
		if i := slices.IndexFunc(changes, same); i >= 0 { // a further step of it
			changes[i].steps = append(changes[i].steps, c.steps...)
			continue
		}
		if slices.ContainsFunc(changes, c.replaces) {
			return asked{}, &hl7.Error{Code: hl7.DuplicateKeyIdentifier, Path: "OBR-3", Text: "two orders of the message have one filler number and different accession numbers, so that one would take the other's place: give each a filler number of its own, or none"}
		}
		changes = append(changes, c)
	}
	out := asked{note: strings.Join(notes, "; ")}
	for _, c := range changes {
		if len(c.steps) > 0 && !c.Known { // a status says nothing of how the order is scheduled
			c.values["steps"] = c.steps
		}
		patch, err := json.Marshal(c.values)
		if err != nil {
			return asked{}, err
		}
		out.orders = append(out.orders, ledger.OrderChange{Patch: patch, State: c.state, Known: c.Known})
	}
	return out, nil
}

// replaces says whether the ledger would take c, by its filler number, for a change of the accession number of another order of its message, of
// which the same is to be done; one that is cancelled and placed anew is another matter.
func (c change) replaces(d change) bool {
	a, b := c.values, d.values
	return c.Control == d.Control && a["filler"] != nil && a["filler"] == b["filler"] && (a["placer"] == nil || b["placer"] == nil || a["placer"] == b["placer"]) &&
		a["accession"] != nil && b["accession"] != nil && a["accession"] != b["accession"]
}

// sameOrder says whether two groups of a message name one order: all that it is named by agrees.
func sameOrder(a, b map[string]any) bool {
	for _, name := range []string{"placer", "filler", "accession"} {
		if a[name] != b[name] {
			return false
		}
	}
	return a["placer"] != nil || a["filler"] != nil || a["accession"] != nil
}

// readOrder reads an order of a message.
func readOrder(g group, s Sender) (change, error) {
	control, err := controlOf(g.segments["ORC"])
	if err != nil {
		return change{}, err
	}
	c := change{Control: control, values: map[string]any{}, state: control.State}
	if state := Statuses[strings.ToUpper(strings.TrimSpace(g.segments["ORC"].Get("5")))]; state != "" && control.State != ledger.OrderCancelled {
		c.state = state
	}
	pid, err := g.patient(s)
	if err != nil {
		return change{}, err
	}
	if c.values["patient"], err = readPatient(pid, s); err != nil {
		return change{}, err
	}
	if err := read(OrderFields, g, s, c.values); err != nil {
		return change{}, err
	}
	if accession := g.accession(s); accession != "" {
		c.values["accession"] = accession
	}
	if c.values["placer"] == nil && c.values["filler"] == nil && c.values["accession"] == nil {
		return change{}, missing("OBR-18", "the order has no accession number, and neither placer nor filler number")
	}
	if !c.Known && c.State == ledger.OrderOpen && c.values["accession"] == nil {
		return change{}, missing("OBR-18", "a new order needs its accession number (OBR-18, or IPC-1)")
	}
	if err := agree(g.all["IPC"]); err != nil {
		return change{}, err
	}
	c.steps, err = readSteps(g, s)
	return c, err
}

// controlOf reads ORC-1.
func controlOf(orc *hl7.Segment) (Control, error) {
	code := ""
	if orc != nil {
		code = strings.ToUpper(strings.TrimSpace(orc.Get("1")))
	}
	if code == "" {
		return Control{}, missing("ORC-1", "an order needs its control code, such as NW, XO or CA")
	}
	i := slices.IndexFunc(Controls, func(c Control) bool { return c.Code == code })
	if i < 0 {
		return Control{}, &hl7.Error{Code: hl7.TableValueNotFound, Path: "ORC-1", Text: "this gateway does not do what this control code asks for"}
	}
	return Controls[i], nil
}

// read puts the values of fields into values; null is a value that is taken away.
func read(fields []Field, g group, s Sender, values map[string]any) error {
	for _, f := range fields {
		if f.read == nil {
			continue
		}
		v, null, err := f.value(g, s.zone())
		switch {
		case err != nil:
			return err
		case v != nil, null:
			values[f.Name] = v
		}
	}
	return nil
}

// named is the value of one of OrderFields; nil where the group has none.
func (g group) named(field string, s Sender) (any, error) {
	i := slices.IndexFunc(OrderFields, func(f Field) bool { return f.Name == field })
	v, _, err := OrderFields[i].value(g, s.zone())
	return v, err
}

// accession is the accession number of an order, or the filler number where the sender gives that in its place.
func (g group) accession(s Sender) string {
	if v, err := g.named("accession", s); err == nil && v != nil {
		return v.(string)
	}
	if obr := g.segments["OBR"]; obr != nil && s.FillerIsAccession {
		return strings.TrimSpace(obr.EI(3).ID)
	}
	return ""
}

// agree holds that all IPC of an order are of one accession number and one study (HL7 2.5.1 4.5.6).
func agree(ipcs []*hl7.Segment) error {
	for _, field := range []string{"1", "3"} {
		for _, ipc := range ipcs[min(1, len(ipcs)):] {
			if ipc.Get(field) != ipcs[0].Get(field) {
				return &hl7.Error{Code: hl7.DataType, Path: "IPC-" + field, Text: "the IPC segments of one order disagree: they must name one accession number and one study"}
			}
		}
	}
	return nil
}

// readSteps reads the scheduled steps: one for each IPC, else the one that OBR has.
func readSteps(g group, s Sender) ([]map[string]any, error) {
	ipcs := g.all["IPC"]
	fields := slices.Clone(StepFields)
	if len(ipcs) > 1 { // OBR-20 cannot be the ID of several
		fields[0].From = []string{"IPC-4", "OBR-20"}
	}
	parts := []group{g}
	if len(ipcs) > 0 {
		parts = nil
		for _, ipc := range ipcs {
			parts = append(parts, g.with(ipc))
		}
	}
	var steps []map[string]any
	for _, part := range parts {
		step := map[string]any{}
		if err := read(fields, part, s, step); err != nil {
			return nil, err
		}
		for name, v := range step {
			if v == nil {
				delete(step, name)
			}
		}
		if len(step) > 0 {
			steps = append(steps, step)
		}
	}
	return steps, nil
}

// readPatient reads whom a message is about.
func readPatient(pid *hl7.Segment, s Sender) (map[string]any, error) {
	id, others := s.patient(pid)
	if id.ID == "" {
		text := "the patient has no identifier"
		if s.Authority != "" {
			text += " of the authority that is configured for the sender"
		}
		return nil, missing("PID-3", text)
	}
	if len(id.ID) > maxValue {
		return nil, &hl7.Error{Code: hl7.DataType, Path: "PID-3", Text: fmt.Sprintf("the identifier has more than %d bytes", maxValue)}
	}
	patient := map[string]any{"identifier": id}
	if len(others) > 0 {
		patient["others"] = others
	}
	return patient, read(PatientFields, group{segments: map[string]*hl7.Segment{"PID": pid}}, s, patient)
}

// patient reads the identifiers of PID-3: the one that counts, and the others.
func (s Sender) patient(pid *hl7.Segment) (id ledger.Identifier, others []ledger.Identifier) {
	if pid == nil {
		return id, nil
	}
	var all []ledger.Identifier
	chosen := -1
	for _, r := range pid.Repetitions(3) {
		cx := r.CX()
		i := identifier(cx)
		if i.ID == "" {
			continue
		}
		all = append(all, i)
		if chosen < 0 && (s.Authority == "" || s.Authority == cx.Namespace || s.Authority == cx.UniversalID) {
			chosen = len(all) - 1
		}
	}
	if chosen < 0 { // else one of which the sender leaves out what its configuration says
		if chosen = slices.IndexFunc(all, func(i ledger.Identifier) bool { return i.Authority == "" }); chosen < 0 {
			return id, nil
		}
		all[chosen].Authority = s.Authority
	}
	return all[chosen], slices.Delete(slices.Clone(all), chosen, chosen+1)
}
