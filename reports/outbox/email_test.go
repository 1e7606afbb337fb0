package outbox

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/secure/securetest"
)

const letter = "Subject: s\r\n\r\n.a line that begins with a dot\r\n"

func mailTo(s *peers.MailServer, how Security) *Email {
	return &Email{Address: s.Address, Security: how, From: "endogate@example.org", To: []string{"a@example.org", "b@example.org"}, Body: writes(letter)}
}

// TestEmail_answers: what a mail server says to each step, and what is made of it.
func TestEmail_answers(t *testing.T) {
	for _, row := range []struct {
		name, verb, line, answer string
		want                     Class
		code, reason             string
	}{
		{name: "taken", want: Done, code: "250"},
		{name: "one address unknown", verb: "RCPT", line: "b@", answer: "550 no such user b", want: DoneWithWarning, code: "550"},
		{name: "no address known", verb: "RCPT", answer: "550 no such user", want: Never, code: "550", reason: "none of the addresses"},
		{name: "greylisted", verb: "RCPT", answer: "451 come back", want: Later, code: "451", reason: "not take an address now"},
		{name: "sender refused", verb: "MAIL", answer: "553 not yours", want: Never, code: "553", reason: "the sender's address"},
		{name: "busy", verb: "MAIL", answer: "452 full", want: Later, code: "452"},
		{name: "refused as a whole", verb: ".", answer: "554 spam", want: Never, code: "554", reason: "does not take the message"},
		{name: "not taken now", verb: ".", answer: "451 later", want: Later, code: "451"},
		{name: "no data", verb: "DATA", answer: "503 no", want: Never, code: "503"},
		{name: "shuts down", verb: "LO", answer: "421 bye", want: DestinationDown, code: "421"},
		{name: "hangs", verb: ".", answer: peers.Hang, want: Later, reason: "no answer in time"},
		{name: "lines without end", verb: "EHLO", answer: strings.TrimSuffix(strings.Repeat("250-x\r\n", 200_000), "\r\n"), want: DestinationDown},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := (&peers.MailServer{Answer: func(verb, line string) string {
				if row.verb != "" && strings.HasSuffix(verb, row.verb) && strings.Contains(line, row.line) {
					return row.answer
				}
				return ""
			}}).Start(t)
			m := noticeOf("n")
			m.Patience = 200 * time.Millisecond
			o := mailTo(s, ClearText).Send(t.Context(), m)
			assert.Equal(t, row.want, o.Class, "%s %s %v", o.Class, o.Reason, o.Err)
			assert.Equal(t, row.code, o.Code)
			assert.Contains(t, o.Reason, row.reason)
			assert.NotContains(t, o.Reason, "user")
			assert.Equal(t, row.want.Delivered(), o.Reason == "")
			if row.want.Delivered() {
				require.Equal(t, []string{letter}, s.Messages())
			} else {
				require.Empty(t, s.Messages())
			}
		})
	}
}

// TestEmail_patience: a server that hangs at any step is waited for as long as asked, and one that needs less than that for each step, and
// more in all, has it.
func TestEmail_patience(t *testing.T) {
	for _, verb := range []string{"EHLO", "MAIL", "RCPT", "DATA", "."} {
		t.Run(verb, func(t *testing.T) {
			s := (&peers.MailServer{Answer: func(v, _ string) string {
				if v == verb {
					return peers.Hang
				}
				return ""
			}}).Start(t)
			m := noticeOf("n")
			m.Patience = 200 * time.Millisecond
			began := time.Now()
			o := mailTo(s, ClearText).Send(t.Context(), m)
			require.False(t, o.Class.Delivered())
			require.Less(t, time.Since(began), mailTime/3)
		})
	}
	t.Run("slow", func(t *testing.T) {
		s := (&peers.MailServer{Answer: func(string, string) string {
			time.Sleep(300 * time.Millisecond)
			return ""
		}}).Start(t)
		m := noticeOf("n")
		m.Patience = 1200 * time.Millisecond
		require.Equal(t, Done, mailTo(s, ClearText).Send(t.Context(), m).Class)
	})
}

// TestEmail_security: TLS from the beginning or by STARTTLS, with a server that is known, and never a password or a message without.
func TestEmail_security(t *testing.T) {
	a := securetest.NewAuthority(t)
	certFile, keyFile := a.Issue("127.0.0.1")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	ca, err := os.ReadFile(a.CAFile)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	trusts := func() *tls.Config { return &tls.Config{RootCAs: roots} }
	for _, row := range []struct {
		name     string
		server   *peers.MailServer
		how      Security
		trusts   func() *tls.Config
		password string
		want     Class
		reason   string
	}{
		{"STARTTLS", &peers.MailServer{TLS: config, Password: "p"}, STARTTLS, trusts, "p", Done, ""},
		{"TLS", &peers.MailServer{TLS: config, Implicit: true, Password: "p"}, ImplicitTLS, trusts, "p", Done, ""},
		{"wrong password", &peers.MailServer{TLS: config, Password: "p"}, STARTTLS, trusts, "q", DestinationDown, "535"},
		{"STARTTLS stripped", &peers.MailServer{Password: "p"}, STARTTLS, trusts, "p", DestinationDown, "does not offer STARTTLS"},
		{"STARTTLS refused", &peers.MailServer{TLS: config, Password: "p", Answer: func(verb, _ string) string {
			if verb == "STARTTLS" {
				return "454 not now"
			}
			return ""
		}}, STARTTLS, trusts, "p", DestinationDown, "454"},
		{"unknown authority", &peers.MailServer{TLS: config, Password: "p"}, STARTTLS, func() *tls.Config { return &tls.Config{RootCAs: x509.NewCertPool()} }, "p", DestinationDown, "unknown authority"},
		{"no sign-in", &peers.MailServer{TLS: config}, STARTTLS, trusts, "p", DestinationDown, "no sign-in"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := row.server.Start(t)
			e := mailTo(s, row.how)
			e.TLS, e.User, e.PasswordFile = row.trusts, "endogate", secretFile(t, row.password)
			o := e.Send(t.Context(), noticeOf("n"))
			assert.Equal(t, row.want, o.Class, "%s %v", o.Reason, o.Err)
			assert.Contains(t, o.Reason, row.reason)
			assert.NotContains(t, o.Reason, row.password+" ")
			_, err := e.Probe(t.Context())
			assert.Equal(t, row.want == Done, err == nil)
			if row.want != Done {
				for _, line := range s.Lines() {
					if row.name != "wrong password" {
						assert.NotContains(t, line, "AUTH")
					}
					assert.NotContains(t, line, "MAIL")
				}
			}
		})
	}
}
