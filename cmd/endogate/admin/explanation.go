package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// maxAsked bounds the questions that are answered at once: each holds a session of a network and a core.
const maxAsked = 2

// explanationAge is how long a browser shows an explanation again without asking, which is how long a second look leaves nothing
// new in the audit trail. Who signs in after another has another cookie, and asks anew.
const explanationAge = seenAgain

// Explanations answer what somebody asks of a frame while the gateway works.
type Explanations interface {
	// Explain asks a model about a frame, 1 being the first. ErrNotFound, ErrGone and ErrUnsupported are those of Frames;
	// ErrRefused says what is wrong with the question, and what can be asked.
	Explain(ctx context.Context, study, sop dicom.UID, frame int, q Question) (Explanation, error)
}

// Question is why a model sees a class in a frame. What is left empty the gateway chooses: the only model, the most probable
// class, and the layer and the method of the model's manifest.
type Question struct {
	Model, Class, Layer, Method string
	Against                     string // why the class rather than this one
}

// Explanation is the answer.
type Explanation struct {
	StudyInstanceUID dicom.UID `json:"study_instance_uid"`
	SOPInstanceUID   dicom.UID `json:"sop_instance_uid"`
	Frame            int       `json:"frame"`

	Model   string `json:"model"`
	Version string `json:"version"`
	Digest  string `json:"digest"` // of the bundle
	Class   string `json:"class"`
	Against string `json:"against"` // empty for none
	Method  string `json:"method"`  // what made the map: another than was asked for where the notes say so
	Title   string `json:"title"`   // of the method
	Layer   string `json:"layer"`   // empty where the map is of the input

	Probabilities []ClassProbability `json:"probabilities"`
	Regions       []Region           `json:"regions,omitempty"` // boxes and masks that the network itself gives; the map is of the first of the class
	Grid          Grid               `json:"grid"`
	Notes         []string           `json:"notes"` // what whoever looks at it has to know

	Picture image.Image `json:"-"` // the map over its frame, with a legend
}

// ClassProbability is what the model says of a class, and from where on that is a finding.
type ClassProbability struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
	Threshold   float64 `json:"threshold"`
}

// Region is a box or a mask of the network's own.
type Region struct {
	Class       string           `json:"class"`
	Probability float64          `json:"probability"`
	Outline     analysis.Outline `json:"outline"`
	Number      int              `json:"number,omitempty"` // of a box among those of its class
	Contours    [][][2]float64   `json:"contours"`         // in the frame's pixels
}

// Grid is a map as it was computed, row by row from the upper left, before it is laid over the frame. It has no values where
// some are not finite.
type Grid struct {
	Rows    int       `json:"rows"`
	Columns int       `json:"columns"`
	Values  []float32 `json:"values"`
}

// explanation serves the answer to a question as a picture or as JSON.
func (s *Server) explanation(encode func(Explanation) ([]byte, error), mediaType string) echo.HandlerFunc {
	return func(c echo.Context) error {
		study, sop := dicom.UID(param(c, "uid")), dicom.UID(param(c, "sop"))
		number, err := strconv.Atoi(param(c, "frame"))
		if err != nil || number < 1 {
			return badRequest("a frame is named by its number from 1", "ask for frames/1/explanation.png")
		}
		q, err := parseQuestion(c.Request().URL.RawQuery)
		if err != nil {
			return err
		}
		e, err := s.explain(c.Request().Context(), study, sop, number, q)
		if err != nil {
			return faultOf("the frame was not explained", err)
		}
		body, err := encode(e)
		if err != nil {
			return faultOf("the explanation was not written", err)
		}
		digest := sha256.Sum256(body)
		tag := `"` + base64.RawURLEncoding.EncodeToString(digest[:18]) + `"`
		h := c.Response().Header()
		if s.who(c).Method != access.ByProxy { // whom nothing in a request tells from the next person at that browser
			h.Set(echo.HeaderCacheControl, fmt.Sprintf("private, max-age=%d", int(explanationAge.Seconds())))
		}
		h.Set(echo.HeaderVary, "Cookie, Authorization")
		h.Set("ETag", tag)
		if c.Request().Header.Get("If-None-Match") == tag {
			return c.NoContent(http.StatusNotModified)
		}
		return c.Blob(http.StatusOK, mediaType, body)
	}
}

func (s *Server) explain(ctx context.Context, study, sop dicom.UID, frame int, q Question) (Explanation, error) {
	select {
	case s.asked <- struct{}{}:
		defer func() { <-s.asked }()
	case <-ctx.Done():
		return Explanation{}, fmt.Errorf("%w: too much is being explained", ErrBusy)
	}
	return s.Explanations.Explain(ctx, study, sop, frame, q)
}

func explanationPicture(e Explanation) ([]byte, error) {
	var b bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, e.Picture)
	return b.Bytes(), err
}

func explanationJSON(e Explanation) ([]byte, error) { return json.Marshal(e) }

// parseQuestion reads what is asked of a frame.
func parseQuestion(raw string) (Question, error) {
	q, err := parse(raw)
	if err != nil {
		return Question{}, err
	}
	question := Question{
		Model: q.text("model"), Class: q.textOf("class", maxName), Layer: q.textOf("layer", maxName), Method: q.text("method"), Against: q.textOf("against", maxName),
	}
	return question, q.done()
}
