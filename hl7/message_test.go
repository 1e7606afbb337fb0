package hl7_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/hl7"
)

const order = "MSH|^~\\&|RIS|HOSP|ENDOGATE|ENDO|20260102101500||ORM^O01^ORM_O01|m1|P|2.5.1||||||UNICODE UTF-8\r" +
	"PID|1||P1^^^HOSP&1.2.3&ISO^MR~N2^^^NAT^NI||Lund\\T\\Berg^Åse^^Jr^Dr||19600101|F|\"\"\r" +
	"ORC|NW|PL1|FI1||SC\rOBR|1|PL1|FI1|73761001^Colonoscopy^SCT||||||||||||||A1||\r" +
	"OBX|1|TX|a||one\rOBX|2|TX|b||two~three\r"

func parse(t *testing.T, s string) *hl7.Message {
	t.Helper()
	m, err := hl7.Parse([]byte(s), hl7.Options{})
	require.NoError(t, err)
	return m
}

func TestMessage_Lookup(t *testing.T) {
	for _, row := range []struct {
		path, want string
		state      hl7.State
	}{
		{"MSH-1", "|", hl7.Present},
		{"MSH-2", `^~\&`, hl7.Present},
		{"MSH-3", "RIS", hl7.Present},
		{"MSH-9.2", "O01", hl7.Present},
		{"MSH-18", "UNICODE UTF-8", hl7.Present},
		{"MSH-19", "", hl7.Absent},
		{"PID-3", "P1", hl7.Present},
		{"PID-3.4.2", "1.2.3", hl7.Present},
		{"PID-3[2].4", "NAT", hl7.Present},
		{"PID-3[3].4", "", hl7.Absent},
		{"PID-3.2", "", hl7.Empty},
		{"PID-5", "Lund&Berg", hl7.Present},
		{"PID-5.2", "Åse", hl7.Present},
		{"PID-9", "", hl7.Null},
		{"PID-9.4.1", "", hl7.Null},
		{"PID-10", "", hl7.Absent},
		{"OBR-18.1", "A1", hl7.Present},
		{"OBR-19", "", hl7.Empty},
		{"OBX[2]-5", "two", hl7.Present},
		{"OBX[3]-5", "", hl7.Absent},
		{"ZDS-1", "", hl7.Absent},
	} {
		t.Run(row.path, func(t *testing.T) {
			got, state := parse(t, order).Lookup(row.path)
			assert.Equal(t, row.want, got)
			assert.Equal(t, row.state, state)
		})
	}
}

func TestMessage_All(t *testing.T) {
	m := parse(t, order)
	assert.Equal(t, []string{"HOSP", "NAT"}, m.All("PID-3[*].4"))
	assert.Equal(t, []string{"one", "two"}, m.All("OBX[*]-5"))
	assert.Equal(t, []string{"one", "two", "three"}, m.All("OBX[*]-5[*]"))
	assert.Equal(t, `Lund\T\Berg^Åse^^Jr^Dr`, m.Raw("PID-5"))
	assert.Equal(t, "Lund&Berg^Åse^^Dr^Jr", hl7.PN(m.Segment("PID").Repetitions(5)))
}

func TestMessage_Set(t *testing.T) {
	m := parse(t, order)
	assert.Equal(t, order, string(m.Bytes()))
	require.NoError(t, m.Set("PID-3[3].4.2", "9|9"))
	require.NoError(t, m.Set("ZDS-1.1", "1.2.3"))
	require.NoError(t, m.Set("OBX[3]-5", "a^b\nc"))
	again := parse(t, string(m.Bytes()))
	assert.Equal(t, "9|9", again.Get("PID-3[3].4.2"))
	assert.Equal(t, "1.2.3", again.Get("ZDS-1"))
	assert.Equal(t, "a^b\nc", again.Get("OBX[3]-5"))
	assert.Contains(t, string(m.Bytes()), "PID|1||P1^^^HOSP&1.2.3&ISO^MR~N2^^^NAT^NI~^^^&9\\F\\9||Lund\\T\\Berg")
}
