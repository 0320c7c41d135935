package front

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"gorules/executor/internal/action"
	"gorules/executor/internal/repo"
)

// hostTools returns the default tools of shell actions: what is there of the
// programs that a POSIX script may expect, with the libraries they need.
func hostTools() func() *action.Artifact {
	return sync.OnceValue(func() *action.Artifact {
		var found []string
		for _, name := range defaultTools {
			for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
				p := filepath.Join(dir, name)
				if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
					found = append(found, p)
					break
				}
			}
		}
		paths := found
		if libs, err := repo.ELFClosure(found); err == nil {
			paths = slices.Concat(found, libs)
		}
		for _, pattern := range defaultFiles {
			if more, err := filepath.Glob(pattern); err == nil { // the patterns are constant and good
				paths = append(paths, more...)
			}
		}
		return &action.Artifact{Path: "/", Dir: true, Source: &action.Source{Host: &action.HostTree{Paths: paths}}}
	})
}

// defaultFiles are what default tools and compiled programs load at run time
// and no program names: the unwinder of every Rust program, perl's own modules.
var defaultFiles = []string{
	"/lib/*-linux-gnu/libgcc_s.so.1", "/lib64/libgcc_s.so.1", "/usr/lib64/libgcc_s.so.1",
	"/usr/lib/*-linux-gnu/perl-base",
}

// defaultTools serve run_shell, genrule, sh_* and build scripts: a shell, the
// programs POSIX names that build steps use, and the three that most configure
// scripts ask for besides.
var defaultTools = strings.Fields(`bash sh awk basename cat chmod cmp comm cp cut date diff dirname
	echo env expr false find grep egrep fgrep gzip head id install join ln ls md5sum mkdir mktemp mv nl od
	paste printf pwd readlink realpath rm rmdir sed seq sha256sum sleep sort stat tail tar tee test touch tr
	true uname uniq wc which xargs make perl`)
