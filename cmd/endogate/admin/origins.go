package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// lentKey is set for a request of a viewer that another server gave to the browser, which may ask for DICOMweb.
const lentKey = "lent"

// What such a viewer may send and read besides what every page may (Fetch 3.2). Credentials are never allowed.
const (
	lentMethods = "GET, HEAD, POST"
	lentHeaders = "Authorization, Accept, Content-Type, If-None-Match, If-Range, Range"
	lentExposed = "Content-Location, Content-Range, ETag, Retry-After, Warning, X-Request-Id"
	lentAge     = "600" // seconds for which a browser need not ask again
)

// lent lets pages of the origins use DICOMweb, and nothing else of this server. They ask in their own name, by a token: who has signed in
// here with the same browser, or at a proxy, counts for nothing.
func (s *Server) lent(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if len(s.Origins) == 0 || !strings.HasPrefix(r.URL.Path, dicomweb+"/") {
			return next(c)
		}
		h := c.Response().Header()
		h.Add(echo.HeaderVary, echo.HeaderOrigin)
		origin := r.Header.Get(echo.HeaderOrigin)
		mode := r.Header.Get("Sec-Fetch-Mode")
		if !slices.Contains(s.Origins, origin) || mode != "" && mode != "cors" {
			return next(c)
		}
		h.Set(echo.HeaderAccessControlAllowOrigin, origin)
		h.Set(echo.HeaderAccessControlExposeHeaders, lentExposed)
		if r.Method == http.MethodOptions && r.Header.Get(echo.HeaderAccessControlRequestMethod) != "" {
			h.Set(echo.HeaderAccessControlAllowMethods, lentMethods)
			h.Set(echo.HeaderAccessControlAllowHeaders, lentHeaders)
			h.Set(echo.HeaderAccessControlMaxAge, lentAge)
			return c.NoContent(http.StatusNoContent)
		}
		r.Header.Del(echo.HeaderCookie)
		if s.SignIn != nil {
			r.Header.Del(s.SignIn.Proxy.Header)
		}
		c.Set(lentKey, true)
		return next(c)
	}
}

func isLent(c echo.Context) bool {
	lent, _ := c.Get(lentKey).(bool)
	return lent
}
