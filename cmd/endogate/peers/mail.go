package peers

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"sync"
	"testing"
)

// MailServer takes mail (SMTP, RFC 5321) as it is told to, and keeps what it took.
type MailServer struct {
	Address string
	// Answer is what is said to a command, MAIL or DATA or "." after a message; "": as a server does that takes it; Hang: nothing.
	Answer func(verb, line string) string
	// TLS offers STARTTLS, or with Implicit begins with TLS; nil: neither.
	TLS      *tls.Config
	Implicit bool
	Password string // of user endogate; empty: nobody has to sign in

	mu       sync.Mutex
	messages []string
	lines    []string
}

// Hang is an answer that never comes.
const Hang = "hang"

// Start listens until the test is over.
func (s *MailServer) Start(t testing.TB) *MailServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	done := make(chan struct{})
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				stop := make(chan struct{})
				go func() {
					select {
					case <-done:
					case <-stop:
					}
					_ = conn.Close()
				}()
				s.serve(conn, done)
				close(stop)
			})
		}
	})
	t.Cleanup(func() {
		close(done)
		_ = ln.Close()
		conns.Wait()
	})
	s.Address = ln.Addr().String()
	return s
}

// Messages are those that were taken.
func (s *MailServer) Messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.messages...)
}

// Lines are the commands that came.
func (s *MailServer) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.lines...)
}

func (s *MailServer) serve(conn net.Conn, done chan struct{}) {
	secured := s.Implicit
	if secured {
		conn = tls.Server(conn, s.TLS)
	}
	r := bufio.NewReader(conn)
	say := func(verb, line, usual string) bool {
		answer := usual
		if s.Answer != nil {
			if own := s.Answer(verb, line); own != "" {
				answer = own
			}
		}
		if answer == Hang {
			<-done
			return false
		}
		_, err := conn.Write([]byte(answer + "\r\n"))
		return err == nil && answer[0] != '4' && answer[0] != '5'
	}
	say("", "", "220 sink ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb := strings.ToUpper(strings.FieldsFunc(line+" ", func(r rune) bool { return r == ' ' || r == ':' })[0])
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		switch verb {
		case "EHLO":
			usual := "250-sink"
			if s.TLS != nil && !secured {
				usual += "\r\n250-STARTTLS"
			}
			if s.Password != "" {
				usual += "\r\n250-AUTH PLAIN"
			}
			say(verb, line, usual+"\r\n250 8BITMIME")
		case "STARTTLS":
			if say(verb, line, "220 go ahead") {
				conn, secured = tls.Server(conn, s.TLS), true
				r = bufio.NewReader(conn)
			}
		case "AUTH":
			usual := "535 no"
			if strings.HasSuffix(line, base64.StdEncoding.EncodeToString([]byte("\x00endogate\x00"+s.Password))) {
				usual = "235 yes"
			}
			say(verb, line, usual)
		case "DATA":
			if say(verb, line, "354 go on") {
				var text strings.Builder
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if line == ".\r\n" {
						break
					}
					text.WriteString(strings.TrimPrefix(line, "."))
				}
				if say(".", "", "250 taken") {
					s.mu.Lock()
					s.messages = append(s.messages, text.String())
					s.mu.Unlock()
				}
			}
		case "QUIT":
			say(verb, line, "221 bye")
			return
		default:
			say(verb, line, "250 so be it")
		}
	}
}
