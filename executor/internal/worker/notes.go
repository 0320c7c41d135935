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
const maxNotes = 5

// notes says what an action was refused and which line would allow it.
func notes(s *action.Spec, accesses []sandbox.Access) []string {
	var out []string
	for _, a := range slices.Backward(accesses) {
		if strings.HasPrefix(a.Addr, "/") {
			a.Path = a.Addr // a socket in the file system
		}
		if a.Path == resolver && !s.Loopback {
			// Read before any name is looked up, which then fails without a trace.
			a = sandbox.Access{Kind: sandbox.AccessConnect, Addr: "a host by its name", Err: unix.ENETUNREACH}
		}
		if a.Path != "" && (probed(a.Path) || a.Kind == sandbox.AccessWrite && a.Err == unix.ENOENT && mayWrite(s, a.Path)) {
			continue
		}
		text, rest := explanation(s.Explain, a)
		if last, ok := searched(s, a); ok {
			if !last {
				continue // found further on, or reported there
			}
			if t := s.Explain["ENOENT PATH"]; t != "" {
				text, rest = t, path.Base(a.Path)
			}
		}
		if text == "" {
			continue
		}
		text = strings.NewReplacer("{path}", a.Path, "{rest}", rest, "{address}", a.Addr).Replace(text)
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
		if len(out) == maxNotes {
			break
		}
	}
	slices.Reverse(out)
	return out
}

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

// searched reports whether an access was a step in the search for a program,
// and whether it was the last one, after which the program is found nowhere.
func searched(s *action.Spec, a sandbox.Access) (last, ok bool) {
	if a.Err != unix.ENOENT || a.Path == "" {
		return false, false
	}
	dirs := strings.Split(s.Env["PATH"], ":")
	i := slices.Index(dirs, path.Dir(a.Path))
	return i == len(dirs)-1, i >= 0
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

// resolver is what the C library reads before it looks up a host.
const resolver = "/etc/resolv.conf"

// lookups are places where the C library, on every machine and in every
// program, merely looks whether something is there.
var lookups = []string{
	"/etc/ld.so.preload", "/etc/ld.so.cache", "/etc/ld.so.conf",
	"/etc/localtime", "/etc/locale.alias", "/usr/share/locale", "/usr/lib/locale",
	"/dev/tty", "/etc/host.conf", resolver, "/etc/gai.conf", "/etc/nscd.conf", "/var/run/nscd", "/run/nscd",
	"/proc/self", "/sys/fs/cgroup", "/sys/kernel/mm",
}

// probed reports whether p is one of the lookups, or a step of the loader's
// search for a library that it goes on with elsewhere: the search ends in /usr/lib.
func probed(p string) bool {
	for _, dir := range lookups {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	if strings.Contains(path.Base(p), ".so") {
		return path.Dir(p) != "/usr/lib"
	}
	// The loader's folders for kinds of processors.
	switch path.Base(p) {
	case "tls", "haswell", "avx512_1", "x86_64", "aarch64":
		return true
	}
	return strings.Contains(p+"/", "/glibc-hwcaps/")
}
