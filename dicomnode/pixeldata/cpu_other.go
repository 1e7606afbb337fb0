//go:build !linux

package pixeldata

import "time"

// ownTime measures the time that passes: only Linux tells that of a thread.
func ownTime() (used func() time.Duration, end func()) {
	begun := time.Now()
	return func() time.Duration { return time.Since(begun) }, func() {}
}

// confine leaves a child to its timeout: only Linux bounds another process.
func confine(int, Bounds) error { return nil }

func dying() *syscall.SysProcAttr { return nil }
