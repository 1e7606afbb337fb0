package dicomweb

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// scope reads which study, series or instance a path is about.
func scope(r *http.Request) (ledger.SpooledInstances, error) {
	f := ledger.SpooledInstances{Study: dicom.UID(r.PathValue("study")), Series: dicom.UID(r.PathValue("series")), SOP: dicom.UID(r.PathValue("instance"))}
	for _, uid := range []dicom.UID{f.Study, f.Series, f.SOP} {
		if uid != "" && !uid.Fileable() {
			return f, badRequest("what is asked for is not named by a UID", "use UIDs from a search: GET "+Root+"/studies")
		}
	}
	return f, nil
}

// instances yields what f picks, a page of rows in memory at a time.
func (s *Server) instances(ctx context.Context, f ledger.SpooledInstances) iter.Seq2[ledger.SpooledInstance, error] {
	return func(yield func(ledger.SpooledInstance, error) bool) {
		f.Limit = pageOfStudy
		for {
			page, err := s.Ledger.SpooledInstances(ctx, f)
			if err != nil {
				yield(ledger.SpooledInstance{}, err)
				return
			}
			for _, i := range page {
				if !yield(i, nil) {
					return
				}
			}
			if len(page) < f.Limit {
				return
			}
			f.After = page[len(page)-1].Place
		}
	}
}

// summary is what is to be known of a resource before it is answered with.
type summary struct {
	count int
	tag   string // of its content: an ETag is made of it
	fate  ledger.Fate
	first ledger.SpooledInstance
}

// sum looks at what f picks; a fault where there is nothing.
func (s *Server) sum(ctx context.Context, f ledger.SpooledInstances) (summary, error) {
	var all summary
	hash := sha256.New()
	for i, err := range s.instances(ctx, f) {
		if err != nil {
			return summary{}, err
		}
		if all.count == 0 {
			all.first = i
		}
		all.count++
		_, _ = io.WriteString(hash, string(i.SOPInstanceUID)+" "+i.Digest+" "+i.Entry+"\n") // a hash never fails
	}
	all.tag = base64.RawURLEncoding.EncodeToString(hash.Sum(nil)[:18])
	var err error
	if all.count == 0 || f.SOP == "" {
		all.fate, err = s.Ledger.Fate(ctx, f)
	}
	switch {
	case err != nil || all.count > 0:
		return all, err
	case all.fate.Held && all.fate.Known:
		return all, &Fault{
			Code: http.StatusConflict, Why: "results of this study wait for a person, as images, order and patient do not agree",
			Next: "release or correct them on the study's page, or by POST /api/v1/studies/{uid}/gate/release",
		}
	case all.fate.Retracted:
		return all, &Fault{
			Code: http.StatusGone, Why: "it rests on results that a person has taken back", Next: "see the study's page for what stands now",
		}
	case all.fate.Known:
		return all, gone()
	}
	return all, &Fault{Code: http.StatusNotFound, Why: "there is no such thing here", Next: "search: GET " + Root + "/studies"}
}

// meanwhile is err, of an instance that was listed: where it has gone since, a study or series is not answered with what is left as if
// that were all.
func meanwhile(err error, f ledger.SpooledInstances) error {
	if f.SOP != "" || !errors.Is(err, spool.ErrNotFound) {
		return err
	}
	return &Fault{Code: http.StatusServiceUnavailable, Why: "an instance has gone from this gateway since the answer began", Next: "ask again: what has gone is said then", Err: err}
}

// fresh sets the headers of a resource that may be asked for again, and reports whether who asks has it as it is. kind tells
// representations apart.
func fresh(w http.ResponseWriter, r *http.Request, tag, kind string) bool {
	h := w.Header()
	how := sha256.Sum256([]byte(r.Host + "\n" + strings.Join(r.Header.Values("Accept"), ","))) // URLs in it, and what of it is sent
	tag = `"` + tag + "." + kind + "." + base64.RawURLEncoding.EncodeToString(how[:6]) + `"`
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache") // shown again only when we say that it is the same, to the same person
	h.Add("Vary", "Accept, Cookie, Authorization")
	for known := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == tag || known == "*" {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

// incomplete says what a whole study or series lacks.
func (all summary) incomplete(h http.Header) bool {
	if all.fate.Some {
		warn(h, "some instances have gone from this gateway: ask the archive for them")
	}
	if all.fate.Held {
		warn(h, "results of this study wait for a person and are left out")
	}
	if all.fate.Retracted {
		warn(h, "what rests on results that were taken back is left out")
	}
	return all.fate.Some || all.fate.Held
}
