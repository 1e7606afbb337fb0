package hl7

import (
	"errors"
	"strings"
	"time"
)

// Precision is how much of a time its writer knew.
type Precision int

// The precisions of DTM (HL7 2.5.1 2.A.22).
const (
	Year Precision = iota + 1
	Month
	Day
	Hour
	Minute
	Second
)

// Time is a point in time as a message has it: the beginning of the span that its precision leaves.
type Time struct {
	time.Time
	Precision Precision
	Zoned     bool // the zone was stated
}

// layouts of a DTM without fraction and zone, by precision.
var layouts = []string{Year: "2006", Month: "200601", Day: "20060102", Hour: "2006010215", Minute: "200601021504", Second: "20060102150405"}

var errTime = errors.New("hl7: no time of the form YYYY[MM[DD[HH[MM[SS[.S]]]]]][+ZZZZ]")

// ParseTime reads a DTM; in is the zone of those that state none.
func ParseTime(s string, in *time.Location) (Time, error) {
	s = strings.TrimSpace(s)
	digits, zone := s, ""
	if i := strings.IndexAny(s, "+-"); i >= 0 {
		digits, zone = s[:i], s[i:]
	}
	whole, fraction, point := strings.Cut(digits, ".")
	precision := Year
	for precision < Second && len(layouts[precision]) < len(whole) {
		precision++
	}
	if point && (precision != Second || fraction == "" || len(fraction) > 9 || strings.Trim(fraction, "0123456789") != "") {
		return Time{}, errTime
	}
	layout, text := layouts[precision], whole
	if point {
		layout, text = layout+"."+strings.Repeat("0", len(fraction)), digits
	}
	if len(layout) != len(text) {
		return Time{}, errTime
	}
	if zone != "" {
		layout, text = layout+"-0700", text+zone
	}
	t, err := time.ParseInLocation(layout, text, in)
	if err != nil {
		return Time{}, errTime
	}
	return Time{Time: t, Precision: precision, Zoned: zone != ""}, nil
}

// FormatTime writes t to the second and with its zone.
func FormatTime(t time.Time) string { return t.Format("20060102150405-0700") }
