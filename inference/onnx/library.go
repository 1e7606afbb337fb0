package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// LibraryName is the file name of ONNX Runtime's shared library.
const LibraryName = "libonnxruntime.so.1"

// ErrNoLibrary says that ONNX Runtime's shared library was not found.
var ErrNoLibrary = errors.New("ONNX Runtime's library not found")

// FindLibrary looks for ONNX Runtime's shared library: at the configured path if there is one (a file, or the
// folder it lies in), else beside the executable (lib, ../lib), in bin/lib of the working folder or one above
// it, and where the system keeps libraries. The error wraps ErrNoLibrary and names the places.
func FindLibrary(configured string) (string, error) {
	if configured != "" {
		for _, path := range []string{configured, filepath.Join(configured, LibraryName)} {
			if isFile(path) {
				return path, nil
			}
		}
		return "", fmt.Errorf("onnx: %w: %s: no such file; correct the path, or leave it empty to search", ErrNoLibrary, configured)
	}
	var places []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		places = append(places, filepath.Join(dir, "lib"), filepath.Join(dir, "..", "lib"))
	}
	if dir, err := os.Getwd(); err == nil {
		for ; ; dir = filepath.Dir(dir) {
			places = append(places, filepath.Join(dir, "bin", "lib"))
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	places = append(places, "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")
	for _, dir := range places {
		if path := filepath.Join(dir, LibraryName); isFile(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("onnx: %w: no %s in %s; make setup installs it", ErrNoLibrary, LibraryName, strings.Join(places, ", "))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Runtime is ONNX Runtime, loaded. There is one for the process.
type Runtime struct{ library string }

var process struct {
	sync.Mutex
	runtime *Runtime
}

// Open loads the library. It stays loaded until the process ends: opening the same library again gives the
// same Runtime, another one is an error.
func Open(library string) (*Runtime, error) {
	process.Lock()
	defer process.Unlock()
	if process.runtime != nil {
		if process.runtime.library != library {
			return nil, fmt.Errorf("onnx: %s is loaded already; a process has one ONNX Runtime", process.runtime.library)
		}
		return process.runtime, nil
	}
	if err := tellNobody(); err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return nil, fmt.Errorf("onnx: loading %s: %w; it must be ONNX Runtime 1.24 or newer", library, err)
	}
	if err := ort.DisableTelemetry(); err != nil {
		return nil, fmt.Errorf("onnx: %s does not turn its telemetry off: %w", library, err)
	}
	process.runtime = &Runtime{library: library}
	return process.runtime, nil
}

// tellNobody keeps the library from what its makers have built into it: from 1.29 on it writes each session, with the names of program and
// network and an identifier of the machine, into the user's cache folder, and sends that to them. It looks at its environment once, as it is
// loaded; that it is told later (DisableTelemetry) leaves out neither the file nor what is said of the process.
func tellNobody() error {
	for _, name := range []string{"ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"} { // as releases have called it
		if err := os.Setenv(name, "1"); err != nil {
			return err
		}
	}
	return nil
}

// OpenConfigured finds the library as FindLibrary does and loads it.
func OpenConfigured(configured string) (*Runtime, error) {
	library, err := FindLibrary(configured)
	if err != nil {
		return nil, err
	}
	return Open(library)
}

// Version is that of the library, such as "1.30.0".
func (r *Runtime) Version() string { return ort.GetVersion() }

// Library is the path of the library.
func (r *Runtime) Library() string { return r.library }
