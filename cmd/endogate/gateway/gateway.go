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
	"slices"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomweb"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/secure"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/hl7/mllp"
	"endogate/hl7/orders"
	"endogate/inference"
	"endogate/inference/ask"
	"endogate/inference/jobs"
	"endogate/reports"
	"endogate/reports/desk"
	"endogate/reports/outbox"
	"endogate/reports/results"
	"endogate/reports/secondlook"
)

// Build says which release runs, and where its configuration is from.
type Build struct {
	Version, Commit string
	Config          string // path of the file; empty: none
}

// Run builds the gateway and serves until ctx is done or a part of it fails. It is the picture of the
// system, in construction order: stores, models, broker, work, edges.
func Run(ctx context.Context, cfg configs.Config, build Build, log *slog.Logger) error {
	return run(ctx, cfg, build, clock.System(), log)
}

func run(ctx context.Context, cfg configs.Config, build Build, by *clock.Clock, log *slog.Logger) (err error) {
	life := newLifecycle(ctx)
	g := &parts{cfg: cfg, build: build, log: log, clock: by, wakeFeed: make(chan struct{}, 1), again: make(chan struct{}, 1), sound: make(chan struct{}), tidy: make(chan struct{})}
	g.now, g.time = g.clock.Now, &timekeeper{parts: g}
	g.settings, _ = configs.Settings(build.Config) // cfg was read of it
	steps := []func(context.Context, *lifecycle) error{
		g.openStores,  // 1 what is durable
		g.openModels,  // 2 what work needs
		g.openBroker,  // 3
		g.assemble,    // 4 reports and their delivery
		g.catchUp,     // 5 what a stop or a crash left
		g.startLoops,  // 6 work
		g.listenDICOM, // 7 the edges last
		g.listenHL7,   // 8
		g.listenHTTP,  // 9
	}
	for _, step := range steps {
		if err := step(ctx, life); err != nil {
			return errors.Join(err, life.stop(cfg.Drain.Std()))
		}
	}
	log.Info("gateway is up", "version", build.Version, "ae_title", cfg.DICOM.AETitle, "dicom", g.scpAddr, "hl7", g.hl7Addr, "http", g.webAddr)
	err = life.wait(cfg.Drain.Std())
	log.Info("gateway has stopped")
	return err
}

// parts are the pieces of a running gateway.
type parts struct {
	cfg      configs.Config
	build    Build
	log      *slog.Logger
	clock    *clock.Clock
	now      func() time.Time // of clock
	time     *timekeeper
	wakeFeed chan struct{} // there are new jobs
	again    chan struct{} // jobs were opened again
	checkOn  bool          // all of the ledger is to be looked at
	sound    chan struct{} // closed when every page of the ledger was looked at
	tidy     chan struct{} // closed when spool and ledger were brought together after that

	ledger    *ledger.Ledger
	spool     *spool.Spool
	models    *Models
	queue     *jobs.Queue
	keeper    *results.Keeper
	builder   *reports.Builder
	exams     *reports.Assembler
	desk      *desk.Desk
	looker    *secondlook.Looker
	pages     Pages
	clips     clips
	outbox    *outbox.Outbox
	follower  *intake.Follower
	reclaim   *intake.Reclaimer
	workshop  *results.Workshop
	metrics   *admin.Metrics
	trail     *audit.Log
	heard     associations
	settings  []configs.Setting
	shown     shownConfiguration
	transfers *transfers

	scp *dicomnode.Server
	// noWideFont is why reports with Chinese, Japanese or Korean cannot be drawn; nil: they can.
	noWideFont error
	messages   *mllp.Server     // nil: hl7.listen is empty
	receiver   *orders.Receiver // of these, and of those that are kept

	scpAddr, scpTLSAddr, hl7Addr, webAddr net.Addr // scpTLSAddr is nil where dicom.tls.listen is empty
}

