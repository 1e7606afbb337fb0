package admin

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestServer_compressed: what the page's scripts fetch and what programs ask by a token is compressed, and nothing that another site can have
// a browser ask for; nothing whose ETag is of its bytes, no picture and no events.
func TestServer_compressed(t *testing.T) {
	base := serve(t, newServer(t, newHospital(t)))
	asked := func(path string, headers ...string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		require.NoError(t, err)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		r.Header.Set("Accept-Encoding", "gzip") // by hand, so that it is not undone
		answer, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer
	}
	const study = "/api/v1/studies/2.25.1001"
	answer := asked(study, "Sec-Fetch-Site", "same-origin")
	require.Equal(t, "gzip", answer.Header.Get("Content-Encoding"))
	unpacked, err := gzip.NewReader(answer.Body)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(unpacked).Decode(&struct{}{}))
	assert.Equal(t, "gzip", asked("/assets/study.js", "Sec-Fetch-Site", "same-origin").Header.Get("Content-Encoding"))
	for _, headers := range [][]string{nil, {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, {"Sec-Fetch-Site", "none"}, {"Sec-Fetch-Site", "same-site"}} {
		assert.Empty(t, asked(study, headers...).Header.Get("Content-Encoding"), headers)
	}
	for _, path := range []string{study + "/draft", study + "/draft.pdf", "/api/v1/version", "/api/v1/live/room/events"} {
		assert.Empty(t, asked(path, "Sec-Fetch-Site", "same-origin").Header.Get("Content-Encoding"), path)
	}
}

// TestServer_methods: HEAD has what GET has but the body, and a body that is compressed is not taken for what it is not.
func TestServer_methods(t *testing.T) {
	base := serve(t, newServer(t, newHospital(t)))
	for _, path := range []string{"/", "/api/v1/studies", "/api/v1/studies/2.25.1001", "/assets/style.css", "/healthz"} {
		answer, err := http.Head(base + path)
		require.NoError(t, err)
		_ = answer.Body.Close()
		assert.Equal(t, http.StatusOK, answer.StatusCode, path)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v1/retract", strings.NewReader("\x1f\x8b"))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	_ = answer.Body.Close()
	assert.Equal(t, http.StatusUnsupportedMediaType, answer.StatusCode)
}
