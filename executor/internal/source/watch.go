package source

import (
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/digest"
)

// What a repository rule looks at is noted here, and read by the rule itself: it
// runs programs that look at the same, and no answer is kept for a second question.

// Watch notes the content of the file that p leads to, whatever its mode; of
// anything else, a folder or nothing at all, that it is that.
func (s *Snapshot) Watch(p string) {
	now := time.Now()
	k, _ := stat(p) // zero if there is nothing
	f := fact{kind: factWatch, path: p, key: k.doubtful(k.racy(now))}
	if k.isRegular() {
		f.digest, _ = hash(p, k) // zero if it cannot be read
	}
	s.note(f)
}

// WatchTree is Watch of everything at and below p, with the names in each folder.
// Of a folder that a link leads to, only the names are noted.
func (s *Snapshot) WatchTree(p string) {
	s.Watch(p)
	entries, err := s.ReadDir(p)
	if err != nil {
		return // noted, too
	}
	for _, e := range entries {
		sub := filepath.Join(p, e.Name)
		if e.Type.IsDir() {
			s.WatchTree(sub)
			continue
		}
		s.Watch(sub)
		if k, err := stat(sub); err == nil && k.isDir() {
			_, _ = s.ReadDir(sub) // an error is noted, too
		}
	}
}

// Program notes size, time and mode of what p leads to, which say enough of a
// program and its libraries: there is much to read in them.
func (s *Snapshot) Program(p string) {
	k, _ := stat(p) // zero if there is nothing
	s.note(fact{kind: factProgram, path: p, key: Key{Size: k.Size, Mtime: k.Mtime, Mode: k.Mode}})
}

// Getenv returns a variable of Env and notes it.
func (s *Snapshot) Getenv(name string) (value string, ok bool) {
	s.note(fact{kind: factEnv, path: name, digest: variable(s.Env, name)})
	value, ok = s.Env[name]
	return value, ok
}

// variable is the digest of a variable, whose value may be a secret.
func variable(env map[string]string, name string) digest.Digest {
	value, ok := env[name]
	if !ok {
		return digest.Digest{}
	}
	return digest.Of([]byte(value))
}

// Which returns where Env's PATH has a program, "" if nowhere, and notes it.
func (s *Snapshot) Which(program string) string {
	p := which(s.Env, program)
	s.note(fact{kind: factWhich, path: program, digest: digest.Of([]byte(p))})
	return p
}

func which(env map[string]string, program string) string {
	for _, dir := range filepath.SplitList(env["PATH"]) {
		p := filepath.Join(dir, program)
		k, err := stat(p)
		if filepath.IsAbs(dir) && err == nil && !k.isDir() && unix.Faccessat(unix.AT_FDCWD, p, unix.X_OK, unix.AT_EACCESS) == nil {
			return p
		}
	}
	return ""
}
