package admin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/access"
)

// A web site that points its own name at this address (DNS rebinding) learns nothing where nobody has to sign in, but whether all is well.
func TestHost_rebound(t *testing.T) {
	s := newServer(t, newHospital(t))
	handler := s.Handler()
	for _, r := range s.router().Routes() {
		if !strings.HasPrefix(r.Path, "/") {
			continue
		}
		path := strings.NewReplacer(":uid", "2.25.1001", ":instance", "2.25.1001.1", ":file", "1.jpg", ":id", "delivery-42", ":name", "pacs").Replace(r.Path)
		w := ask(handler, r.Method, path, "Host", "evil.example", ActionHeader, "1")
		switch r.Path {
		case "/healthz":
			assert.Equal(t, http.StatusOK, w.Code)
		case "/readyz":
			assert.Equal(t, http.StatusOK, w.Code)
			assert.NotContains(t, w.Body.String(), "checks", "why is for those whose server it is")
		default:
			assert.Equal(t, http.StatusMisdirectedRequest, w.Code, "%s %s", r.Method, r.Path)
		}
	}
	assert.Contains(t, ask(handler, "GET", "/readyz").Body.String(), "checks")
	assert.Equal(t, http.StatusOK, ask(handler, "GET", "/metrics").Code)
	assert.Equal(t, http.StatusMisdirectedRequest, ask(handler, "GET", "/metrics", "Host", "localhost.evil.example").Code)

	h := newHouse(t, func(in *SignIn) { in.Required = false })
	text, _, err := h.Store.CreateToken("prometheus", access.Operator, []access.Right{access.Measure}, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, ask(h.server.Handler(), "GET", "/metrics", "Host", "gateway.example", "Authorization", "Bearer "+text).Code, "a token says who asks, by whatever name")
	assert.Equal(t, http.StatusMisdirectedRequest, ask(h.server.Handler(), "GET", "/metrics", "Host", "gateway.example").Code)
}

// A page of another origin has a browser neither change nor fetch anything here; a person may follow a link.
func TestOrigin_other(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	for _, tt := range []struct {
		name   string
		header []string
		want   int
	}{
		{"a program", nil, 200},
		{"typed or bookmarked", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, 200},
		{"our page", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, 200},
		{"a link", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		{"fetched", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"fetched with credentials", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors", "Origin", "https://evil.example"}, 403},
		{"another port of this host", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Origin", "http://127.0.0.1:9"}, 403},
		{"an older browser", []string{"Origin", "https://evil.example"}, 403},
		{"a file", []string{"Origin", "null"}, 403},
		{"our page in an older browser", []string{"Origin", "http://127.0.0.1:8080"}, 200},
		{"a word for this is no proof", []string{"Sec-Fetch-Site", "whatever", "Sec-Fetch-Mode", "cors"}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, target := range []string{"/api/v1/studies", "/api/v1/instances/2.25.1001.1/frames/1.jpg", "/"} {
				w := ask(s, "GET", target, tt.header...)
				assert.Equal(t, tt.want, w.Code, target)
				assert.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
				assert.Equal(t, "same-origin", w.Header().Get("Cross-Origin-Resource-Policy"))
			}
		})
	}
}

// Nothing that came in an object or a message stands in a header of an answer, and what may be of a patient is kept by no cache.
func TestAnswer_headersHoldNoValues(t *testing.T) {
	s := newServer(t, newHospital(t))
	for _, r := range s.router().Routes() {
		if r.Method != http.MethodGet || !strings.HasPrefix(r.Path, "/") {
			continue
		}
		for _, uid := range []string{"2.25.1001", "2.25.1002"} {
			path := strings.NewReplacer(":uid", uid, ":instance", uid+".1", ":file", "1.jpg", ":id", "delivery-42", ":name", "pacs").Replace(r.Path)
			w := ask(s.Handler(), r.Method, path+"?after=%0d%0aSet-Cookie:%20evil=1&format=csv")
			for name, values := range w.Header() {
				for _, value := range values {
					assert.NotContains(t, value, "evil", "%s of %s", name, r.Path)
					assert.NotContains(t, value, "onerror", "%s of %s", name, r.Path)
					assert.NotContains(t, value, "7405121234", "%s of %s", name, r.Path)
					assert.NotContains(t, value, "Nov", "%s of %s", name, r.Path)
				}
			}
			if strings.HasPrefix(r.Path, "/api/") && r.Path != "/api/v1/openapi.json" {
				assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), r.Path)
			}
			assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		}
	}
}

