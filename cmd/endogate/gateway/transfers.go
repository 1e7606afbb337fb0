package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/durable"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/reports/outbox"
)

// How transfers are told of in the audit trail.
const (
	transfersQuiet   = 15 * time.Second // a study that comes in one go is one message,
	transfersLongest = 5 * time.Minute  // and one that takes an hour some
	transfersEvery   = 5 * time.Second
	begunAgain       = time.Hour // until the same study to the same destination begins anew
	mostBegun        = 10_000
)

// transfers tells the audit trail what came and what went, and which nodes were not let in.
type transfers struct {
	*parts
	moved   audit.Transfers
	refused audit.Refusals

	mu     sync.Mutex
	begun  map[audit.Exchange]time.Time
	full   bool   // more was to be gathered than there is room for, which is said
	told   uint64 // as it is in the file
	failed bool   // the trail took nothing the last time
}

// receivedFile says up to where in the spool what came is told of. It is of that spool.
func receivedFile(cfg configs.Config) string { return filepath.Join(cfg.AuditDir(), "received") }

// openTransfers takes up what a crash left untold. Where nothing was ever told, it begins with what comes from now on.
func (g *parts) openTransfers(ctx context.Context, life *lifecycle) error {
	t := &transfers{parts: g, begun: map[audit.Exchange]time.Time{}}
	t.moved = audit.Transfers{Record: g.trail.Record, Self: string(g.start.DICOM.AETitle), Quiet: transfersQuiet, Longest: transfersLongest, Now: g.now}
	t.refused = audit.Refusals{Record: g.trail.Record, Again: 10 * time.Minute, Now: g.now}
	g.transfers = t
	text, err := os.ReadFile(receivedFile(g.start))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.told = g.spool.Last()
		err = t.keep()
	case err == nil:
		if err = json.Unmarshal(text, &t.told); err == nil && t.told > g.spool.Last() {
			t.told = g.spool.Last() // another spool
		}
	}
	if err != nil {
		return fmt.Errorf("audit: what came is told of up to where %s says, which cannot be read or written: %w", receivedFile(g.start), err)
	}
	t.moved.Begin(t.told)
	for entry, err := range g.spool.Held(t.told) {
		switch {
		case err != nil && !errors.Is(err, spool.ErrGone): // of which all is known but its bytes
			g.log.Error("audit: what came before the start cannot all be read from the spool, and is not told of", "entry", entry.ID, "err", err)
		case entry.Kind == spool.Received:
			t.heard(entry)
		}
	}
	life.closes(func() error { return t.flush(context.WithoutCancel(ctx), true) })
	return nil
}

func (t *transfers) keep() error {
	text, err := json.Marshal(t.told)
	if err != nil {
		return err
	}
	return durable.WriteFile(receivedFile(t.start), text)
}

// run tells now and then.
func (t *transfers) run(ctx context.Context) error {
	tick := time.NewTicker(transfersEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := t.flush(ctx, false)
		if err != nil && ctx.Err() == nil && !t.failed {
			t.log.Error("audit: what came and went is not in the audit trail: it is told when that can be written", "err", err)
		}
		t.failed = err != nil
	}
}

func (t *transfers) flush(ctx context.Context, all bool) error {
	err := errors.Join(t.moved.Flush(ctx, all), t.refused.Flush(ctx, all))
	if done := t.moved.Done(); done != t.told {
		t.told = done
		err = errors.Join(err, t.keep())
	}
	return err
}

// heard counts an instance that has come.
func (t *transfers) heard(e spool.Entry) {
	x := exchange(e.Header)
	x.Peer, x.AETitle, x.User = e.CallingAE, e.CallingAE, e.User
	if from, err := netip.ParseAddrPort(e.RemoteAddr); err == nil {
		x.Host = from.Addr().Unmap()
	}
	t.add(audit.Transfer{Exchange: x, SOPClass: string(e.Header.SOPClassUID), At: e.At, Sequence: e.Seq})
}

// add gathers a transfer. That there is no room for one is said once.
func (t *transfers) add(x audit.Transfer) {
	room := t.moved.Add(x)
	t.mu.Lock()
	said := t.full
	t.full = !room
	t.mu.Unlock()
	if !room && !said {
		t.log.Error("audit: more came and went than can be gathered while the audit trail cannot be written: what came is told after the next start, what goes now is not")
	}
}

func exchange(h dicom.Header) audit.Exchange {
	return audit.Exchange{Event: audit.InstancesTransferred, Study: string(h.StudyInstanceUID), Patient: h.PatientID}
}

// hears has the sender of a destination tell what leaves.
func (t *transfers) hears(d configs.Destination, s *outbox.DICOM) {
	to := func(e spool.Entry) audit.Exchange {
		x := exchange(e.Header)
		x.Sent, x.Peer, x.AETitle = true, d.Name, string(d.AETitle)
		return x
	}
	s.Begins = func(ctx context.Context, e spool.Entry) { t.begins(ctx, to(e)) }
	s.Ended = func(e spool.Entry, o outbox.Outcome) {
		x := to(e)
		switch {
		case o.Class == outbox.Never:
			x.Failed = "the peer answered " + o.Code
		case !o.Class.Delivered():
			return // it is sent again
		}
		t.add(audit.Transfer{Exchange: x, SOPClass: string(e.Header.SOPClassUID), At: t.now()})
	}
}

// begins tells that a study begins to leave, before it does. That this cannot be recorded keeps no result from whom it is for.
func (t *transfers) begins(ctx context.Context, x audit.Exchange) {
	now := t.now()
	t.mu.Lock()
	at, known := t.begun[x]
	t.mu.Unlock()
	if known && now.Sub(at) < begunAgain && !now.Before(at) {
		return
	}
	if err := t.trail.Record(ctx, x.Beginning(string(t.start.DICOM.AETitle))); err != nil {
		t.log.Error("audit: that a study begins to leave is not in the audit trail", "destination", x.Peer, "err", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.begun) >= mostBegun {
		clear(t.begun)
	}
	t.begun[x] = now
}

// handed counts a message that has gone; instances are told of by their sender.
func (t *transfers) handed(ctx context.Context, destination string, d ledger.Delivery, fate outbox.Fate) {
	if d.Kind == ledger.KindDICOM {
		return
	}
	x := audit.Exchange{Event: audit.Export, Sent: true, Study: string(d.Instance.StudyInstanceUID), Peer: destination}
	if whose, err := t.ledger.PatientOf(ctx, d.Instance.StudyInstanceUID); err == nil {
		x.Patient = whose.ID
	}
	if fate == outbox.FateParked {
		x.Failed = "it was not taken"
	}
	t.add(audit.Transfer{Exchange: x, At: t.now()})
}

// stranger counts a node that was not let in.
func (t *transfers) stranger(r dicomnode.Refusal) {
	t.refused.Add(audit.Refusal{AETitle: string(r.CallingAE), User: r.User, Host: r.Host.Unmap(), Why: r.Why})
}
