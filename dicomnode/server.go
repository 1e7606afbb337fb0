package dicomnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"endogate/dicomnode/accept"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/pdu"
)

// Peer is an application entity that may associate.
type Peer struct {
	AETitle dicom.AETitle  // "" or "*": any title from the hosts
	Hosts   []netip.Prefix // none: no host
	// Names are those of which its certificate must have one; none: any that the listener of TLS takes. Without TLS it comes
	// only where Clear is set, or the server does not require it.
	Names []string
	Clear bool
	// Identity is what it has to say of itself; nil: what it says is not looked at.
	Identity *IdentityPolicy
}

// Observer has functions that a Server calls as things happen, for metrics; nil ones are left out. They are called
// from many goroutines and should return at once.
type Observer struct {
	Accepted func()             // an association was accepted
	Rejected func(*RejectError) // one was rejected
	Unknown  func(Stranger)     // one was rejected as of a caller that is no peer
	Refused  func(Refusal)      // a node was not let in: by title, address, certificate or identity
	Stored   func(StoreResult)  // a C-STORE was answered
	Aborted  func(cause string) // an association ended without release; cause is one of the Cause constants

	Association func(AssociationEvent) // what becomes of each association, step by step
}

// Stranger is a caller that is no peer.
type Stranger struct {
	CallingAE dicom.AETitle // as it says; any text
	Host      netip.Addr
	Title     bool // that is a peer's, with other addresses
	Address   bool // is a peer's, with another title
}

// Refusal is a node that was not let in.
type Refusal struct {
	CallingAE dicom.AETitle // as it says; any text. Empty: it had not come so far
	User      string        // whom it says to be, where such a user is known
	Host      netip.Addr
	Why       string // of a fixed set, without anything that the node has sent
}

// StoreResult is what became of a C-STORE request.
type StoreResult struct {
	Status  dimse.Status
	Bytes   int64         // of the data set
	Elapsed time.Duration // from the command to the response
}

// Causes for which an association ends without release.
const (
	CausePeer     = "peer"     // the peer aborted
	CauseLost     = "lost"     // the connection broke, or was closed without release
	CauseProtocol = "protocol" // the peer broke the protocol
	CauseTimeout  = "timeout"  // the peer was silent or slow
	CauseRefused  = "refused"  // the rest of a refused data set was too long to read
	CauseShutdown = "shutdown"
)

// Server takes associations and serves what is asked on them: Verification itself, storage through Handler, anything
// else through a Service. Its fields are set before Serve; what is in a [Policy] may be set anew by Change while it serves.
type Server struct {
	AETitle  dicom.AETitle         // what peers must call
	Contexts []PresentationContext // accepted besides Verification; ID and Result mean nothing
	Services map[dicom.UID]Service // by abstract syntax of a context; those without one are of Storage
	Handler  Handler               // of Storage
	Peers    []Peer                // who may associate; none listed is nobody

	// RequireTLS lets in clear come only peers that are listed so; listeners of TLS are the caller's.
	RequireTLS bool

	// Admit is asked before an association is accepted; an error is a transient reject (disk below the reserve).
	Admit func() error

	// MaxAssociations is 64 by default; beyond it is a transient reject. Of these places one is kept for each listed
	// title that has none, half of them at most.
	MaxAssociations int
	MaxPerPeer      int    // with one calling AE title, or one host where any title will do; 16 by default
	MaxPDULength    uint32 // advertised, in bytes; DefaultMaxPDULength by default

	ARTIM       time.Duration // for A-ASSOCIATE-RQ to arrive, and for the peer to close; 10 s by default
	IdleTimeout time.Duration // between messages; 60 s by default
	PDUTimeout  time.Duration // for a PDU once begun, and for a write; 60 s by default

	Log     *slog.Logger // slog.Default by default; gets UIDs and AE titles, never contents
	Observe Observer

	policy atomic.Pointer[policy] // in force

	listeners accept.Listeners

	mu      sync.Mutex
	conns   map[*conn]context.CancelFunc
	active  int            // associations accepted and not yet ended
	perPeer map[string]int // of those

	asked atomic.Uint64 // associations so far

	waiting, strangers crowd
	turnedAway         int
	itself             map[netip.AddrPort]bool // from which we connect to ourselves

	repeated failure.Thinning
	wg       sync.WaitGroup
}

