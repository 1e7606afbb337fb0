package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Filter narrows a search of the log. The zero value finds all.
type Filter struct {
	Text         string    // somewhere in the message, in capital or small letters: a user, a UID, an address, an event
	From, Before time.Time // when it was recorded; the zero time: no bound
	Patients     bool      // patients are named, and found by that; else it is only said that an entry is about one
}

// Entry is an entry of the log as people read it.
type Entry struct {
	Sequence uint64    `json:"number"`
	At       time.Time `json:"at"`
	Event    string    `json:"event"`   // as PS3.16 CID 400 calls it
	Type     string    `json:"type"`    // CID 401; empty: none
	Action   Action    `json:"action"`  // C, R, U, D, E
	Outcome  Outcome   `json:"outcome"` // 0 is success
	Why      string    `json:"why"`
	Who      []string  `json:"who"`   // participants, who asked first
	About    []string  `json:"about"` // objects, with their details
}

const (
	searchChunk = 256 << 10
	searchMost  = 32 << 20 // bytes that one search looks at
)

// Search looks for entries of the log in dir from its end on, the last first: some of those that match, limit at most, and from where a
// further search goes on (as behind); 0: there is nothing more. behind 0 is the end. It reads a bounded part of the log: none found is no
// end. An entry that cannot be read is found by whatever is searched for, as what it says is not known, and says so. Nothing is held
// against the chain: that is Verify's.
func Search(dir string, f Filter, behind int64, limit int) (found []Entry, next int64, err error) {
	file, err := os.Open(filepath.Join(dir, logName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("audit: %w", err)
	}
	at := info.Size()
	if behind > 0 {
		at = min(behind, at)
	}
	text := strings.ToLower(f.Text)
	var rest []byte  // the end of a line whose beginning is not read yet
	tooLong := false // that end is not kept any more
	for from := at; from > 0 && at-from < searchMost; {
		chunk := make([]byte, min(searchChunk, from))
		from -= int64(len(chunk))
		if _, err := file.ReadAt(chunk, from); err != nil {
			return nil, 0, fmt.Errorf("audit: %w", err)
		}
		if tooLong {
			cut := bytes.LastIndexByte(chunk, '\n') + 1
			if chunk = chunk[:cut]; cut == 0 {
				next = from
				continue
			}
			tooLong = false
		}
		if rest = append(chunk, rest...); len(rest) > searchChunk+maxEntry && bytes.IndexByte(rest, '\n') == len(rest)-1 {
			rest, tooLong, next = nil, true, from
			found = append(found, unreadable(0, time.Time{}, "it is longer than an entry can be"))
			if len(found) == limit {
				return found, next, nil
			}
		}
		for {
			cut := bytes.LastIndexByte(bytes.TrimSuffix(rest, []byte("\n")), '\n') + 1
			if cut == 0 && from > 0 || len(rest) == 0 {
				break // its beginning is in the chunk before
			}
			e, ok := matching(rest[cut:], f, text)
			if ok {
				found = append(found, e)
			}
			rest = rest[:cut]
			next = from + int64(cut)
			if len(found) == limit {
				return found, next, nil
			}
			if !f.From.IsZero() && e.At.Before(f.From) && !e.At.IsZero() {
				return found, 0, nil
			}
		}
	}
	return found, next, nil
}

// matching reads a line; one that a crash has cut off is none.
func matching(line []byte, f Filter, text string) (Entry, bool) {
	var e entry
	if !bytes.HasSuffix(line, []byte("\n")) {
		return Entry{}, false
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return unreadable(0, time.Time{}, "it is no line of the log"), true
	}
	out := Entry{Sequence: e.Sequence, At: e.At}
	if !f.From.IsZero() && e.At.Before(f.From) || !f.Before.IsZero() && !e.At.Before(f.Before) {
		return out, false
	}
	var m message
	if err := xml.Unmarshal([]byte(e.Message), &m); err != nil {
		return unreadable(e.Sequence, e.At, "its message is no XML"), true
	}
	out.read(m, f.Patients)
	return out, text == "" || out.has(text)
}

// unreadable stands in the place of an entry that is damaged; nothing of it is repeated.
func unreadable(sequence uint64, at time.Time, why string) Entry {
	return Entry{
		Sequence: sequence, At: at, Event: "An entry that cannot be read", Outcome: Serious, Why: why + "; see endogate audit verify", Who: []string{}, About: []string{},
	}
}

// read takes from a message what people look for, patients where they may be named.
func (e *Entry) read(m message, patients bool) {
	e.Event, e.Action, e.Outcome, e.Why = m.Event.ID.Meaning, m.Event.Action, m.Event.Outcome, m.Event.Why
	if m.Event.Type != nil {
		e.Type = m.Event.Type.Meaning
	}
	e.Who, e.About = []string{}, []string{}
	slices.SortStableFunc(m.Participants, func(a, b participant) int {
		switch {
		case a.Requested == b.Requested:
			return 0
		case a.Requested:
			return -1
		}
		return 1
	})
	for _, p := range m.Participants {
		e.Who = append(e.Who, strings.Join(strings.Fields(strings.Join([]string{p.UserID, strings.TrimPrefix(p.AETitles, "AETITLES="), p.Address}, " ")), " "))
	}
	for _, o := range m.Objects {
		if o.TypeCode == Patient.typeCode && o.Role == Patient.role && !patients {
			e.About = append(e.About, o.IDType.Meaning+" hidden")
			continue
		}
		about := strings.TrimSpace(o.IDType.Meaning + " " + o.ID + " " + o.Name)
		for _, d := range o.Detail {
			if value, err := base64.StdEncoding.DecodeString(d.Value); err == nil {
				about += fmt.Sprintf(", %s: %s", d.Type, value)
			}
		}
		e.About = append(e.About, about)
	}
}

// has says that a text stands somewhere in what is shown of an entry.
func (e Entry) has(text string) bool {
	for _, s := range slices.Concat([]string{e.Event, e.Type, e.Why}, e.Who, e.About) {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return false
}
