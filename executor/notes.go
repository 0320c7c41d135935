package executor

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
		if a.Kind != sandbox.AccessConnect && probed(a.Path) {
			continue
		}
		text, rest := explanation(s.Explain, a)
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

// probed reports whether p is a place where the C library, on every machine
// and in every program, merely looks whether something is there.
func probed(p string) bool {
	switch p {
	case "/etc/ld.so.preload", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/localtime", "/etc/locale.alias", "/etc/nscd.conf", "/var/run/nscd/socket":
		return true
	}
	for _, dir := range []string{"/usr/share/locale", "/usr/lib/locale", "/proc/self", "/sys/fs/cgroup", "/sys/kernel/mm"} {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	if strings.Contains(p+"/", "/glibc-hwcaps/") {
		return true
	}
	// The loader's folders for kinds of processors, which old glibcs still try.
	dir := p
	if strings.Contains(path.Base(p), ".so") {
		dir = path.Dir(p)
	}
	switch path.Base(dir) {
	case "tls", "haswell", "avx512_1", "x86_64", "aarch64":
		return true
	}
	return false
}
