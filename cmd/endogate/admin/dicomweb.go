package admin

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// dicomweb is where the services for viewers and archives stand (PS3.18). They bound their own time, which an object may need much of.
const dicomweb = "/dicom-web"

func ofDICOMweb(c echo.Context) bool { return strings.HasPrefix(c.Path(), dicomweb+"/") }

// routeDICOMweb hands on what is asked of them, when it is known that it may be.
func (s *Server) routeDICOMweb(e *echo.Echo) {
	serve := func(c echo.Context) error {
		s.DICOMweb.ServeHTTP(c.Response(), c.Request())
		return nil
	}
	const study = dicomweb + "/studies/:uid"
	const series = study + "/series/:series"
	const instance = series + "/instances/:sop"
	for _, path := range []string{
		dicomweb + "/studies", dicomweb + "/series", dicomweb + "/instances",
		study, study + "/metadata", study + "/series", study + "/instances",
		series, series + "/metadata", series + "/instances",
		instance, instance + "/metadata", instance + "/frames/:frames", instance + "/bulkdata/:path",
	} {
		e.Match([]string{http.MethodGet, http.MethodHead}, path, serve)
	}
}
