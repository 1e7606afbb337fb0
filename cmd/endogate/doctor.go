package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata/video"
	"endogate/dicomnode/spool"
	"endogate/inference/jobs"
	"endogate/inference/onnx"
	"endogate/reports/pdf"
)

type doctorCmd struct {
	Timeout time.Duration `help:"Longest wait for a peer." default:"5s"`
	Worker  bool          `help:"The configuration is that of a worker alone (endogate work)."`
}

// check is one thing that a gateway needs. look returns what it found; its error says what to do.
type check struct {
	name string
	look func(context.Context) (found string, err error)
}

func (d doctorCmd) Run(ctx context.Context, c *cli, tty console) error {
	checks, err := d.load(c)
	if err != nil {
		return err // without a configuration there is nothing to hold the machine against
	}
	faults := 0
	for _, check := range checks {
		found, err := check.look(ctx)
		if err = configs.Locate(c.Config, err); err != nil {
			faults++
			fmt.Fprintf(tty.out, "FAULT  %-28s %v\n", check.name, err)
			continue
		}
		fmt.Fprintf(tty.out, "ok     %-28s %s\n", check.name, found)
	}
	if faults > 0 {
		return fmt.Errorf("doctor: to be mended: %d", faults)
	}
	return nil
}

func (d doctorCmd) load(c *cli) ([]check, error) {
	if d.Worker {
		cfg, err := c.checkWorker()
		return d.workerChecks(cfg), err
	}
	cfg, err := c.check()
	return d.checks(cfg), err
}

// workerChecks are what a worker alone needs.
func (d doctorCmd) workerChecks(w configs.Worker) []check {
	cfg := gateway.ConfigOf(w)
	return []check{
		{"ONNX Runtime", func(context.Context) (string, error) { return onnx.FindLibrary(cfg.ONNXRuntime.Library) }},
		{"ffmpeg", func(ctx context.Context) (string, error) { return findFFmpeg(ctx, cfg.FFmpeg) }},
		{"models", func(ctx context.Context) (string, error) { return tryModels(ctx, cfg) }},
		{"NATS", func(ctx context.Context) (string, error) { return d.tryNATSAsGuest(ctx, cfg) }},
	}
}

func (d doctorCmd) checks(cfg configs.Config) []check {
	checks := []check{
		{"configuration", func(context.Context) (string, error) { return describeConfig(cfg) }},
		{"ONNX Runtime", func(context.Context) (string, error) { return onnx.FindLibrary(cfg.ONNXRuntime.Library) }},
		{"ffmpeg", func(ctx context.Context) (string, error) { return findFFmpeg(ctx, cfg.FFmpeg) }},
		{"fonts", func(context.Context) (string, error) { return findFonts(cfg.Reports.Font) }},
		{"data folder", func(context.Context) (string, error) { return checkDisk(cfg) }},
		{"private files", func(context.Context) (string, error) {
			return "none can be read or changed by everybody", errors.Join(gateway.Exposed(cfg)...)
		}},
		{"DICOM port", func(context.Context) (string, error) { return checkPort(cfg, cfg.DICOM.Listen) }},
		{"report templates", func(context.Context) (string, error) { return checkTemplates(cfg) }},
		{"words of reports", func(context.Context) (string, error) { return checkOntology(cfg) }},
		{"HTTP port", func(context.Context) (string, error) { return checkPort(cfg, cfg.HTTP.Listen) }},
	}
	if cfg.EncodesClips() {
		checks = append(checks, check{"H.264 encoder for clips", func(ctx context.Context) (string, error) {
			return "libx264", video.Encodes(ctx, cfg.FFmpeg)
		}})
	}
	if cfg.DICOM.TLS.Listen != "" {
		checks = append(checks, check{"DICOM port for TLS", func(context.Context) (string, error) { return checkPort(cfg, cfg.DICOM.TLS.Listen) }})
	}
	if cfg.Auth.OIDC.Issuer != "" {
		checks = append(checks, check{"provider of sign-ins", func(context.Context) (string, error) {
			return "its files can be read", gateway.CheckProvider(cfg.Auth.OIDC)
		}})
	}
	if asked, err := gateway.CheckIdentities(cfg); asked > 0 || err != nil {
		checks = append(checks, check{"identities of peers", func(context.Context) (string, error) { return fmt.Sprintf("asked of %d peers", asked), err }})
	}
	for _, c := range gateway.Certificates(cfg) {
		checks = append(checks, check{"certificate of " + c.Name, func(context.Context) (string, error) { return checkCertificate(c, time.Now()) }})
	}
	if cfg.HL7.Listen != "" {
		checks = append(checks,
			check{"HL7 port", func(context.Context) (string, error) { return checkPort(cfg, cfg.HL7.Listen) }},
			check{"HL7 senders", func(context.Context) (string, error) { return checkSenders(cfg.HL7) }})
	}
	if len(cfg.Models)+len(cfg.Routes)+len(cfg.Urgent) > 0 {
		checks = append(checks, check{"models and routes", func(ctx context.Context) (string, error) {
			choices, err := gateway.Chosen(ctx, cfg)
			if err != nil {
				return "", err
			}
			return tryModels(ctx, cfg, choices...)
		}})
	}
	if cfg.NATS.URL != "" {
		checks = append(checks, check{"NATS", func(ctx context.Context) (string, error) { return d.tryNATS(ctx, cfg) }})
	}
	for _, dest := range cfg.Destinations {
		checks = append(checks, check{"destination " + dest.Name, func(ctx context.Context) (string, error) {
			return d.echo(ctx, cfg.DICOM.AETitle, dest)
		}})
	}
	return checks
}

