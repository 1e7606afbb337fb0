package orders

import (
	"maps"

	"endogate/hl7"
)

// group is the part of a message that is about one order, with the patient whom it is for.
type group struct {
	segments map[string]*hl7.Segment   // the first of each name
	all      map[string][]*hl7.Segment // of the order
	further  bool                      // it has the ORC of the order before it: an OBR that came without one
	pids     []*hl7.Segment            // before the order, since the one before it: more than one leave open whose it is
}

// splitter splits a message into its orders.
type splitter struct {
	head, common map[string]*hl7.Segment // before the first patient; before the first order of a patient, with that
	pids         []*hl7.Segment
	groups       []group
	open         bool // segments are of the last group
	orcs         bool // there was one
	behind       bool // ORCs stand behind the OBR of their order
}

// groupsOf splits a message where an ORC begins the next order, or an OBR that has none of its own. What stands before the
// first order of a patient (PID, PV1) is of all orders up to the next patient: a PID behind an order begins that one
// (HL7 2.5.1 7.3.1). There is at least one group.
func groupsOf(m *hl7.Message) []group {
	s := splitter{common: map[string]*hl7.Segment{}}
	for _, segment := range m.Segments() {
		s.take(segment)
	}
	if len(s.groups) == 0 {
		return []group{{segments: s.common, pids: s.pids}}
	}
	return s.groups
}

func (s *splitter) take(segment *hl7.Segment) {
	switch {
	case segment.Name == "PID" && s.head == nil:
		s.head = maps.Clone(s.common)
	case segment.Name == "PID" && s.open:
		s.common, s.pids, s.open = maps.Clone(s.head), nil, false
	}
	switch {
	case s.begins(segment):
		s.begin(segment)
	case segment.Name == "ORC":
		s.behind = true
		s.groups[len(s.groups)-1].further = false
	}
	switch {
	case s.open:
		s.groups[len(s.groups)-1].add(segment)
	case segment.Name == "PID":
		s.pids = append(s.pids, segment)
		fallthrough
	default:
		if s.common[segment.Name] == nil {
			s.common[segment.Name] = segment
		}
	}
	s.orcs = s.orcs || segment.Name == "ORC"
}

// begins says whether a segment is the first of an order. In a message whose first ORC stands behind an OBR, each ORC is of the order
// that is open, where that has none.
func (s *splitter) begins(segment *hl7.Segment) bool {
	if !s.open {
		return segment.Name == "ORC" || segment.Name == "OBR"
	}
	of := s.groups[len(s.groups)-1].all
	switch segment.Name {
	case "ORC":
		return s.orcs && !s.behind || len(of["ORC"]) > 0 || len(of["OBX"]) > 0
	case "OBR":
		return len(of["OBR"]) > 0
	}
	return false
}

func (s *splitter) begin(segment *hl7.Segment) {
	g := group{segments: maps.Clone(s.common), all: map[string][]*hl7.Segment{}, pids: s.pids}
	if segment.Name == "OBR" && s.open {
		g.further = true
		g.segments["ORC"] = s.groups[len(s.groups)-1].segments["ORC"]
	}
	s.groups, s.open = append(s.groups, g), true
}

// patient is the PID of whom the order is for; none where there is none. Several that name different patients are a fault: nobody
// can tell whose the order is.
func (g group) patient(s Sender) (*hl7.Segment, error) {
	for _, pid := range g.pids[min(1, len(g.pids)):] {
		one, _ := s.patient(g.pids[0])
		if other, _ := s.patient(pid); one != other {
			return nil, &hl7.Error{Code: hl7.SegmentSequence, Path: "PID", Text: "two patients stand before an order: nobody can tell whose it is"}
		}
	}
	return g.segments["PID"], nil
}

func (g group) add(s *hl7.Segment) {
	if g.segments[s.Name] == nil || len(g.all[s.Name]) == 0 {
		g.segments[s.Name] = s
	}
	g.all[s.Name] = append(g.all[s.Name], s)
}

// with is g, with another segment of a name.
func (g group) with(s *hl7.Segment) group {
	out := group{segments: map[string]*hl7.Segment{}, all: g.all, further: g.further}
	for name, c := range g.segments {
		out.segments[name] = c
	}
	out.segments[s.Name] = s
	return out
}
