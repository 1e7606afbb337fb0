package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"

	"github.com/labstack/echo/v4"
)

//go:embed static
var static embed.FS

//go:embed openapi.json
var openAPIDocument []byte

// openAPI serves the description of the API.
func openAPI(c echo.Context) error {
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, openAPIDocument)
}

// asset serves the files of the page; none holds patient data, so the browser may keep them and ask whether they changed.
func asset(c echo.Context) error {
	file := param(c, "file")
	content, ok := catalogue(file)
	if !ok {
		var err error
		if content, err = static.ReadFile("static/" + path.Base(file)); err != nil {
			return echo.ErrNotFound
		}
	}
	sum := sha256.Sum256(content)
	tag := `W/"` + hex.EncodeToString(sum[:8]) + `"`
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-cache")
	h.Set("ETag", tag)
	if c.Request().Header.Get("If-None-Match") == tag { // weak, as it is of the bytes before they are compressed
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, mime.TypeByExtension(path.Ext(file)), content)
}
