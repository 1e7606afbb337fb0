package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/dicomweb"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/hl7/mllp"
	"endogate/hl7/orders"
	"endogate/inference"
	"endogate/inference/jobs"
	"endogate/reports"
	"endogate/reports/desk"
	"endogate/reports/outbox"
	"endogate/reports/results"
	"endogate/reports/secondlook"
)

// generation is what is made of one configuration: the parts between stores and listeners, which go on from one to the next. Nothing of
// it is changed once it is in force; [parts.current] is the one that is. A reload ends its loops, whose work is durable at every step, and
// begins those of its successor, as a restart would.
type generation struct {
	*parts
	cfg        configs.Config
	configured []configs.Setting      // where cfg is from
	settings   []configs.Setting      // the same, with what persons have put in the place of it
	ended      []ledger.BundleVersion // that a person had chosen, and the configuration has changed since
	by         ledger.Actor           // who asked for it; nobody: the configuration says so

	models   *Models
	builder  *reports.Builder
	exams    *reports.Assembler
	desk     *desk.Desk
	looker   *secondlook.Looker
	pages    Pages
	keeper   *results.Keeper
	outbox   *outbox.Outbox
	follower *intake.Follower
	reclaim  *intake.Reclaimer
	workshop *results.Workshop
	receiver *orders.Receiver // of messages that come, and of those that are kept
	networks looked

	admits dicomnode.Policy // for associations
	hears  mllp.Policy      // for messages
	web    http.Handler     // of DICOMweb
	shows  admin.Settings   // on the page, and by the API
	// noWideFont is why reports with Chinese, Japanese or Korean cannot be drawn; nil: they can.
	noWideFont error
	// noEncoder is why heatmap clips are not the videos that a route wants; nil: they are, or none wants them.
	noEncoder error

	loops sync.WaitGroup
	end   context.CancelFunc // of the loops; nil: they were not begun
}

// prepare makes a generation, with all that a start needs of its configuration: what of that is wrong is an error, and nothing has
// changed. What it shares with another one, which may be nil, is not loaded again.
func (g *parts) prepare(ctx context.Context, r read, beside *generation) (*generation, error) {
	n := &generation{parts: g, cfg: r.cfg, configured: r.settings, networks: looked{all: map[string]admin.Network{}}}
	var loaded *Models
	if beside != nil {
		loaded = beside.models
	}
	var err error
	if n.models, err = openModels(ctx, r.cfg, r.choices, loaded); err != nil {
		return nil, err
	}
	n.settings, n.ended = n.models.shown(r.settings), n.models.passedOver(r.choices)
	if err := n.assemble(ctx); err != nil {
		return nil, errors.Join(err, n.models.closeBeside(loaded))
	}
	return n, nil
}

func (g *generation) assemble(ctx context.Context) error {
	if err := g.decoding().Missing(); err != nil {
		g.log.Warn("instances with such pixels are not analysed here", "err", err)
	}
	if g.noEncoder = encodes(ctx, g.cfg); g.noEncoder != nil {
		g.log.Warn("heatmap clips are no videos here, and what their route has for that case (clip_else)", "err", g.noEncoder)
	}
	g.keeper = &results.Keeper{Spool: g.spool, Decode: g.decoding(), Now: g.now}
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
	if g.admits, err = g.associationPolicy(); err != nil {
		return err
	}
	g.hears = g.messagePolicy()
	g.web = &dicomweb.Server{
		Ledger: g.ledger, Spool: g.spool, Decode: g.decoding(), Moving: g.clips.video, Secure: g.start.HTTP.TLS.CertFile != "" || g.start.HTTP.BehindTLS, Log: g.log,
		Storage: dicomweb.Storage{
			Handler: g.takes(), Contexts: g.admits.Contexts, CalledAE: g.start.DICOM.AETitle, Admit: g.admit,
			Stored: func(s dimse.Status) { g.metrics.Stored(uint16(s)) },
		},
	}
	g.shows = admin.Settings{
		Models: g.models.views(), Palette: palette(colours, g.cfg.Reports.Opacity), Viewer: g.cfg.Reports.Viewer, UnauthenticatedSign: g.cfg.Reports.UnauthenticatedSign,
	}
	return nil
}

