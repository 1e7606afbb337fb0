// Package gateway builds the whole system out of its parts and runs it: stores, models, broker, work, reports, delivery and
// the edges that modalities and people come in by. [Run] is the picture of it, in construction order.
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/secure"
	"endogate/dicomnode/spool"
	"endogate/hl7/mllp"
	"endogate/inference/jobs"
	"endogate/reports/outbox"
)

// Build says which release runs, and where its configuration is from.
type Build struct {
	Version, Commit string
	Config          string           // path of the file; empty: none
	Reload          <-chan os.Signal // asks for it to be read again; nil: nothing does
}

// Run builds the gateway and serves until ctx is done or a part of it fails. It is the picture of the
// system, in construction order: stores, models, broker, work, edges.
func Run(ctx context.Context, cfg configs.Config, build Build, log *slog.Logger) error {
	return run(ctx, cfg, build, clock.System(), log)
}

func run(ctx context.Context, cfg configs.Config, build Build, by *clock.Clock, log *slog.Logger) (err error) {
	life := newLifecycle(ctx)
	g := &parts{
		start: cfg, build: build, log: log, clock: by, life: life, wakeFeed: make(chan struct{}, 1), again: make(chan struct{}, 1),
		sound: make(chan struct{}), tidy: make(chan struct{}), reloads: make(chan reload),
	}
	g.now, g.time = g.clock.Now, &timekeeper{parts: g}
	steps := []func(context.Context, *lifecycle) error{
		g.openStores,    // 1 what is durable
		g.openTransfers, // 2 and what is to be told of it
		g.configure,     // 3 models, reports and their delivery: what a reload replaces
		g.openBroker,    // 4
		g.catchUp,       // 5 what a stop or a crash left
		g.startLoops,    // 6 work
		g.listenDICOM,   // 7 the edges last
		g.listenHL7,     // 8
		g.listenHTTP,    // 9
		g.takeReloads,   // 10 what replaces 3, once all of it is there
	}
	for _, step := range steps {
		err := context.Cause(ctx) // asked to stop amid the start: nothing more is begun
		if err == nil {
			err = step(ctx, life)
		}
		if ctx.Err() != nil {
			log.Info("gateway has stopped amid its start", "reason", err)
			return life.stop(g.drain())
		}
		if err != nil {
			return errors.Join(err, life.stop(g.drain()))
		}
	}
	debug.FreeOSMemory() // what looking models through took, several times what is kept
	log.Info("gateway is up", "version", build.Version, "ae_title", cfg.DICOM.AETitle, "dicom", g.scpAddr, "hl7", g.hl7Addr, "http", g.webAddr)
	err = life.wait(g.drain)
	log.Info("gateway has stopped")
	return err
}

// parts are the pieces of a running gateway that stay as long as it runs.
type parts struct {
	start    configs.Config // as it was started: what of it a reload cannot change is read here
	build    Build
	log      *slog.Logger
	life     *lifecycle
	clock    *clock.Clock
	now      func() time.Time // of clock
	time     *timekeeper
	wakeFeed chan struct{} // there are new jobs
	again    chan struct{} // jobs were opened again
	checkOn  bool          // all of the ledger is to be looked at
	sound    chan struct{} // closed when every page of the ledger was looked at
	tidy     chan struct{} // closed when spool and ledger were brought together after that

	inForce atomic.Pointer[generation]
	reloads chan reload
	last    atomic.Pointer[admin.ReloadState] // of the last reload; nil: there was none

	ledger    *ledger.Ledger
	spool     *spool.Spool
	queue     *jobs.Queue
	clips     clips
	metrics   *admin.Metrics
	trail     *audit.Log
	heard     associations
	shown     shownConfiguration
	transfers *transfers

	scp      *dicomnode.Server
	messages *mllp.Server // nil: hl7.listen is empty

	scpAddr, scpTLSAddr, hl7Addr, webAddr net.Addr // scpTLSAddr is nil where dicom.tls.listen is empty
}

// current is what is made of the configuration in force. Who asks twice may get two.
func (g *parts) current() *generation { return g.inForce.Load() }

// drain is how long work under way has when the gateway stops.
func (g *parts) drain() time.Duration {
	if is := g.current(); is != nil {
		return is.cfg.Drain.Std()
	}
	return g.start.Drain.Std()
}

