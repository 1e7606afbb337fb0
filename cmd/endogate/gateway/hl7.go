package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/secure"
	"endogate/hl7"
	"endogate/hl7/mllp"
	"endogate/hl7/orders"
)

// openReceiver makes what reads messages: those that come, and for second looks those that are kept, also where none come any more.
func (g *generation) openReceiver() error {
	zone, err := time.LoadLocation(g.cfg.Reports.TimeZone)
	if err != nil {
		return err
	}
	g.receiver = &orders.Receiver{
		Spool: g.spool, Ledger: g.ledger, Ready: g.ledger.Trouble, Senders: applications(g.cfg.HL7, zone), ProcessingID: g.cfg.HL7.ProcessingID, Now: g.now, Log: g.log,
		Changed: func([]dicom.UID) {
			is := g.current()
			is.wakeAgain()  // jobs may have changed lanes, or stand again
			is.exams.Wake() // an examination may be over
			is.desk.Wake()
		},
		Read: g.readReport, Reporters: g.cfg.Reading.ByPhysician, Reported: func() { g.current().looker.Wake() },
		Observe: func(kind string, code hl7.AckCode) { g.metrics.Message(kind, string(code)) },
		Late:    g.metrics.LateCancel,
	}
	return nil
}

// listenHL7 takes messages, where the configuration says where.
func (g *parts) listenHL7(_ context.Context, life *lifecycle) error {
	h := g.start.HL7
	if h.Listen == "" {
		return nil
	}
	policy := g.current().hears
	server := &mllp.Server{
		Handler: func(ctx context.Context, peer mllp.Peer, message []byte) ([][]byte, error) {
			return g.current().receiver.Handle(ctx, peer.Host, message)
		},
		TooLarge:       func(_ mllp.Peer, beginning []byte) []byte { return g.current().receiver.TooLarge(beginning) },
		Allow:          policy.Allow,
		MaxConnections: policy.MaxConnections, MaxPerHost: policy.MaxPerHost, MaxSize: policy.MaxSize,
		IdleTimeout: policy.IdleTimeout, ReadTimeout: policy.ReadTimeout, Log: g.log,
		Observe: mllp.Observer{
			Connected: func() { g.metrics.MessagePeer("connected") }, Refused: func(cause string) { g.metrics.MessagePeer("refused-" + cause) },
			Ended: func(cause string) { g.metrics.MessagePeer("ended-" + cause) }, Dropped: g.metrics.Dropped,
		},
	}
	if h.TLS.CertFile != "" {
		files := MessageTLS(h.TLS)
		files.Tell = g.unreadable("hl7.tls")
		config, err := files.Server()
		if err != nil {
			return fmt.Errorf("hl7.tls: %w", err)
		}
		server.TLS = config
	}
	ln, err := net.Listen("tcp", h.Listen)
	if err != nil {
		return fmt.Errorf("hl7.listen: %w", err)
	}
	g.messages, g.hl7Addr = server, ln.Addr()
	life.serve("hl7", func() error { return server.Serve(ln) }, server.Shutdown, mllp.ErrServerClosed)
	return nil
}

// MessageTLS are the files of the listener's TLS.
func MessageTLS(t configs.HL7TLS) secure.Files {
	return secure.Files{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile}
}

// applications are those that may send messages, as configured.
func applications(h configs.HL7, zone *time.Location) (all []orders.Sender) {
	for _, s := range h.Senders {
		sender := orders.Sender{
			Application: s.Application, Charset: s.Charset, Authority: s.Authority, FillerIsAccession: s.FillerIsAccession, Zone: zone,
		}
		for _, host := range s.Hosts {
			sender.Hosts = append(sender.Hosts, host.Prefix)
		}
		all = append(all, sender)
	}
	return all
}

// roomForMessages is an error where further senders are turned away.
func (g *parts) roomForMessages(context.Context) error {
	if g.messages.Connections() >= g.current().cfg.HL7.MaxConnections {
		return errors.New("all connections for messages are taken: further senders are turned away; raise hl7.max_connections, or see who holds them")
	}
	return nil
}
