package dicomweb

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// Bounds of what is stored by one request.
const (
	maxStoring = 4       // requests at once: associations have the rest
	maxParts   = 10_000  // of a request
	maxStored  = 8 << 30 // bytes of it
	maxHeader  = 8       // fields of a part's header
)

// Peer is who sends instances.
type Peer struct {
	AETitle    dicom.AETitle // that it stands for
	User       string        // whom it has proved to be
	RemoteAddr string        // without a port
}

type peerKey struct{}

// From says who sends the request of ctx; nobody stores anything without it.
func From(ctx context.Context, p Peer) context.Context { return context.WithValue(ctx, peerKey{}, p) }

// Storage is where instances go.
type Storage struct {
	Handler  dicomnode.Handler               // that of associations
	Contexts []dicomnode.PresentationContext // what they accept
	CalledAE dicom.AETitle
	Admit    func() error       // an error: nothing is taken in now
	Stored   func(dimse.Status) // called for each instance, whatever became of it
}

// storing is what became of the parts of a request.
type storing struct {
	stored, failed, others []map[string]element
	statuses               []dimse.Status // of what failed
}

// store takes instances in (PS3.18 10.5): each through the handler that takes those of associations, durable before the answer.
func (s *Server) store(w http.ResponseWriter, r *http.Request) error {
	peer, known := r.Context().Value(peerKey{}).(Peer)
	study := dicom.UID(r.PathValue("study"))
	switch {
	case !known:
		return &Fault{Code: http.StatusForbidden, Why: "who sends instances stands for a calling AE title", Next: "send a token with the scope send, whose name is, in capitals, a title of dicom.peers, from an address that is listed there"}
	case study != "" && !study.Fileable():
		return badRequest("the study is not named by a UID", "POST to "+Root+"/studies")
	case r.Header.Get("Content-Encoding") != "":
		return &Fault{Code: http.StatusUnsupportedMediaType, Why: "bodies are taken as they are", Next: "send no Content-Encoding"}
	}
	media, err := acceptsJSON(r)
	if err != nil {
		return err
	}
	parts, body, err := s.incoming(w, r)
	if err != nil {
		return err
	}
	if err := s.Storage.Admit(); err != nil {
		return &Fault{Code: http.StatusServiceUnavailable, Why: "nothing is taken in now", Next: "see /readyz and the gateway's log; send it again later", Err: err}
	}
	var all storing
	if parts == nil { // one instance, which is the body
		s.storePart(r.Context(), textproto.MIMEHeader(r.Header), body, &all, peer, study)
		body.taken(w)
		return all.answer(w, media, study, s.base(r))
	}
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF && body.closed() { //nolint:errorlint // wrapped, the body has ended within a part
			break
		}
		if err == nil && n == maxParts {
			err = errors.New("dicomweb: too many parts")
		}
		if err != nil {
			return &Fault{
				Code: http.StatusBadRequest, Why: fmt.Sprintf("the body cannot be read behind its part %d", n), Err: err,
				Next: fmt.Sprintf("send it again, in at most %d parts and %d bytes; %d instances before that were stored and are kept", maxParts, int64(maxStored), len(all.stored)),
			}
		}
		if len(part.Header) > maxHeader {
			part.Header = textproto.MIMEHeader{"Content-Type": {"no/instance"}}
		}
		s.storePart(r.Context(), part.Header, part, &all, peer, study)
	}
	body.taken(w)
	return all.answer(w, media, study, s.base(r))
}

// incoming reads how the body is parted, nil where it is one instance (PS3.18 8.6.1). Of what a boundary is nothing is guessed; a type
// that is not said is that of the parts, which say it themselves or are instances.
func (s *Server) incoming(w http.ResponseWriter, r *http.Request) (*multipart.Reader, *arriving, error) {
	unsupported := &Fault{
		Code: http.StatusUnsupportedMediaType, Why: "instances are taken as parts of " + mediaDICOM,
		Next: `send Content-Type: multipart/related; type="` + mediaDICOM + `"; boundary=…; metadata in JSON or XML with bulk data apart are not taken, as what is kept and sent on are the bytes that the modality wrote`,
	}
	if len(r.Header.Values("Content-Type")) != 1 {
		return nil, nil, unsupported
	}
	media, params, err := mime.ParseMediaType(withQuotes(r.Header.Get("Content-Type")))
	boundary := params["boundary"]
	kind, said := params["type"]
	switch {
	case err == nil && media == mediaDICOM:
		return nil, &arriving{r: http.MaxBytesReader(w, r.Body, maxStored), control: http.NewResponseController(w), begun: time.Now()}, nil
	case err != nil || media != mediaRelated || said && !strings.EqualFold(kind, mediaDICOM) || boundary == "" || len(boundary) > 70:
		return nil, nil, unsupported
	}
	body := &arriving{r: http.MaxBytesReader(w, r.Body, maxStored), control: http.NewResponseController(w), begun: time.Now(), closing: "--" + boundary + "--"}
	return multipart.NewReader(body, boundary), body, nil
}

// withQuotes puts quotes around a media type within a media type, which some leave out.
func withQuotes(contentType string) string {
	return strings.Replace(contentType, "type="+mediaDICOM, `type="`+mediaDICOM+`"`, 1)
}

// arriving is a body that has to come at some rate.
type arriving struct {
	r       io.Reader
	control *http.ResponseController
	begun   time.Time
	bytes   int64
	closing string // the delimiter that ends it
	last    []byte // of it
}

// lastOf is more than a multipart.Reader reads ahead of what it says.
const lastOf = 8 << 10

