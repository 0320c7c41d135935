//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
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

	fixed map[string]spot        // what is at a path that the action cannot change
	known map[walk]end           // walks that led through such paths alone
	execs map[string]interpreted // of programs that the action cannot change
}

// A walk is one question.
type walk struct {
	path   string
	what   What
	follow bool
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
)

const maxLinksWalked = 40

func newWalker(root int, scopes, writable []string) *walker {
	return &walker{root: root, scopes: scopes, writable: writable, looks: map[string]What{},
		fixed: map[string]spot{}, known: map[walk]end{}, execs: map[string]interpreted{}}
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
	if among(p, w.scopes) {
		w.looks[p] |= what
	}
}

// walk goes p from the folder base, both in the action's root, for the task tid, and
// notes what of it is learned on the way, and at its end.
func (w *walker) walk(tid int, base, p string, what What, follow bool) end {
	if strings.HasPrefix(p, "/") {
		base = "/"
	}
	q := walk{base + "\x00" + p, what, follow}
	if e, ok := w.known[q]; ok {
		return e
	}
	e, fixed := w.step(tid, base, p, what, follow)
	if fixed {
		w.known[q] = e
	}
	return e
}

// step is walk without memory. fixed says that the action can change nothing that it
// met.
func (w *walker) step(tid int, base, p string, what What, follow bool) (e end, fixed bool) {
	at, rest, links := path.Clean(base), p, 0
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
			at = path.Dir(at)
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
				at = "/"
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
	if !changes {
		w.fixed[p] = e
	}
	return e, changes
}

func (w *walker) readlink(p string) spot {
	var name [unix.PathMax]byte
	var text [unix.PathMax]byte
	if len(p) >= len(name) {
		return spot{}
	}
	copy(name[:], p[1:])
	if p == "/" {
		name[0] = '.'
	}
	n, _, e := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(w.root), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)), 0, 0)
	switch e {
	case 0:
		return spot{link, string(text[:n])}
	case unix.EINVAL:
		return spot{kind: folder}
	}
	return spot{}
}

// proc tells what is at p below /proc for the task tid: self is the task, and the
// links of tasks to what they have open lead to paths rather than to their text.
func (w *walker) proc(tid int, p string) spot {
	parts := strings.SplitN(p[len("/proc/"):], "/", 3)
	task := tid
	switch parts[0] {
	case "thread-self":
	case "self":
		task = leader(tid)
	default:
		if task = named(parts[0]); task < 0 {
			return w.readlink(p)
		}
	}
	if len(parts) == 1 {
		return spot{kind: folder}
	}
	rest := strings.Join(parts[1:], "/")
	for strings.HasPrefix(rest, "task/") { // a thread has them too
		_, after, ok := strings.Cut(rest[len("task/"):], "/")
		if !ok {
			return spot{kind: folder}
		}
		rest = after
	}
	switch {
	case rest == "cwd", rest == "root", rest == "exe", strings.HasPrefix(rest, "fd/"), strings.HasPrefix(rest, "map_files/"):
		if to := place(task, rest); to != "" {
			return spot{link, to}
		}
		return spot{}
	}
	if _, err := os.Lstat(procPath(task, rest)); err != nil {
		return spot{}
	}
	return spot{kind: folder}
}

// leader is the helper's number of the process that tid is a thread of.
func leader(tid int) int {
	if n, err := strconv.Atoi(status(tid, "Tgid:")); err == nil {
		return n
	}
	return tid
}

// named is the helper's number of the process that the action calls name; -1 if there
// is none.
func named(name string) int {
	if _, err := strconv.Atoi(name); err != nil {
		return -1
	}
	es, err := os.ReadDir(hprocDir)
	if err != nil {
		return -1
	}
	for _, e := range es {
		if tid, err := strconv.Atoi(e.Name()); err == nil && status(tid, "NStgid:") == name {
			return tid
		}
	}
	return -1
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

// place is the path in the action's root of what the task's link name (cwd, fd/3)
// leads to; "" where that has none, or not any more.
func place(tid int, name string) string {
	var file, text [unix.PathMax]byte
	f := append(append(append(append(append(file[:0], hprocDir...), '/'), strconv.Itoa(tid)...), '/'), name...)
	if len(f) >= len(file) {
		return ""
	}
	file[len(f)] = 0
	n, _, e := unix.RawSyscall6(unix.SYS_READLINKAT, ^uintptr(99), uintptr(unsafe.Pointer(&file[0])), uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)), 0, 0)
	if e != 0 || n == 0 || text[0] != '/' {
		return ""
	}
	if bytes.HasSuffix(text[:n], []byte(" (deleted)")) {
		return ""
	}
	return string(text[:n])
}

// maxInterpreters is how often Linux lets a script's interpreter be a script.
const maxInterpreters = 5

// program notes the interpreters that the kernel opens by itself to run what is at p:
// those of scripts, and the loader of a dynamic program.
func (w *walker) program(tid int, p string) {
	for range maxInterpreters {
		i, ok := w.execs[p]
		if !ok {
			i = w.interpreter(p)
			if !among(p, w.writable) {
				w.execs[p] = i
			}
		}
		if i.by == "" {
			return
		}
		e := w.walk(tid, place(tid, "cwd"), i.by, LookKind|LookContent, true)
		if !e.there || !i.again {
			return
		}
		p = e.path
	}
}

// interpreter reads the head of the program at p.
func (w *walker) interpreter(p string) interpreted {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(w.root, strings.TrimPrefix(p, "/"), &how)
	if err != nil {
		return interpreted{}
	}
	f := os.NewFile(uintptr(fd), p)
	defer f.Close()
	var head [256]byte
	n, _ := f.ReadAt(head[:], 0)
	line, ok := bytes.CutPrefix(head[:n], []byte("#!"))
	if !ok {
		return interpreted{by: loader(f)}
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return interpreted{}
	}
	return interpreted{words[0], true}
}
