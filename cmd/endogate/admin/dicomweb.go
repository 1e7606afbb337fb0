package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/dicom"
	web "endogate/dicomnode/dicomweb"
)

// dicomweb is where the services for viewers and archives stand (PS3.18). They bound their own time, which an object may need much of.
const dicomweb = "/dicom-web"

func ofDICOMweb(c echo.Context) bool { return strings.HasPrefix(c.Path(), dicomweb+"/") }

// sentBy says which calling AE title a token stands for: its name in capitals, where it was made to send and the gateway knows a
// peer of that very title at the address that the request comes from.
func (s *Server) sentBy(serve echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		who := s.who(c)
		if title := dicom.AETitle(strings.ToUpper(who.Name)); who.Method == access.ByToken && slices.Contains(who.Scope, access.Send) && title.Valid() && s.Sender(title, s.address(c)) {
			peer := web.Peer{AETitle: title, User: who.Name, RemoteAddr: s.address(c).String()}
			c.SetRequest(c.Request().WithContext(web.From(c.Request().Context(), peer)))
		}
		return serve(c)
	}
}

// storesInstances says whether c is a body of instances: a page of another origin cannot send one without being asked first.
func storesInstances(c echo.Context) bool {
	media, _, _ := strings.Cut(c.Request().Header.Get(echo.HeaderContentType), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return ofDICOMweb(c) && (media == "multipart/related" || media == "application/dicom")
}

// tidy takes a base URL of the services that ends with a slash, as clients put another one behind it, and a slash at the end, for what they
// are; who may what is decided after that.
func tidy(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if u := c.Request().URL; u.RawPath == "" && strings.HasPrefix(u.Path, dicomweb+"/") {
			for strings.Contains(u.Path, "//") {
				u.Path = strings.ReplaceAll(u.Path, "//", "/")
			}
			u.Path = strings.TrimSuffix(u.Path, "/")
		}
		return next(c)
	}
}

// routeDICOMweb hands on what is asked of them, when it is known that it may be.
func (s *Server) routeDICOMweb(e *echo.Echo) {
	serve := func(c echo.Context) error {
		s.DICOMweb.ServeHTTP(c.Response(), c.Request())
		return nil
	}
	e.POST(dicomweb+"/studies", s.sentBy(serve))
	e.POST(dicomweb+"/studies/:uid", s.sentBy(serve))
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
	for _, path := range []string{study, series, instance, instance + "/frames/:frames"} {
		for _, kind := range []string{"/rendered", "/thumbnail"} {
			e.Match([]string{http.MethodGet, http.MethodHead}, path+kind, serve)
		}
	}
}