func (g *parts) openStores(ctx context.Context, life *lifecycle) (err error) {
	if err := os.MkdirAll(g.start.DataDir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w; make it or set data_dir", err)
	}
	for _, why := range Exposed(g.start) {
		g.log.Warn("a file is not private", "reason", why)
	}
	there, err := os.Stat(g.start.LedgerFile())
	missing := errors.Is(err, fs.ErrNotExist) || err == nil && there.Size() == 0 // a check of the file system may leave an empty one
	g.spool, err = openSpool(g.start, func() (uint64, error) {                   // the folder is ours: a ledger of an older release is brought up to date
		if missing {
			return 0, nil // it is made below
		}
		if g.ledger, err = ledger.Open(g.start.LedgerFile()); err != nil {
			return 0, err
		}
		life.closes(g.ledger.Close)
		return g.ledger.Newest(ctx)
	})
	if err != nil {
		return err
	}
	life.closes(g.spool.Close)
	g.spool.MakeAhead()
	if err := removeLedger(compacting(g.start)); err != nil { // of a compaction that was killed
		return err
	}
	recovered := g.spool.Recovered()
	g.log.Info("spool is open", "entries", recovered.Entries, "torn_bytes", recovered.TornBytes, "removed", recovered.Removed)
	for _, segment := range recovered.Mended {
		g.log.Warn("the header of a segment of the spool was damaged, and is made anew: see to the disk of the data folder", "segment", segment)
	}
	for _, place := range recovered.Damaged {
		g.log.Error("spool is damaged: restore the segment from a backup or send its instances again; what was set aside in damaged/ can be removed then", "place", place)
	}
	if err := g.openAudit(ctx, life); err != nil {
		return err
	}
	if missing {
		if err := g.restore(life); err != nil {
			return err
		}
	}
	if err := g.soundAtStart(ctx); err != nil {
		return err
	}
	if g.ledger, err = paired(ctx, g.start, g.ledger, g.spool, g.log, life.closes); err != nil {
		return err
	}
	done, err := g.ledger.Keep(ctx, intake.Journal{Spool: g.spool, Now: g.now, Log: g.log})
	if err != nil {
		return err
	}
	if done > 0 {
		g.log.Info("ledger has caught up with what the spool says was done", "actions", done)
	}
	g.metrics = admin.NewMetrics(g.version(), g.gauges)
	g.metrics.Certificates(func() map[string]time.Time { return expiries(g.current().cfg) })
	return nil
}

// restore begins a ledger that is lost with the last checkpoint, where there is one.
func (g *parts) restore(life *lifecycle) (err error) {
	if err := removeLedger(g.start.LedgerFile()); err != nil {
		return err
	}
	if err := restore(g.start.LedgerFile(), intake.Journal{Spool: g.spool, Now: g.now, Log: g.log}); err != nil {
		return err
	}
	if g.ledger, err = ledger.Open(g.start.LedgerFile()); err == nil {
		life.closes(g.ledger.Close)
	}
	return err
}

// configure makes the first generation.
func (g *parts) configure(ctx context.Context, life *lifecycle) error {
	settings, _ := configs.Settings(g.build.Config) // the configuration was read of it
	versions, err := g.ledger.BundleVersions(ctx)
	if err != nil {
		return err
	}
	first, err := g.prepare(ctx, read{g.start, settings, chosen(versions)}, nil)
	if err != nil {
		return err
	}
	g.inForce.Store(first)
	g.metrics.Configuration(configs.Digest(first.settings), true, time.Now())
	life.closes(func() error { return g.current().models.Close() })
	return nil
}

// catchUp brings spool and ledger together, as a stop or a crash has left them.
func (g *parts) catchUp(ctx context.Context, _ *lifecycle) error {
	if err := g.current().takeUp(ctx); err != nil {
		return err
	}
	if err := g.time.resume(ctx); err != nil {
		return err
	}
	if !isClosed(g.sound) {
		return nil
	}
	close(g.tidy)
	return g.current().reclaim.Orphans(ctx)
}

func (g *parts) startLoops(_ context.Context, life *lifecycle) error {
	life.loop("clock", g.time.run)
	life.loop("transfers", g.transfers.run)
	life.loop("watch", g.watchLedger)
	life.loop("check", g.checkLedgers)
	g.current().begin()
	return nil
}

func (g *parts) takeReloads(_ context.Context, life *lifecycle) error {
	life.loop("reload", g.reloading)
	return nil
}

