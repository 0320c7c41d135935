//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
)

// check refuses a plan that cannot mean anything.
func (pl *Process) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("sandbox: plan: "+format, args...)
	}
	if len(pl.Argv) == 0 || !strings.Contains(pl.Argv[0], "/") {
		return bad("argv[0] has to be a path, not %q", strings.Join(pl.Argv[:min(1, len(pl.Argv))], ""))
	}
	inside := []string{}
	seen := map[string]bool{}
	for _, m := range pl.Mounts {
		inside = append(inside, m.Target)
		switch {
		case m.Kind < BindRO || m.Kind > Apart:
			return bad("mount %q has no valid kind", m.Target)
		case seen[m.Target]:
			return bad("two mounts on %q", m.Target)
		case m.Target == "/" || m.Target == "/proc" || m.Target == "/dev" ||
			strings.HasPrefix(m.Target, "/proc/") || strings.HasPrefix(m.Target, "/dev/") && m.Target != "/dev/shm":
			return bad("nothing can be mounted on %q", m.Target)
		case m.Kind.inMemory() && m.Source != "":
			return bad("tmpfs mount %q has a source", m.Target)
		case !m.Kind.inMemory() && !path.IsAbs(m.Source):
			return bad("source %q of mount %q is not absolute", m.Source, m.Target)
		case m.Kind == Apart && (!path.IsAbs(m.Root) || !strings.HasPrefix(m.Source, m.Root+"/")):
			return bad("source %q of mount %q is not below %q", m.Source, m.Target, m.Root)
		}
		seen[m.Target] = true
	}
	for _, f := range pl.Files {
		inside = append(inside, f.Path)
		if f.Data == nil && !path.IsAbs(f.Source) {
			return bad("file %q has no content: its source is %q", f.Path, f.Source)
		}
	}
	for _, s := range pl.Symlinks {
		inside = append(inside, s.Path)
		if s.Target == "" {
			return bad("symbolic link %q has no target", s.Path)
		}
	}
	inside = append(append(inside, pl.Dirs...), pl.dir())
	for _, p := range inside {
		if !path.IsAbs(p) || path.Clean(p) != p {
			return bad("path %q is not absolute and clean", p)
		}
	}
	for _, e := range pl.Env {
		if strings.IndexByte(e, '=') <= 0 {
			return bad("environment entry %q is not NAME=value", e)
		}
	}
	for _, list := range [][]string{inside, pl.Argv, pl.Env} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return bad("%q holds a NUL byte", s)
			}
		}
	}
	return nil
}

func (k MountKind) inMemory() bool { return k == Tmpfs || k == Memory }
func (k MountKind) overlaid() bool { return k == Overlay || k == Merged }

func (pl *Process) observed() bool { return len(pl.Scopes) > 0 && !pl.Trace }

func (pl *Process) dir() string {
	if pl.Dir == "" {
		return "/"
	}
	return pl.Dir
}

// home is the directory that HOME names in the plan's environment.
func (pl *Process) home() string {
	for _, e := range slices.Backward(pl.Env) {
		if v, ok := strings.CutPrefix(e, "HOME="); ok && path.IsAbs(v) {
			return path.Clean(v)
		}
	}
	return Home
}

// allMounts are the plan's mounts and the fixed ones, parents before children.
func (pl *Process) allMounts() []Mount {
	ms := slices.Clone(pl.Mounts)
	for _, b := range []Mount{
		{Target: "/proc", Kind: builtinProc}, {Target: "/dev", Kind: builtinDev},
		{Target: "/tmp", Kind: builtinTmp}, {Target: "/dev/shm", Kind: builtinTmp},
	} {
		if !slices.ContainsFunc(ms, func(m Mount) bool { return m.Target == b.Target }) {
			ms = append(ms, b)
		}
	}
	if pl.Terminals {
		ms = append(ms, Mount{Target: "/dev/pts", Kind: builtinPts})
	}
	slices.SortFunc(ms, func(a, b Mount) int { return strings.Compare(a.Target, b.Target) })
	return ms
}

// allFiles are the plan's files and those fixed ones that the plan does not
// bring itself.
func (pl *Process) allFiles() []File {
	fs := slices.Clone(pl.Files)
	for _, f := range fixedFiles {
		own := slices.ContainsFunc(pl.Files, func(g File) bool { return g.Path == f.Path }) ||
			slices.ContainsFunc(pl.Mounts, func(m Mount) bool {
				return m.Target == f.Path || strings.HasPrefix(f.Path, m.Target+"/")
			}) ||
			slices.ContainsFunc(pl.Symlinks, func(s Symlink) bool { return s.Path == f.Path })
		if !own {
			fs = append(fs, f)
		}
	}
	return fs
}

func errnoOf(err error) syscall.Errno {
	var e syscall.Errno
	errors.As(err, &e)
	return e
}
