package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// Verified is what was found of a log.
type Verified struct {
	Entries uint64 `json:"entries"`
	Head    Head   `json:"head"`
	Heads   int    `json:"heads"` // from elsewhere, that it was held against
}

// ErrTampered is a log that is not as it was written.
var ErrTampered = errors.New("audit: the log is not as it was written")

// Verify reads all of the log in dir and holds every entry against the chain, and the chain against the head beside the key
// and those that were sent elsewhere. The first that does not agree is an ErrTampered, with its number.
func Verify(dir string, key Key, elsewhere []Head) (Verified, error) {
	var v Verified
	known := map[uint64]string{}
	for _, h := range elsewhere {
		if mac, ok := known[h.Sequence]; ok && mac != h.MAC {
			return v, fmt.Errorf("%w: entry %d was sent with two contents", ErrTampered, h.Sequence)
		}
		known[h.Sequence] = h.MAC
	}
	v.Heads = len(known)
	beside, err := readHead(key)
	if err != nil {
		return v, err
	}
	f, err := os.Open(filepath.Join(dir, logName))
	if err != nil {
		return v, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = f.Close() }()
	v.Head, err = chain(f, key, beside, known)
	v.Entries = v.Head.Sequence
	return v, err
}

// chain reads a log and returns its head. known are the MACs of entries by their numbers.
func chain(log io.Reader, key Key, beside Head, known map[uint64]string) (Head, error) {
	var head Head
	last := beside.Sequence
	for sequence := range known {
		last = max(last, sequence)
	}
	r := bufio.NewReaderSize(log, maxEntry)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			break // a line without its end was never told to be recorded
		}
		number := head.Sequence + 1
		var e entry
		if err == nil {
			err = json.Unmarshal(line, &e)
		}
		if err != nil {
			return head, fmt.Errorf("%w: entry %d cannot be read", ErrTampered, number)
		}
		again, err := e.line()
		follows := key.follow(head, e.At, []byte(e.Message))
		if err != nil || e.Head != follows || string(again) != string(line) {
			return head, fmt.Errorf("%w: entry %d does not follow from those before it", ErrTampered, number)
		}
		head = follows
		if number == beside.Sequence && head != beside {
			return head, fmt.Errorf("%w: entry %d is another one than the head beside the key says", ErrTampered, number)
		}
		if mac, ok := known[number]; ok && mac != head.MAC {
			return head, fmt.Errorf("%w: entry %d is another one than was sent elsewhere", ErrTampered, number)
		}
	}
	if last > head.Sequence {
		return head, fmt.Errorf("%w: it ends with entry %d, and there were %d", ErrTampered, head.Sequence, last)
	}
	return head, nil
}

func readHead(key Key) (Head, error) {
	var h Head
	text, err := os.ReadFile(key.headPath())
	if errors.Is(err, fs.ErrNotExist) {
		return h, fmt.Errorf("%w: the head beside the key is missing", ErrTampered)
	}
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil {
		return h, fmt.Errorf("%w: the head beside the key cannot be read: %w", ErrTampered, err)
	}
	return h, nil
}

// headsIn finds the heads that [Forwarder] puts into messages.
var headsIn = regexp.MustCompile(`\[` + sdID + ` seq="([0-9]{1,19})" mac="([0-9a-f]{64})"\]`)

// Heads reads the heads out of what a syslog server has kept, as text, in any order and among whatever else.
func Heads(r io.Reader) ([]Head, error) {
	var all []Head
	lines := bufio.NewReaderSize(r, maxEntry)
	for {
		line, err := lines.ReadSlice('\n')
		for _, m := range headsIn.FindAllSubmatch(line, -1) {
			sequence, bad := strconv.ParseUint(string(m[1]), 10, 64)
			if bad != nil {
				return nil, fmt.Errorf("audit: %w", bad)
			}
			all = append(all, Head{sequence, string(m[2])})
		}
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("audit: %w", err)
		}
	}
}

// Messages writes the messages of the log in dir from the number first on, a line each, as they were recorded; of those from a time on and
// before one, where these are not zero.
func Messages(w io.Writer, dir string, first uint64, from, before time.Time) error {
	return each(dir, 0, func(e entry, _ int64) error {
		if e.Sequence < first || e.At.Before(from) || !before.IsZero() && !e.At.Before(before) {
			return nil
		}
		_, err := fmt.Fprintf(w, "%s\n", e.Message)
		return err
	})
}

// each reads the entries from an offset on, with the offset after each.
func each(dir string, offset int64, do func(entry, int64) error) error {
	f, err := os.Open(filepath.Join(dir, logName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	r := bufio.NewReaderSize(f, maxEntry)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		var e entry
		if err == nil {
			err = json.Unmarshal(line, &e)
		}
		if err != nil {
			return fmt.Errorf("audit: an entry cannot be read (%w); see endogate audit verify", err)
		}
		offset += int64(len(line))
		if err := do(e, offset); err != nil {
			return err
		}
	}
}
