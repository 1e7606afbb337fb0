package admin

import (
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// leastCompressed is from how many bytes on an answer is worth it.
const leastCompressed = 2 << 10

// compressed sends texts as gzip. Where another site could have a browser ask, and see how long the answer is, it could find out what is in
// it (BREACH): so only what the page's own scripts fetch is, and what a program asks by a token. Pictures are small already, a draft's ETag
// is of its bytes, and events must not wait for more.
func compressed() echo.MiddlewareFunc {
	return middleware.GzipWithConfig(middleware.GzipConfig{Level: 4, MinLength: leastCompressed, Skipper: func(c echo.Context) bool {
		r := c.Request()
		ours := r.Header.Get("Sec-Fetch-Site") == "same-origin" || r.Header.Get(echo.HeaderAuthorization) != ""
		text := strings.HasPrefix(r.URL.Path, "/assets/") || strings.HasPrefix(r.URL.Path, "/api/v1/")
		kind := path.Ext(r.URL.Path)
		return !ours || !text || follows(c) || strings.HasSuffix(c.Path(), "/draft") || kind == ".png" || kind == ".jpg" || kind == ".pdf"
	}})
}

// plainBody refuses a body in a coding that is not undone here.
func plainBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if coding := c.Request().Header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
			return &fault{
				Code: http.StatusUnsupportedMediaType, What: "the request was not understood", Why: "its body is compressed",
				Next: "send it as it is, without Content-Encoding",
			}
		}
		return next(c)
	}
}

// headed answers HEAD as GET (RFC 9110 9.3.2): the server leaves the body out. What has no end is not asked so.
func headed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && !strings.HasSuffix(r.URL.Path, "/events") {
			r = r.WithContext(r.Context()) // the server goes by what came
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}
