// Package regular reads files that people name or write: never anything else that
// stands in a file's place. A FIFO would be waited for, for ever, and a device has no
// end. Symbolic links are followed.
package regular

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrKind is the cause of the error that something is no file.
var ErrKind = errors.New("not a file")

// kindError says what stands where a file was expected.
type kindError struct{ what string }

func (e kindError) Error() string        { return "it is " + e.what + ", not a file" }
func (e kindError) Is(target error) bool { return target == ErrKind }

// Check returns the error of a mode that is none of a file; nil for one.
func Check(m fs.FileMode) error {
	if m.IsRegular() {
		return nil
	}
	return kindError{Kind(m)}
}

// Kind names what has the mode m, for people.
func Kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "something else"
}

// Open opens the file path for reading.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	} else if errors.Is(err, unix.ENXIO) { // a socket, or a device without a driver
		info, err = os.Stat(path)
	}
	if err == nil {
		if err = Check(info.Mode()); err == nil {
			return f, nil
		}
		err = &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if f != nil {
		f.Close()
	}
	return nil, err
}

// Read returns the content of the file path.
func Read(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, min(max(info.Size(), 0), maxGuess)+512)
	for {
		n, err := f.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// maxGuess bounds the memory that is taken because a file says that it is large.
const maxGuess = 64 << 20