// closed says whether the closing delimiter has come: a body that broke off within the header of a part ends like a whole one.
func (a *arriving) closed() bool { return bytes.Contains(a.last, []byte(a.closing)) }

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	until := a.begun.Add(graceTime + time.Duration(float64(a.bytes)/least*float64(time.Second)))
	if err := errors.Join(a.control.SetReadDeadline(until), a.control.SetWriteDeadline(until.Add(graceTime))); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := a.r.Read(p)
	a.bytes += int64(n)
	a.last = append(a.last, p[max(0, n-lastOf):n]...)
	a.last = append(a.last[:0], a.last[max(0, len(a.last)-lastOf):]...)
	return n, err
}

// taken says that all of the body has come, for which it has had its own time.
func (a *arriving) taken(w http.ResponseWriter) {
	if out, ok := w.(*answer); ok {
		out.begun = time.Now()
	}
}

// storePart stores one part and notes what became of it.
func (s *Server) storePart(ctx context.Context, header textproto.MIMEHeader, part io.Reader, all *storing, peer Peer, study dicom.UID) {
	req, err := s.request(header, part, peer, study)
	if err == nil {
		err = s.Storage.Handler.Store(ctx, req)
	}
	status := dimse.StatusOf(err)
	s.Storage.Stored(status)
	if req == nil {
		req = &dicomnode.StoreRequest{}
	}
	item := map[string]element{}
	if req.SOPInstanceUID != "" {
		item["00081150"] = element{VR: "UI", Value: []any{string(req.SOPClassUID)}}
		item["00081155"] = element{VR: "UI", Value: []any{string(req.SOPInstanceUID)}}
	}
	if err == nil {
		all.stored = append(all.stored, item)
		return
	}
	s.Log.Log(ctx, slog.LevelWarn, "dicomweb: an instance was not stored", "calling_ae", peer.AETitle, "status", status, "why", dimse.CommentOf(err), "err", err)
	all.statuses = append(all.statuses, status)
	item["00081197"] = element{VR: "US", Value: []any{int(status)}}
	if req.SOPInstanceUID != "" {
		all.failed = append(all.failed, item)
	} else {
		all.others = append(all.others, item)
	}
}

// request reads the header of a part, and the file meta information in it; the data set is still to come. Its UIDs are Fileable.
func (s *Server) request(header textproto.MIMEHeader, part io.Reader, peer Peer, study dicom.UID) (*dicomnode.StoreRequest, error) {
	refused := func(status dimse.Status, comment string) error { return &dimse.Error{Status: status, Comment: comment} }
	media, _, err := mime.ParseMediaType(cmp.Or(header.Get("Content-Type"), mediaDICOM))
	encoding := strings.ToLower(header.Get("Content-Transfer-Encoding"))
	if err != nil || media != mediaDICOM || encoding != "" && encoding != "binary" && encoding != "8bit" {
		return nil, refused(dimse.CannotUnderstand, "part is not application/dicom as it is")
	}
	file := bufio.NewReaderSize(part, 64<<10)
	meta, err := dicom.ReadFileMeta(file)
	switch {
	case errors.Is(err, dicom.ErrNoFileMeta), errors.Is(err, dicom.ErrCorrupt), errors.Is(err, dicom.ErrTooLarge), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &dimse.Error{Status: dimse.CannotUnderstand, Comment: "file meta information cannot be read", Err: err}
	case err != nil:
		return nil, err
	case !meta.SOPInstanceUID.Fileable() || !meta.SOPClassUID.Fileable():
		return nil, refused(dimse.InvalidSOPInstance, "SOP Class or SOP Instance UID is missing or wrong")
	}
	req := &dicomnode.StoreRequest{
		SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID, TransferSyntax: meta.TransferSyntaxUID, StudyInstanceUID: study,
		CallingAE: peer.AETitle, CalledAE: s.Storage.CalledAE, User: peer.User, RemoteAddr: peer.RemoteAddr, Dataset: file,
	}
	taken := func(c dicomnode.PresentationContext) bool {
		return c.AbstractSyntax == req.SOPClassUID && slices.Contains(c.TransferSyntaxes, req.TransferSyntax)
	}
	if !slices.ContainsFunc(s.Storage.Contexts, taken) {
		return req, refused(dimse.SOPClassNotSupported, "SOP class or transfer syntax is not taken")
	}
	return req, nil
}

// answer says what became of each (PS3.18 table 10.5.3-1, PS3.18 annex I.2).
func (all storing) answer(w http.ResponseWriter, media string, study dicom.UID, base string) error {
	body := result{}
	items := func(tag string, list []map[string]element) {
		var values []any
		for _, item := range list {
			values = append(values, item)
		}
		if values != nil {
			body[tag] = element{VR: "SQ", Value: values}
		}
	}
	items("00081198", all.failed)
	items("00081199", all.stored)
	items("0008119A", all.others)
	if study != "" && len(all.stored) > 0 {
		body.set(retrieveURL, "UR", base+"/studies/"+escapeUID(study))
	}
	code := http.StatusOK
	switch {
	case len(all.stored) == 0 && len(all.statuses) == 0:
		return badRequest("the body has no part", "send instances")
	case len(all.statuses) > 0 && len(all.stored) > 0:
		code = http.StatusAccepted
	case len(all.statuses) > 0:
		code = http.StatusConflict
		for _, status := range all.statuses {
			if status.Temporary() {
				code = http.StatusServiceUnavailable
				w.Header().Set("Retry-After", "30")
			}
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, err = w.Write(text)
	return err
}
