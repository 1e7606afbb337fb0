package orders

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/spool"
	"endogate/hl7"
	"endogate/hl7/mllp"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// rig is a receiver behind a real listener, with spool, journal and ledger.
type rig struct {
	t        *testing.T
	dir      string
	spool    *spool.Spool
	ledger   *ledger.Ledger
	receiver *Receiver
	address  string
	log      written
}

func newRig(t *testing.T, senders ...Sender) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	var err error
	r.spool, err = spool.Open(filepath.Join(r.dir, "spool"), spool.Options{SegmentSize: 8 << 20, InlineLimit: 1 << 20})
	require.NoError(t, err)
	r.ledger = r.openLedger("ledger.db")
	if len(senders) == 0 {
		senders = []Sender{{Application: "RIS", Hosts: loopback}}
	}
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	r.receiver = &Receiver{
		Spool: r.spool, Ledger: r.ledger, Senders: senders, ProcessingID: "P", Now: func() time.Time { return now },
		Log: slog.New(slog.NewTextHandler(&r.log, nil)),
	}
	server := &mllp.Server{
		Handler: func(ctx context.Context, peer mllp.Peer, message []byte) ([][]byte, error) {
			return r.receiver.Handle(ctx, peer.Host, message)
		},
		TooLarge: func(_ mllp.Peer, beginning []byte) []byte { return r.receiver.TooLarge(beginning) },
		Allow:    loopback, MaxSize: 1 << 20, Log: slog.New(slog.DiscardHandler),
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.address = ln.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, server.Shutdown(ctx))
		<-done
		require.NoError(t, r.ledger.Close())
		require.NoError(t, r.spool.Close())
	})
	return r
}

// openLedger opens a ledger that does what the spool says was done.
func (r *rig) openLedger(name string) *ledger.Ledger {
	r.t.Helper()
	l, err := ledgertest.Open(filepath.Join(r.dir, name), ledger.Open)
	require.NoError(r.t, err)
	_, err = l.Keep(r.t.Context(), intake.Journal{Spool: r.spool, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	require.NoError(r.t, err)
	return l
}

// peer is a connection of a sender.
type peer struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func (r *rig) connect() *peer {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.address)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = nc.Close() })
	return &peer{r.t, nc, bufio.NewReader(nc)}
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	_, err := p.nc.Write(b)
	require.NoError(p.t, err)
}

// answer is the next one, in short: its code and control ID, or "closed".
func (p *peer) answer(within time.Duration) (string, *hl7.Message) {
	p.t.Helper()
	require.NoError(p.t, p.nc.SetReadDeadline(time.Now().Add(within)))
	b, err := p.r.ReadBytes(0x1C)
	if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // of the connection itself
		return "none", nil
	}
	if err != nil {
		return "closed", nil
	}
	require.Equal(p.t, byte(0x0B), b[0])
	_, err = p.r.Discard(1)
	require.NoError(p.t, err)
	m, err := hl7.Parse(b[1:len(b)-1], hl7.Options{})
	require.NoError(p.t, err)
	return strings.TrimSpace(m.Get("MSA-1") + " " + m.Get("MSA-2")), m
}

// say sends messages one after the other on one connection and returns the first answer to each.
func (r *rig) say(messages ...[]byte) (answers []string) {
	r.t.Helper()
	p := r.connect()
	for _, m := range messages {
		p.write(framed(m))
		a, _ := p.answer(time.Minute)
		answers = append(answers, a)
	}
	return answers
}

func framed(message []byte) []byte {
	return append(append([]byte{0x0B}, message...), 0x1C, 0x0D)
}

// lines is a message of these segments.
func lines(segments ...string) []byte { return []byte(strings.Join(segments, "\r") + "\r") }

// header is the MSH of a message of a type, with an ID.
func header(kind, id string) string {
	return `MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||` + kind + "|" + id + "|P|2.5.1||||||UNICODE UTF-8"
}

// order is an ORM of one order: n names it, its accession number and its study.
func order(control string, n int, more ...string) []byte {
	segments := []string{
		header("ORM^O01^ORM_O01", fmt.Sprintf("%s%d", control, n)), fmt.Sprintf("PID|1||PAT%d^^^NORTH^MR||Sørli^Tuva^M||19710405|F", n),
		fmt.Sprintf("ORC|%s|PL%d|FI%d||", control, n, n),
		fmt.Sprintf("OBR|1|PL%d|FI%d|73761001^Colonoscopy^SCT||||||||||||||ACC%d|RP%d|SPS%d||||ES", n, n, n, n, n),
		fmt.Sprintf("ZDS|1.2.826.0.1.77.%d^^Application^DICOM", n),
	}
	return lines(append(segments, more...)...)
}

// held are the orders in short: accession number, state and patient, the oldest first.
func (r *rig) held() (all []string) {
	r.t.Helper()
	page, _, err := r.ledger.Orders(r.t.Context(), ledger.OrderFilter{Limit: 1000})
	require.NoError(r.t, err)
	for i := len(page) - 1; i >= 0; i-- {
		o := page[i]
		all = append(all, fmt.Sprintf("%s %s %s %s", o.Accession, o.State, o.Patient.ID, o.Patient.Name))
	}
	return all
}

// fuzzRig is a receiver on a spool and ledger in memory.
func fuzzRig(f testing.TB) *Receiver {
	f.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "orders")
	require.NoError(f, err)
	store, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{SegmentSize: 8 << 20, InlineLimit: 1 << 20})
	require.NoError(f, err)
	l, err := ledgertest.Open(filepath.Join(dir, "ledger.db"), ledger.Open)
	require.NoError(f, err)
	f.Cleanup(func() {
		require.NoError(f, l.Close())
		require.NoError(f, store.Close())
		require.NoError(f, os.RemoveAll(dir))
	})
	return &Receiver{
		Spool: store, Ledger: l, Senders: []Sender{{Application: "*", Hosts: loopback}}, ProcessingID: "P", Now: time.Now,
		Log: slog.New(slog.DiscardHandler),
	}
}

// written is text that one writes while another reads.
type written struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