func describeConfig(cfg configs.Config) (string, error) {
	var faults []string
	if len(cfg.DICOM.Peers) == 0 {
		faults = append(faults, "dicom.peers is empty: nobody may send; list the modalities with their networks")
	}
	if len(cfg.Routes) == 0 {
		faults = append(faults, "routes is empty: nothing would be analysed; add a route from modality to model and destination")
	}
	if len(faults) > 0 {
		return "", errors.New(strings.Join(faults, "; "))
	}
	said := fmt.Sprintf("%d peers, %d models, %d routes, %d destinations", len(cfg.DICOM.Peers), len(cfg.Models), len(cfg.Routes), len(cfg.Destinations))
	if unused := cfg.Unused(); len(unused) > 0 {
		said += "; no route names " + strings.Join(unused, ", ") + ": nothing is sent there"
	}
	return said, nil
}

// checkTemplates loads what drafts are written with, as the gateway does.
func checkTemplates(cfg configs.Config) (string, error) {
	t, err := gateway.Templates(cfg)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s in %s", strings.Join(t.Names(), ", "), strings.Join(t.Languages(), ", ")), nil
}

// tryModels loads every model as the gateway does, with what persons have put in the place of some, and compiles what the routes want of them.
func tryModels(ctx context.Context, cfg configs.Config, choices ...ledger.BundleVersion) (string, error) {
	loaded, err := gateway.OpenModels(ctx, cfg, choices...)
	if err != nil {
		return "", err
	}
	said := strings.Join(loaded.Names(), ", ") + " loaded and tried"
	for _, c := range loaded.Choices() {
		said += fmt.Sprintf("; %s is %s in place of %s, which is configured: %s, %s", c.Name, c.Version, c.OverVersion, c.By, c.Since.Format(time.RFC3339))
	}
	return said, loaded.Close()
}

func (d doctorCmd) tryNATS(ctx context.Context, cfg configs.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	broker := gateway.Broker(cfg.NATS, slog.New(slog.DiscardHandler))
	broker.Node = "doctor"
	queue, err := jobs.Open(broker)
	if err != nil {
		return "", err
	}
	defer queue.Close()
	if err := queue.Check(ctx); err != nil {
		return "", err // it names the server, and says what to do
	}
	if cfg.Jobs.Workers > 0 {
		return cfg.NATS.URL + " answers", nil
	}
	choices, err := gateway.Chosen(ctx, cfg)
	if err != nil {
		return "", err
	}
	models, err := gateway.Queues(cfg, choices...)
	if err != nil {
		return "", err
	}
	missing, err := queue.Unserved(ctx, models)
	for _, m := range missing {
		err = errors.Join(err, fmt.Errorf("no worker has model %s: jobs for it wait; run endogate work with that bundle, or set jobs.workers", m))
	}
	return cfg.NATS.URL + " answers, and workers have every model", err
}

// tryNATSAsGuest asks no more of NATS than a worker may.
func (d doctorCmd) tryNATSAsGuest(ctx context.Context, cfg configs.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	models, err := gateway.Queues(cfg)
	if err != nil {
		return "", err
	}
	broker := gateway.Broker(cfg.NATS, slog.New(slog.DiscardHandler))
	broker.Guest = true
	queue, err := jobs.Open(broker)
	if err != nil {
		return "", err
	}
	defer queue.Close()
	waiting := 0
	for _, m := range models {
		lag, err := queue.Lag(ctx, m)
		if err != nil {
			return "", err
		}
		waiting += lag.Waiting
	}
	return fmt.Sprintf("%s answers, %d jobs wait on its stream", cfg.NATS.URL, waiting), nil
}

func findFFmpeg(ctx context.Context, name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		said, _ := exec.CommandContext(ctx, path, "-version").Output() // what it says tells whether it is one
		if !bytes.HasPrefix(said, []byte("ffmpeg version")) {
			err = fmt.Errorf("%s does not say that it is ffmpeg", path)
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w; install it (Debian: apt-get install ffmpeg), or JPEG 2000, JPEG-LS and lossless JPEG stay unanalysed", err)
	}
	return path, nil
}

