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

// A picture that somebody tries is in memory while its question is answered, and nowhere else: one at a time, of so many bytes.
const (
	maxTried    = "32M"
	maxTrying   = 1
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

// trying reads the file in a body, one at a time, and forgets it when do returns.
func (s *Server) trying(c echo.Context, do func(ctx context.Context, file []byte) error) error {
	ctx := c.Request().Context()
	select {
	case s.tried <- struct{}{}:
		defer func() { <-s.tried }()
	case <-ctx.Done():
		return faultOf("the picture was not read", fmt.Errorf("%w: another picture is being tried", ErrBusy))
	}
	file, err := io.ReadAll(c.Request().Body) // bounded by the middleware
	if err != nil {
		return err
	}
	return do(ctx, file)
}
