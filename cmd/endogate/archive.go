package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/durable"
	"endogate/dicomnode/intake"
)

type archiveCmd struct {
	Dir    string         `arg:"" help:"Folder for the files, one folder a study." type:"path"`
	Listen string         `help:"Address to listen on." default:"127.0.0.1:4242"`
	AE     dicom.AETitle  `help:"Our AE title." default:"ARCHIVE" name:"ae"`
	From   []configs.Host `help:"Networks that peers may come from." default:"127.0.0.0/8,::1/128"`
}

func (c *archiveCmd) Run(ctx context.Context, tty console) error {
	if !c.AE.Valid() {
		return usageError(fmt.Sprintf("archive: --ae: %q is no AE title; %s", c.AE, dicom.AETitleRule))
	}
	var hosts []netip.Prefix
	for _, from := range c.From {
		hosts = append(hosts, from.Prefix)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	server := &dicomnode.Server{
		AETitle:  c.AE,
		Contexts: dicomnode.StorageContexts(dicom.StorageSOPClasses),
		Handler:  &archive{dir: c.Dir},
		Peers:    []dicomnode.Peer{{AETitle: "*", Hosts: hosts}},
		Log:      newLogger(tty.err, configs.Log{Level: "warn"}),
	}
	fmt.Fprintf(tty.out, "archive %s listens on %s and writes to %s\n", c.AE, ln.Addr(), c.Dir)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ln) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	err = server.Shutdown(drain)
	if served := <-stopped; !errors.Is(served, dicomnode.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// archive writes every instance as a Part 10 file: study folder, SOP Instance UID.dcm.
// UIDs that have passed dicom.UID.Valid are digits and dots, so they make safe names.
type archive struct{ dir string }

func (a *archive) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	if !req.SOPInstanceUID.Fileable() {
		return &dimse.Error{Status: dimse.CannotUnderstand, Comment: "SOP Instance UID is wrong"}
	}
	ts, ok := dicom.LookupTransferSyntax(req.TransferSyntax)
	if !ok {
		return &dimse.Error{Status: dimse.CannotUnderstand, Comment: "transfer syntax is unknown"}
	}
	f, err := os.CreateTemp(a.dir, ".receiving-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // a file that was renamed is gone already
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<17)
	meta := dicom.FileMeta{
		SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID,
		TransferSyntaxUID: req.TransferSyntax, SourceApplicationEntityTitle: string(req.CallingAE),
	}
	if err := dicom.WriteFileMeta(w, meta); err != nil {
		return err
	}
	received := io.TeeReader(req.Dataset, w)
	header, err := intake.ReadHeader(received, ts, req)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, received); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return a.keep(f, header)
}

// keep makes the file durable under its final name.
func (a *archive) keep(f *os.File, h dicom.Header) error {
	if err := f.Sync(); err != nil {
		return err
	}
	folder := filepath.Join(a.dir, string(h.StudyInstanceUID))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(folder, string(h.SOPInstanceUID)+".dcm")); err != nil {
		return err
	}
	for _, dir := range []string{folder, a.dir} {
		if err := durable.SyncFolder(dir); err != nil {
			return err
		}
	}
	return nil
}
