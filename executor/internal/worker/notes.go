package worker

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/action"
	"gorules/executor/internal/sandbox"
)

// maxNotes bounds the refusals that a failure shows. They are the last ones:
// what made a program give up is near its end.
const maxNotes = 3

// notes says what an action was refused that explains why it failed, and which line
// would allow it. Programs look for much that is nowhere, in their search paths and
// on the chance that it is there, and go on. So what they did not find explains
// something only where there says that there is such a thing beside the action: on
// the host, or in the workspace.
func notes(s *action.Spec, accesses []sandbox.Access, there func(path string) bool) []string {
	var out []string
	libraries := map[string]bool{}
	for _, a := range slices.Backward(accesses) {
		text := note(s, a, there)
		if text == "" || slices.Contains(out, text) {
			continue
		}
		if lib := path.Base(a.Path); strings.Contains(lib, ".so") { // one library, by several ways to its folder
			if libraries[lib] {
				continue
			}
			libraries[lib] = true
		}
		if out = append(out, text); len(out) == maxNotes {
			break
		}
	}
	slices.Reverse(out)
	if len(out) == 0 {
		return nowhere(s, accesses)
	}
	return out
}

// note is the text for one access, "" if it explains nothing.
func note(s *action.Spec, a sandbox.Access, there func(path string) bool) string {
	if strings.HasPrefix(a.Addr, "/") {
		a.Path = a.Addr // a socket in the file system
	}
	if strings.HasSuffix(a.Addr, nameServer) {
		a.Addr = "a host by its name" // that is what the program asked for
	}
	if a.Path != "" && (probed(a.Path) || a.Kind == sandbox.AccessWrite && a.Err == unix.ENOENT && mayWrite(s, a.Path)) {
		return ""
	}
	text, rest := explanation(s.Explain, a)
	if a.Err == unix.ENOENT && a.Path != "" {
		if !there(a.Path) {
			return ""
		}
		if t := s.Explain[inPath]; t != "" && slices.Contains(searchPath(s), path.Dir(a.Path)) {
			text, rest = t, path.Base(a.Path)
		}
	}
	return strings.NewReplacer("{path}", a.Path, "{rest}", rest, "{address}", a.Addr).Replace(text)
}

// inPath is the key of the text for programs.
const inPath = "ENOENT PATH"

// nowhere names the last program that an action searched for and that is in no folder
// of its PATH. The host does not have it either, and there is nothing better to say.
func nowhere(s *action.Spec, accesses []sandbox.Access) []string {
	dirs := searchPath(s)
	for _, a := range slices.Backward(accesses) {
		if a.Err == unix.ENOENT && path.Dir(a.Path) == dirs[len(dirs)-1] && s.Explain[inPath] != "" {
			return []string{strings.ReplaceAll(s.Explain[inPath], "{rest}", path.Base(a.Path))}
		}
	}
	return nil
}

func searchPath(s *action.Spec) []string { return strings.Split(s.Env["PATH"], ":") }

// explanation is the text for an access, and its path below the folder that
// the text's key names.
func explanation(explain map[string]string, a sandbox.Access) (text, rest string) {
	name := unix.ErrnoName(a.Err)
	for dir := a.Path; path.IsAbs(dir) && dir != "/"; dir = path.Dir(dir) {
		if text, ok := explain[name+" "+dir]; ok {
			return text, strings.TrimPrefix(strings.TrimPrefix(a.Path, dir), "/")
		}
	}
	return explain[name], ""
}

// mayWrite reports whether p is where the action may make what is not there yet.
func mayWrite(s *action.Spec, p string) bool {
	for _, dir := range append([]string{"/tmp", "/dev/shm"}, s.Writable...) {
		if strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

// nameServer is how the addresses end that the C library asks about a host's name.
const nameServer = ":53"

// lookups are places where the C library, on every machine and in every
// program, merely looks whether something is there.
var lookups = []string{
	"/etc/ld.so.preload", "/etc/ld.so.cache", "/etc/ld.so.conf",
	"/etc/localtime", "/etc/locale.alias", "/usr/share/locale", "/usr/lib/locale",
	"/dev/tty", "/etc/host.conf", "/etc/gai.conf", "/etc/nscd.conf", "/var/run/nscd", "/run/nscd",
	"/etc/selinux", "/etc/machine-id", "/usr/lib/debug", "/proc", "/sys",
}

// probed reports whether p is one of the lookups, or one of the loader's folders for
// kinds of processors.
func probed(p string) bool {
	for _, dir := range lookups {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	switch path.Base(p) {
	case "tls", "haswell", "avx512_1", "x86_64", "aarch64":
		return true
	}
	return strings.Contains(p+"/", "/glibc-hwcaps/")
}