// raw sends bytes to a server and returns the statuses of what it answers until it closes.
func raw(t *testing.T, address, request string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	for r := bufio.NewReader(conn); ; {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		statuses = append(statuses, answer.StatusCode)
	}
}

// A request that a server before this one may read otherwise (request smuggling) is refused, and is one request.
func TestServe_smuggling(t *testing.T) {
	address := strings.TrimPrefix(serve(t, newServer(t, newHospital(t))), "http://")
	const inner = "POST /api/v1/parked/delivery-42/retry HTTP/1.1\r\nHost: localhost\r\nX-Endogate-Action: 1\r\n\r\n"
	for _, tt := range []struct{ name, request string }{
		{"two lengths", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n" + inner},
		{"a length that is none", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: +0\r\n\r\n" + inner},
		{"a negative length", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n" + inner},
		{"a coding that is none", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n" + inner},
		{"two codings", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + inner},
		{"a blank before the colon", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length : 200\r\n\r\n" + inner},
		{"two hosts", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n" + inner},
		{"no host", "GET /healthz HTTP/1.1\r\n\r\n" + inner},
		{"a chunk's length that overflows", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + inner},
	} {
		t.Run(tt.name, func(t *testing.T) {
			statuses := raw(t, address, tt.request)
			require.LessOrEqual(t, len(statuses), 1, "%v", statuses)
			for _, status := range statuses {
				assert.Contains(t, []int{400, 501, 200}, status)
				if status == 200 { // the whole rest was its broken body
					assert.Contains(t, tt.request, "10000000000000000")
				}
			}
		})
	}
	t.Run("a length and a coding", func(t *testing.T) { // RFC 9112 6.3: the coding counts, and the connection ends
		statuses := raw(t, address, "POST /api/v1/parked/none/retry HTTP/1.1\r\nHost: localhost\r\nX-Endogate-Action: 1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		assert.LessOrEqual(t, len(statuses), 2)
		assert.NotContains(t, statuses, 421)
	})
}

// What a request says of its length, or packs, takes no memory (CVE-2026-5438, CVE-2026-5440).
func TestServe_bodiesThatLie(t *testing.T) {
	h := newHospital(t)
	address := strings.TrimPrefix(serve(t, newServer(t, h)), "http://")
	statuses := raw(t, address, "POST /api/v1/parked/delivery-42/retry HTTP/1.1\r\nHost: localhost\r\nX-Endogate-Action: 1\r\nConnection: close\r\nContent-Length: 4294967296\r\n\r\n")
	assert.Equal(t, []int{413}, statuses)

	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte(`{"author":"` + strings.Repeat("x", 10<<20) + `"}`))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	request := httptest.NewRequest("POST", "/api/v1/studies/2.25.1001/draft/sign", &packed)
	request.Host = "localhost"
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Content-Encoding", "gzip")
	request.Header.Set("If-Match", `"1.2"`)
	w := httptest.NewRecorder()
	newServer(t, h).Handler().ServeHTTP(w, request)
	assert.Equal(t, http.StatusUnsupportedMediaType, w.Code, "nothing is unpacked: %s", w.Body)

	deep := strings.Repeat("[", 500_000)
	request = httptest.NewRequest("PATCH", "/api/v1/studies/2.25.1001/draft", strings.NewReader(`{"edits":`+deep))
	request.Host = "localhost"
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("If-Match", `"1.2"`)
	w = httptest.NewRecorder()
	newServer(t, h).Handler().ServeHTTP(w, request)
	assert.Equal(t, http.StatusBadRequest, w.Code, "nested too deep: %.300s", w.Body)
}

// Whoever opens many connections, or speaks slowly on them, keeps nobody out for longer than the server's times.
func TestServe_manyConnections(t *testing.T) {
	s := newServer(t, newHospital(t))
	s.connections = 8
	s.once.Do(s.build)
	base := serve(t, s)
	for _, limit := range []time.Duration{s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout} {
		assert.Positive(t, limit)
		assert.LessOrEqual(t, limit, 2*time.Minute)
	}
	assert.LessOrEqual(t, s.http.MaxHeaderBytes, 64<<10)

	address := strings.TrimPrefix(base, "http://")
	var kept []net.Conn
	defer func() {
		for _, conn := range kept {
			conn.Close()
		}
	}()
	for range s.connections { // each has asked once, and stays
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		kept = append(kept, conn)
		_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	require.Eventually(t, func() bool { // the first finds no room, and makes it
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Get(base + "/healthz")
		if err != nil {
			return false
		}
		return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	}, 30*time.Second, 10*time.Millisecond)
}

// After a sign-in the browser goes to the page, wherever the request, its form or its headers would have it go.
func TestSignIn_goesNowhereElse(t *testing.T) {
	h := newHouse(t)
	form := credentials("viewer", goodPassword)
	for _, key := range []string{"next", "return_to", "redirect", "redirect_uri", "url", "rd"} {
		form.Set(key, "https://evil.example/")
	}
	status, _, header := h.ask(t, visitor(t), http.MethodPost, "/signin?next=//evil.example&redirect_uri=https://evil.example", form,
		"X-Forwarded-Host", "evil.example", "X-Original-URL", "https://evil.example", "Referer", h.URL+"//evil.example")
	require.Equal(t, http.StatusSeeOther, status)
	assert.Equal(t, "/", header.Get("Location"))
	status, _, header = h.ask(t, visitor(t), http.MethodGet, "//evil.example/%2f..", nil)
	assert.Equal(t, http.StatusNotFound, status)
	assert.Empty(t, header.Get("Location"))
}

// Over TLS a cookie cannot be set by another host or a plain connection, nor read by a script.
func TestSignIn_cookiesOverTLS(t *testing.T) {
	for secure, want := range map[bool]string{true: "__Host-endogate", false: "endogate"} {
		h := newHouse(t, func(in *SignIn) { in.Secure = secure })
		status, _, header := h.ask(t, &http.Client{CheckRedirect: visitor(t).CheckRedirect}, http.MethodPost, "/signin", credentials("viewer", goodPassword))
		require.Equal(t, http.StatusSeeOther, status)
		cookies := (&http.Response{Header: header}).Cookies()
		require.Len(t, cookies, 2)
		for _, cookie := range cookies {
			assert.True(t, strings.HasPrefix(cookie.Name, want), cookie.Name)
			assert.Equal(t, secure, cookie.Secure, cookie.Name)
			assert.True(t, cookie.HttpOnly, cookie.Name)
			assert.Equal(t, "/", cookie.Path, cookie.Name)
			assert.Empty(t, cookie.Domain, cookie.Name)
			assert.NotEqual(t, http.SameSiteNoneMode, cookie.SameSite, cookie.Name)
		}
	}
}

// The session of somebody who has not signed in yet is not the one of whoever does then (session fixation).
func TestSignIn_fixation(t *testing.T) {
	h := newHouse(t)
	client := visitor(t)
	base, err := url.Parse(h.URL)
	require.NoError(t, err)
	client.Jar.SetCookies(base, []*http.Cookie{{Name: "endogate", Value: "0123456789abcdef", Path: "/"}})
	status, _, header := h.ask(t, client, http.MethodPost, "/signin", credentials("viewer", goodPassword))
	require.Equal(t, http.StatusSeeOther, status)
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		assert.NotEqual(t, "0123456789abcdef", cookie.Value)
	}
	status, _, _ = h.ask(t, &http.Client{}, http.MethodGet, "/api/v1/studies", nil, "Cookie", "endogate=0123456789abcdef")
	assert.Equal(t, http.StatusUnauthorized, status)
}

// What is answered to a wrong name and to a wrong password is the same, to the byte.
func TestSignIn_saysNotWhich(t *testing.T) {
	h := newHouse(t)
	require.NoError(t, h.Store.AddUser("unready", access.Viewer))
	answers := map[string]bool{}
	for _, name := range []string{"viewer", "nobody1", "unready"} {
		status, text, _ := h.ask(t, visitor(t), http.MethodPost, "/signin", credentials(name, "wrong wrong wrong"))
		answers[fmt.Sprint(status, strings.ReplaceAll(text, name, "NAME"))] = true
	}
	assert.Len(t, answers, 1)
}

// The provider cannot have this server ask others, nor give it more than it can hold.
func TestProvider_redirects(t *testing.T) {
	asked := make(chan string, 10)
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	t.Cleanup(inside.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		provider := httptest.NewServer(http.RedirectHandler(inside.URL+"/latest/meta-data", status))
		p := &Provider{Name: "Hospital", Issuer: provider.URL, ClientID: "endogate", ClientSecret: "secret", Client: provider.Client()}
		_, err := p.discover(t.Context())
		require.ErrorContains(t, err, "sends its clients elsewhere")
		answer, err := confined(p.Client).PostForm(provider.URL+"/token", url.Values{"client_secret": {"secret"}})
		if err == nil {
			answer.Body.Close()
		}
		require.Error(t, err)
		provider.Close()
	}
	assert.Empty(t, asked)

	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := (&Provider{Issuer: endless.URL, Client: endless.Client()}).discover(ctx)
	require.Error(t, err)
	require.NoError(t, ctx.Err())
}
