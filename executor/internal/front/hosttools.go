package front

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/action"
	"gorules/executor/internal/repo"
)

// hostTools returns the default tools of shell actions: what is there of the
// programs that a script may expect, with what they need to run.
func hostTools() func() *action.Artifact {
	return sync.OnceValue(func() *action.Artifact {
		paths := programs(toolDirs, defaultTools())
		paths = append(paths, repo.ELFClosure(paths)...)
		for _, pattern := range defaultFiles {
			more, _ := filepath.Glob(pattern) // the patterns are constant and good
			for _, p := range more {
				if unix.Access(p, unix.R_OK) == nil {
					paths = append(paths, p)
				}
			}
		}
		return &action.Artifact{Path: "/", Dir: true, Source: &action.Source{Host: &action.HostTree{Paths: paths}}}
	})
}

// toolDirs are the folders of PATH in these actions, in its order.
var toolDirs = []string{"/usr/local/bin", "/usr/bin", "/bin"}

// programs finds each name in the first of dirs that has it, as the shell of an action
// will. What the host does not have, or lets nobody read, is left out.
func programs(dirs, names []string) (found []string) {
	for _, name := range names {
		for _, dir := range dirs {
			p := filepath.Join(dir, name)
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && unix.Access(p, unix.R_OK|unix.X_OK) == nil {
				found = append(found, p)
				break
			}
		}
	}
	return found
}

// suites are the packages of which every program is a default tool, wherever the host
// has it, and what each installs. Left out is what is of no use where files are declared
// and nobody is root: locate and updatedb of findutils.
var suites = map[string]string{
	"coreutils": `[ arch b2sum base32 base64 basename basenc cat chcon chgrp chmod chown chroot cksum comm coreutils cp
		csplit cut date dd df dir dircolors dirname du echo env expand expr factor false fmt fold groups head
		hostid id install join kill link ln logname ls md5sum mkdir mkfifo mknod mktemp mv nice nl nohup nproc
		numfmt od paste pathchk pinky pr printenv printf ptx pwd readlink realpath rm rmdir runcon seq sha1sum
		sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail
		tee test timeout touch tr true truncate tsort tty uname unexpand uniq unlink uptime users vdir wc who
		whoami yes`,
	"findutils": `find xargs`,
	"diffutils": `cmp diff diff3 sdiff`,
	"gzip":      `gunzip gzexe gzip uncompress zcat zcmp zdiff zegrep zfgrep zforce zgrep zless zmore znew`,
	"grep":      `grep egrep fgrep`,
	"others":    `bash sh sed awk tar make perl which`,
}

// defaultTools are the programs of all suites: what POSIX names and build steps use, and
// what most configure scripts ask for besides. They serve run_shell, genrule, sh_*, tests
// and build scripts.
func defaultTools() (names []string) {
	for _, suite := range suites {
		names = append(names, strings.Fields(suite)...)
	}
	slices.Sort(names)
	return names
}

// defaultFiles are what default tools and compiled programs load at run time
// and no program names: the unwinder of every Rust program, perl's own modules,
// what stdbuf preloads, the locale that LANG of these actions names, and the certificates
// of the host's authorities, where the distributions keep them.
var defaultFiles = []string{
	"/lib/*-linux-gnu/libgcc_s.so.1", "/lib64/libgcc_s.so.1", "/usr/lib64/libgcc_s.so.1",
	"/usr/lib/*-linux-gnu/perl-base",
	"/usr/libexec/coreutils/libstdbuf.so", "/usr/lib*/coreutils/libstdbuf.so",
	"/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8",
	"/etc/ssl/certs/ca-certificates.crt", "/usr/lib/ssl/cert.pem", // Debian, Arch; OpenSSL's name there
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/tls/cert.pem", // Fedora
	"/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", // SUSE; Alpine
}
