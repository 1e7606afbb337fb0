package peers

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"endogate/cmd/endogate/installed"
)

// dicomwebClient is the npm package's build for browsers; make setup-test fetches it.
const dicomwebClient = "bin/dicomweb/dicomweb-client.js"

// ViewerSite is a web server that gives a browser the library dicomweb-client, as viewers that stand elsewhere than the gateway do. It
// returns the origin of its pages, on each of which the library is DICOMwebClient.
func ViewerSite(t testing.TB) string {
	t.Helper()
	file := filepath.Join(Root(t), dicomwebClient)
	installed.Require(t, file)
	library, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("peers: %v", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/client.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(library)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(`<!doctype html><title>viewer</title><script src="/client.js"></script>`))
	})
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return site.URL
}