func (g *parts) openStores(ctx context.Context, life *lifecycle) (err error) {
	if err := os.MkdirAll(g.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w; make it or set data_dir", err)
	}
	for _, why := range Exposed(g.cfg) {
		g.log.Warn("a file is not private", "reason", why)
	}
	_, missing := os.Stat(g.cfg.LedgerFile())
	g.spool, err = openSpool(g.cfg, func() (uint64, error) { // the folder is ours: a ledger of an older release is brought up to date
		if g.ledger, err = ledger.Open(g.cfg.LedgerFile()); err != nil {
			return 0, err
		}
		life.closes(g.ledger.Close)
		return g.ledger.Newest(ctx)
	})
	if err != nil {
		return err
	}
	life.closes(g.spool.Close)
	if err := removeLedger(compacting(g.cfg)); err != nil { // of a compaction that was killed
		return err
	}
	recovered := g.spool.Recovered()
	g.log.Info("spool is open", "entries", recovered.Entries, "torn_bytes", recovered.TornBytes, "removed", recovered.Removed)
	for _, place := range recovered.Damaged {
		g.log.Error("spool is damaged: restore the segment from a backup or send its instances again; what was set aside in damaged/ can be removed then", "place", place)
	}
	if err := g.openAudit(ctx, life); err != nil {
		return err
	}
	if errors.Is(missing, fs.ErrNotExist) {
		if err := g.restore(life); err != nil {
			return err
		}
	}
	if err := g.soundAtStart(ctx); err != nil {
		return err
	}
	if g.ledger, err = paired(ctx, g.cfg, g.ledger, g.spool, g.log, life.closes); err != nil {
		return err
	}
	done, err := g.ledger.Keep(ctx, intake.Journal{Spool: g.spool, Now: g.now, Log: g.log})
	if err != nil {
		return err
	}
	if done > 0 {
		g.log.Info("ledger has caught up with what the spool says was done", "actions", done)
	}
	g.keeper = &results.Keeper{Spool: g.spool, Decode: g.decoding(), Now: g.now}
	g.metrics = admin.NewMetrics(g.version(), g.gauges)
	g.metrics.Certificates(func() map[string]time.Time { return expiries(g.cfg) })
	return nil
}

// restore begins a ledger that is lost with the last checkpoint, where there is one.
func (g *parts) restore(life *lifecycle) (err error) {
	if err := errors.Join(g.ledger.Close(), removeLedger(g.cfg.LedgerFile())); err != nil {
		return err
	}
	if err := restore(g.cfg.LedgerFile(), intake.Journal{Spool: g.spool, Now: g.now, Log: g.log}); err != nil {
		return err
	}
	if g.ledger, err = ledger.Open(g.cfg.LedgerFile()); err == nil {
		life.closes(g.ledger.Close)
	}
	return err
}

func (g *parts) openModels(ctx context.Context, life *lifecycle) (err error) {
	if g.models, err = OpenModels(ctx, g.cfg); err != nil {
		return err
	}
	life.closes(g.models.Close)
	return nil
}

func (g *parts) openBroker(_ context.Context, life *lifecycle) (err error) {
	node, err := nodeID(g.cfg.DataDir)
	if err != nil {
		return err
	}
	if g.cfg.NATS.URL == "" {
		// The ledger has every open job. One that the last process had begun would else wait for its ack_wait.
		if err := os.RemoveAll(g.cfg.NATSDir()); err != nil {
			return err
		}
	}
	broker := Broker(g.cfg.NATS, g.log)
	broker.Node, broker.StoreDir = node, g.cfg.NATSDir()
	if g.queue, err = jobs.Open(broker); err != nil {
		return err
	}
	life.closes(func() error { g.queue.Close(); return nil })
	return nil
}

