// Command endogate is the gateway and its tools: one binary.
//
// serve runs the gateway; [endogate/cmd/endogate/gateway.Run] is the picture of the system in construction order.
// The other commands speak to a gateway, a PACS or a model bundle by hand.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/ledger"
)

type cli struct {
	Config string `help:"Configuration file; without one, defaults and ENDOGATE_… variables hold." placeholder:"FILE" type:"path"`

	Serve       serveCmd       `cmd:"" help:"Run the gateway."`
	Work        workCmd        `cmd:"" help:"Do jobs of gateways on other machines: needs their NATS and the model bundles."`
	Send        sendCmd        `cmd:"" help:"Send DICOM files to an application entity (C-STORE)."`
	Echo        echoCmd        `cmd:"" help:"Ask an application entity whether it answers (C-ECHO)."`
	Archive     archiveCmd     `cmd:"" help:"Run a storage SCP that writes files: a stand-in PACS."`
	HL7         hl7Cmd         `cmd:"" name:"hl7" help:"Send, take and look at HL7 messages."`
	Explain     explainCmd     `cmd:"" help:"Classify and explain files without a gateway."`
	Watch       watchCmd       `cmd:"" help:"Analyse a live signal without DICOM: a V4L2 device, RTSP, or a file at its own speed."`
	Capture     captureCmd     `cmd:"" help:"Have a running gateway capture a frame of a live signal for an order."`
	Trace       traceCmd       `cmd:"" help:"Print where a study or instance is, by UID or accession number."`
	Ledger      ledgerCmd      `cmd:"" help:"Look after the gateway's ledger."`
	Backup      backupCmd      `cmd:"" help:"Back up the data folder, also while the gateway runs."`
	Patient     patientCmd     `cmd:"" help:"Remove a patient's data."`
	Model       modelCmd       `cmd:"" help:"Look at model bundles."`
	Parked      parkedCmd      `cmd:"" help:"Look at work that waits for a person, put it back or give it up; the gateway may run or not."`
	User        userCmd        `cmd:"" help:"Say who may sign in; the gateway may run or not."`
	Token       tokenCmd       `cmd:"" help:"Say which programs may ask, and what; the gateway may run or not."`
	Audit       auditCmd       `cmd:"" help:"Look at the audit trail."`
	Map         mapCmd         `cmd:"" help:"Make a map of a frame a Secondary Capture of its study, and send it to where results of the study go."`
	Retract     retractCmd     `cmd:"" help:"Take an AI result, or all results of a model version, back: reports and drafts say so."`
	Reviews     reviewsCmd     `cmd:"" help:"Look at findings of which a report of another system and a model say different things, and say who is right."`
	Screen      screenCmd      `cmd:"" help:"Have a running gateway take a second look at the studies that came in a span of time, behind all other work."`
	Templates   templatesCmd   `cmd:"" help:"Write the sections, phrases and terms of report drafts, to be edited."`
	Read        readCmd        `cmd:"" help:"Say which findings the text of a report states, denies, doubts or only speaks of."`
	Ontology    ontologyCmd    `cmd:"" help:"Write the words that reports are read with, to be edited."`
	Doctor      doctorCmd      `cmd:"" help:"Say what is missing or wrong on this machine, and how to mend it."`
	Demo        demoCmd        `cmd:"" help:"Run gateway and stand-in PACS on the sample instances and show what comes back."`
	Conformance conformanceCmd `cmd:"" help:"Print the DICOM conformance statement of the configuration."`
	Version     versionCmd     `cmd:"" help:"Print the version."`

	Status       statusCmd       `cmd:"" help:"Say how a running gateway fares: what went through, destinations, workers, certificates."`
	Find         findCmd         `cmd:"" help:"Find studies by UID, accession number, Patient ID or name."`
	Associations associationsCmd `cmd:"" help:"Look at what peers ask of a running gateway: what was negotiated, sent and answered."`
	Settings     settingsCmd     `cmd:"" help:"Print the configuration, and where each value is from."`
	Reload       reloadCmd       `cmd:"" help:"Have a running gateway read its configuration again."`
	Route        routeCmd        `cmd:"" help:"Try the routes of the configuration."`
}

