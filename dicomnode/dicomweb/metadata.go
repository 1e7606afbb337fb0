package dicomweb

import (
	"net/http"
	"net/url"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// metadata answers with what data sets say but for their Pixel Data, in the DICOM JSON model (PS3.18 10.4.1.1.2, F).
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) error {
	f, err := scope(r)
	if err != nil {
		return err
	}
	media, err := acceptsJSON(r)
	if err != nil {
		return err
	}
	all, err := s.sum(r.Context(), f)
	if err != nil {
		return err
	}
	all.incomplete(w.Header())
	if fresh(w, r, all.tag, "m") {
		return nil
	}
	w.Header().Set("Content-Type", media)
	var b []byte
	separator := byte('[')
	for i, err := range s.instances(r.Context(), f) {
		if err != nil {
			return err
		}
		b, err = s.appendMetadata(append(b[:0], separator), i, s.base(r))
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			return meanwhile(err, f)
		}
		separator = ','
	}
	_, err = w.Write([]byte{']'})
	return err
}

// resource is the URL of an instance.
func resource(base string, i dicom.SOPInstance) string {
	return base + "/studies/" + escapeUID(i.StudyInstanceUID) + "/series/" + escapeUID(i.SeriesInstanceUID) + "/instances/" + escapeUID(i.SOPInstanceUID)
}

// escapeUID is for those that are none.
func escapeUID(uid dicom.UID) string { return url.PathEscape(string(uid)) }

// appendMetadata appends the JSON model of an instance.
func (s *Server) appendMetadata(b []byte, i ledger.SpooledInstance, base string) ([]byte, error) {
	a, pixels, err := s.attributes(i)
	if err != nil {
		return b, err
	}
	if a.Lacks() {
		s.Log.Warn("dicomweb: an instance has more attributes than are read: its metadata are not whole", "sop_instance_uid", i.SOPInstanceUID)
	}
	if played(i, a) {
		a = a.With(dicom.Element{Tag: availableTransferSyntax, VR: "UI", Value: []byte(i.TransferSyntaxUID)})
	}
	at := resource(base, i.SOPInstance)
	b = a.AppendJSON(b, func(path string) string { return at + "/bulkdata/" + path })
	if pixels.Kind != 0 {
		b = append(b[:len(b)-1], `,"`+pixels.Tag.Key()+`":{"vr":"`+pixels.VR+`","BulkDataURI":"`+at+`/bulkdata/`+pixels.Tag.Key()+`"}}`...)
	}
	return b, nil
}