func (g *parts) assemble(ctx context.Context, life *lifecycle) error {
	if err := g.decoding().Missing(); err != nil {
		g.log.Warn("instances with such pixels are not analysed here", "err", err)
	}
	if err := g.encodes(ctx); err != nil {
		g.log.Warn("heatmap clips are no videos here, and what their route has for that case (clip_else)", "err", err)
	}
	colours, err := explain.NamedColourMap(g.cfg.Reports.ColourMap)
	if err != nil {
		return err
	}
	if g.builder, err = NewBuilder(g.cfg, g.build); err != nil {
		return err
	}
	senders, err := Senders(g.cfg, g.spool, g.ledger.PatientOf, notices{writer: g.noticeWriter(), of: g.ledger.Notice})
	if err != nil {
		return err
	}
	if err := g.openTransfers(ctx, life); err != nil {
		return err
	}
	for _, d := range g.cfg.Destinations {
		if sender, ok := senders[d.Name].(*outbox.DICOM); ok {
			g.transfers.hears(d, sender)
		}
	}
	g.outbox = &outbox.Outbox{
		Handed: func(ctx context.Context, destination string, d ledger.Delivery, fate outbox.Fate) {
			g.transfers.handed(ctx, destination, d, fate)
			g.timeNotice(ctx, d, fate)
		},
		Queue: g.ledger, Senders: senders, Drain: g.cfg.Drain.Std() / 6, Timeout: g.cfg.Delivery.Timeout.Std(), Log: g.log, Now: g.now,
		Backoff: outbox.Backoff{First: g.cfg.Delivery.MinBackoff.Std(), Last: g.cfg.Delivery.MaxBackoff.Std(), Dead: g.cfg.Delivery.GiveUp.Std()},
		Lost: func(ctx context.Context, entry string) error {
			defer g.wakeAgain()
			return g.ledger.ParkLost(ctx, []string{entry}, g.now())
		},
		Sent: func(destination string, fate outbox.Fate, _ time.Duration) {
			g.metrics.Delivery(destination, string(fate))
			for _, other := range waitsForOthers(g.cfg.Destinations) { // what is there now, something else may have waited for
				if other != destination && fate != outbox.FateDeferred && fate != outbox.FateDown {
					g.outbox.Wake(other)
				}
			}
		},
	}
	g.exams = &reports.Assembler{
		Builder: g.builder, Exams: g.ledger, Open: g.keeper.Source, Keep: g.keeper.Keep, Algorithm: g.models.algorithm,
		Quiet: g.cfg.Exam.Quiet.Std(), MaxWait: g.cfg.Exam.MaxWait.Std(), Log: g.log, Now: g.now,
		Rejects: g.rejects,
		Finished: func(ledger.Exam, error) {
			g.wakeOutbox()
			g.desk.Wake()
		},
	}
	if err := g.openSecondLook(); err != nil {
		return err
	}
	if err := g.openReceiver(); err != nil {
		return err
	}
	if err := g.openDesk(); err != nil {
		return err
	}
	if err := g.openPages(); err != nil {
		return err
	}
	publisher, err := g.newPublisher()
	if err != nil {
		return err
	}
	g.desk.Publisher = publisher
	g.workshop = &results.Workshop{
		Wishes: g.models.wanted(), Clips: clipping(g.cfg), Prepare: g.models.byName(), Pictures: results.NewPictures(picturesKept),
		Ledger: g.ledger, Keeper: g.keeper, Builder: g.builder, Algorithms: g.models.algorithms,
		Colours: colours, Opacity: g.cfg.Reports.Opacity, MaxAttempts: g.cfg.Jobs.MaxDeliver, Now: g.now, Log: g.log,
		Finished: func(j ledger.Job, skipped bool) {
			outcome := "done"
			if skipped {
				outcome = "skipped"
			} else if !j.Bulk {
				g.metrics.Result(j.Route, g.now().Sub(j.ReceivedAt))
			}
			g.metrics.Job(j.Model, outcome)
			g.wakeOutbox()
			g.exams.Wake()
		},
	}
	if g.cfg.Jobs.Workers > 0 {
		g.workshop.Worker = &inference.Worker{Models: g.models.models, Observe: g.metrics.Inference, Limit: g.cfg.Jobs.Limit.Std(), PerFrame: g.cfg.Jobs.PerFrame.Std(), Log: g.log}
	}
	g.follower = &intake.Follower{Spool: g.spool, Ledger: g.ledger, Router: g.models.router(g.cfg), Jobs: g.wakeWork, Deliveries: g.wakeOutbox, Again: g.wakeAgain, Heard: g.transfers.heard, Log: g.log}
	g.reclaim = &intake.Reclaimer{Spool: g.spool, Ledger: g.ledger, Retention: g.cfg.Spool.Retention.Std(), Messages: g.cfg.HL7.Retention.Std(), History: g.cfg.Ledger.History.Std(), Now: g.now, Proven: g.clock.Proven, Spare: g.follower.Spare, Log: g.log}
	return nil
}

