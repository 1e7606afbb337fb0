package dicomweb

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"endogate/dicomnode/dicom"
)

// Media types of PS3.18 8.7.
const (
	mediaDICOM   = "application/dicom"
	mediaJSON    = "application/dicom+json"
	mediaOctets  = "application/octet-stream"
	mediaRelated = "multipart/related"
)

// mediaRange is one of those that who asks accepts (PS3.18 8.3.1, 8.7.5).
type mediaRange struct {
	media     string // of a part, where it is of a multipart
	multipart bool
	syntax    string // transfer-syntax; "*": any; "": not said
	quality   float64
}

// matches reports whether a media type is in the range.
func (m mediaRange) matches(media string) bool {
	kind, sub, _ := strings.Cut(m.media, "/")
	return m.media == media || m.media == "*/*" || sub == "*" && strings.HasPrefix(media, kind+"/")
}

// takes reports whether a transfer syntax may be sent: also where none is named, as most that name none mean any.
func (m mediaRange) takes(syntax dicom.UID) bool {
	return m.syntax == "" || m.syntax == "*" || m.syntax == string(syntax)
}

// maxRanges bounds what is looked at of Accept.
const maxRanges = 64

// accepted are the ranges of a request, the most wanted first: those of the query where it has some (PS3.18 8.3.3.1). Some
// write a type within a type without quotes, which is read too.
func accepted(r *http.Request) []mediaRange {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if q := r.URL.Query()["accept"]; len(q) > 0 {
		header = strings.Join(q, ",")
		for _, kind := range []string{"json", "xml"} {
			header = strings.ReplaceAll(header, "application/dicom "+kind, "application/dicom+"+kind) // its + was not encoded
		}
	}
	var ranges []mediaRange
	for _, text := range splitOutsideQuotes(header, ',') {
		parts := splitOutsideQuotes(text, ';')
		m := mediaRange{media: strings.ToLower(strings.TrimSpace(parts[0])), quality: 1}
		if m.media == "" {
			continue
		}
		if m.multipart = m.media == mediaRelated; m.multipart {
			m.media = "*/*"
		}
		for _, p := range parts[1:] {
			name, value, _ := strings.Cut(p, "=")
			value = strings.Trim(strings.TrimSpace(value), `"`)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "type":
				if m.multipart {
					m.media = strings.ToLower(value)
				}
			case "transfer-syntax":
				m.syntax = value
			case "q":
				if q, err := strconv.ParseFloat(value, 64); err == nil {
					m.quality = q
				}
			}
		}
		if m.quality > 0 {
			ranges = append(ranges, m)
		}
		if len(ranges) == maxRanges {
			break
		}
	}
	if header == "" {
		ranges = []mediaRange{{media: "*/*", quality: 1}}
	}
	slices.SortStableFunc(ranges, func(a, b mediaRange) int { return cmp.Compare(b.quality, a.quality) })
	return ranges
}

// splitOutsideQuotes splits at sep, but not within quoted strings.
func splitOutsideQuotes(s string, sep byte) (parts []string) {
	start, quoted := 0, false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// acceptsJSON reports whether who asks takes the DICOM JSON model, and under which name.
func acceptsJSON(r *http.Request) (string, error) {
	for _, m := range accepted(r) {
		for _, media := range []string{mediaJSON, "application/json"} {
			if !m.multipart && m.matches(media) {
				return media, nil
			}
		}
	}
	return "", notAcceptable("this is answered as "+mediaJSON, "send Accept: "+mediaJSON)
}

// mediaOf is the media type of the frames of a transfer syntax (PS3.18 table 8.7.3-2 and following).
func mediaOf(ts dicom.TransferSyntax) string {
	switch uid := string(ts.UID); {
	case !ts.Encapsulated:
		return mediaOctets
	case ts.UID == dicom.RLELossless:
		return "image/dicom-rle"
	case ts.UID == dicom.DeflatedImageFrame:
		return "application/x-deflate"
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.5"), strings.HasPrefix(uid, "1.2.840.10008.1.2.4.7"):
		return "image/jpeg"
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.8"):
		return "image/jls"
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.9"):
		return "image/jp2"
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.20"):
		return "image/jphc"
	case strings.HasPrefix(uid, "1.2.840.10008.1.2.4.11"):
		return "image/jxl"
	}
	return mediaOctets
}