// takeUp has the ledger go by this generation's configuration: it parks what is to go to a destination, or was for a model, that is configured no more and
// puts back what is for one that is there again, takes what the spool has into the ledger, and offers again what can be analysed by now.
func (g *generation) takeUp(ctx context.Context) error {
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
	if !isClosed(g.sound) {
		g.reclaim.Until = max(g.spool.Last(), 1) // a ledger that nobody has looked at does not say what may go: later, and no more than that
	}
	orphans, err := g.ledger.ParkOrphans(ctx, g.models.Names(), g.now())
	if err != nil {
		return err
	}
	if orphans > 0 {
		g.log.Warn("models have changed: jobs of those that are gone are parked, and offered again when they are there again", "parked", orphans)
	}
	if err := g.takeUpLeftOut(ctx); err != nil {
		return err
	}
	return g.keepVersions(ctx) // at last: what cannot take over was never in force
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tidySpool does what the start has left for when the ledger was looked at.
func (g *generation) tidySpool(ctx context.Context) error {
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

// begin begins the loops.
func (g *generation) begin() {
	ctx, end := context.WithCancel(g.life.running)
	g.end = end
	loop := func(name string, run func(context.Context) error) {
		g.loops.Add(1)
		g.life.loop(name, func(context.Context) error {
			defer g.loops.Done()
			if err := run(ctx); ctx.Err() == nil {
				return err
			}
			return nil
		})
	}
	loop("ledger", g.follower.Run)
	if !isClosed(g.tidy) {
		loop("tidy", after(g.sound, g.tidySpool))
	}
	loop("duplicates", after(g.tidy, g.follower.RunSpares))
	loop("spool", after(g.tidy, g.reclaim.Run))
	loop("feed", func(ctx context.Context) error {
		return g.queue.Feed(ctx, jobs.Feed{
			Lines: g.lines, Open: g.openJobs, Wake: g.wakeFeed, Again: g.again, Models: g.models.queues(), AckWait: g.cfg.Jobs.AckWait.Std(),
		})
	})
	elsewhere := g.cfg.NATS.URL != ""
	if elsewhere {
		loop("results", func(ctx context.Context) error {
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
		loop("worker", func(ctx context.Context) error { return g.queue.Work(ctx, consumer) })
	}
	loop("exams", g.exams.Run)
	loop("desk", g.desk.Run)
	loop("second look", g.looker.Run)
	loop("screening", g.screen)
	loop("outbox", g.outbox.Run)
}

// retire ends the loops, and returns when they have ended: what is under way in them is finished, or given back, within the drain.
func (g *generation) retire() {
	g.end()
	g.loops.Wait()
}

// lanes of the priorities that go before others.
var lanes = map[ledger.Priority]jobs.Lane{ledger.Stat: jobs.Stat, ledger.High: jobs.High}

// lineAgain is that of the jobs that are done once more.
const lineAgain = "again"

// lines are where open jobs wait for their turn.
func (g *generation) lines(ctx context.Context) (map[string]int64, error) {
	open, err := g.ledger.Lines(ctx)
	all := map[string]int64{lineAgain: 1} // they are looked at when all are
	for _, l := range open {
		all[l.Name] = l.Newest
	}
	return all, err
}

func (g *generation) openJobs(ctx context.Context, line, after string, limit int) ([]jobs.Job, error) {
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

func (g *generation) do(ctx context.Context, j jobs.Job) error {
	return g.counted(j, g.workshop.Do(ctx, j.ID))
}

// counted counts a job's failure; the workshop tells of its end.
func (g *generation) counted(j jobs.Job, err error) error {
	if err != nil {
		g.metrics.Job(j.Model.Name, "failed")
	}
	return err
}

func (g *generation) parkJob(ctx context.Context, j jobs.Job, reason string) error {
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
func (g *generation) wakeWork() {
	select {
	case g.wakeFeed <- struct{}{}:
	default: // it is about to look
	}
	g.exams.Wake()
}

// wakeAgain has the feed look at all open jobs.
func (g *generation) wakeAgain() {
	select {
	case g.again <- struct{}{}:
	default: // it is about to look
	}
	g.exams.Wake()
	g.desk.Wake()
}

func (g *generation) wakeOutbox() {
	for _, d := range g.cfg.Destinations {
		g.outbox.Wake(d.Name)
	}
}

// decoding says how pixel data is decoded.
func (g *generation) decoding() pixeldata.Options {
	o := Decoding(g.cfg)
	o.Scratch, o.Room = g.start.DataDir, g.spool.Exhausted
	return o
}

// associationPolicy is what those are held to who ask for an association.
func (g *generation) associationPolicy() (p dicomnode.Policy, err error) {
	d := g.cfg.DICOM
	p = dicomnode.Policy{
		RequireTLS: d.TLS.Listen != "", MaxAssociations: d.MaxAssociations, MaxPerPeer: d.MaxPerPeer, MaxPDULength: uint32(d.MaxPDULength),
		ARTIM: d.ARTIM.Std(), IdleTimeout: d.IdleTimeout.Std(), PDUTimeout: d.PDUTimeout.Std(),
	}
	if p.Contexts, err = AcceptedContexts(d.SOPClasses); err != nil {
		return p, err
	}
	who := newIdentities(g.now)
	for i, one := range d.Peers {
		identity, err := who.policy(one)
		if err != nil {
			return p, fmt.Errorf("dicom.peers[%d].identity: %w", i, err)
		}
		peer := dicomnode.Peer{AETitle: one.AETitle, Names: one.Names, Clear: one.Clear, Identity: identity}
		for _, host := range one.Hosts {
			peer.Hosts = append(peer.Hosts, host.Prefix)
		}
		p.Peers = append(p.Peers, peer)
	}
	if len(p.Peers) == 0 {
		g.log.Warn("dicom.peers is empty: nobody may associate")
	}
	return p, nil
}

// messagePolicy is what those are held to who send messages.
func (g *generation) messagePolicy() mllp.Policy {
	h := g.cfg.HL7
	if h.Listen != "" && len(h.Senders) == 0 {
		g.log.Warn("hl7.senders is empty: nobody may send messages")
	}
	return mllp.Policy{
		Allow: g.receiver.Allow(), MaxConnections: h.MaxConnections, MaxPerHost: (h.MaxConnections + 1) / 2, // one host leaves room for others
		MaxSize: int(h.MaxMessage), IdleTimeout: h.IdleTimeout.Std(), ReadTimeout: h.ReadTimeout.Std(),
	}
}
