package pixeldata

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownTime begins to measure the CPU time of the goroutine, which has a thread of its own until it calls end.
func ownTime() (used func() time.Duration, end func()) {
	runtime.LockOSThread()
	begun := threadTime()
	return func() time.Duration { return threadTime() - begun }, runtime.UnlockOSThread
}

func threadTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0 // the kernel knows no other error than a wrong argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// confine bounds a child that has not been given anything to do yet.
func confine(pid int, b Bounds) error {
	seconds := uint64((b.CPU + time.Second - 1) / time.Second)
	for resource, limit := range map[int]unix.Rlimit{
		unix.RLIMIT_CPU:   {Cur: seconds, Max: seconds + 1},
		unix.RLIMIT_DATA:  {Cur: uint64(b.Memory), Max: uint64(b.Memory)}, // what is mapped of libraries does not count
		unix.RLIMIT_FSIZE: {Cur: uint64(b.File), Max: uint64(b.File)},
		unix.RLIMIT_CORE:  {},
	} {
		if err := unix.Prlimit(pid, resource, &limit, nil); err != nil {
			return err
		}
	}
	return nil
}

// dying has a child end where this process is killed.
func dying() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
