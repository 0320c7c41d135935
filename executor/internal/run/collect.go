package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
	"gorules/executor/regular"
)

// finder tells in which directory of this machine an output path is made, and
// where in it.
type finder func(output string) (dir, rel string, ok bool)

// refused is a reason for which a thing cannot be an output: the action's
// fault, not the tool's.
type refused struct{ reason string }

func (r *refused) Error() string { return r.reason }

func refuse(format string, args ...any) error { return &refused{fmt.Sprintf(format, args...)} }

// collect takes what there is of b's outputs into the store, whether or not b
// may do without them. No process of the action may be alive.
func (l *Local) collect(ctx context.Context, b *action.Bound, find finder, early map[string]action.Content) (outputs map[string]action.Content, unusable map[string]string, err error) {
	outputs = map[string]action.Content{}
	take := l.adopting()
	for _, o := range b.Outputs {
		var c action.Content
		var reason string
		was, announced := early[o.Path]
		if announced {
			c, reason, err = l.again(ctx, o, find, was)
		} else {
			c, reason, err = l.output(ctx, o, find, take)
		}
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("collecting %s: %w", o.Path, err)
		case reason == absent && !announced:
		case reason != "":
			if unusable == nil {
				unusable = map[string]string{}
			}
			if reason == absent {
				reason = "was removed after it was announced as complete"
			}
			unusable[o.Path] = reason
		default:
			outputs[o.Path] = c
		}
	}
	return outputs, unusable, nil
}

// errLink is of a path that is a symbolic link, or below one.
var errLink = refuse("is below a symbolic link; outputs are looked for where they were declared, and links are not followed")

// absent is the failure of an output that is not there.
const absent = "was not made"

// again checks that an early output is still what it was when it was announced.
func (l *Local) again(ctx context.Context, o action.BoundOutput, find finder, was action.Content) (action.Content, string, error) {
	if o.Dir {
		c, reason, err := l.output(ctx, o, find, l.copying())
		if err == nil && reason == "" && c.Tree.Digest() != was.Tree.Digest() {
			reason = changed
		}
		return was, reason, err
	}
	dir, rel, _ := find(o.Path)
	f, err := openOutput(dir, rel)
	var r *refused
	if errors.As(err, &r) {
		return was, r.reason, nil
	}
	if err != nil {
		return was, "", err
	}
	defer f.Close()
	h := digest.NewHasher()
	if _, err := f.WriteTo(h); err != nil {
		return was, "", err
	}
	if h.Digest() != was.File {
		return was, changed, nil
	}
	return was, "", nil
}

const changed = "changed after it was announced as complete"

// A taker brings outputs into the store, as long as they are not too large
// together.
type taker struct {
	max  int64
	left atomic.Int64
	put  func(ctx context.Context, f *os.File, p string, executable bool) (digest.Digest, error)
}

// perEntry is what each entry of a folder counts besides its bytes: many empty ones
// take memory and time, too.
const perEntry = 4 << 10

// adopting takes the files of an action of which no process is left.
func (l *Local) adopting() *taker { return l.taker(l.store.Adopt) }

// copying takes files that somebody may still write to.
func (l *Local) copying() *taker {
	return l.taker(func(ctx context.Context, f *os.File, _ string, executable bool) (digest.Digest, error) {
		return l.store.Add(ctx, f, executable)
	})
}

func (l *Local) taker(put func(ctx context.Context, f *os.File, p string, executable bool) (digest.Digest, error)) *taker {
	t := &taker{max: l.maxBytes, put: put}
	t.left.Store(l.maxBytes)
	return t
}

// charge refuses what makes the outputs too large.
func (t *taker) charge(size int64) error {
	if t.left.Add(-size) < 0 {
		return refuse("makes the outputs of this action larger than %d bytes together; allow more with --max_action_output", t.max)
	}
	return nil
}

// file takes the open file f, whose path is p.
func (t *taker) file(ctx context.Context, f *os.File, p string, executable bool) (digest.Digest, error) {
	info, err := f.Stat()
	if err == nil {
		err = t.charge(info.Size())
	}
	if err != nil {
		return digest.Digest{}, err
	}
	return t.put(ctx, f, p, executable)
}

// output brings one output into the store. As in Bazel, every file that an action
// makes may be executed, whatever mode the action gave it: a tool that another
// action wrote needs no chmod, and what a mode would say is in no key twice.
// failure is absent or another reason for which it cannot be taken.
func (l *Local) output(ctx context.Context, o action.BoundOutput, find finder, take *taker) (c action.Content, failure string, err error) {
	dir, rel, ok := find(o.Path)
	if !ok {
		return c, "", fmt.Errorf("output %s has no place", o.Path)
	}
	switch {
	case o.Dir:
		c.Tree, err = l.directory(ctx, dir, rel, take)
	default:
		c.File, err = l.file(ctx, dir, rel, take)
		c.Executable = true
		if errors.Is(err, errLink) { // whether it may be one is for Judge
			c.Executable = false
			c.Symlink, err = linkOutput(dir, rel)
		}
	}
	var r *refused
	if errors.As(err, &r) {
		return action.Content{}, r.reason, nil
	}
	return c, "", err
}