// Serve accepts associations on ln until Shutdown, and then returns ErrServerClosed. It closes ln.
// It may be called for several listeners at once.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	if err := s.prepare(); err != nil {
		return err
	}
	err := s.listeners.Serve(ln, func(nc net.Conn) {
		if !s.start(nc) {
			s.turnAway(nc)
		}
	}, func(err error, pause time.Duration) {
		s.log().Error("dicomnode: accept; trying again", "error", err, "pause", pause)
	})
	if !errors.Is(err, accept.ErrClosed) {
		return fmt.Errorf("dicomnode: %w", err)
	}
	return ErrServerClosed
}

// prepare fills in the defaults, once.
func (s *Server) prepare() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns != nil {
		return nil
	}
	if !s.AETitle.Valid() {
		return fmt.Errorf("dicomnode: AE title %q: %s", s.AETitle, dicom.AETitleRule)
	}
	if s.policy.Load() == nil { // else it was changed already
		if err := s.Change(Policy{
			Contexts: s.Contexts, Peers: s.Peers, RequireTLS: s.RequireTLS, MaxAssociations: s.MaxAssociations, MaxPerPeer: s.MaxPerPeer,
			MaxPDULength: s.MaxPDULength, ARTIM: s.ARTIM, IdleTimeout: s.IdleTimeout, PDUTimeout: s.PDUTimeout,
		}); err != nil {
			return err
		}
	}
	s.conns = make(map[*conn]context.CancelFunc)
	s.perPeer = make(map[string]int)
	return nil
}

var errMaxPDULength = fmt.Errorf("dicomnode: maximum PDU length: want %d to %d bytes, or 0 for the default", pdu.LeastMaximumLength, pdu.MostMaximumLength)

func saneMaxPDULength(n uint32) bool {
	return n == 0 || n >= pdu.LeastMaximumLength && n <= pdu.MostMaximumLength
}

func orDefault[T int | uint32 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

// start serves nc in a goroutine that Shutdown waits for. It reports whether there was room.
func (s *Server) start(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.policy.Load()
	c := newConn(nc, is.ARTIM, is.PDUTimeout)
	c.policy = is
	c.host = accept.Host(nc)
	itself := s.isItself(nc)
	if s.listeners.Closed() || !itself && !s.gather(c) {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.r.MaxDataLength = is.MaxPDULength
	s.conns[c] = cancel
	s.wg.Go(func() {
		defer s.forget(c)
		if itself {
			s.serveItself(ctx, c)
		} else {
			s.serve(ctx, c)
		}
	})
	return true
}

func (s *Server) forget(c *conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c]()
	delete(s.conns, c)
	if c.crowd != nil {
		c.crowd.leave(c.host)
	}
}

// Shutdown closes the listeners before anything else, and then waits for the associations: a message under way is finished
// and answered, an association that idles is aborted shortly after. When ctx ends first, what is left is aborted, the contexts of
// handlers are cancelled, and the error is that of ctx. No handler runs any more when Shutdown returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.listeners.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()

	idle := accept.Idle(&s.wg)
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	s.cut()
	<-idle
	return context.Cause(ctx)
}

// cut ends what is still connected. A handler is told after its connection is closed, so that nothing follows A-ABORT.
func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, cancel := range s.conns {
		associated := c.crowd == nil // otherwise there is nothing to abort, and TLS may still wait for the peer's hello
		s.wg.Go(func() {
			if associated {
				_ = c.abort(pdu.AbortServiceUser, pdu.ReasonNotSpecified)
			}
			_ = c.Close()
			cancel()
		})
	}
}
