package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
)

type demoCmd struct {
	Instances string        `help:"Instances to send." default:"testdata/instances" type:"path"`
	Orders    string        `help:"Folder of the orders that come first, a file each." default:"testdata/orders" type:"path"`
	Model     string        `help:"Model bundle." default:"testdata/models/demo" type:"path"`
	Out       string        `help:"Folder for everything the demo leaves; emptied first." default:"out/demo" type:"path"`
	Timeout   time.Duration `help:"Give up after this time." default:"5m"`
}

const demoConfig = `data_dir: %q
log: {format: json}
dicom: {listen: %q, peers: [{ae_title: DEMO, hosts: [127.0.0.0/8]}]}
http: {listen: %q}
hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}
models: [{dir: %q}]
routes: [{name: endoscopy, match: {modality: [ES]}, models: [%q], destinations: [pacs, ris]}]
destinations:
  - {name: pacs, kind: dicom, ae_title: ARCHIVE, address: %q}
  - {name: ris, kind: hl7, address: %q}
exam: {quiet: 3s}
reports: {unauthenticated_sign: true}
`

func (c *demoCmd) Run(ctx context.Context, tty console) (err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	files, err := dicomFiles([]string{c.Instances})
	if err != nil {
		return err
	}
	d := &demo{demoCmd: *c, tty: tty}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.order(ctx); err != nil {
		return err
	}
	studies, err := d.send(ctx, files)
	if err != nil {
		return err
	}
	for i, uid := range studies {
		if err := d.study(ctx, uid, i == len(studies)-1); err != nil {
			return err
		}
	}
	if err := d.secondLook(ctx); err != nil {
		return err
	}
	if err := d.results(); err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "\nDICOM objects as the PACS received them: %s\nheatmaps as PNG:                         %s\nreports as PDF:                          %s\nthe gateway's log:                       %s\n",
		d.path("pacs"), d.path("heatmaps"), d.path("report-*.pdf"), d.path("gateway.log"))
	return nil
}

// study shows what became of a study; the draft of one is edited and signed as well.
func (d *demo) study(ctx context.Context, uid dicom.UID, sign bool) error {
	doc, err := d.draft(ctx, uid)
	if err != nil {
		return err
	}
	study, err := d.wait(ctx, uid)
	if err != nil {
		return err
	}
	if err := d.show(ctx, study); err != nil {
		return err
	}
	d.showDraft(doc)
	if err := d.keepPage(ctx, study, doc); err != nil || !sign {
		return err
	}
	if doc, err = d.edit(ctx, uid, doc); err != nil {
		return err
	}
	d.say("%s has edited the draft of study %s by API: %d.%d", demoAuthor, study.AccessionNumber, doc.Number, doc.Version)
	if doc, err = d.sign(ctx, uid, doc); err != nil {
		return err
	}
	d.say("%s has signed it: %d.%d, %s, not verified as nobody has checked who that is", demoAuthor, doc.Number, doc.Version, doc.Standing)
	if study, err = d.wait(ctx, uid); err != nil {
		return err
	}
	return d.keepPage(ctx, study, doc)
}

// demo is a gateway, a stand-in PACS and a stand-in RIS, each a process of its own.
type demo struct {
	demoCmd
	tty           console
	scp, web, hl7 string // addresses of the gateway
	pacs, ris     string
	processes     []*exec.Cmd
	ended         []chan error // of each process, how it ended
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.Out}, parts...)...)
}

