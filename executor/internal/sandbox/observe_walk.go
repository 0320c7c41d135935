//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A walker goes paths as the kernel goes them for a task of the action: component by
// component, through the links that the task sees, and notes each that is in a
// scope. It must never take what was remembered for what is there where the action
// can change it.
type walker struct {
	root     int      // the action's "/", O_PATH
	scopes   []string // clean
	writable []string // where the action can make links and folders
	looks    map[string]What
	full     bool // there were more looks than maxLooks

	name, text [unix.PathMax]byte // of a readlink

	fixed map[string]spot        // what is at a path that the action cannot change
	known map[way]end            // ways that led through such paths alone
	execs map[string]interpreted // of programs that the action cannot change
}

// A way is a path, where it starts, and what is asked of its end.
type way struct {
	base   spot // nothing if path starts where there is no path
	path   string
	top    spot // what "/" leads to, and what nothing is above; the root if it is the zero spot
	what   What
	follow bool // a link at the end
}

// An end is where a walk led, and whether something is there.
type end struct {
	path  string
	there bool
}

// interpreted is what the head of a program names.
type interpreted struct {
	by    string // "" if nothing
	again bool   // that may have an interpreter itself
}

// A spot is what stands at a path.
type spot struct {
	kind spotKind
	text string // of a link
}

type spotKind uint8

const (
	nothing spotKind = iota
	link
	folder // or a file: what is not a link is told apart by what comes after it
	magic  // what a task has open: text is its path, to which no way is walked
	gone   // the same, of what was removed: text is the path that it had
)

const maxLinksWalked = 40

// maxKnown bounds what is remembered of the ways of one action.
const maxKnown = 1 << 16

func newWalker(root int, scopes, writable []string) *walker {
	return &walker{root: root, scopes: scopes, writable: writable, looks: map[string]What{},
		fixed: map[string]spot{}, known: map[way]end{}, execs: map[string]interpreted{}}
}

func below(p, dir string) bool {
	return dir == "/" || strings.HasPrefix(p, dir) && (len(p) == len(dir) || p[len(dir)] == '/')
}

func among(p string, dirs []string) bool {
	for _, d := range dirs {
		if below(p, d) {
			return true
		}
	}
	return false
}

// note adds what was learned of p, if that is in a scope.
func (w *walker) note(p string, what What) {
	if !among(p, w.scopes) {
		return
	}
	if len(w.looks) >= maxLooks {
		if _, ok := w.looks[p]; !ok {
			w.full = true
			return
		}
	}
	w.looks[p] |= what
}

// walk goes q in the action's root, as the kernel does for the task tid, and notes
// what of it is learned on the way, and at its end.
func (w *walker) walk(tid int, q way) end {
	if e, ok := w.known[q]; ok {
		return e
	}
	e, fixed := w.step(tid, &q)
	if fixed && len(w.known) < maxKnown {
		w.known[q] = e
	}
	return e
}

// step is walk without memory. fixed says that the action can change nothing that it
// met.
func (w *walker) step(tid int, q *way) (e end, fixed bool) {
	links, what, follow := 0, q.what, q.follow
	top := "/"
	if q.top.kind == magic {
		top = q.top.text
	}
	at, rest, ok := enter(q.base, q.path)
	if !ok || q.top.kind == gone {
		return end{}, false
	}
	fixed = true
	for {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" { // a folder: at, which was noted on the way, or is the base
			w.note(at, what)
			return end{at, true}, fixed
		}
		name, after, more := strings.Cut(rest, "/")
		rest = after
		switch name {
		case ".":
			continue
		case "..":
			if at != top {
				at = path.Dir(at)
			}
			continue
		}
		next := at + "/" + name
		if at == "/" {
			next = "/" + name
		}
		s, changes := w.lookup(tid, next)
		fixed = fixed && !changes
		switch {
		case s.kind == link && (more || follow):
			w.note(next, LookKind|LookContent)
			if links++; links > maxLinksWalked {
				return end{next, false}, fixed
			}
			rest = s.text
			if more {
				rest += "/" + after
			}
			if strings.HasPrefix(s.text, "/") {
				at = top
			}
		case (s.kind == magic || s.kind == gone) && (more || follow):
			if links++; links > maxLinksWalked || q.top.kind != nothing {
				return end{next, false}, fixed
			}
			if at, rest, ok = enter(s, after); !ok {
				return end{next, false}, fixed
			}
		case !more:
			w.note(next, what)
			return end{next, s.kind != nothing}, fixed
		case s.kind == nothing:
			w.note(next, LookKind)
			return end{next, false}, fixed
		default:
			w.note(next, LookKind)
			at = next
		}
	}
}

// enter tells where rest leads on from s, which a task has open. In a folder that was
// removed there is nothing any more, but what was above it still is.
func enter(s spot, rest string) (at, left string, ok bool) {
	switch s.kind {
	case magic:
		return s.text, rest, true
	case gone:
		for {
			name, after, more := strings.Cut(strings.TrimLeft(rest, "/"), "/")
			switch {
			case name == "..":
				return path.Dir(s.text), after, true
			case name != "." || !more:
				return "", "", false
			}
			rest = after
		}
	}
	return "", "", false
}

// lookup tells what is at p, whose folder is no link, and whether the action can
// change that.
func (w *walker) lookup(tid int, p string) (e spot, changes bool) {
	if strings.HasPrefix(p, "/proc/") {
		return w.proc(tid, p), true
	}
	changes = among(p, w.writable)
	if !changes {
		if e, ok := w.fixed[p]; ok {
			return e, false
		}
	}
	e = w.readlink(p)
	if !changes && len(w.fixed) < maxKnown {
		w.fixed[p] = e
	}
	return e, changes
}

