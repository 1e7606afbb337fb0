package hl7_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/hl7"
)

func TestMessage_Get_escapes(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{`a\F\b\S\c\T\d\R\e\E\f`, `a|b^c&d~e\f`},
		{`Lund\T\Berg`, `Lund&Berg`},
		{`one\X0D\\X0A\two\.br\three`, "one\r\ntwo\nthree"},
		{`\X4869\ \XC3A5\\XC3\\XA5\`, "Hi åå"},
		{`\XFF\`, `\XFF\`},                   // no UTF-8
		{`\X0\ \XZZ\ \X\`, `\X0\ \XZZ\ \X\`}, // no hexadecimal pairs
		{`\H\loud\N\ quiet`, "loud quiet"},
		{`a\.sp2\b\.sk3\c\.in+2\d\.ti-2\e\.fi\f\.nf\g\.ce\h`, "a\n\nb   cdefg\nh"},
		{`\.sp999999999\ \.xx\`, `\.sp999999999\ \.xx\`},
		{`\Z41\ \ZLOUD\`, `\Z41\ \ZLOUD\`},
		{`\C2842\ \M2442\`, `\C2842\ \M2442\`},
		{`C:\temp`, `C:\temp`},
		{`C:\temp\new`, `C:\temp\new`},
		{`C:\temp\F\x`, `C:\temp|x`},
		{`\\\`, `\\\`},
		{`\`, `\`},
		{`\E\E\E\`, `\E\`},
	} {
		t.Run(row.in, func(t *testing.T) {
			m := parse(t, "MSH|^~\\&|A|||||||||2.5.1||||||UNICODE UTF-8\rNTE|1||"+row.in+"\r")
			assert.Equal(t, row.want, m.Get("NTE-3"))
			require.NoError(t, m.Set("NTE-4", row.want))
			assert.Equal(t, row.want, reparse(t, m).Get("NTE-4"))
		})
	}
}

func TestMessage_otherDelimiters(t *testing.T) {
	m := parse(t, "MSH#*~\\!#RIS#HOSP##########UNICODE UTF-8\rPID#1##P1***HOSP!1.2!ISO~P2##A|^&b\\F\\*c\\T\\d\r")
	assert.Equal(t, hl7.Delimiters{Field: '#', Component: '*', Repetition: '~', Escape: '\\', Subcomponent: '!'}, m.Delimiters)
	assert.Equal(t, "1.2", m.Get("PID-3.4.2"))
	assert.Equal(t, "P2", m.Get("PID-3[2]"))
	assert.Equal(t, "A|^&b#", m.Get("PID-5"))
	assert.Equal(t, "c!d", m.Get("PID-5.2"))
	require.NoError(t, m.Set("PID-6", "x#y|z!"))
	assert.Equal(t, `x\F\y|z\T\`, m.Raw("PID-6"))

	m = parse(t, "MSH|^~&|RIS\rPID|1||P1^^^HOSP&1.2||a\\F\\b\r") // no escape character
	assert.Equal(t, "1.2", m.Get("PID-3.4.2"))
	assert.Equal(t, `a\F\b`, m.Get("PID-5"))
	require.NoError(t, m.Set("PID-5", `a\b`))
	require.ErrorContains(t, m.Set("PID-5", "a|b"), "no escape character (PID-5)")
	assert.Equal(t, `a\b`, m.Get("PID-5"))

	m = parse(t, "MSH|^~\\|RIS\rPID|1||P1^^^HOSP&1.2\r") // no subcomponents
	assert.Equal(t, "HOSP&1.2", m.Get("PID-3.4"))
	require.Error(t, m.Set("PID-3.4.2", "x"))

	m = parse(t, "MSH|^~\\&#|RIS\rPID|1||a\\P\\b\r") // version 2.7: truncation
	assert.Equal(t, "a#b", m.Get("PID-3"))

	m = parse(t, "MSH|^|RIS\rPID|1||a~b^c\r")
	assert.Equal(t, "a~b", m.Get("PID-3"))
	require.Error(t, m.Set("PID-3[2]", "x"))
}
