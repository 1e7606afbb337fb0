package outbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/ledger"
)

// Security is how a mail server is spoken to.
type Security string

// The kinds of security. STARTTLS is never gone without.
const (
	STARTTLS    Security = "starttls" // RFC 3207
	ImplicitTLS Security = "tls"      // RFC 8314
	ClearText   Security = "none"
)

const protocolOfMail = "smtp"

// mailTime is how long the server may take for a step where nothing else is said (RFC 5321 4.5.3.2 gives it five minutes).
const mailTime = 30 * time.Second

// Email hands notices to a mail server (SMTP, RFC 5321), one connection each. A message that comes twice has the same Message-ID.
type Email struct {
	Address  string // host:port
	Security Security
	TLS      func() *tls.Config // without a server name: that of Address
	From     string             // of the envelope
	To       []string
	// User and PasswordFile are for a server that asks for them; the file is read each time.
	User, PasswordFile string
	Body               func(ctx context.Context, entry string) ([]byte, error) // writes the message, with lines that end in CRLF
}

// Send hands the notice of m over and returns when the server has taken it, or will not.
func (e *Email) Send(ctx context.Context, m Message) Outcome {
	if m.Kind != ledger.KindNotice {
		return Outcome{Class: Never, Reason: fmt.Sprintf("e-mail is for notifications: it cannot be sent %q", m.Kind)}
	}
	body, err := e.Body(ctx, m.Entry)
	if err != nil {
		return unwritten(err)
	}
	bound, done := context.WithCancel(ctx) // ctx may live long, and its end closes the connection
	defer done()
	client, step, err := e.open(bound, cmp.Or(m.patience(0), mailTime))
	if err != nil {
		return mailFailed(ctx, err, "the mail server cannot be used", DestinationDown)
	}
	defer func() { _ = client.Close() }()
	step()
	if err := client.Mail(e.From); err != nil {
		return mailFailed(ctx, err, "the mail server does not take the sender's address", Later)
	}
	var refused error
	taken := 0
	for _, to := range e.To {
		step()
		err := client.Rcpt(to)
		var said *textproto.Error
		switch {
		case err == nil:
			taken++
		case errors.As(err, &said) && said.Code/100 == 5:
			refused = err
		default:
			return mailFailed(ctx, err, "the mail server does not take an address now", Later)
		}
	}
	if taken == 0 {
		return mailFailed(ctx, refused, "the mail server takes none of the addresses", Never)
	}
	step()
	w, err := client.Data()
	if err == nil {
		step()
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return mailFailed(ctx, err, "the mail server does not take the message", Later)
	}
	step()
	_ = client.Quit()
	if refused != nil {
		o := mailFailed(ctx, refused, "", DoneWithWarning)
		o.Class, o.Reason, o.Err = DoneWithWarning, "", nil
		return o
	}
	return Outcome{Class: Done, Protocol: protocolOfMail, Code: "250"}
}

// open connects and signs in. Each step may take as long as patience; step begins another one.
func (e *Email) open(ctx context.Context, patience time.Duration) (client *smtp.Client, step func(), err error) {
	host, _, err := net.SplitHostPort(e.Address)
	if err != nil {
		return nil, nil, err
	}
	conn, err := (&net.Dialer{Timeout: min(patience, 10*time.Second)}).DialContext(ctx, "tcp", e.Address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	step = func() { _ = conn.SetDeadline(time.Now().Add(patience)) }
	step()
	defer func() {
		if err != nil {
			stop()
			_ = conn.Close()
		}
	}()
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.TLS != nil {
		config = e.TLS().Clone()
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	var stream net.Conn = &bounded{Conn: conn, left: maxMailAnswers}
	if e.Security == ImplicitTLS {
		stream = tls.Client(stream, config)
	}
	if client, err = smtp.NewClient(stream, host); err != nil {
		return nil, nil, err
	}
	step()
	if err := client.Hello(literal(conn.LocalAddr())); err != nil {
		return nil, nil, err
	}
	if e.Security == STARTTLS {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return nil, nil, errors.New("it does not offer STARTTLS, and nothing is sent in clear; look at security")
		}
		step()
		if err := client.StartTLS(config); err != nil {
			return nil, nil, err
		}
	}
	if e.User == "" {
		return client, step, nil
	}
	password, err := Secret(e.PasswordFile)
	if err != nil {
		return nil, nil, fmt.Errorf("password: %w", err)
	}
	if _, ways := client.Extension("AUTH"); !slices.Contains(strings.Fields(strings.ToUpper(ways)), "PLAIN") {
		return nil, nil, errors.New("it offers no sign-in by AUTH PLAIN; look at user, or leave it out")
	}
	step()
	return client, step, client.Auth(smtp.PlainAuth("", e.User, password, host))
}

// literal is an address as RFC 5321 4.1.3 has it for a client without a name.
func literal(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	if strings.Contains(host, ":") {
		host = "IPv6:" + host
	}
	return "[" + host + "]"
}

// Probe signs in and sends nothing.
func (e *Email) Probe(ctx context.Context) (string, error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	client, _, err := e.open(ctx, mailTime)
	if err != nil {
		return "", fmt.Errorf("smtp: %w", err)
	}
	defer func() { _ = client.Close() }()
	return "SMTP", client.Quit()
}

// Rest has nothing open.
func (e *Email) Rest(context.Context) error { return nil }

// mailFailed is the outcome of an error: what the server said, or else that it did not.
func mailFailed(ctx context.Context, err error, what string, class Class) Outcome {
	o := Outcome{Class: class, Reason: what, Err: err}
	var said *textproto.Error
	switch {
	case errors.As(err, &said):
		o.Protocol, o.Code, o.Text = protocolOfMail, strconv.Itoa(said.Code), said.Msg
		o.Reason += fmt.Sprintf(": it answered %d", said.Code)
		switch {
		case class == DestinationDown: // it does not let us in
		case said.Code/100 == 5:
			o.Class = Never
		default:
			o.Class = Later
		}
	case ctx.Err() != nil:
		return Outcome{Err: err}
	case class == DestinationDown:
		o.Reason += ": " + err.Error()
	default:
		o.Class, o.Silent, o.Reason = Later, true, "the mail server gave no answer in time, or broke off"
	}
	return o
}

// maxMailAnswers bounds what a server says on a connection, in bytes.
const maxMailAnswers = 1 << 20

// bounded ends a connection on which the peer says too much.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
