package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)

// signedIn is an event with something in every field.
func signedIn(name string) Event {
	return Event{
		ID: UserAuthentication, Type: Login, Action: Execute, Outcome: Minor, Why: "wrong <password> & \x00",
		Participants: []Participant{
			{ID: name, Requested: true, Address: netip.MustParseAddr("::ffff:192.0.2.7")},
			{ID: "endogate", Role: Application},
		},
		Objects: []Object{{Kind: Study, ID: "2.25.1", Counts: map[string]int{"1.2.3": 4, "1.2.2": 1}, Detail: map[string]string{"version": "1.2"}}},
	}
}

type place struct{ dir, key string }

func fresh(t *testing.T) place {
	t.Helper()
	return place{filepath.Join(t.TempDir(), "audit"), filepath.Join(t.TempDir(), "audit.key")}
}

func (p place) open(t *testing.T) *Log {
	t.Helper()
	key, err := OpenKey(p.key)
	require.NoError(t, err)
	l, err := Open(p.dir, key, "ENDOGATE", func() time.Time { return noon })
	require.NoError(t, err)
	return l
}

func (p place) verify(t *testing.T, elsewhere ...Head) (Verified, error) {
	t.Helper()
	key, err := OpenKey(p.key)
	require.NoError(t, err)
	return Verify(p.dir, key, elsewhere)
}

func TestEvent_marshal(t *testing.T) {
	text, err := signedIn("anna").marshal(noon, "ENDOGATE")
	require.NoError(t, err)
	want := `<AuditMessage>` +
		`<EventIdentification EventActionCode="E" EventDateTime="2026-03-01T12:00:00.123Z" EventOutcomeIndicator="4">` +
		`<EventID csd-code="110114" codeSystemName="DCM" originalText="User Authentication"></EventID>` +
		`<EventTypeCode csd-code="110122" codeSystemName="DCM" originalText="Login"></EventTypeCode>` +
		"<EventOutcomeDescription>wrong &lt;password&gt; &amp; \uFFFD</EventOutcomeDescription></EventIdentification>" +
		`<ActiveParticipant UserID="anna" UserIsRequestor="true" NetworkAccessPointID="192.0.2.7" NetworkAccessPointTypeCode="2"></ActiveParticipant>` +
		`<ActiveParticipant UserID="endogate" UserIsRequestor="false">` +
		`<RoleIDCode csd-code="110150" codeSystemName="DCM" originalText="Application"></RoleIDCode></ActiveParticipant>` +
		`<AuditSourceIdentification AuditSourceID="ENDOGATE"><AuditSourceTypeCode csd-code="4"></AuditSourceTypeCode></AuditSourceIdentification>` +
		`<ParticipantObjectIdentification ParticipantObjectID="2.25.1" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3">` +
		`<ParticipantObjectIDTypeCode csd-code="110180" codeSystemName="DCM" originalText="Study Instance UID"></ParticipantObjectIDTypeCode>` +
		`<ParticipantObjectName></ParticipantObjectName><ParticipantObjectDetail type="version" value="MS4y"></ParticipantObjectDetail>` +
		`<ParticipantObjectDescription><SOPClass UID="1.2.2" NumberOfInstances="1"></SOPClass><SOPClass UID="1.2.3" NumberOfInstances="4"></SOPClass></ParticipantObjectDescription>` +
		`</ParticipantObjectIdentification></AuditMessage>`
	assert.Equal(t, want, string(text))
	assert.NoError(t, xml.Unmarshal(text, new(message)))
}

func TestRecord(t *testing.T) {
	p := fresh(t)
	l := p.open(t)
	v, err := p.verify(t)
	require.NoError(t, err)
	assert.Zero(t, v.Entries)
	other := p.open(t) // as another process has it
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			log := l
			if i%2 == 0 {
				log = other
			}
			assert.NoError(t, log.Record(t.Context(), signedIn(fmt.Sprint("user", i))))
		})
	}
	wg.Wait()
	l.Close()
	other.Close()
	require.Error(t, l.Record(t.Context(), signedIn("late")))
	v, err = p.verify(t)
	require.NoError(t, err)
	assert.EqualValues(t, 40, v.Entries)

	again := p.open(t)
	require.NoError(t, again.Record(t.Context(), signedIn("again")))
	again.Close()
	var out bytes.Buffer
	require.NoError(t, Messages(&out, p.dir, 41, time.Time{}, time.Time{}))
	assert.Equal(t, 1, strings.Count(out.String(), "\n"))
	assert.Contains(t, out.String(), `UserID="again"`)
	for _, name := range []string{logName, lockName} {
		info, err := os.Stat(filepath.Join(p.dir, name))
		require.NoError(t, err)
		assert.EqualValues(t, 0o600, info.Mode().Perm(), name)
	}
}

