package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"endogate/dicomnode/durable"
)

// Log is an audit log in a folder. Several processes may write to one at the same time; its methods may be called from many
// goroutines.
type Log struct {
	dir    string
	key    Key
	source string
	now    func() time.Time
	group  durable.Group[*pending]
	tail   tail          // of whoever leads the group
	grown  chan struct{} // holds one where entries came since a reader looked
}

// tail is the end of the log as this process last saw it.
type tail struct {
	size int64
	head Head
}

// Head is the end of a chain: what it says is true of all entries up to Sequence.
type Head struct {
	Sequence uint64 `json:"seq"`
	MAC      string `json:"mac"` // hexadecimal
}

// entry is a line of the log.
type entry struct {
	Head
	At      time.Time `json:"at"`
	Message string    `json:"message"`
}

// line is how an entry stands in the log.
func (e entry) line() ([]byte, error) {
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	w.SetEscapeHTML(false)
	err := w.Encode(e)
	return b.Bytes(), err
}

type pending struct {
	at      time.Time
	message []byte
	err     error
}

// maxEntry bounds a line, and with it a message.
const maxEntry = 256 << 10

const (
	logName  = "audit.log"
	lockName = "lock"
)

// Key binds the entries of a log. It lies outside the data folder, so that who can write the log cannot make it anew.
type Key struct {
	secret [32]byte
	path   string
}

// OpenKey reads the key at path, and makes one where there is no file.
func OpenKey(path string) (Key, error) {
	k, err := ReadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k.path = path
	_, _ = rand.Read(k.secret[:]) // never fails (crypto/rand)
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = durable.WriteFile(path, []byte(hex.EncodeToString(k.secret[:])+"\n"))
	}
	if err != nil {
		return Key{}, fmt.Errorf("audit: key: %w", err)
	}
	return ReadKey(path) // another process may have made one
}

// ReadKey reads the key at path.
func ReadKey(path string) (Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("audit: key: %w", err)
	}
	k := Key{path: path}
	secret, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(secret) != len(k.secret) {
		return Key{}, fmt.Errorf("audit: key: %s does not hold 64 hexadecimal digits; restore it, or move it and the audit log away to begin a new one", path)
	}
	copy(k.secret[:], secret)
	return k, nil
}

// headPath is where the head lies: beside the key.
func (k Key) headPath() string { return k.path + ".head" }

func (k Key) writeHead(h Head) error {
	if err := k.stageHead(h); err != nil {
		return err
	}
	return durable.Unstage(k.headPath())
}

// stageHead is writeHead up to the name.
func (k Key) stageHead(h Head) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return durable.Stage(k.headPath(), text)
}

// follow is the head of a chain after one more entry.
func (k Key) follow(before Head, at time.Time, message []byte) Head {
	mac := hmac.New(sha256.New, k.secret[:])
	previous, _ := hex.DecodeString(before.MAC) // of no entry: none
	mac.Write(previous)
	_ = binary.Write(mac, binary.BigEndian, before.Sequence+1)
	_ = binary.Write(mac, binary.BigEndian, at.UnixNano())
	mac.Write(message)
	return Head{before.Sequence + 1, hex.EncodeToString(mac.Sum(nil))}
}

// Open opens the log in dir, or begins one. source is who the messages say they are from.
func Open(dir string, key Key, source string, now func() time.Time) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := durable.SyncFolder(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	l := &Log{dir: dir, key: key, source: source, now: now, grown: make(chan struct{}, 1)}
	return l, l.locked(func(*os.File) error {
		if l.tail.size > 0 {
			return nil
		}
		return key.writeHead(l.tail.head) // that it is missing later is no beginning
	})
}

// Record returns when e is durable in the log. An error says that it may not be, and what it is about must not go on as if it
// were.
func (l *Log) Record(_ context.Context, e Event) error {
	at := l.now().UTC()
	text, err := e.marshal(at, l.source)
	if err == nil && len(text) > maxEntry/2 {
		err = errors.New("the message is too large")
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	p := &pending{at: at, message: text}
	if !l.group.Do(p, l.append) {
		return errors.New("audit: the log is closed")
	}
	return p.err
}

// Close waits for what is being recorded and refuses more.
func (l *Log) Close() { l.group.Stop() }

// append writes a group of entries, with one sync.
func (l *Log) append(take durable.Take[*pending]) {
	var group []*pending
	err := l.locked(func(f *os.File) error {
		group = take(func(waiting []*pending) int { return len(waiting) })
		var lines []byte
		head := l.tail.head
		for _, p := range group {
			head = l.key.follow(head, p.at, p.message)
			line, err := entry{head, p.at, string(p.message)}.line()
			if err != nil {
				return err
			}
			lines = append(lines, line...)
		}
		if _, err := f.WriteAt(lines, l.tail.size); err != nil {
			return errors.Join(err, f.Truncate(l.tail.size))
		}
		staged := make(chan error, 1) // two syncs at once take as long as one
		go func() { staged <- l.key.stageHead(head) }()
		err := f.Sync()
		if err == nil {
			l.tail = tail{l.tail.size + int64(len(lines)), head}
		}
		if err = errors.Join(err, <-staged); err != nil {
			return err
		}
		return durable.Unstage(l.key.headPath())
	})
	if group == nil {
		group = take(func(waiting []*pending) int { return len(waiting) })
	}
	for _, p := range group {
		if p.err = err; err != nil {
			p.err = fmt.Errorf("audit: %w", err)
		}
	}
	select {
	case l.grown <- struct{}{}:
	default:
	}
}

// locked runs do with the log's file, at whose end l.tail then is, while no other process writes.
func (l *Log) locked(do func(*os.File) error) error {
	lock, err := os.OpenFile(filepath.Join(l.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // which gives the lock back
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(l.dir, logName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := l.catchUp(f); err != nil {
		return err
	}
	return do(f)
}

// catchUp reads what others wrote since. A last line without its end was cut off by a crash before anybody was told of it.
func (l *Log) catchUp(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == l.tail.size {
		return err
	}
	if info.Size() < l.tail.size {
		return errors.New("the log is shorter than it was; see endogate audit verify")
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, l.tail.size, info.Size()-l.tail.size), maxEntry)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return f.Truncate(l.tail.size)
		}
		var e entry
		if err == nil {
			err = json.Unmarshal(line, &e)
		}
		if err != nil {
			return fmt.Errorf("the entry after %d cannot be read (%w); see endogate audit verify", l.tail.head.Sequence, err)
		}
		l.tail = tail{l.tail.size + int64(len(line)), e.Head}
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