// openAt opens rel below dir without following any symbolic link.
func openAt(dir *os.File, rel string, flags int) (*os.File, error) {
	how := &unix.OpenHow{
		Flags:   uint64(flags) | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	retried := false
	for {
		fd, err := unix.Openat2(int(dir.Fd()), rel, how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), rel)), nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.EACCES) && flags&unix.O_PATH == 0 && !retried:
			// The action took its own right to read, which it could have left.
			retried = true
			if !allowRead(dir, rel) {
				return nil, refuse("cannot be read: permission denied")
			}
			continue
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENAMETOOLONG):
			return nil, refuse(absent)
		case errors.Is(err, unix.ELOOP):
			return nil, errLink
		case errors.Is(err, unix.ENXIO):
			return nil, refuse("is a socket or a device; only files, folders and symbolic links can be outputs")
		}
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(dir.Name(), rel), Err: err}
	}
}

// allowRead gives the owner, who this process is, the right to read rel below dir.
func allowRead(dir *os.File, rel string) bool {
	p, err := openAt(dir, rel, unix.O_PATH)
	if err != nil {
		return false
	}
	defer p.Close()
	info, err := p.Stat()
	if err != nil {
		return false
	}
	mode := info.Mode().Perm() | 0o400
	if info.IsDir() {
		mode |= 0o700
	}
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", p.Fd()), mode) == nil
}

// openOutput opens the regular file rel below the folder dir.
func openOutput(dir, rel string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return openRegular(d, rel)
}

func openRegular(dir *os.File, rel string) (f *os.File, err error) {
	f, err = openAt(dir, rel, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = refuse("is %s, not a file", regular.Kind(info.Mode()))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (l *Local) file(ctx context.Context, dir, rel string, take *taker) (digest.Digest, error) {
	f, err := openOutput(dir, rel)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close()
	return take.file(ctx, f, f.Name(), true)
}

func linkOutput(dir, rel string) (string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer d.Close()
	return readLink(d, rel)
}

func readLink(dir *os.File, rel string) (string, error) {
	parent, err := openAt(dir, path.Dir(rel), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer parent.Close()
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(int(parent.Fd()), path.Base(rel), buf)
	switch {
	case errors.Is(err, unix.ENOENT):
		return "", refuse(absent)
	case errors.Is(err, unix.EINVAL):
		return "", refuse("is below a symbolic link")
	case err != nil:
		return "", &fs.PathError{Op: "readlink", Path: rel, Err: err}
	}
	return string(buf[:n]), nil
}

// directory takes the folder rel below dir.
func (l *Local) directory(ctx context.Context, dir, rel string, take *taker) (*tree.Tree, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if rel == "" {
		rel = "."
	}
	root, err := openAt(d, rel, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if info, err := root.Stat(); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, refuse("is %s, not a folder", regular.Kind(info.Mode()))
	}
	t, err := l.walk(ctx, root, "", take)
	if err != nil {
		return nil, err
	}
	if p, target, found := firstLeaving(t); found {
		return nil, refuse("has a symbolic link that leads out of it: %s -> %s; use a relative target inside the output", p, target)
	}
	return t, nil
}

// walk takes the open folder dir, which is at below of the output.
func (l *Local) walk(ctx context.Context, dir *os.File, below string, take *taker) (*tree.Tree, error) {
	es, err := list(dir, take)
	if err != nil {
		return nil, err
	}
	entries := make([]tree.Entry, 0, len(es))
	for _, e := range es {
		p := path.Join(below, e.Name())
		te := tree.Entry{Name: e.Name()}
		switch {
		case !validName(e.Name()):
			return nil, refuse("has a name that is not UTF-8: %q", p)
		case e.IsDir():
			te.Kind = tree.Dir
			sub, err := openAt(dir, e.Name(), unix.O_RDONLY|unix.O_DIRECTORY)
			if err == nil {
				te.Dir, err = l.walk(ctx, sub, p, take)
				sub.Close()
			}
			if err != nil {
				return nil, inside(p, err)
			}
		case e.Type()&fs.ModeSymlink != 0:
			te.Kind = tree.Link
			if te.Target, err = readLink(dir, e.Name()); err != nil {
				return nil, inside(p, err)
			}
		case e.Type().IsRegular():
			f, err := openRegular(dir, e.Name())
			if err != nil {
				return nil, inside(p, err)
			}
			te.Executable = true
			te.File, err = take.file(ctx, f, f.Name(), true)
			f.Close()
			if err != nil {
				return nil, inside(p, err)
			}
		default:
			return nil, refuse("has %s in it: %s; only files, folders and symbolic links can be outputs", regular.Kind(e.Type()), p)
		}
		entries = append(entries, te)
	}
	return tree.New(entries)
}

// list reads the open folder dir, piece by piece: it may have more entries than may
// be taken.
func list(dir *os.File, take *taker) (all []fs.DirEntry, err error) {
	for {
		es, err := dir.ReadDir(1000)
		all = append(all, es...)
		if err == io.EOF {
			return all, nil
		}
		if err == nil {
			err = take.charge(int64(len(es)) * perEntry)
		}
		if err != nil {
			return nil, err
		}
	}
}

// inside names the place in a refusal that came from below.
func inside(p string, err error) error {
	var r *refused
	if errors.As(err, &r) && !strings.HasPrefix(r.reason, "has ") {
		return refuse("has something at %s that %s", p, r.reason)
	}
	return err
}