func (d *demo) start(ctx context.Context) error {
	for _, part := range []string{"data", "pacs", "ris", "heatmaps", "*.log", "report-*.pdf"} {
		old, err := filepath.Glob(d.path(part))
		for _, path := range old {
			err = errors.Join(err, os.RemoveAll(path))
		}
		if err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.path("heatmaps"), 0o700); err != nil {
		return err
	}
	for _, address := range []*string{&d.scp, &d.web, &d.hl7, &d.pacs, &d.ris} {
		var err error
		if *address, err = freeAddress(); err != nil {
			return err
		}
	}
	config := fmt.Sprintf(demoConfig, d.path("data"), d.scp, d.web, d.hl7, d.Model, filepath.Base(d.Model), d.pacs, d.ris)
	if err := os.WriteFile(d.path("endogate.yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	d.say("starting the gateway (DICOM %s, HL7 %s), a stand-in PACS (%s) and a stand-in RIS (%s)", d.scp, d.hl7, d.pacs, d.ris)
	if err := d.launch("pacs.log", "archive", "--listen", d.pacs, d.path("pacs")); err != nil {
		return err
	}
	if err := d.launch("ris.log", "hl7", "listen", "--listen", d.ris, "--keep", d.path("ris"), "--quiet"); err != nil {
		return err
	}
	if err := d.launch("gateway.log", "serve", "--config", d.path("endogate.yaml")); err != nil {
		return err
	}
	return d.poll(ctx, "the gateway to be ready", func() (bool, error) {
		var answer struct{ Ready bool }
		return d.get(ctx, "/readyz", &answer) == nil, nil
	})
}

// launch starts this binary with args, logging to a file of the demo's folder.
func (d *demo) launch(log string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := os.Create(d.path(log))
	if err != nil {
		return err
	}
	defer out.Close() // the child has its own descriptor
	process := exec.Command(self, args...)
	process.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ENDOGATE_") })
	process.Stdout, process.Stderr = out, out
	if err := process.Start(); err != nil {
		return err
	}
	d.processes = append(d.processes, process)
	ended := make(chan error, 1)
	d.ended = append(d.ended, ended)
	go func() { ended <- process.Wait() }()
	return nil
}

// stop ends the processes, the gateway first.
func (d *demo) stop() error {
	var errs []error
	for i := len(d.processes) - 1; i >= 0; i-- {
		if err := d.processes[i].Process.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
		errs = append(errs, <-d.ended[i])
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("demo: a process did not end well, see %s: %w", d.path("*.log"), err)
	}
	return nil
}

func (d *demo) send(ctx context.Context, files []dicomFile) ([]dicom.UID, error) {
	d.say("sending %d VL Endoscopic instances by C-STORE", len(files))
	var paths []string
	for _, f := range files {
		paths = append(paths, f.path)
	}
	send := sendCmd{peerFlags: peerFlags{To: d.scp, Called: "ENDOGATE", Calling: "DEMO", Timeout: time.Minute}, Files: paths, Quiet: true}
	if err := send.Run(ctx, d.tty); err != nil {
		return nil, err
	}
	var answer struct{ Studies []admin.StudySummary }
	var studies []dicom.UID
	err := d.poll(ctx, "the ledger to list them", func() (bool, error) {
		err := d.get(ctx, "/api/v1/studies", &answer)
		count := 0
		for _, s := range answer.Studies {
			count += s.InstanceCount
		}
		return count == len(files), err
	})
	for _, s := range answer.Studies {
		studies = append(studies, s.StudyInstanceUID)
	}
	return studies, err
}

// wait returns the study once every object of it was delivered.
func (d *demo) wait(ctx context.Context, uid dicom.UID) (admin.Study, error) {
	var study admin.Study
	last := ""
	err := d.poll(ctx, "the study to be delivered", func() (bool, error) {
		if err := d.get(ctx, "/api/v1/studies/"+string(uid), &study); err != nil {
			return false, err
		}
		now := fmt.Sprintf("%s: %d of %d instances analysed, %d objects made, %d of %d delivered", study.Status,
			analysed(study), study.InstanceCount, len(study.Objects), study.DeliveryCounts.Done, study.DeliveryCounts.Done+study.DeliveryCounts.Pending)
		if now != last {
			d.say("study %s  %s", study.AccessionNumber, now)
			last = now
		}
		if study.Status == ledger.StudyParked {
			return false, fmt.Errorf("demo: work was parked; see %s", d.path("gateway.log"))
		}
		return study.Status.Ended(), nil
	})
	return study, err
}

func analysed(s admin.Study) int {
	n := 0
	for _, i := range s.Instances {
		if i.State == ledger.InstanceAnalysed {
			n++
		}
	}
	return n
}

func (d *demo) show(ctx context.Context, study admin.Study) error {
	out := d.tty.out
	fmt.Fprintf(out, "\n=== Study %s, %s, %s ===\n\nFindings (AI, not verified)\n", study.AccessionNumber, study.PatientName, study.StudyInstanceUID)
	for _, instance := range study.Instances {
		for _, analysis := range instance.Analyses {
			for _, frame := range analysis.Frames {
				fmt.Fprintf(out, "  instance %2d frame %d  %s\n", instance.InstanceNumber, frame.Frame, findingsText(frame))
			}
		}
	}
	if err := d.showArchived(ctx, study.StudyInstanceUID); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nTimeline (the ledger)")
	for _, event := range study.Timeline {
		fmt.Fprintf(out, "  %s\n", eventText(event))
	}
	return nil
}

// showArchived prints the SR and writes the heatmaps, both as the stand-in PACS received them.
func (d *demo) showArchived(ctx context.Context, study dicom.UID) error {
	heatmaps := 0
	err := filepath.WalkDir(d.path("pacs", string(study)), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files, err := dicomFiles([]string{path})
		if err != nil {
			return err
		}
		switch f := files[0]; f.meta.SOPClassUID {
		case dicom.Comprehensive3DSRStorage, dicom.ComprehensiveSRStorage:
			return d.showReport(f)
		case dicom.SecondaryCaptureImageStorage:
			heatmaps++
			return d.writeHeatmap(ctx, f)
		}
		return nil
	})
	fmt.Fprintf(d.tty.out, "\nHeatmaps: %d PNG files %s\n", heatmaps, d.path("heatmaps", string(study)+"-*.png"))
	return err
}

func (d *demo) showReport(f dicomFile) error {
	dataset, err := f.open()
	if err != nil {
		return err
	}
	defer dataset.Close()
	fmt.Fprintf(d.tty.out, "\nStructured report (%s)\n", filepath.Base(f.path))
	ts, _ := dicom.LookupTransferSyntax(f.meta.TransferSyntaxUID)
	return writeReport(d.tty.out, dataset, ts)
}

// writeHeatmap writes a heatmap as study-instance.png.
func (d *demo) writeHeatmap(ctx context.Context, f dicomFile) error {
	dataset, err := f.open()
	if err != nil {
		return err
	}
	defer dataset.Close()
	ts, _ := dicom.LookupTransferSyntax(f.meta.TransferSyntaxUID)
	var head bytes.Buffer
	attributes, err := dicom.ReadAttributes(io.TeeReader(dataset, &head), ts)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%02d.png", attributes.Header().StudyInstanceUID, attributes.Header().InstanceNumber)
	for frame, err := range pixeldata.Frames(ctx, io.MultiReader(&head, dataset), ts, pixeldata.Options{}) {
		if err != nil {
			return err
		}
		if err := writePNG(d.path("heatmaps", name), frame.Image); err != nil {
			return err
		}
	}
	return nil
}

func writePNG(path string, picture *image.RGBA) error {
	file, err := createPrivate(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	return errors.Join(png.Encode(w, picture), w.Flush(), file.Close())
}

// createPrivate makes a file that only this user can read: pictures may show who the patient is.
func createPrivate(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.tty.out, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// poll calls done until it says so, fails, or the demo's time is over.
func (d *demo) poll(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("demo: waiting for %s: %w; see %s", what, ctx.Err(), d.path("gateway.log"))
		case err := <-d.gatewayEnded():
			d.ended[len(d.ended)-1] <- err // stop wants it too
			return fmt.Errorf("demo: the gateway ended while waiting for %s; see %s", what, d.path("gateway.log"))
		case <-tick.C:
		}
	}
}

// gatewayEnded receives once the gateway, which is started last, has ended.
func (d *demo) gatewayEnded() <-chan error {
	if len(d.ended) == 0 {
		return nil
	}
	return d.ended[len(d.ended)-1]
}

// get reads a page of the gateway's API.
func (d *demo) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.web+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("demo: %s answered %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