// findFonts tries the fonts of PDF reports.
func findFonts(path string) (string, error) {
	fonts, err := pdf.OpenFonts(path)
	switch {
	case err != nil:
		return "", err
	case !fonts.Wide():
		return "", pdf.ErrNoWideFont
	}
	return fmt.Sprintf("%s; letters that reports as PDF lack, and say that they do: %s", cmp.Or(path, pdf.WideFont), strings.Join(fonts.Lacks(), ", ")), nil
}

func checkDisk(cfg configs.Config) (string, error) {
	dir := cfg.DataDir
	for _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir); _, err = os.Stat(dir) {
		dir = filepath.Dir(filepath.Clean(dir)) // serve makes the folder, and those above it
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return "", fmt.Errorf("%s: %w; make the folder or set data_dir", dir, err)
	}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return "", fmt.Errorf("%w; give the gateway's user the right to write there", err)
	}
	probe.Close()
	os.Remove(probe.Name())
	if err := gateway.CheckDataFolder(cfg.DataDir); err != nil {
		return "", err
	}
	free := int64(fs.Bavail) * fs.Bsize
	if free < int64(cfg.Spool.Reserve) {
		return "", fmt.Errorf("%d MiB free in %s, below spool.reserve (%d MiB): every instance would be refused", free>>20, dir, cfg.Spool.Reserve>>20)
	}
	return fmt.Sprintf("%s, %.1f GiB free", cfg.DataDir, float64(free)/(1<<30)), nil
}

// checkPort takes the port for a moment. A gateway that has the data folder has its ports too.
func checkPort(cfg configs.Config, address string) (string, error) {
	ln, err := net.Listen("tcp", address)
	if err == nil {
		return address + " is free", ln.Close()
	}
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
		return "", fmt.Errorf("%w: ports below 1024 need a right; give it (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE; else setcap cap_net_bind_service=+ep endogate) or listen on 11112", err)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return "", fmt.Errorf("%w: this machine has no such address; name one that it has, or the port alone (\":11112\")", err)
	}
	var unknown *net.DNSError
	if errors.As(err, &unknown) {
		return "", fmt.Errorf("%w; name an address of this machine, or the port alone (\":11112\")", err)
	}
	holder, lockErr := spool.Holder(cfg.SpoolDir())
	if errors.Is(err, syscall.EADDRINUSE) && holder != "" {
		return fmt.Sprintf("%s: a gateway runs here (process %s)", address, holder), nil
	}
	return "", fmt.Errorf("%w; another program (a gateway with another data folder?) has the port", errors.Join(err, lockErr))
}

// checkCertificate says until when a certificate is good; one that soon is not any more is a fault.
func checkCertificate(c gateway.Certificate, now time.Time) (string, error) {
	if c.Server {
		if _, err := c.Files.Server(); err != nil {
			return "", fmt.Errorf("%w; %s names the files", err, c.Name)
		}
	}
	end, err := c.Files.Expires()
	if err == nil {
		err = c.Files.Valid(now)
	}
	if err != nil {
		return "", fmt.Errorf("%w; %s names the files; a new one in their place needs no restart", err, c.Name)
	}
	left := end.Sub(now)
	if left < 14*24*time.Hour {
		return "", fmt.Errorf("%s has a certificate that expires at %s; put a new one in its place, which needs no restart", c.Name, end.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("until %s, %d days", end.UTC().Format(time.DateOnly), int(left.Hours()/24)), nil
}

// checkSenders says who may send messages, and loads the files of TLS as the listener does.
func checkSenders(h configs.HL7) (string, error) {
	if len(h.Senders) == 0 {
		return "", errors.New("hl7.senders is empty: nobody may send; list the applications with their networks")
	}
	how := "without TLS"
	if h.TLS.CertFile != "" {
		if _, err := gateway.MessageTLS(h.TLS).Server(); err != nil {
			return "", fmt.Errorf("%w; hl7.tls names the files", err)
		}
		how = "by TLS"
	}
	return fmt.Sprintf("%d applications may send, %s", len(h.Senders), how), nil
}

func (d doctorCmd) echo(ctx context.Context, calling dicom.AETitle, dest configs.Destination) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	peer, advice := cmp.Or(dest.Address, dest.URL), "is it running, and are its address and files in the configuration right?"
	if dest.Kind == configs.KindDICOM {
		peer, advice = fmt.Sprintf("%s at %s", dest.AETitle, dest.Address), fmt.Sprintf("is it running, and does it know our AE title %s?", calling)
	}
	r, err := gateway.Reach(ctx, calling, dest)
	var file *fs.PathError
	switch {
	case errors.As(err, &file): // of a token, secret or certificate
		return "", fmt.Errorf("%s was not asked: %w; put the file there, readable by the gateway's user, or correct its name in the configuration", peer, err)
	case err != nil:
		return "", fmt.Errorf("%s: %w; %s", peer, err, advice)
	case !r.OK:
		return "", fmt.Errorf("%s answered C-ECHO with %s", peer, r.Said)
	}
	return fmt.Sprintf("%s answers in %v: %s", peer, r.Took.Round(time.Microsecond), r.Said), nil
}
