package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"endogate/dicomnode/durable"
)

// Errors of the store. They say nothing of whether it was the name or the secret that is wrong.
var (
	ErrUnknown  = errors.New("access: there is no such user or token; endogate user list and token list print those there are")
	ErrExists   = errors.New("access: there is one of that name")
	ErrRefused  = errors.New("access: name or secret is wrong, has expired or was revoked")
	ErrName     = errors.New("access: a name is 1 to 64 of a-z, 0-9, ., _, - and @, and begins with a letter or digit")
	ErrPassword = errors.New("access: a password has 12 to 256 characters and does not hold the user's name")
	ErrRole     = errors.New("access: a role is viewer, clinician, operator or administrator")
)

// Store is a folder of users and tokens. Its methods may be called from many goroutines, and processes.
type Store struct {
	dir     string
	now     func() time.Time
	hashing chan struct{} // a place for each hash that is computed at once
}

// Open opens the store in dir, and makes it where there is none.
func Open(dir string, now func() time.Time) (*Store, error) {
	for _, name := range []string{usersFolder, tokensFolder} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, fmt.Errorf("access: %w", err)
		}
	}
	if err := errors.Join(durable.SyncFolder(dir), durable.SyncFolder(filepath.Dir(dir))); err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	return &Store{dir: dir, now: now, hashing: make(chan struct{}, hashesAtOnce)}, nil
}

// The folders within the store's.
const (
	usersFolder  = "users"
	tokensFolder = "tokens"
)

// path is where the record of a name lies, whatever is in the name.
func (s *Store) path(folder, name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.dir, folder, hex.EncodeToString(sum[:16])+".json")
}

// change runs do while no other change is under way, in this process or another.
func (s *Store) change(do func() error) error {
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("access: %w", err)
	}
	defer func() { _ = lock.Close() }() // which gives the lock back
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("access: lock: %w", err)
	}
	return do()
}

// maxRecord bounds what is read as a record.
const maxRecord = 64 << 10

func read[T any](path string) (T, error) {
	var record T
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return record, ErrUnknown
	}
	if err != nil {
		return record, fmt.Errorf("access: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err == nil {
		err = json.Unmarshal(text, &record)
	}
	if err != nil {
		return record, fmt.Errorf("access: %s cannot be read (%w); restore it from a backup or remove it", path, err)
	}
	return record, nil
}

func write(path string, record any) error {
	text, err := json.MarshalIndent(record, "", "  ")
	if err == nil {
		err = durable.WriteFile(path, text)
	}
	if err != nil {
		return fmt.Errorf("access: %w", err)
	}
	return nil
}

func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrUnknown
	}
	if err = errors.Join(err, durable.SyncFolder(filepath.Dir(path))); err != nil {
		return fmt.Errorf("access: %w", err)
	}
	return nil
}

func list[T any](dir string) ([]T, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	var all []T
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue // of a write that was cut off
		}
		record, err := read[T](filepath.Join(dir, f.Name()))
		if errors.Is(err, ErrUnknown) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, record)
	}
	return all, nil
}

// secret is a random text of 256 bits, and what is kept of it.
func secret() (text, kept string) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	text = base64.RawURLEncoding.EncodeToString(b[:])
	return text, digest(text)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// is says, in a time that tells nothing, whether text is the secret of which kept is the digest.
func is(text, kept string) bool {
	return kept != "" && subtle.ConstantTimeCompare([]byte(digest(text)), []byte(kept)) == 1
}