func (w *walker) readlink(p string) spot {
	if p == "/" {
		return spot{kind: folder}
	}
	text, e := w.linkText(w.root, p[1:])
	switch e {
	case 0:
		return spot{link, text}
	case unix.EINVAL:
		return spot{kind: folder}
	}
	return spot{}
}

func (w *walker) linkText(dir int, p string) (string, syscall.Errno) {
	if len(p) >= len(w.name) {
		return "", unix.ENAMETOOLONG
	}
	w.name[copy(w.name[:], p)] = 0
	n, _, e := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&w.name[0])), uintptr(unsafe.Pointer(&w.text[0])), uintptr(len(w.text)), 0, 0)
	if e != 0 {
		return "", e
	}
	return string(w.text[:n]), 0
}

// proc tells what is at p below /proc for the task tid. Of the kernel's links there,
// self is one of the task, and those to what a task has open lead there whatever
// their text says.
func (w *walker) proc(tid int, p string) spot {
	switch p {
	case "/proc/self":
		if id := status(tid, "NStgid:"); id != "" {
			return spot{link, id}
		}
		return spot{}
	case "/proc/thread-self":
		if id, thread := status(tid, "NStgid:"), status(tid, "NSpid:"); id != "" && thread != "" {
			return spot{link, id + "/task/" + thread}
		}
		return spot{}
	}
	s := w.readlink(p)
	if s.kind == link && opens(p) {
		return w.open(s.text, w.root, p[1:])
	}
	return s
}

// opens reports whether p is a link of /proc to what a task has open.
func opens(p string) bool {
	parts := strings.Split(p, "/")[2:] // "", "proc"
	if _, err := strconv.Atoi(parts[0]); err != nil {
		return false
	}
	if parts = parts[1:]; len(parts) > 2 && parts[0] == "task" {
		parts = parts[2:]
	}
	switch {
	case len(parts) == 1:
		return parts[0] == "cwd" || parts[0] == "root" || parts[0] == "exe"
	case len(parts) == 2:
		return parts[0] == "fd" || parts[0] == "map_files" || parts[0] == "ns"
	}
	return false
}

// status is the last word of a line of a task's status: the number in the innermost
// namespace.
func status(tid int, name string) string {
	b, err := os.ReadFile(procPath(tid, "status"))
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(l, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				return f[len(f)-1]
			}
		}
	}
	return ""
}

// place is what the task's link name (cwd, fd/3) leads to.
func (w *walker) place(tid int, name string) spot {
	file := procPath(tid, name)
	text, e := w.linkText(unix.AT_FDCWD, file)
	if e != 0 {
		return spot{}
	}
	return w.open(text, unix.AT_FDCWD, file)
}

// open is what a link of /proc with that text, itself at file in dir, leads to.
func (w *walker) open(text string, dir int, file string) spot {
	if !strings.HasPrefix(text, "/") {
		return spot{} // a pipe, a socket
	}
	was, removed := strings.CutSuffix(text, " (deleted)")
	if !removed {
		return spot{magic, text}
	}
	// Unless that is its name.
	var st, at unix.Stat_t
	if unix.Fstatat(dir, file, &st, 0) == nil && unix.Fstatat(w.root, text[1:], &at, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		st.Dev == at.Dev && st.Ino == at.Ino {
		return spot{magic, text}
	}
	return spot{gone, was}
}

// maxInterpreters is how often Linux lets a script's interpreter be a script.
const maxInterpreters = 5

// program notes the interpreters that the kernel opens by itself to run what is at p:
// those of scripts, and the loader of a dynamic program.
func (w *walker) program(tid int, p string) {
	w.interpret(tid, w.interpreter(p))
}

func (w *walker) interpret(tid int, i interpreted) {
	for range maxInterpreters {
		if i.by == "" {
			return
		}
		q := way{base: spot{magic, "/"}, path: i.by, what: LookKind | LookContent, follow: true}
		if !strings.HasPrefix(i.by, "/") {
			q.base = w.place(tid, "cwd")
		}
		e := w.walk(tid, q)
		if !e.there || !i.again {
			return
		}
		i = w.interpreter(e.path)
	}
}

// readHead is how a program is opened to learn its interpreter.
const readHead = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

// interpreter is what the head of the program at p names.
func (w *walker) interpreter(p string) interpreted {
	if i, ok := w.execs[p]; ok {
		return i
	}
	how := unix.OpenHow{Flags: readHead, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(w.root, strings.TrimPrefix(p, "/"), &how)
	if err != nil {
		return interpreted{}
	}
	i := interpreterOf(fd)
	if !among(p, w.writable) {
		w.execs[p] = i
	}
	return i
}

// interpreterOf reads the head of the program that fd is, and closes fd. It reads a
// script's first line as Linux does (fs/binfmt_script.c).
func interpreterOf(fd int) interpreted {
	f := os.NewFile(uintptr(fd), "program")
	defer f.Close()
	var head [256]byte // what follows a short program is zeros
	if n, _ := f.ReadAt(head[:], 0); n < 4 {
		return interpreted{}
	}
	line, ok := bytes.CutPrefix(head[:], []byte("#!"))
	if !ok {
		return interpreted{by: loader(f)}
	}
	line, _, whole := bytes.Cut(line, []byte("\n"))
	line = bytes.TrimLeft(line, " \t")
	if end := bytes.IndexAny(line, " \t\x00"); end >= 0 {
		line, whole = line[:end], true
	}
	if !whole {
		return interpreted{} // it is cut off, and not run
	}
	return interpreted{string(line), true}
}
