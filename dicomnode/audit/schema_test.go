package audit

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// xmllint says what the schema of PS3.15 A.5.1.1 has against messages.
func xmllint(t *testing.T, messages ...[]byte) string {
	t.Helper()
	args := []string{"--noout", "--relaxng", "testdata/message.rng"}
	dir := t.TempDir()
	for i, m := range messages {
		path := filepath.Join(dir, fmt.Sprintf("%03d.xml", i))
		require.NoError(t, os.WriteFile(path, m, 0o600))
		args = append(args, path)
	}
	out, err := exec.Command("xmllint", args...).CombinedOutput()
	if err != nil {
		return string(out)
	}
	require.Equal(t, len(messages), strings.Count(string(out), "validates"))
	return ""
}

// TestMessage_schema holds messages of all kinds, with what peers and people can put into them, against the standard's schema.
func TestMessage_schema(t *testing.T) {
	installed.Require(t, "xmllint")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	host := netip.MustParseAddr("fe80::1%eth0")
	odd := "a\x00\x1b<&>\"'\n\t\u202eé \xff"
	x := Exchange{Event: InstancesTransferred, Study: "1.2.3", Patient: odd, Peer: odd, AETitle: odd, User: odd, Host: host}
	sent := x
	sent.Sent, sent.Failed = true, odd
	full := &gathered{counts: map[string]int{"1.2.840.10008.5.1.4.1.1.77.1.1": 2000, "1.2.840.10008.5.1.4.1.1.7": 1}, n: 2001, at: at}
	events := []Event{
		x.event("ENDOGATE", full), sent.event("ENDOGATE", full), sent.Beginning("ENDOGATE"),
		Exchange{Event: Export, Sent: true, Study: "1.2.3", Peer: "ris"}.event("ENDOGATE", &gathered{n: 3, at: at}),
		Refusal{AETitle: odd, User: odd, Host: host, Why: odd}.event(3), Refusal{Why: "x"}.event(1),
	}
	for _, id := range []Code{ApplicationActivity, LogUsed, BeginTransferring, InstancesAccessed, InstancesTransferred, Export, OrderRecord, PatientRecord, ProcedureRecord, Query, SecurityAlert, UserAuthentication} {
		for _, kind := range []Code{{}, ApplicationStart, ApplicationStop, Login, Logout, NodeAuthentication, EmergencyOverride, UseOfRestricted, UserSecurityAttributes, ObjectSecurity, NetworkConfiguration, SoftwareConfiguration} {
			for i, outcome := range []Outcome{"", Success, Minor, Serious, Major} {
				e := Event{ID: id, Type: kind, Outcome: outcome, Action: []Action{Create, Read, Update, Delete, Execute}[i], Why: odd}
				e.Participants = []Participant{{ID: odd, Requested: true, Address: host}, {ID: "endogate", Role: Application}}
				for _, k := range []ObjectKind{Patient, Study, Report, User, URI, LogFile, Security, Node} {
					e.Objects = append(e.Objects, Object{Kind: k, ID: odd, Name: odd, Detail: map[string]string{odd: odd, "": ""}})
				}
				events = append(events, e)
			}
		}
	}
	var messages [][]byte
	for _, e := range events {
		text, err := e.marshal(at, "ENDOGATE")
		require.NoError(t, err)
		messages = append(messages, text)
	}
	assert.Empty(t, xmllint(t, messages...))
	for _, wrong := range [][2]string{
		{`EventOutcomeIndicator="0"`, `EventOutcomeIndicator="1"`},
		{`EventDateTime="2026-03-01T12:00:00.000Z"`, `EventDateTime="today"`},
		{`UserIsRequestor="true"`, ``},
		{`originalText="Source"`, ``},
		{`<ParticipantObjectName></ParticipantObjectName>`, ``},
	} {
		require.Contains(t, string(messages[0]), wrong[0])
		assert.NotEmpty(t, xmllint(t, []byte(strings.Replace(string(messages[0]), wrong[0], wrong[1], 1))), "the schema finds what is wrong")
	}
}
