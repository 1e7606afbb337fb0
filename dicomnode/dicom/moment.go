package dicom

import (
	"bytes"
	"regexp"
	"strings"
	"time"
)

// How dates and times stand in data sets that are older than DICOM or looser (PS3.5 table 6.2-1 has readers support the
// dates and times of ACR-NEMA). Only forms that can be read in one way are here: not 01/02/2024.
var (
	looseDates = []string{
		"20060102", "2006.1.2", "2006-1-2", "2006/1/2", "2006 1 2", "2006:1:2", "2-Jan-2006", "2 Jan 2006", "2.Jan.2006", "Jan 2, 2006",
	}
	looseTime = regexp.MustCompile(`^(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,](\d+))?)? ?([AaPp][Mm])?$`)
	plainTime = regexp.MustCompile(`^(\d{2}(?:\d{2}(?:\d{2})?)?)(?:[.,](\d+))?$`)
	zone      = regexp.MustCompile(`^(.*\d) ?(Z|[+-]\d{2}:?\d{2})$`)
	looseAge  = regexp.MustCompile(`^(\d{1,3}) ?([DWMYdwmy])$`)
)

// modern writes a date, time or age as DICOM does now, where it can be read in one way only; else it stays as it is, and
// CheckText says that it is none. A zone where TM has none is left out: the time is that of the place.
func modern(s string, info vrInfo) string {
	var as func(string) string
	switch info.name {
	case "DA":
		as = dateOf
	case "TM":
		as = timeOf
	case "DT":
		as = momentOf
	case "AS":
		as = ageOf
	default:
		return s
	}
	if s == "" || CheckText(info.name, s) == nil {
		return s
	}
	if v := as(strings.Join(strings.Fields(s), " ")); v != "" && CheckText(info.name, v) == nil {
		return v
	}
	return s
}

// dateOf returns s as DA, or "".
func dateOf(s string) string {
	for _, layout := range looseDates {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Format("20060102")
		}
	}
	if date, _, ok := parted(s); ok {
		return dateOf(date)
	}
	return ""
}

// timeOf returns s as TM, or "".
func timeOf(s string) string {
	if _, clock, ok := parted(s); ok {
		s = clock
	}
	if m := zone.FindStringSubmatch(s); m != nil {
		s = m[1]
	}
	if m := plainTime.FindStringSubmatch(s); m != nil {
		return withFraction(m[1], m[2])
	}
	m := looseTime.FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	hour := m[1]
	if len(hour) == 1 {
		hour = "0" + hour
	}
	if half := strings.ToUpper(m[5]); half != "" {
		t, err := time.Parse("03PM", hour+half)
		if err != nil {
			return ""
		}
		hour = t.Format("15")
	}
	return withFraction(hour+m[2]+m[3], m[4])
}

// withFraction adds a fraction of a second, as far as TM and DT have room for it; those of minutes and hours are none.
func withFraction(clock, fraction string) string {
	if fraction == "" || len(clock) < 6 {
		return clock
	}
	return clock + "." + fraction[:min(len(fraction), 6)]
}

// momentOf returns s as DT, or "".
func momentOf(s string) string {
	offset := ""
	if m := zone.FindStringSubmatch(s); m != nil {
		s, offset = m[1], strings.ReplaceAll(m[2], ":", "")
		if offset == "Z" {
			offset = "+0000"
		}
	}
	date, clock, ok := parted(s)
	if !ok {
		date = s
	}
	date = dateOf(date)
	if date == "" {
		return ""
	}
	if ok {
		if clock = timeOf(clock); clock == "" {
			return ""
		}
		return date + clock + offset
	}
	return date + offset
}

// parted takes a date and a time of day apart that stand in one value.
func parted(s string) (date, clock string, ok bool) {
	if digits := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }); digits == -1 && len(s) == 14 || digits == 14 {
		return s[:8], s[8:], true
	}
	for _, mark := range []string{"T", " "} {
		i := strings.LastIndex(s, mark)
		if mark == " " && i >= 0 {
			if half := strings.ToUpper(s[i+1:]); half == "AM" || half == "PM" {
				i = strings.LastIndex(s[:i], mark)
			}
		}
		if i > 0 && strings.ContainsFunc(s[i+1:], isDigit) && strings.ContainsAny(s[:i], "0123456789") && dateOf(s[:i]) != "" {
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// ageOf returns s as AS, or "".
func ageOf(s string) string {
	m := looseAge.FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	return strings.Repeat("0", 3-len(m[1])) + m[1] + strings.ToUpper(m[2])
}

// BadMoments says which dates and times of the study and its patient cannot be read, which results therefore go without, and
// which lose a time zone. It quotes no value.
func (a *Attributes) BadMoments() (bad []string) {
	for _, m := range []struct {
		tag  Tag
		name string
	}{{StudyDate, "Study Date"}, {StudyTime, "Study Time"}, {PatientBirthDate, "Patient's Birth Date"}, {PatientAge, "Patient's Age"}} {
		e, _ := a.Get(m.tag)
		switch v := a.Text(m.tag); {
		case v != "" && CheckText(VROf(m.tag), v) != nil:
			bad = append(bad, m.name+" cannot be read: results go without")
		case m.tag == StudyTime && zone.Match(bytes.Trim(e.Value, " \x00")):
			bad = append(bad, m.name+" has a time zone, which is left out of results")
		}
	}
	return bad
}

// moment is the value of a date, time or age where it can be read, else "".
func (a *Attributes) moment(t Tag) string {
	v := a.Text(t)
	if CheckText(VROf(t), v) != nil {
		return ""
	}
	return v
}

// checkMoment says whether a value that looks like a date or time is one: 00000000 and 20240231 are none (PS3.5 6.2). A
// second of 60 is a leap second.
func checkMoment(vr, value string) bool {
	digits := value
	if i := strings.IndexAny(value, ".+-"); i >= 0 {
		digits = value[:i]
	}
	date, clock := digits, ""
	switch {
	case vr == "TM":
		date, clock = "", digits
	case vr == "DT" && len(digits) > 8:
		date, clock = digits[:8], digits[8:]
	}
	if date != "" {
		if len(date)%2 == 1 {
			return false
		}
		if _, err := time.Parse("20060102"[:len(date)], date); err != nil || date[:4] == "0000" {
			return false
		}
	}
	for i, most := range []string{"23", "59", "60"} {
		if len(clock) < 2*i+2 {
			break
		}
		if clock[2*i:2*i+2] > most {
			return false
		}
	}
	return len(clock)%2 == 0
}