// TestVerify_tampered changes every byte, field, row and the end of a log; who does so has the log, and not the key.
func TestVerify_tampered(t *testing.T) {
	p := fresh(t)
	l := p.open(t)
	for i := range 4 {
		require.NoError(t, l.Record(t.Context(), signedIn(fmt.Sprint("user", i))))
	}
	l.Close()
	path := filepath.Join(p.dir, logName)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	rows := bytes.SplitAfter(good, []byte("\n"))[:4]
	tampered := func(what string, text []byte) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, text, 0o600))
		_, err := p.verify(t)
		assert.ErrorIs(t, err, ErrTampered, what)
	}

	key, err := OpenKey(p.key)
	require.NoError(t, err)
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		_, err := chain(bytes.NewReader(changed), key, l.tail.head, nil)
		require.ErrorIs(t, err, ErrTampered, "byte %d", i)
	}
	var fields map[string]any
	require.NoError(t, json.Unmarshal(rows[1], &fields))
	assert.Len(t, fields, 4, "and each is tried")
	for field, other := range map[string]any{"seq": 7, "mac": strings.Repeat("0", 64), "at": "2026-03-01T12:00:00.124Z", "message": "<AuditMessage/>"} {
		var e map[string]any
		require.NoError(t, json.Unmarshal(rows[1], &e))
		e[field] = other
		line, err := json.Marshal(e)
		require.NoError(t, err)
		tampered(field, bytes.Join([][]byte{rows[0], append(line, '\n'), rows[2], rows[3]}, nil))
	}
	for i := range rows {
		without := append([][]byte{}, rows[:i]...)
		tampered(fmt.Sprint("without row ", i), bytes.Join(append(without, rows[i+1:]...), nil))
		twice := append(append([][]byte{}, rows[:i+1]...), rows[i:]...)
		tampered(fmt.Sprint("twice row ", i), bytes.Join(twice, nil))
	}
	tampered("rows swapped", bytes.Join([][]byte{rows[0], rows[2], rows[1], rows[3]}, nil))
	tampered("the end cut", bytes.Join(rows[:3], nil))
	tampered("nothing left", nil)
	require.NoError(t, os.Remove(path))
	_, err = p.verify(t)
	require.ErrorIs(t, err, os.ErrNotExist)

	// Made anew with another key.
	require.NoError(t, os.Rename(p.key+".head", p.key+".was"))
	forged := place{p.dir, filepath.Join(t.TempDir(), "other.key")}
	f := forged.open(t)
	for i := range 4 {
		require.NoError(t, f.Record(t.Context(), signedIn(fmt.Sprint("user", i))))
	}
	f.Close()
	require.NoError(t, os.Rename(p.key+".was", p.key+".head"))
	_, err = p.verify(t)
	require.ErrorIs(t, err, ErrTampered)
}

// TestVerify_elsewhere has an attacker with the key too: what was sent elsewhere still tells.
func TestVerify_elsewhere(t *testing.T) {
	p := fresh(t)
	l := p.open(t)
	var sent []Head
	for i := range 5 {
		require.NoError(t, l.Record(t.Context(), signedIn(fmt.Sprint("user", i))))
		sent = append(sent, l.tail.head)
	}
	l.Close()
	v, err := p.verify(t, sent...)
	require.NoError(t, err)
	assert.Equal(t, 5, v.Heads)

	forge := func(n int, name string) {
		require.NoError(t, os.RemoveAll(p.dir))
		f := p.open(t)
		for i := range n {
			require.NoError(t, f.Record(t.Context(), signedIn(fmt.Sprint(name, i))))
		}
		f.Close()
	}
	forge(4, "user")
	_, err = p.verify(t)
	require.NoError(t, err, "alone it looks sound")
	_, err = p.verify(t, sent...)
	require.ErrorIs(t, err, ErrTampered, "the end is missing")
	forge(5, "other")
	_, err = p.verify(t, sent[4])
	require.ErrorIs(t, err, ErrTampered, "it was made anew")
	_, err = p.verify(t, sent[4], Head{5, strings.Repeat("0", 64)})
	require.ErrorIs(t, err, ErrTampered)

	heads, err := Heads(strings.NewReader("noise\n" + strings.Repeat("x", 2*maxEntry) + "\n" +
		fmt.Sprintf("<85>1 - h endogate - DICOM+RFC3881 [%s seq=\"5\" mac=\"%s\"] <AuditMessage>", sdID, sent[4].MAC)))
	require.NoError(t, err)
	assert.Equal(t, sent[4:], heads)
}

