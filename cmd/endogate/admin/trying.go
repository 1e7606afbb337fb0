package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// A picture that somebody tries is in memory while it comes and its question is answered, and nowhere else: few, of so many bytes, one asked about at a time.
const (
	maxTried    = "32M"
	maxTrying   = 1
	maxSending  = 4 // that come, or wait for it: who sends slowly holds up nobody else
	tryTheImage = "/api/v1/try/"
)

// tryPicture shows a frame of the file in the body as a PNG, which the page asks about then.
func (s *Server) tryPicture(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	frame := q.number("frame", 1, 1, maxSide)
	if err := q.done(); err != nil {
		return err
	}
	return s.trying(c, func(ctx context.Context, file []byte) error {
		picture, err := s.Explanations.Picture(ctx, file, frame)
		if err != nil {
			return faultOf("the picture was not read", err)
		}
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, picture); err != nil {
			return faultOf("the picture was not written", err)
		}
		return c.Blob(http.StatusOK, "image/png", b.Bytes())
	})
}

// tryExplanation answers a question about the first frame of the file in the body.
func (s *Server) tryExplanation(c echo.Context) error {
	q, err := parseQuestion(c.Request().URL.RawQuery, []Form{AsMap, AsNone})
	if err != nil {
		return err
	}
	return s.trying(c, func(ctx context.Context, file []byte) error {
		release, err := s.slot(ctx)
		if err != nil {
			return faultOf("the picture was not explained", err)
		}
		defer release()
		e, err := s.Explanations.Try(ctx, file, q)
		if err != nil {
			return faultOf("the picture was not explained", err)
		}
		body, err := json.Marshal(e)
		if err != nil {
			return faultOf("the explanation was not written", err)
		}
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
	})
}

// trying reads the file in a body, has one asked about at a time, and forgets it when do returns.
func (s *Server) trying(c echo.Context, do func(ctx context.Context, file []byte) error) error {
	ctx := c.Request().Context()
	busy := func() error {
		return faultOf("the picture was not read", fmt.Errorf("%w: other pictures are being tried", ErrBusy))
	}
	select {
	case s.sending <- struct{}{}:
		defer func() { <-s.sending }()
	case <-ctx.Done():
		return busy()
	}
	file, err := io.ReadAll(c.Request().Body) // bounded by the middleware
	if err != nil {
		return err
	}
	select {
	case s.tried <- struct{}{}:
		defer func() { <-s.tried }()
	case <-ctx.Done():
		return busy()
	}
	return do(ctx, file)
}
