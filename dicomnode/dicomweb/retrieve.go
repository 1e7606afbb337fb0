package dicomweb

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// retrieve answers with instances as they are stored, in Part 10 files (PS3.18 10.4.1.1.1): one after the other, however large.
func (s *Server) retrieve(w http.ResponseWriter, r *http.Request) error {
	f, err := scope(r)
	if err != nil {
		return err
	}
	all, err := s.sum(r.Context(), f)
	if err != nil {
		return err
	}
	ranges := accepted(r)
	given := func(i ledger.SpooledInstance) (mediaRange, bool) {
		for _, m := range ranges {
			if m.matches(mediaDICOM) && m.takes(i.TransferSyntaxUID) {
				return m, true
			}
		}
		return mediaRange{}, false
	}
	fit, lacking := 0, false
	var how mediaRange
	for i, err := range s.instances(r.Context(), f) {
		if err != nil {
			return err
		}
		m, ok := given(i)
		if lacking = lacking || !ok; ok {
			fit++
			how = m
		}
	}
	switch {
	case fit == 0:
		return notAcceptable("the instances are stored in transfer syntaxes that Accept does not name, and are sent as they are stored",
			`send Accept: multipart/related; type="`+mediaDICOM+`"; transfer-syntax=*`)
	case how.media == mediaDICOM && !how.multipart && f.SOP == "":
		return notAcceptable("a study or series is answered in several parts", `send Accept: multipart/related; type="`+mediaDICOM+`"; transfer-syntax=*`)
	}
	if lacking {
		warn(w.Header(), "some instances are stored in other transfer syntaxes than Accept names and are left out")
	}
	code := http.StatusOK
	if all.incomplete(w.Header()) || lacking {
		code = http.StatusPartialContent // PS3.18 table 10.4.3-1
	}
	single := how.media == mediaDICOM && !how.multipart
	kind := "p"
	if single {
		kind = "s"
	}
	if fresh(w, r, all.tag, kind) {
		return nil
	}
	if single {
		return s.sendFile(w, all.first)
	}
	parts := newParts(w, mediaDICOM, code)
	for i, err := range s.instances(r.Context(), f) {
		if err != nil {
			return err
		}
		if _, ok := given(i); !ok {
			continue
		}
		if err := s.part(r.Context(), parts, i); err != nil {
			return meanwhile(err, f)
		}
	}
	return parts.Close()
}

// newParts begins an answer of several parts (PS3.18 8.6.1.2).
func newParts(w http.ResponseWriter, media string, code int) *multipart.Writer {
	parts := multipart.NewWriter(w)
	w.Header().Set("Content-Type", mediaRelated+`; type="`+media+`"; boundary=`+parts.Boundary())
	w.WriteHeader(code)
	return parts
}

// part writes one instance.
func (s *Server) part(ctx context.Context, parts *multipart.Writer, i ledger.SpooledInstance) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	head, _, data, err := s.file(i)
	if err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {mediaDICOM + "; transfer-syntax=" + string(i.TransferSyntaxUID)}})
	if err == nil {
		_, err = part.Write(head)
	}
	if err == nil {
		_, err = io.Copy(part, data)
	}
	return err
}

// file returns the beginning of a Part 10 file of an instance, and the data set of so many bytes that follows.
func (s *Server) file(i ledger.SpooledInstance) (head []byte, size int64, data io.ReadCloser, err error) {
	entry, data, err := s.Spool.Open(i.Entry)
	if err != nil {
		return nil, 0, nil, err
	}
	var b bytes.Buffer
	err = dicom.WriteFileMeta(&b, dicom.FileMeta{
		SOPClassUID: i.SOPClassUID, SOPInstanceUID: i.SOPInstanceUID, TransferSyntaxUID: entry.TransferSyntaxUID, SourceApplicationEntityTitle: entry.CallingAE,
	})
	if err != nil {
		return nil, 0, nil, errors.Join(err, data.Close())
	}
	return b.Bytes(), entry.Size, data, nil
}

func (s *Server) sendFile(w http.ResponseWriter, i ledger.SpooledInstance) error {
	head, size, data, err := s.file(i)
	if err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	h := w.Header()
	h.Set("Content-Type", mediaDICOM+"; transfer-syntax="+string(i.TransferSyntaxUID))
	h.Set("Content-Length", strconv.FormatInt(int64(len(head))+size, 10))
	if _, err = w.Write(head); err == nil {
		_, err = io.Copy(w, data)
	}
	return err
}

// attributes reads an instance up to its Pixel Data, whose token it returns; the zero Token where there are none.
func (s *Server) attributes(i ledger.SpooledInstance) (*dicom.Attributes, dicom.Token, error) {
	_, data, err := s.Spool.Open(i.Entry)
	if err != nil {
		return nil, dicom.Token{}, err
	}
	defer func() { _ = data.Close() }()
	ts, _ := dicom.LookupTransferSyntax(i.TransferSyntaxUID) // no other was taken in
	return dicom.NewReader(bufio.NewReaderSize(data, 16<<10), ts).Attributes()
}
