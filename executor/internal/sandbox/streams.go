//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// streams are the descriptors that travel to the helper with a plan, and the
// goroutines that copy output.
type streams struct {
	fds      []int // owned
	out, err output
	copies   int
	done     chan error
}

func openStreams(pl *Process) (*streams, error) {
	st := &streams{done: make(chan error, 2)}
	var err error
	if st.out, err = st.add(pl.Stdout); err != nil {
		return nil, st.abandon(err)
	}
	if pl.Stderr != nil && sameWriter(pl.Stdout, pl.Stderr) {
		st.err = st.out
	} else if st.err, err = st.add(pl.Stderr); err != nil {
		return nil, st.abandon(err)
	}
	return st, nil
}

func (st *streams) abandon(err error) error {
	st.closeFDs()
	return errors.Join(fmt.Errorf("sandbox: output stream: %w", err), st.wait())
}

// add prepares one stream.
func (st *streams) add(w io.Writer) (output, error) {
	if w == nil {
		return output{fd: -1}, nil
	}
	if f, ok := w.(*os.File); ok {
		fi, err := f.Stat()
		if err != nil {
			return output{}, err
		}
		if fi.IsDir() {
			return output{}, fmt.Errorf("%s is a directory", f.Name())
		}
		m := fi.Mode()
		return output{fd: len(st.fds), reopen: m.IsRegular() || m&os.ModeCharDevice != 0}, st.dup(f)
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return output{}, err
	}
	_ = unix.SetNonblock(p[0], true) // our end alone: a read must not hold a thread
	r := os.NewFile(uintptr(p[0]), "output of the action")
	st.fds = append(st.fds, p[1])
	st.copies++
	go func() {
		buf := buffers.Get().(*[32 << 10]byte)
		defer buffers.Put(buf)
		// Without the reader's shortcut, which brings a buffer of its own.
		_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf[:])
		if err != nil {
			_, _ = io.Copy(io.Discard, r) // the action must not block or see SIGPIPE
		}
		st.done <- errors.Join(err, r.Close())
	}()
	return output{fd: len(st.fds) - 1}, nil
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// dup keeps a descriptor of f for sending. File.Fd would make it blocking.
func (st *streams) dup(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var fd int
	var derr error
	if err := c.Control(func(p uintptr) { fd, derr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return err
	}
	if derr != nil {
		return derr
	}
	st.fds = append(st.fds, fd)
	return nil
}

func (st *streams) closeFDs() {
	for _, fd := range st.fds {
		_ = unix.Close(fd)
	}
	st.fds = nil
}

// wait returns when all output is copied. The write ends are closed by then,
// because the processes that held them are dead.
func (st *streams) wait() error {
	var errs []error
	for range st.copies {
		errs = append(errs, <-st.done)
	}
	st.copies = 0
	return errors.Join(errs...)
}

// sameWriter compares without a panic on types that cannot be compared.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() { _ = recover() }()
	return a == b
}
