package run

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
)

// The limits of what is kept of a stream, in bytes.
const (
	memoryLimit = 1 << 20  // beyond it a file holds the text
	textLimit   = 64 << 20 // beyond it the text is cut off, and says so
	lineLimit   = 1 << 20  // a longer line is no message
)

// capture is the writer behind stdout or stderr: it bounds memory and length,
// and shows whole lines to line as they come. Memory holds the text at first;
// then a file does.
type capture struct {
	fs   *fsx.FS
	dir  func() (string, error) // for the file
	line func([]byte)           // may be nil

	mem     bytes.Buffer
	file    *fsx.File
	n       int64
	partial []byte
	long    bool // within a line that is too long
	err     error
}

func (l *Local) capture(line func([]byte)) *capture {
	return &capture{fs: l.fs, dir: l.scratch.folder, line: line}
}

// Write never fails: the process must not notice that its text is lost. The
// error comes from store.
func (c *capture) Write(p []byte) (int, error) {
	c.lines(p)
	keep := p[:min(int64(len(p)), max(0, textLimit-c.n))]
	c.n += int64(len(p))
	if c.file == nil && c.mem.Len()+len(keep) <= memoryLimit {
		c.mem.Write(keep)
		return len(p), nil
	}
	if c.err == nil && c.file == nil {
		c.spill()
	}
	if c.err == nil {
		_, c.err = c.file.Write(keep)
	}
	return len(p), nil
}

// spill moves the text from memory to a file.
func (c *capture) spill() {
	dir, err := c.dir()
	if err == nil {
		c.file, err = c.fs.CreateTemp(dir, "text-", 0o600)
	}
	if err == nil {
		_, err = c.file.Write(c.mem.Bytes())
		c.mem = bytes.Buffer{}
	}
	c.err = err
}

func (c *capture) lines(p []byte) {
	if c.line == nil {
		return
	}
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		switch {
		case c.long:
		case len(c.partial)+len(line) > lineLimit:
			c.long, c.partial = true, nil
		case !whole:
			c.partial = append(c.partial, line...)
		case len(c.partial) > 0:
			c.line(append(c.partial, line...))
		default:
			c.line(line)
		}
		if whole {
			c.partial, c.long = c.partial[:0], false
		}
		p = rest
	}
}

// store puts the text into s.
func (c *capture) store(ctx context.Context, s *cas.Disk) (digest.Digest, []byte, error) {
	note := ""
	if c.n > textLimit {
		note = fmt.Sprintf("\n[gorules: %d more bytes are not kept]\n", c.n-textLimit)
	}
	if c.err != nil {
		return digest.Digest{}, nil, fmt.Errorf("keeping what the process printed: %w", c.err)
	}
	if c.file == nil {
		b := c.mem.Bytes()
		if len(b) == 0 {
			return digest.Empty, nil, nil
		}
		d, err := cas.PutBytes(ctx, s, b)
		if len(b) > InlineLimit {
			b = nil
		}
		return d, b, err
	}
	f, err := os.Open(c.file.Name())
	if err != nil {
		return digest.Digest{}, nil, fmt.Errorf("keeping what the process printed: %w", err)
	}
	defer f.Close()
	d, err := s.Add(ctx, io.MultiReader(f, bytes.NewReader([]byte(note))), false)
	return d, nil, err
}

// discard removes the file, if there is one.
func (c *capture) discard() {
	if c.file != nil {
		c.file.Close()
		c.fs.Remove(filepath.Clean(c.file.Name()))
	}
}

func (r *Result) texts(ctx context.Context, s *cas.Disk, out, errs *capture) (err error) {
	if r.Stdout, r.StdoutBytes, err = out.store(ctx, s); err != nil {
		return err
	}
	r.Stderr, r.StderrBytes, err = errs.store(ctx, s)
	return err
}
