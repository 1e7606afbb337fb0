package peers

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"endogate/cmd/endogate/installed"
)

// ohifConfig points the viewer at the DICOMweb service of the server it came from.
const ohifConfig = `localStorage.setItem('shownTours', '["basicViewerTour"]'); // no welcome tour before the pictures
window.config = {
  routerBasename: null,
  extensions: [],
  modes: [],
  customizationService: {},
  showStudyList: true,
  maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  strictZSpacingForVolumeViewport: true,
  showErrorDetails: 'always',
  investigationalUseDialog: { option: 'never' },
  defaultDataSourceName: 'pacs',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName: 'pacs',
    configuration: {
      friendlyName: 'PACS',
      name: 'pacs',
      qidoRoot: '/dicom-web',
      wadoRoot: '/dicom-web',
      wadoUriRoot: '/dicom-web',
      qidoSupportsIncludeField: false,
      imageRendering: 'wadors',
      thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true,
      supportsFuzzyMatching: false,
      supportsWildcard: true,
      omitQuotationForMultipartRequest: true,
      bulkDataURI: { enabled: true },
      singlepart: 'bulkdata,video',
    },
  }],
};
`

// ohifFolder is the built viewer below the module's root; make setup-test unpacks it.
const ohifFolder = "bin/ohif"

// startOHIF serves the viewer and, from the same origin, the DICOMweb service of a server. It returns the URL.
func startOHIF(t testing.TB, server string) string {
	t.Helper()
	dir := filepath.Join(Root(t), ohifFolder)
	installed.Require(t, filepath.Join(dir, "index.html"))
	pacs, err := url.Parse(server)
	if err != nil {
		t.Fatalf("peers: ohif: %v", err)
	}
	mux := http.NewServeMux()
	// Servers write bulk data links for the host it is asked under: keep the viewer's.
	mux.Handle("/dicom-web/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(pacs)
		r.Out.Host = r.In.Host
	}})
	mux.HandleFunc("/app-config.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write([]byte(ohifConfig)) // a viewer that hung up needs none
	})
	mux.Handle("/", singlePage(dir))
	site := httptest.NewServer(isolated(mux))
	t.Cleanup(site.Close)
	return site.URL
}

// singlePage serves a folder and index.html for every path that names no file.
func singlePage(dir string) http.Handler {
	files := http.FileServer(http.Dir(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(r.URL.Path)))
		if err != nil || info.IsDir() || strings.HasSuffix(r.URL.Path, "/") {
			http.ServeFile(w, r, filepath.Join(dir, "index.html"))
			return
		}
		files.ServeHTTP(w, r)
	})
}

// isolated sets what a page needs to use shared memory, as the viewer's decoders do.
func isolated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		next.ServeHTTP(w, r)
	})
}
