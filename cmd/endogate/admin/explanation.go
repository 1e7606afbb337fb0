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

// Explanations answer what somebody asks of a frame while the gateway works, and say what can be asked. Of what was changed in a frame
// to see what a model makes of it nothing is kept.
type Explanations interface {
	// Explain asks a model about a frame, 1 being the first. ErrNotFound, ErrGone and ErrUnsupported are those of Frames;
	// ErrRefused says what is wrong with the question, and what can be asked.
	Explain(ctx context.Context, study, sop dicom.UID, frame int, q Question) (Explanation, error)
	// Faithfulness says what becomes of the probability while what the map points at goes. Errors as Explain.
	Faithfulness(ctx context.Context, study, sop dicom.UID, frame int, q Question) (Faithfulness, error)
	// Picture is a frame of a file that is no part of a record: DICOM, PNG or JPEG. ErrUnsupported says why it cannot be read.
	Picture(ctx context.Context, file []byte, frame int) (image.Image, error)
	// Try is Explain of the first frame of such a file. Nothing of it is kept.
	Try(ctx context.Context, file []byte, q Question) (Explanation, error)
	// Network says of a model what can be asked of it, or ErrNotFound.
	Network(ctx context.Context, model string) (Network, error)
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
	Map           *Laid              `json:"map,omitempty"`

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

// Laid is a map laid over its frame, made smaller where that is large.
type Laid struct {
	Columns int      `json:"columns"` // of the frame
	Rows    int      `json:"rows"`
	Width   int      `json:"width"` // of the values; 0 by 0 where there is nothing to show, which a note says
	Height  int      `json:"height"`
	Values  []byte   `json:"values"` // row by row
	Signed  bool     `json:"signed"` // 128 is nothing and what is below speaks against the class; else 0 is nothing
	Max     float64  `json:"max"`    // what 255 stands for
	Unseen  [][4]int `json:"unseen"` // left, top, right, bottom in the frame: what the network did not see
}

// Faithfulness is the probability of a class while what its map points at goes, the strongest first (deletion), and while it comes back
// into a blurred frame (insertion): in equal steps of the frame's pixels, from none to all.
type Faithfulness struct {
	Model     string   `json:"model"`
	Class     string   `json:"class"`
	Against   string   `json:"against"` // which the map is against; the curves are of the class
	Method    string   `json:"method"`
	Layer     string   `json:"layer"`
	Deletion  Curve    `json:"deletion"`
	Insertion Curve    `json:"insertion"`
	Notes     []string `json:"notes"`
}

// Curve is one of the two; Area is that under it, 0 to 1.
type Curve struct {
	Probabilities []float64 `json:"probabilities"`
	Area          float64   `json:"area"`
}

// Network is what can be asked of a model.
type Network struct {
	Model    string          `json:"model"`
	Version  string          `json:"version"`
	Columns  int             `json:"columns"` // of the input
	Rows     int             `json:"rows"`
	Classes  int             `json:"classes"`
	Weights  int64           `json:"weight_bytes"`
	Multiply int64           `json:"multiplications"` // for one frame
	Layers   []NetworkLayer  `json:"layers"`          // that can be explained, from the input up
	Methods  []NetworkMethod `json:"methods"`
}

// NetworkLayer is a layer that lies on a grid over the picture.
type NetworkLayer struct {
	Name     string `json:"name"`
	Channels int    `json:"channels"`
	Rows     int    `json:"rows"`
	Columns  int    `json:"columns"`
	Sees     int    `json:"sees"`  // how many rows or columns of the input a place depends on; 0: not known
	Block    bool   `json:"block"` // the last one of its grid
	Last     bool   `json:"last"`  // what "last" stands for
}

// NetworkMethod is a way to explain.
type NetworkMethod struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	AtLayer bool   `json:"at_layer"` // depends on the layer
	Signed  bool   `json:"signed"`   // shows what speaks against the class too
	Runs    bool   `json:"runs"`     // takes many runs of the network
	NoClass bool   `json:"no_class"` // says what the network looks at, for whatever class
}

// Grid is a map as it was computed, row by row from the upper left, before it is laid over the frame. It has no values where
// some are not finite.
type Grid struct {
	Rows    int       `json:"rows"`
	Columns int       `json:"columns"`
	Values  []float32 `json:"values"`
}

// explanation serves the answer to a question as a picture or as JSON.
func (s *Server) explanation(encode func(Explanation) ([]byte, error), mediaType string, forms ...Form) echo.HandlerFunc {
	return s.asking(mediaType, forms, func(ctx context.Context, study, sop dicom.UID, frame int, q Question) ([]byte, error) {
		e, err := s.Explanations.Explain(ctx, study, sop, frame, q)
		if err != nil {
			return nil, err
		}
		return encode(e)
	})
}

// faithfulness serves how much a map is worth.
func (s *Server) faithfulness() echo.HandlerFunc {
	return s.asking(echo.MIMEApplicationJSON, nil, func(ctx context.Context, study, sop dicom.UID, frame int, q Question) ([]byte, error) {
		f, err := s.Explanations.Faithfulness(ctx, study, sop, frame, q)
		if err != nil {
			return nil, err
		}
		return json.Marshal(f)
	})
}

// network serves what can be asked of a model.
func (s *Server) network(c echo.Context) error {
	ctx := c.Request().Context()
	release, err := s.slot(ctx) // the first time it is computed
	if err != nil {
		return faultOf("the network was not looked at", err)
	}
	defer release()
	n, err := s.Explanations.Network(ctx, param(c, "name"))
	if err != nil {
		return faultOf("the network was not looked at", err)
	}
	return c.JSON(http.StatusOK, n)
}

// asking serves what is asked of a frame.
func (s *Server) asking(mediaType string, forms []Form, answer func(ctx context.Context, study, sop dicom.UID, frame int, q Question) ([]byte, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		study, sop := dicom.UID(param(c, "uid")), dicom.UID(param(c, "sop"))
		number, err := strconv.Atoi(param(c, "frame"))
		if err != nil || number < 1 {
			return badRequest("a frame is named by its number from 1", "ask for frames/1/explanation.png")
		}
		q, err := parseQuestion(c.Request().URL.RawQuery, forms)
		if err != nil {
			return err
		}
		ctx := c.Request().Context()
		release, err := s.slot(ctx)
		if err != nil {
			return faultOf("the frame was not explained", err)
		}
		defer release()
		body, err := answer(ctx, study, sop, number, q)
		if err != nil {
			return faultOf("the frame was not explained", err)
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

// slot waits until a question may be answered.
func (s *Server) slot(ctx context.Context) (release func(), err error) {
	select {
	case s.asked <- struct{}{}:
		return func() { <-s.asked }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too much is being explained", ErrBusy)
	}
}

func explanationPicture(e Explanation) ([]byte, error) {
	var b bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, e.Picture)
	return b.Bytes(), err
}

func explanationJSON(e Explanation) ([]byte, error) { return json.Marshal(e) }
