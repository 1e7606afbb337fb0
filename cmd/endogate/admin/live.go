package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

// Live are the signals that the gateway watches.
type Live interface {
	// Signals are all of them, in the order of the configuration.
	Signals() []LiveSignal
	// Follow hands over what is said of a signal as it is said, the newest where do does not keep up, until ctx is done or do fails.
	// ErrNotFound, or ErrBusy where too many do.
	Follow(ctx context.Context, name string, do func(LiveEvent) error) error
	// Picture is the last frame that was analysed, with its heatmap where one is wanted, no wider than a screen needs it.
	// ErrNotFound, or ErrGone where there is none.
	Picture(name string, heatmap bool) (image.Image, analysis.Live, error)
	// Capture makes an instance for an order of the frame of that number, which Picture has given a moment ago, or with 0 of the last one,
	// and takes it in as what comes by C-STORE; durable on return. ErrNotFound, ErrGone, or ErrRefused where the order is none to add to.
	Capture(ctx context.Context, name, accession string, frame int, by draft.Author, from string) (LiveCapture, error)
}

// LiveSignal is a signal, and how it fares.
type LiveSignal struct {
	Name  string `json:"name"`
	Model string `json:"model"`
	Up    bool   `json:"up"`  // frames come
	Why   string `json:"why"` // they do not; "" where they do
}

// LiveEvent is a frame, or how the signal fares.
type LiveEvent struct {
	Frame  *analysis.Live
	Signal *LiveSignal
}

// LiveCapture is an instance that was made of a frame.
type LiveCapture struct {
	dicom.SOPInstance
	Frame           int       `json:"frame"`
	At              time.Time `json:"at"`
	AccessionNumber string    `json:"accession_number"`
}

const live = "/api/v1/live"

// follows says whether c is an answer that goes on.
func follows(c echo.Context) bool { return c.Path() == live+"/:name/events" }

func (s *Server) routeLive(e *echo.Echo) {
	e.GET(live, s.liveSignals)
	e.GET(live+"/:name/events", s.liveEvents)
	e.GET(live+"/:name/picture.jpg", s.livePicture)
	e.POST(live+"/:name/captures", s.liveCapture)
}

func (s *Server) liveSignals(c echo.Context) error {
	return c.JSON(http.StatusOK, struct {
		Signals []LiveSignal `json:"signals"`
	}{list(s.Live.Signals())})
}

// beat is how often a stream says at least that it is there.
const beat = 5 * time.Second

// liveEvents answers with server-sent events (WHATWG HTML 9.2): frame and signal, each a line of JSON.
func (s *Server) liveEvents(c echo.Context) error {
	w := c.Response()
	control := http.NewResponseController(w)
	begun := false
	send := func(format string, args ...any) error {
		if !begun {
			h := w.Header()
			h.Set(echo.HeaderContentType, "text/event-stream")
			h.Set(echo.HeaderCacheControl, "no-store")
			h.Set("X-Accel-Buffering", "no") // proxies hand on what comes
			w.WriteHeader(http.StatusOK)
			begun = true
		}
		if err := control.SetWriteDeadline(time.Now().Add(2 * beat)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return err
		}
		return control.Flush()
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	err := s.Live.Follow(ctx, param(c, "name"), func(e LiveEvent) error {
		switch {
		case e.Frame != nil:
			text, err := json.Marshal(e.Frame)
			if err != nil {
				return err
			}
			return send("event: frame\nid: %d\ndata: %s\n\n", e.Frame.Frame, text)
		case e.Signal != nil:
			text, err := json.Marshal(e.Signal)
			if err != nil {
				return err
			}
			return send("event: signal\ndata: %s\n\n", text)
		}
		return send(": there\n\n")
	})
	if begun || c.Request().Context().Err() != nil {
		return nil // whoever looked has gone, or the gateway stops
	}
	return faultOf("the signal cannot be followed", err)
}

// livePicture answers with the last frame; what it is of stands in the header.
func (s *Server) livePicture(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	heatmap := oneOf(q, "heatmap", []string{"yes", "no"}) != "no"
	if err := q.done(); err != nil {
		return err
	}
	picture, of, err := s.Live.Picture(param(c, "name"), heatmap)
	if err != nil {
		return faultOf("there is no picture", err)
	}
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set("X-Endogate-Frame", strconv.Itoa(of.Frame))
	h.Set("X-Endogate-Age-Ms", strconv.FormatInt(time.Since(of.At).Milliseconds(), 10))
	h.Set(echo.HeaderContentType, "image/jpeg")
	c.Response().WriteHeader(http.StatusOK)
	return jpeg.Encode(c.Response(), picture, &jpeg.Options{Quality: 85})
}

func (s *Server) liveCapture(c echo.Context) error {
	var body struct {
		Accession string `json:"accession"`
		Frame     int    `json:"frame"`
		Author    string `json:"author"`
	}
	in := json.NewDecoder(c.Request().Body)
	in.DisallowUnknownFields()
	if err := in.Decode(&body); err != nil || in.More() || strings.TrimSpace(body.Accession) == "" || len(body.Accession) > 64 || body.Frame < 0 {
		return badRequest("the body does not name an order", `send {"accession": the accession number of the order, "frame": X-Endogate-Frame of the picture, or none for the last one} as JSON`)
	}
	by, err := s.authorOf(c, body.Author)
	if err != nil {
		return err
	}
	made, err := s.Live.Capture(c.Request().Context(), param(c, "name"), strings.TrimSpace(body.Accession), body.Frame, by, s.address(c).String())
	if err != nil {
		return faultOf("the picture was not captured", err)
	}
	return c.JSON(http.StatusOK, made)
}