// catchUp parks what is to go to a destination that is configured no more, takes what the spool has into
// the ledger, and releases what no row speaks of.
func (g *parts) catchUp(ctx context.Context, _ *lifecycle) error {
	var configured []string
	for _, d := range g.cfg.Destinations {
		configured = append(configured, d.Name)
	}
	parked, back, err := g.ledger.ReconcileDestinations(ctx, configured, g.now())
	if err != nil {
		return err
	}
	if parked+back > 0 {
		g.log.Warn("destinations have changed: deliveries to those that are gone are parked", "parked", parked, "put_back", back)
	}
	if err := g.ledger.SetNotify(ctx, Notify(g.cfg), g.now()); err != nil {
		return err
	}
	if err := g.keepReporters(ctx); err != nil {
		return err
	}
	if err := g.follower.CatchUp(ctx); err != nil {
		return err
	}
	if err := g.takeUpLeftOut(ctx); err != nil {
		return err
	}
	if err := g.time.resume(ctx); err != nil {
		return err
	}
	if g.checkOn {
		g.reclaim.Until = max(g.spool.Last(), 1) // a ledger that nobody has looked at does not say what may go: later, and no more than that
		return nil
	}
	close(g.tidy)
	return g.reclaim.Orphans(ctx)
}

// tidySpool does what catchUp has left for when the ledger was looked at.
func (g *parts) tidySpool(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		err := g.reclaim.Orphans(ctx)
		if err == nil {
			close(g.tidy)
			return nil
		}
		if ctx.Err() == nil && !ledger.IsTrouble(err) {
			g.log.Error("spool and ledger are not brought together: trying again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// after is a loop that is not begun before something is done.
func after(done <-chan struct{}, loop func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-done:
			return loop(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *parts) startLoops(_ context.Context, life *lifecycle) error {
	life.loop("clock", g.time.run)
	life.loop("transfers", g.transfers.run)
	life.loop("ledger", g.follower.Run)
	life.loop("watch", g.watchLedger)
	life.loop("check", g.checkLedgers)
	if g.reclaim.Until > 0 {
		life.loop("tidy", after(g.sound, g.tidySpool))
	}
	life.loop("duplicates", after(g.tidy, g.follower.RunSpares))
	life.loop("spool", after(g.tidy, g.reclaim.Run))
	life.loop("feed", func(ctx context.Context) error {
		return g.queue.Feed(ctx, jobs.Feed{
			Lines: g.lines, Open: g.openJobs, Wake: g.wakeFeed, Again: g.again, Models: g.models.queues(), AckWait: g.cfg.Jobs.AckWait.Std(),
		})
	})
	elsewhere := g.cfg.NATS.URL != ""
	if elsewhere {
		life.loop("results", func(ctx context.Context) error {
			defer g.workshop.Wait()
			return g.queue.Own(ctx, g.owner())
		})
	}
	if len(g.models.models) > 0 && g.cfg.Jobs.Workers > 0 {
		consumer := jobs.Consumer{
			Models: g.models.queues(), Slots: g.cfg.Jobs.Workers, Do: g.do, Park: g.parkJob, Ready: func() error { return cmp.Or(g.spool.Exhausted(), g.ledger.Trouble()) },
			AckWait: g.cfg.Jobs.AckWait.Std(), Drain: g.cfg.Drain.Std() / 3,
		}
		if elsewhere {
			decode := g.decoding()
			consumer.Remote, consumer.Prepares, consumer.Videos = remote(g.workshop.Worker, decode), g.models.prepares, decode.Missing() == nil
		}
		life.loop("worker", func(ctx context.Context) error { return g.queue.Work(ctx, consumer) })
	}
	life.loop("exams", g.exams.Run)
	life.loop("desk", g.desk.Run)
	life.loop("second look", g.looker.Run)
	life.loop("screening", g.screen)
	life.loop("outbox", g.outbox.Run)
	return nil
}

// lanes of the priorities that go before others.
var lanes = map[ledger.Priority]jobs.Lane{ledger.Stat: jobs.Stat, ledger.High: jobs.High}

// lineAgain is that of the jobs that are done once more.
const lineAgain = "again"

// lines are where open jobs wait for their turn.
func (g *parts) lines(ctx context.Context) (map[string]int64, error) {
	open, err := g.ledger.Lines(ctx)
	all := map[string]int64{lineAgain: 1} // they are looked at when all are
	for _, l := range open {
		all[l.Name] = l.Newest
	}
	return all, err
}

func (g *parts) openJobs(ctx context.Context, line, after string, limit int) ([]jobs.Job, error) {
	var open []ledger.Job
	var err error
	if line == lineAgain {
		open, err = g.ledger.JobsAgain(ctx, after, limit)
	} else {
		open, err = g.ledger.JobsInLine(ctx, line, after, limit)
	}
	references := make([]jobs.Job, 0, len(open))
	for _, j := range open {
		lane := lanes[j.Priority]
		if j.Bulk {
			lane = jobs.Bulk
		}
		references = append(references, jobs.Job{ID: j.ID, Model: g.models.queue(j.Model), Lane: lane, Size: j.Size})
	}
	return references, err
}

func (g *parts) do(ctx context.Context, j jobs.Job) error {
	return g.counted(j, g.workshop.Do(ctx, j.ID))
}

// counted counts a job's failure; the workshop tells of its end.
func (g *parts) counted(j jobs.Job, err error) error {
	if err != nil {
		g.metrics.Job(j.Model.Name, "failed")
	}
	return err
}

func (g *parts) parkJob(ctx context.Context, j jobs.Job, reason string) error {
	err := g.ledger.ParkJob(ctx, j.ID, reason, g.now())
	switch {
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrState):
		return nil // of a data folder that is gone, or ended by another worker
	case err != nil:
		return err
	}
	g.log.Error("job parked", "job", j.ID, "why", reason)
	g.exams.Wake()
	return nil
}

// wakeWork has the feed look for new jobs, and the assembler for exams that need none.
func (g *parts) wakeWork() {
	select {
	case g.wakeFeed <- struct{}{}:
	default: // it is about to look
	}
	g.exams.Wake()
}

// wakeAgain has the feed look at all open jobs.
func (g *parts) wakeAgain() {
	select {
	case g.again <- struct{}{}:
	default: // it is about to look
	}
	g.exams.Wake()
	g.desk.Wake()
}

func (g *parts) wakeOutbox() {
	for _, d := range g.cfg.Destinations {
		g.outbox.Wake(d.Name)
	}
}

func (g *parts) listenDICOM(_ context.Context, life *lifecycle) error {
	contexts, err := AcceptedContexts(g.cfg.DICOM.SOPClasses)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", g.cfg.DICOM.Listen)
	if err != nil {
		return fmt.Errorf("dicom.listen: %w", err)
	}
	g.scpAddr = ln.Addr()
	var peers []dicomnode.Peer
	who := newIdentities(g.now)
	for i, p := range g.cfg.DICOM.Peers {
		policy, err := who.policy(p)
		if err != nil {
			return fmt.Errorf("dicom.peers[%d].identity: %w", i, err)
		}
		peer := dicomnode.Peer{AETitle: p.AETitle, Names: p.Names, Clear: p.Clear, Identity: policy}
		for _, host := range p.Hosts {
			peer.Hosts = append(peer.Hosts, host.Prefix)
		}
		peers = append(peers, peer)
	}
	if len(peers) == 0 {
		g.log.Warn("dicom.peers is empty: nobody may associate")
	}
	d := g.cfg.DICOM
	g.scp = &dicomnode.Server{
		AETitle: d.AETitle, Contexts: contexts, Peers: peers, RequireTLS: d.TLS.Listen != "", Admit: g.admit,
		Handler:         g.takes(),
		MaxAssociations: d.MaxAssociations, MaxPerPeer: d.MaxPerPeer, MaxPDULength: uint32(d.MaxPDULength),
		ARTIM: d.ARTIM.Std(), IdleTimeout: d.IdleTimeout.Std(), PDUTimeout: d.PDUTimeout.Std(), Log: g.log,
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
	return slices.ContainsFunc(g.cfg.DICOM.Peers, func(p configs.Peer) bool {
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
	if g.cfg.HTTP.Remote() && !g.cfg.SignInRequired() {
		g.log.Warn("http.listen is reachable from other machines and nobody has to sign in: whoever reaches it sees patient data; set auth.required", "listen", g.cfg.HTTP.Listen)
	}
	secured, err := pageTLS(g.cfg.HTTP.TLS, g.unreadable("http.tls"))
	if err != nil {
		return err
	}
	in, err := g.signIn()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", g.cfg.HTTP.Listen)
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
	contexts, err := AcceptedContexts(g.cfg.DICOM.SOPClasses)
	if err != nil {
		return err
	}
	storage := dicomweb.Storage{
		Handler: g.takes(), Contexts: contexts, CalledAE: g.cfg.DICOM.AETitle, Admit: g.admit,
		Stored: func(s dimse.Status) { g.metrics.Stored(uint16(s)) },
	}
	views := &views{
		ledger: g.ledger, spool: g.spool, destinations: g.cfg.Destinations, callingAE: g.cfg.DICOM.AETitle, decode: g.decoding(), clips: &g.clips, timelines: g.timelines(), byPhysician: g.cfg.Reading.ByPhysician,
		expiries: func() map[string]time.Time { return expiries(g.cfg) },
		now:      g.now, jobs: g.wakeAgain, try: g.outbox.Retry, condition: g.outbox.Condition,
	}
	questions := explanations{views, g.models, &ask.Painter{Colours: g.workshop.Colours, Opacity: g.cfg.Reports.Opacity}, &looked{all: map[string]admin.Network{}}}
	signals, err := g.openSignals(ctx, life)
	if err != nil {
		return err
	}
	web := &admin.Server{
		Live:     signals,
		Sender:   g.maySend,
		DICOMweb: &dicomweb.Server{Ledger: g.ledger, Spool: g.spool, Storage: storage, Decode: g.decoding(), Moving: g.clips.video, Secure: secured != nil || g.cfg.HTTP.BehindTLS, Log: g.log},
		Studies:  views, Queue: views, Destinations: views, Frames: views, Gauges: g.gauges,
		Explanations: questions,
		Models:       g.models.views(), Palette: palette(g.workshop.Colours, g.cfg.Reports.Opacity), Unserved: g.unservedNames,
		Operations: operations{g, questions},
		Orders:     views, Gate: views, Reviews: views, Screenings: views, Retractions: views, SignIn: in, Drafts: drafts{g.desk, g.ledger, g.page, g.now}, UnauthenticatedSign: g.cfg.Reports.UnauthenticatedSign, Checks: g.checks(), Metrics: g.metrics, Version: g.version(), Hosts: g.cfg.HTTP.Hosts, Origins: g.cfg.HTTP.Origins, Viewer: g.cfg.Reports.Viewer, Log: g.log,
	}
	life.loop("readiness", web.Watch)
	life.serve("http", func() error { return web.Serve(ln) }, web.Shutdown, http.ErrServerClosed)
	return nil
}

func (g *parts) version() admin.Version {
	return admin.Version{Version: g.build.Version, Commit: g.build.Commit, Go: runtime.Version(), AETitle: string(g.cfg.DICOM.AETitle), Started: g.now()}
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
		{Name: "ledger follows the spool", Advisory: true, Probe: func(context.Context) error { return g.follower.Err() }},
		{Name: "ledger sound", Told: true, Probe: func(context.Context) error { return g.ledger.Trouble() }},
		{Name: "ledger looked at since the start", Advisory: true, Told: true, Probe: g.lookedAt},
		{Name: "ledger readable", Probe: func(ctx context.Context) error { _, err := g.ledger.Position(ctx); return err }},
		{Name: "clock", Advisory: true, Told: true, Probe: g.time.check},
		{Name: "a draft of every examination", Advisory: true, Probe: g.drafted},
		{Name: "decoders installed", Advisory: true, Probe: func(context.Context) error { return g.decoding().Missing() }},
		{Name: "an encoder for heatmap clips", Advisory: true, Every: probeEvery, Probe: g.encodes},
		{Name: "a worker for every model", Advisory: true, Probe: g.served},
		{Name: "JetStream up", Advisory: true, Probe: func(ctx context.Context) error {
			for name := range g.models.models {
				if _, err := g.queue.Lag(ctx, g.models.queue(name)); err != nil {
					return err
				}
			}
			return g.queue.Refused()
		}},
		{Name: "destinations answer", Advisory: true, Told: true, Probe: g.reachable},
		{Name: "log can be written", Advisory: true, Probe: func(context.Context) error { return failure.Unwritten(g.log.Handler()) }},
		{Name: "fonts installed", Advisory: true, Probe: func(context.Context) error { return g.noWideFont }},
	}
	if g.scpTLSAddr != nil {
		checks = append(checks, admin.Check{Name: "an association over TLS is answered", Every: probeEvery, Probe: func(ctx context.Context) error { return g.scp.AssociateItself(ctx, g.scpTLSAddr, true) }})
	}
	if g.messages != nil {
		checks = append(checks, admin.Check{Name: "HL7 listener has room", Advisory: true, Probe: g.roomForMessages})
	}
	return checks
}

// reachable is an error while a destination is down: what is for it waits.
func (g *parts) reachable(context.Context) (err error) {
	for _, d := range g.cfg.Destinations {
		if c, ok := g.outbox.Condition(d.Name); ok && !c.Up {
			err = errors.Join(err, fmt.Errorf("%s is down since %s: %s", d.Name, c.Since.UTC().Format(time.RFC3339), c.Reason))
		}
	}
	return err
}

// decoding says how pixel data is decoded.
func (g *parts) decoding() pixeldata.Options {
	o := Decoding(g.cfg)
	o.Scratch, o.Room = g.cfg.DataDir, g.spool.Exhausted
	return o
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
	if g.cfg.Jobs.Workers > 0 || len(g.models.models) == 0 {
		return nil, nil // the worker in this process has them all
	}
	return g.queue.Unserved(ctx, g.models.queues())
}

func (g *parts) unservedNames(ctx context.Context) (names []string, err error) {
	missing, err := g.unserved(ctx)
	for _, m := range missing {
		names = append(names, m.Name)
	}
	return names, err
}