func (g *parts) openBroker(_ context.Context, life *lifecycle) (err error) {
	node, err := nodeID(g.start.DataDir)
	if err != nil {
		return err
	}
	if g.start.NATS.URL == "" {
		// The ledger has every open job. One that the last process had begun would else wait for its ack_wait.
		if err := os.RemoveAll(g.start.NATSDir()); err != nil {
			return err
		}
	}
	broker := Broker(g.start.NATS, g.log)
	broker.Node, broker.StoreDir = node, g.start.NATSDir()
	if g.queue, err = jobs.Open(broker); err != nil {
		return err
	}
	life.closes(func() error { g.queue.Close(); return nil })
	return nil
}

func (g *parts) listenDICOM(_ context.Context, life *lifecycle) error {
	policy := g.current().admits
	ln, err := net.Listen("tcp", g.start.DICOM.Listen)
	if err != nil {
		return fmt.Errorf("dicom.listen: %w", err)
	}
	g.scpAddr = ln.Addr()
	d := g.start.DICOM
	g.scp = &dicomnode.Server{
		AETitle: d.AETitle, Contexts: policy.Contexts, Peers: policy.Peers, RequireTLS: policy.RequireTLS, Admit: g.admit,
		Handler:         g.takes(),
		MaxAssociations: policy.MaxAssociations, MaxPerPeer: policy.MaxPerPeer, MaxPDULength: policy.MaxPDULength,
		ARTIM: policy.ARTIM, IdleTimeout: policy.IdleTimeout, PDUTimeout: policy.PDUTimeout, Log: g.log,
		Observe: dicomnode.Observer{
			Rejected: func(e *dicomnode.RejectError) {
				g.metrics.Refused(fmt.Sprintf("reject-%d-%d-%d", e.Result, e.Source, e.Reason))
			},
			Unknown: func(who dicomnode.Stranger) {
				why := admin.NotListed
				switch {
				case who.Title:
					why = admin.NotAddress
				case who.Address:
					why = admin.NotTitle
				}
				g.metrics.TurnedAway(string(who.CallingAE), who.Host.String(), why, g.now())
			},
			Refused: g.transfers.stranger,
			Stored:  func(r dicomnode.StoreResult) { g.metrics.Stored(uint16(r.Status)) },
			Aborted: func(cause string) { g.metrics.Refused("abort-" + cause) },

			Association: g.heard.heard,
		},
	}
	life.serve("dicom", func() error { return g.scp.Serve(ln) }, g.scp.Shutdown, dicomnode.ErrServerClosed)
	if d.TLS.Listen == "" {
		return nil
	}
	files := DICOMTLS(d.TLS)
	files.Tell = g.unreadable("dicom.tls")
	secured, err := files.Server()
	if err != nil {
		return fmt.Errorf("dicom.tls: %w", err)
	}
	plain, err := net.Listen("tcp", d.TLS.Listen)
	if err != nil {
		return fmt.Errorf("dicom.tls.listen: %w", err)
	}
	g.log.Info("associations come by TLS", "dicom_tls", plain.Addr())
	g.scpTLSAddr = plain.Addr()
	life.serve("dicom-tls", func() error { return g.scp.Serve(tls.NewListener(plain, g.scp.Sparing(secured))) }, g.scp.Shutdown, dicomnode.ErrServerClosed)
	return nil
}

// takes returns what takes in what comes by associations and by STOW-RS.
func (g *parts) takes() *intake.Receiver {
	return &intake.Receiver{Spool: g.spool, Ready: g.ledger.Trouble, Now: g.now, Stored: g.metrics.Received, Log: g.log}
}

// admit is an error where nothing can be taken in now.
func (g *parts) admit() error { return cmp.Or(g.spool.Full(), g.ledger.Trouble()) }

// maySend says whether dicom.peers has the title itself, with the address. Any title is nobody's to take.
func (g *parts) maySend(title dicom.AETitle, from netip.Addr) bool {
	return slices.ContainsFunc(g.current().cfg.DICOM.Peers, func(p configs.Peer) bool {
		return p.AETitle == title && title != "*" && slices.ContainsFunc(p.Hosts, func(h configs.Host) bool { return h.Contains(from.Unmap()) })
	})
}

