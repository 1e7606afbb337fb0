package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"endogate/cmd/endogate/gateway"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// peerFlags name the application entity that a command speaks to.
type peerFlags struct {
	To      string        `help:"Address of the application entity, host:port." required:"" placeholder:"HOST:PORT"`
	Called  dicom.AETitle `help:"Its AE title." default:"ANY-SCP"`
	Calling dicom.AETitle `help:"Our AE title." default:"ENDOGATE"`
	Timeout time.Duration `help:"Longest wait for one answer." default:"30s"`
	TLS     bool          `help:"Speak TLS." name:"tls"`

	tlsFlags `embed:""`

	User         string `help:"Who we say that we are (DICOM user identity)." placeholder:"NAME"`
	PasscodeFile string `help:"File with the passcode of --user." type:"existingfile" placeholder:"FILE"`
	JWTFile      string `help:"Or file with a JSON Web Token." name:"jwt-file" type:"existingfile" placeholder:"FILE"`
	Confirm      bool   `help:"Give up where the peer does not confirm who we are."`
}

func (p peerFlags) client() (*dicomnode.Client, error) {
	if p.PasscodeFile != "" && p.User == "" || p.User != "" && p.JWTFile != "" {
		return nil, errors.New("--passcode-file is of a --user, and --jwt-file stands alone")
	}
	c := &dicomnode.Client{AETitle: p.Calling, ResponseTimeout: p.Timeout, Identity: gateway.Presents(p.User, p.PasscodeFile, p.JWTFile, p.Confirm)}
	if p.TLS {
		secured, err := p.files().Dialer()
		if err != nil {
			return nil, err
		}
		c.Dial = secured.DialContext
	}
	return c, nil
}

type sendCmd struct {
	peerFlags `embed:""`
	Files     []string `arg:"" help:"DICOM files, or folders of them." type:"path" name:"file"`
	Quiet     bool     `help:"Print failures only." short:"q"`
}

func (c *sendCmd) Run(ctx context.Context, tty console) error {
	files, err := dicomFiles(c.Files)
	if err != nil {
		return err
	}
	var syntaxes []dicomnode.InstanceSyntax
	for _, f := range files {
		syntaxes = append(syntaxes, dicomnode.InstanceSyntax{SOPClassUID: f.meta.SOPClassUID, TransferSyntaxUID: f.meta.TransferSyntaxUID})
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	assoc, err := client.Associate(ctx, c.To, c.Called, dicomnode.ContextsFor(syntaxes...))
	if err != nil {
		return err
	}
	defer assoc.Abort() // nothing happens after Release
	failed := 0
	for _, f := range files {
		status, err := f.store(ctx, assoc)
		var refused *dicomnode.ContextError
		if err != nil && !errors.As(err, &refused) {
			return fmt.Errorf("%s: %w", f.path, err) // the association is gone
		}
		ok := err == nil && (status == dimse.Success || status.Class() == dimse.ClassWarning)
		switch {
		case !ok && err != nil:
			fmt.Fprintf(tty.err, "%s: %v\n", f.path, err)
		case !ok:
			fmt.Fprintf(tty.err, "%s: refused with %v\n", f.path, status)
		case !c.Quiet:
			fmt.Fprintf(tty.out, "%s: %v\n", f.path, status)
		}
		if !ok {
			failed++
		}
	}
	if err := assoc.Release(ctx); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("send: %d of %d instances were not stored", failed, len(files))
	}
	return nil
}

// dicomFile is a Part 10 file and what its file meta information says.
type dicomFile struct {
	path string
	meta dicom.FileMeta
}

// dicomFiles reads the meta information of every file named, and of the .dcm files in every folder named.
func dicomFiles(paths []string) ([]dicomFile, error) {
	var files []dicomFile
	add := func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		meta, err := dicom.ReadFileMeta(bufio.NewReader(f))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		files = append(files, dicomFile{path, meta})
		return nil
	}
	for _, path := range paths {
		err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || p != path && filepath.Ext(p) != ".dcm" {
				return err
			}
			return add(p)
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, errors.New("send: no DICOM file found")
	}
	return files, nil
}

// open returns a reader that stands at the data set.
func (f dicomFile) open() (io.ReadCloser, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(file, 1<<17)
	if _, err := dicom.ReadFileMeta(r); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, file}, nil
}

func (f dicomFile) store(ctx context.Context, assoc *dicomnode.Association) (dimse.Status, error) {
	dataset, err := f.open()
	if err != nil {
		return 0, err
	}
	defer dataset.Close()
	return assoc.Store(ctx, &dicomnode.StoreRequest{
		SOPClassUID:    f.meta.SOPClassUID,
		SOPInstanceUID: f.meta.SOPInstanceUID,
		TransferSyntax: f.meta.TransferSyntaxUID,
		Dataset:        dataset,
	})
}
