package orders

import (
	"encoding/json"
	"fmt"
	"slices"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

// readPatientChange reads what a message says of a patient (HL7 2.5.1 3.3.1, 3.3.4, 3.3.8, 3.3.31).
func readPatientChange(m *hl7.Message, s Sender) (asked, error) {
	c, err := patientChange(m.Segment("PID"), s)
	return asked{patients: []ledger.PatientChange{c}, note: "patient"}, err
}

// readMerges reads who is the same person as whom: groups of PID, who survives, and MRG, whose identifiers are used no more
// (HL7 2.5.1 3.3.40; A18 and A34 of older versions have one group).
func readMerges(m *hl7.Message, s Sender) (asked, error) {
	out := asked{note: "patients merged"}
	var pid *hl7.Segment
	merged := false
	end := func() error {
		if pid != nil && !merged {
			return missing("MRG-1", "a merge needs the prior identifiers of each patient (MRG after its PID)")
		}
		return nil
	}
	for _, segment := range m.Segments() {
		switch segment.Name {
		case "PID":
			if err := end(); err != nil {
				return asked{}, err
			}
			pid, merged = segment, false
		case "MRG":
			if pid == nil {
				return asked{}, missing("PID-3", "a merge needs the patient who survives (PID before MRG)")
			}
			changes, err := mergeOf(pid, segment, s)
			if err != nil {
				return asked{}, err
			}
			out.patients, merged = append(out.patients, changes...), true
		}
	}
	if pid == nil {
		return asked{}, missing("PID-3", "a merge needs the patient who survives (PID)")
	}
	return out, end()
}

// patientChange is what a PID says of whom it is about.
func patientChange(pid *hl7.Segment, s Sender) (ledger.PatientChange, error) {
	values, err := readPatient(pid, s)
	if err != nil {
		return ledger.PatientChange{}, err
	}
	var c ledger.PatientChange
	for _, field := range []ledger.PatientField{ledger.FieldName, ledger.FieldBirthDate, ledger.FieldSex} {
		if v, said := values[string(field)]; said && v == nil {
			c.Removed = append(c.Removed, field)
		}
	}
	text, err := json.Marshal(values)
	if err == nil {
		err = json.Unmarshal(text, &c.Person)
	}
	return c, err
}

// mergeOf is what a PID and its MRG say. Each prior identifier names from then on whom the PID names under the same
// assigning authority, which one that is left out is taken for; one of another authority says nothing here.
func mergeOf(pid, mrg *hl7.Segment, s Sender) ([]ledger.PatientChange, error) {
	main, err := patientChange(pid, s)
	if err != nil {
		return nil, err
	}
	changes := []ledger.PatientChange{main}
	for _, other := range main.Others {
		changes = append(changes, ledger.PatientChange{Person: ledger.Person{Identifier: other}})
	}
	some := false
	for _, r := range mrg.Repetitions(1) {
		prior := identifier(r.CX())
		if len(prior.ID) > maxValue {
			return nil, &hl7.Error{Code: hl7.DataType, Path: "MRG-1", Text: fmt.Sprintf("the identifier has more than %d bytes", maxValue)}
		}
		if prior.ID == "" {
			continue
		}
		some = true
		i := slices.IndexFunc(changes, func(c ledger.PatientChange) bool { return c.Authority == prior.Authority })
		if i < 0 {
			i = slices.IndexFunc(changes, func(c ledger.PatientChange) bool { return c.Authority == "" || prior.Authority == "" })
		}
		if i >= 0 {
			changes[i].Prior = append(changes[i].Prior, prior)
		}
	}
	if !some {
		return nil, missing("MRG-1", "the prior patient has no identifier")
	}
	return kept(changes)
}

// kept are the changes that merge somebody. An identifier that both segments have is no merge, unless it is all there is.
func kept(changes []ledger.PatientChange) ([]ledger.PatientChange, error) {
	merges := func(c ledger.PatientChange) bool {
		return slices.ContainsFunc(c.Prior, func(p ledger.Identifier) bool { return p.ID != c.ID })
	}
	none := !slices.ContainsFunc(changes, merges)
	var out []ledger.PatientChange
	for i, c := range changes {
		if !none {
			c.Prior = slices.DeleteFunc(c.Prior, func(p ledger.Identifier) bool { return p.ID == c.ID })
		}
		if i == 0 || len(c.Prior) > 0 {
			out = append(out, c)
		}
	}
	if len(out) == 1 && len(out[0].Prior) == 0 {
		return nil, &hl7.Error{Code: hl7.UnknownKeyIdentifier, Path: "MRG-1", Text: "no prior identifier has an assigning authority of the surviving patient (PID-3.4): identifiers of two authorities are not merged"}
	}
	return out, nil
}