// unreadable tells of files of TLS that have changed and cannot be used: those from before are.
func (g *parts) unreadable(section string) func(error) {
	return func(err error) {
		g.log.Error("files of TLS have changed and cannot be used: those from before are", "section", section, "reason", err)
	}
}

// DICOMTLS are the files of the listener for associations over TLS.
func DICOMTLS(t configs.DICOMTLS) secure.Files {
	return secure.Files{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile}
}

func (g *parts) listenHTTP(ctx context.Context, life *lifecycle) error {
	if g.start.HTTP.Remote() && !g.start.SignInRequired() {
		g.log.Warn("http.listen is reachable from other machines and nobody has to sign in: whoever reaches it sees patient data; set auth.required", "listen", g.start.HTTP.Listen)
	}
	secured, err := pageTLS(g.start.HTTP.TLS, g.unreadable("http.tls"))
	if err != nil {
		return err
	}
	in, err := g.signIn()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", g.start.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("http.listen: %w", err)
	}
	g.webAddr = ln.Addr()
	if secured != nil {
		ln = tls.NewListener(ln, secured)
	}
	if err := g.firstStart(in); err != nil {
		return err
	}
	views := &views{
		ledger: g.ledger, spool: g.spool, callingAE: g.start.DICOM.AETitle, clips: &g.clips, now: g.now,
		destinations: func() []configs.Destination { return g.current().cfg.Destinations },
		models:       func() []string { return g.current().models.Names() },
		expiries:     func() map[string]time.Time { return expiries(g.current().cfg) },
		decode:       func() pixeldata.Options { return g.current().decoding() },
		byPhysician:  func() bool { return g.current().cfg.Reading.ByPhysician },
		timelines:    func() timelines { return g.current().timelines() },
		jobs:         func() { g.current().wakeAgain() },
		try:          func(destination string) { g.current().outbox.Retry(destination) },
		condition:    func(destination string) (outbox.Condition, bool) { return g.current().outbox.Condition(destination) },
	}
	questions := explanations{g, views}
	signals, err := g.current().openSignals(ctx, life)
	if err != nil {
		return err
	}
	web := &admin.Server{
		Live:     signals,
		Sender:   g.maySend,
		DICOMweb: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.current().web.ServeHTTP(w, r) }),
		Studies:  views, Queue: views, Destinations: views, Frames: views, Gauges: g.gauges,
		Explanations: questions, Maps: sentMaps{questions},
		Settings: func() admin.Settings { return g.current().shows }, Unserved: g.unservedNames,
		Operations: operations{g, questions},
		Orders:     views, Gate: views, Reviews: views, Screenings: views, Retractions: views, SignIn: in, Drafts: drafts{g}, Checks: g.checks(), Metrics: g.metrics, Version: g.version(), Hosts: g.start.HTTP.Hosts, Origins: g.start.HTTP.Origins, Log: g.log,
	}
	life.loop("readiness", web.Watch)
	life.serve("http", func() error { return web.Serve(ln) }, web.Shutdown, http.ErrServerClosed)
	return nil
}

func (g *parts) version() admin.Version {
	return admin.Version{Version: g.build.Version, Commit: g.build.Commit, Go: runtime.Version(), AETitle: string(g.start.DICOM.AETitle), Started: g.now()}
}

// probeEvery is how often /readyz may have something written.
const probeEvery = 3 * time.Second

