package admin

import (
	"bytes"
	"image/png"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const explanationPath = "/api/v1/studies/2.25.1001/instances/2.25.1001.1/frames/1/explanation"

// An explanation is kept by the browser that asked, and by nobody else; asked for again it is not sent again.
func TestExplanation(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	w := ask(s, "GET", explanationPath+".png?class=polyp&layer="+url.QueryEscape("/features/"+strings.Repeat("x", 200)))
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "image/png", w.Header().Get("Content-Type"))
	require.Equal(t, "private, max-age=600", w.Header().Get("Cache-Control"))
	require.Equal(t, "Cookie, Authorization", w.Header().Get("Vary"))
	_, err := png.Decode(bytes.NewReader(w.Body.Bytes()))
	require.NoError(t, err)

	again := ask(s, "GET", explanationPath+".png", "If-None-Match", w.Header().Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.Code)
	require.Empty(t, again.Body.Bytes())
	require.NotEqual(t, w.Header().Get("ETag"), ask(s, "GET", explanationPath+".json").Header().Get("ETag"))
	require.Contains(t, ask(s, "GET", explanationPath+".json?against=cecum").Body.String(), `"against":"cecum"`)

	for target, code := range map[string]int{
		explanationPath + ".png?class=tea":                               http.StatusUnprocessableEntity,
		explanationPath + ".png?class=" + strings.Repeat("x", maxName+1): http.StatusBadRequest,
		explanationPath + ".png?klass=polyp":                             http.StatusBadRequest,
		explanationPath + ".gif":                                         http.StatusNotFound,
		strings.Replace(explanationPath, "/1/", "/0/", 1) + ".png":       http.StatusBadRequest,
		strings.Replace(explanationPath, "/1/", "/one/", 1) + ".png":     http.StatusBadRequest,
		strings.Replace(explanationPath, "/1/", "/2/", 1) + ".png":       http.StatusNotFound,
	} {
		w := ask(s, "GET", target)
		require.Equal(t, code, w.Code, target)
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"), target)
	}
}