func TestOpen_torn(t *testing.T) {
	p := fresh(t)
	l := p.open(t)
	require.NoError(t, l.Record(t.Context(), signedIn("anna")))
	path := filepath.Join(p.dir, logName)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"seq":2,"mac":"`) // a crash
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, l.Record(t.Context(), signedIn("bert")))
	l.Close()
	v, err := p.verify(t)
	require.NoError(t, err)
	assert.EqualValues(t, 2, v.Entries)
}

func TestOpen_refuses(t *testing.T) {
	p := fresh(t)
	require.NoError(t, os.WriteFile(p.key, []byte("short"), 0o600))
	_, err := OpenKey(p.key)
	require.ErrorContains(t, err, "64 hexadecimal digits")
	require.NoError(t, os.Remove(p.key))
	l := p.open(t)
	require.NoError(t, l.Record(t.Context(), signedIn("anna")))
	require.NoError(t, os.Truncate(filepath.Join(p.dir, logName), 10))
	require.ErrorContains(t, l.Record(t.Context(), signedIn("bert")), "shorter")
	require.Error(t, l.Record(t.Context(), Event{Why: strings.Repeat("x", maxEntry)}))
	l.Close()
}

// collector is a syslog server: it takes frames and keeps the messages, until it is closed.
type collector struct {
	net.Listener
	mu       sync.Mutex
	messages []string
	wg       sync.WaitGroup
}

func (c *collector) serve(most int) {
	defer c.wg.Done()
	for ; ; most += 2 {
		conn, err := c.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		for range most {
			var n int
			if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
				break
			}
			text := make([]byte, n)
			if _, err := io.ReadFull(r, text); err != nil {
				break
			}
			c.mu.Lock()
			c.messages = append(c.messages, string(text))
			c.mu.Unlock()
		}
		_ = conn.Close() // and the next connection goes on
	}
}

func (c *collector) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.messages)
}

// TestForwarder sends to a server that is away at first, and hangs up after two messages, then four, and so on.
func TestForwarder(t *testing.T) {
	authority := httptest.NewTLSServer(nil) // whose certificate is good for 127.0.0.1
	defer authority.Close()
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := gone.Addr().String()
	require.NoError(t, gone.Close())

	p := fresh(t)
	l := p.open(t)
	f := &Forwarder{
		Log: l, Address: address, TLS: func() *tls.Config { return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12} }, Host: "gateway", Timeout: time.Second, Settle: 20 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Backoff: func(int) time.Duration { return time.Millisecond },
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, f.Run(ctx)) })
	var heads []Head
	record := func(n int) {
		for range n {
			require.NoError(t, l.Record(t.Context(), signedIn("anna")))
			heads = append(heads, l.tail.head)
		}
	}
	record(3)
	listener, err := tls.Listen("tcp", address, authority.TLS)
	require.NoError(t, err)
	c := &collector{Listener: listener}
	c.wg.Add(1)
	go c.serve(2)
	record(4)
	arrived := func() (got []Head) {
		got, err := Heads(strings.NewReader(strings.Join(c.all(), "\n")))
		require.NoError(t, err)
		slices.SortFunc(got, func(a, b Head) int { return cmp.Compare(a.Sequence, b.Sequence) })
		return slices.Compact(got)
	}
	require.Eventually(t, func() bool { return len(arrived()) == 7 }, 30*time.Second, 5*time.Millisecond)
	assert.Equal(t, heads, arrived())
	assert.Regexp(t, `^<85>1 2026-03-01T12:00:00.123000Z gateway endogate - DICOM\+RFC3881 \[endogate@32473 seq="1" mac="[0-9a-f]{64}"\] \x{FEFF}<AuditMessage>.*</AuditMessage>$`, c.all()[0])
	require.Eventually(t, func() bool { at, err := f.cursor(); return err == nil && at == l.tail.size }, 30*time.Second, 5*time.Millisecond)
	cancel()
	wg.Wait()

	// After a restart it goes on behind what was taken.
	before := len(c.all())
	ctx, cancel = context.WithCancel(t.Context())
	wg.Go(func() { assert.NoError(t, f.Run(ctx)) })
	record(1)
	require.Eventually(t, func() bool { return len(arrived()) == 8 }, 30*time.Second, 5*time.Millisecond)
	assert.Equal(t, before+1, len(c.all()))
	cancel()
	wg.Wait()
	require.NoError(t, c.Close())
	c.wg.Wait()
	l.Close()
	_, err = p.verify(t, arrived()...)
	require.NoError(t, err)
}