// checks are what /readyz asks: can the gateway take over an instance now? It finds out by doing what a C-STORE needs.
func (g *parts) checks() []admin.Check {
	checks := []admin.Check{
		{Name: "disk above reserve", Probe: func(context.Context) error { return g.spool.Full() }},
		{Name: "spool can be written", Every: probeEvery, Probe: func(context.Context) error { return g.spool.Probe() }},
		{Name: "ledger can be written", Told: true, Every: probeEvery, Probe: func(ctx context.Context) error { return g.ledger.KeepClock(ctx, g.clock.Mark()) }},
		{Name: "room for an association", Probe: func(context.Context) error { return g.scp.Room() }},
		{Name: "an association is answered", Every: probeEvery, Probe: func(ctx context.Context) error { return g.scp.AssociateItself(ctx, g.scpAddr, false) }},
		{Name: "ledger follows the spool", Advisory: true, Probe: func(context.Context) error { return g.current().follower.Err() }},
		{Name: "all that was received is taken in", Advisory: true, Probe: g.takenIn},
		{Name: "ledger sound", Told: true, Probe: func(context.Context) error { return g.ledger.Trouble() }},
		{Name: "ledger looked at since the start", Advisory: true, Told: true, Probe: g.lookedAt},
		{Name: "ledger readable", Probe: func(ctx context.Context) error { _, err := g.ledger.Position(ctx); return err }},
		{Name: "clock", Advisory: true, Told: true, Probe: g.time.check},
		{Name: "a draft of every examination", Advisory: true, Probe: g.drafted},
		{Name: "decoders installed", Advisory: true, Probe: func(context.Context) error { return g.current().decoding().Missing() }},
		{Name: "an encoder for heatmap clips", Advisory: true, Probe: func(context.Context) error { return g.current().noEncoder }},
		{Name: "a worker for every model", Advisory: true, Probe: g.served},
		{Name: "JetStream up", Advisory: true, Probe: func(ctx context.Context) error {
			models := g.current().models
			for name := range models.models {
				if _, err := g.queue.Lag(ctx, models.queue(name)); err != nil {
					return err
				}
			}
			return g.queue.Refused()
		}},
		{Name: "destinations answer", Advisory: true, Told: true, Probe: g.reachable},
		{Name: "certificates are valid", Advisory: true, Every: probeEvery, Probe: g.certified},
		{Name: "log can be written", Advisory: true, Probe: func(context.Context) error { return failure.Unwritten(g.log.Handler()) }},
		{Name: "fonts installed", Advisory: true, Probe: func(context.Context) error { return g.current().noWideFont }},
	}
	if g.scpTLSAddr != nil {
		checks = append(checks, admin.Check{Name: "an association over TLS is answered", Every: probeEvery, Probe: func(ctx context.Context) error { return g.scp.AssociateItself(ctx, g.scpTLSAddr, true) }})
	}
	if g.messages != nil {
		checks = append(checks, admin.Check{Name: "HL7 listener has room", Advisory: true, Probe: g.roomForMessages})
	}
	return checks
}

// takenIn is an error while there are spool entries that could not be taken in: of each the log has said why.
func (g *parts) takenIn(ctx context.Context) error {
	refused, err := g.ledger.Refused(ctx)
	if err != nil || len(refused) == 0 {
		return err
	}
	first, _ := spool.Came(refused[0])
	last, _ := spool.Came(refused[len(refused)-1])
	return fmt.Errorf("%d entries of the spool cannot be read or taken in, which came from %s to %s: restore the segments and files that the log names, and they are taken in; "+
		"or send the instances of that time again, and have the gateway forget the entries with: endogate ledger dismiss",
		len(refused), first.Format(time.RFC3339), last.Format(time.RFC3339))
}

// reachable is an error while a destination is down: what is for it waits.
func (g *parts) reachable(context.Context) (err error) {
	is := g.current()
	for _, d := range is.cfg.Destinations {
		if c, ok := is.outbox.Condition(d.Name); ok && !c.Up {
			err = errors.Join(err, fmt.Errorf("%s is down since %s: %s", d.Name, c.Since.UTC().Format(time.RFC3339), c.Reason))
		}
	}
	return err
}

// Decoding says how frames are decoded by a configuration.
func Decoding(cfg configs.Config) pixeldata.Options {
	d := cfg.Decode
	return pixeldata.Options{FFmpeg: cfg.FFmpeg, Bounds: pixeldata.Bounds{Pixels: d.Pixels, Scans: d.Scans, CPU: d.CPU.Std(), Memory: int64(d.Memory)}}
}

// served is an error where nobody has a model that jobs may be for: they wait until somebody has.
func (g *parts) served(ctx context.Context) error {
	missing, err := g.unserved(ctx)
	for _, m := range missing {
		err = errors.Join(err, fmt.Errorf("no worker has model %s", m))
	}
	return err
}

// unserved are the models that no worker has, here or elsewhere.
func (g *parts) unserved(ctx context.Context) ([]jobs.Model, error) {
	is := g.current()
	if is.cfg.Jobs.Workers > 0 || len(is.models.models) == 0 {
		return nil, nil // the worker in this process has them all
	}
	return g.queue.Unserved(ctx, is.models.queues())
}

func (g *parts) unservedNames(ctx context.Context) (names []string, err error) {
	missing, err := g.unserved(ctx)
	for _, m := range missing {
		names = append(names, m.Name)
	}
	return names, err
}