// console is where a command writes for its user.
type console struct{ out, err io.Writer }

// whole is what is printed: who asked for it must not take for done what a full disk has cut off.
type whole struct {
	to  io.Writer
	err error // of the first write that failed
}

func (w *whole) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.err = cmp.Or(w.err, err)
	return n, err
}

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := execute(ctx, os.Args[1:], console{onTerminal(os.Stdout), onTerminal(os.Stderr)})
	stop()
	os.Exit(code)
}

// execute runs one command line and returns its exit status: 0 success, 1 failure, 2 usage.
func execute(ctx context.Context, args []string, tty console) (code int) {
	var c cli
	out := &whole{to: tty.out}
	tty.out = out
	if len(args) == 0 {
		args = []string{"--help"}
		defer func() { code = exitUsage }()
	}
	exited := false
	parser, err := kong.New(&c,
		kong.Name("endogate"),
		kong.Description("A gateway between endoscopy, neural networks and PACS. Not a medical device; every output is AI, not verified, until a person signs."),
		kong.Writers(tty.out, tty.err),
		kong.Exit(func(status int) { exited, code = true, status }),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(tty),
	)
	if err != nil {
		panic(err) // the command table itself is wrong
	}
	if args[0] == "help" {
		args = append(args[1:], "--help")
	}
	if slices.ContainsFunc(args, func(arg string) bool { return strings.TrimSpace(arg) == "" }) {
		fmt.Fprintln(tty.err, "endogate: an argument is empty, as where a variable of the shell is not set; leave it out, or say what is meant")
		return exitUsage
	}
	command, err := parser.Parse(args)
	if exited {
		return code // --help
	}
	if err != nil {
		fmt.Fprintf(tty.err, "endogate: %v; %s --help says how it is used\n", err, asked(err))
		return exitUsage
	}
	err = cmp.Or(command.Run(&c), out.err)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(tty.err, "endogate: %v\n", err)
		return exitUsage
	case errors.Is(err, syscall.EFBIG), ledger.IsFileTooLarge(err): // wherever it writes
		fmt.Fprintf(tty.err, "endogate: %v: files that this process writes may not be that large; raise the limit (ulimit -f, LimitFSIZE= of a systemd unit), or use a file system that takes larger ones\n", err)
		return exitFailure
	case err != nil:
		fmt.Fprintf(tty.err, "endogate: %v\n", err)
		return exitFailure
	}
	return 0
}

// asked is the command that a command line which does not parse began with.
func asked(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		for _, step := range slices.Backward(parse.Context.Path) {
			if step.Command != nil {
				return step.Command.FullPath()
			}
		}
	}
	return "endogate"
}

// usageError is a command line that parses but makes no sense.
type usageError string

func (e usageError) Error() string { return string(e) }

// load reads the configuration. Where it has faults, models and heatmaps that routes name and no bundle has are named with
// them.
func (c *cli) load() (configs.Config, error) {
	cfg, err := configs.Load(c.Config)
	if err != nil && len(cfg.Models) > 0 {
		err = errors.Join(err, configs.Locate(c.Config, errors.Join(gateway.CheckRoutes(cfg), gateway.CheckNotify(cfg))))
	}
	return cfg, err
}

// checkWorker is check for a worker alone.
func (c *cli) checkWorker() (configs.Worker, error) {
	cfg, err := configs.LoadWorker(c.Config)
	if err == nil {
		_, err = gateway.Bundles(cfg.Models)
		err = configs.Locate(c.Config, err)
	}
	return cfg, err
}

// check reads the configuration and holds it against the model bundles that it names: what serve needs, and doctor.
func (c *cli) check() (configs.Config, error) {
	cfg, err := c.load()
	if err == nil {
		err = configs.Locate(c.Config, errors.Join(gateway.CheckRoutes(cfg), gateway.CheckNotify(cfg)))
	}
	return cfg, err
}
