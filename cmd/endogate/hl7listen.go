package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"endogate/configs"
	"endogate/dicomnode/durable"
	"endogate/hl7"
	"endogate/hl7/mllp"
)

type hl7ListenCmd struct {
	Listen string         `help:"Address to listen on." default:"127.0.0.1:2576" aliases:"address"`
	Keep   string         `help:"Folder to keep messages in, a file each." type:"path" placeholder:"DIR"`
	Most   int            `help:"Messages to keep; those beyond are answered AR." default:"10000"`
	Answer string         `help:"Code that messages are answered with: ${enum}." enum:"AA,AE,AR,CA,CE,CR" default:"AA"`
	From   []configs.Host `help:"Networks that senders may come from." default:"127.0.0.0/8,::1/128"`
	Quiet  bool           `help:"Print one line a message." short:"q"`

	tlsFlags `embed:""`
}

func (c *hl7ListenCmd) Run(ctx context.Context, tty console) error {
	server := &mllp.Server{Log: newLogger(tty.err, configs.Log{Level: "warn"})}
	for _, from := range c.From {
		server.Allow = append(server.Allow, from.Prefix)
	}
	var err error
	if server.TLS, err = c.serverTLS(); err != nil {
		return err
	}
	if c.Keep != "" {
		if err := os.MkdirAll(c.Keep, 0o700); err != nil {
			return err
		}
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	ris := &standIn{hl7ListenCmd: c, tty: tty}
	server.Handler = ris.take
	fmt.Fprintf(tty.out, "listens for HL7 on %s and answers %s\n", ln.Addr(), c.Answer)
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
	if served := <-stopped; !errors.Is(served, mllp.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// standIn is a receiver that knows no patient.
type standIn struct {
	*hl7ListenCmd
	tty console

	mu    sync.Mutex // messages are printed and kept one after the other
	taken int
}

func (s *standIn) take(_ context.Context, peer mllp.Peer, b []byte) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	message, err := hl7.Parse(b, hl7.Options{})
	if message == nil {
		fmt.Fprintf(s.tty.err, "from %s: %v\n", peer.Host, err)
		return nil, err // there is no control ID to answer
	}
	code, fault := hl7.AckCode(s.Answer), err
	kept, err := s.keep(message.Bytes())
	if err != nil {
		code, fault = hl7.AR, &hl7.Error{Code: hl7.ApplicationInternal, Text: err.Error()}
		fmt.Fprintln(s.tty.err, err)
	} else if fault != nil {
		code = hl7.CodeOf(fault)
	}
	fmt.Fprintf(s.tty.out, "%s %s %s, %d bytes from %s: %s%s\n", time.Now().Format("15:04:05.000"), short(message.Raw("MSH-9")),
		short(message.Get("MSH-10")), len(b), peer.Host, code, kept)
	if !s.Quiet {
		showMessage(s.tty.out, message)
	}
	return [][]byte{hl7.Ack(message, code, fault, time.Now()).Bytes()}, nil
}

// keep writes a message under the next number, durable before it is answered; kept is what is said of it.
func (s *standIn) keep(message []byte) (kept string, err error) {
	if s.Keep == "" {
		return "", nil
	}
	if s.taken >= s.Most {
		return "", fmt.Errorf("hl7 listen: %d messages are kept, and no more are", s.Most)
	}
	for s.taken++; ; s.taken++ {
		path := filepath.Join(s.Keep, fmt.Sprintf("%06d.hl7", s.taken))
		if _, err := os.Stat(path); err == nil {
			continue // of a run before
		}
		return ", kept as " + path, durable.WriteFile(path, message)
	}
}
