package orders

import "endogate/hl7"

// group is the part of a message that is about one order, with the patient whom it is for.
type group struct {
	segments map[string]*hl7.Segment   // the first of each name
	all      map[string][]*hl7.Segment // of the order
	further  bool                      // it has the ORC of the order before it: an OBR that came without one
}

// groupsOf splits a message where a segment of the name first begins the next order, or a further OBR does. What stands
// before the first is of all of them (PID, PV1). There is at least one.
func groupsOf(m *hl7.Message, first string) []group {
	common := map[string]*hl7.Segment{}
	var groups []group
	for _, s := range m.Segments() {
		n := len(groups)
		further := s.Name == "OBR" && n > 0 && len(groups[n-1].all["OBR"]) > 0
		switch {
		case s.Name == first, further:
			g := group{segments: map[string]*hl7.Segment{}, all: map[string][]*hl7.Segment{}, further: further}
			for name, c := range common {
				g.segments[name] = c
			}
			if further {
				g.segments[first] = groups[n-1].segments[first]
			}
			groups = append(groups, g)
			fallthrough
		case len(groups) > 0:
			groups[len(groups)-1].add(s)
		case common[s.Name] == nil:
			common[s.Name] = s
		}
	}
	if len(groups) == 0 {
		groups = []group{{segments: common}}
	}
	return groups
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
