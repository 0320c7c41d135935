package cli

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"syscall"
)

// output is a standard stream that remembers that it could not be written.
// What comes after the first failure is dropped: a text with a hole is worse
// than one that ends.
type output struct {
	w      io.Writer
	broken func() // called when nobody reads the stream any more; may be nil

	mu  sync.Mutex
	err error
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err == nil {
		return n, nil
	}
	o.err = err
	var path *fs.PathError
	if errors.As(err, &path) {
		o.err = path.Err // "write /dev/stdout" says less than who shows it
	}
	if o.broken != nil && errors.Is(err, syscall.EPIPE) {
		o.broken()
	}
	return n, o.err
}

// failure is the first error of a write.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
