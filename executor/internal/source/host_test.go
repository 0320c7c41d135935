package source_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/source"
	"gorules/executor/internal/tree"
)

func hostTree(t testing.TB, paths ...string) (*tree.Tree, error) {
	t.Helper()
	c, err := snapshot(t).Resolve(&action.Source{Host: &action.HostTree{Paths: paths}})
	return c.Tree, err
}

// walkPath resolves p in tr as the kernel would in a root that holds tr.
func walkPath(tr *tree.Tree, p string, links int) (tree.Entry, error) {
	if links > 40 {
		return tree.Entry{}, syscall.ELOOP
	}
	var at []string
	names := strings.Split(p, "/")
	for i, name := range names {
		switch name {
		case "", ".":
			continue
		case "..":
			at = at[:max(len(at)-1, 0)]
			continue
		}
		at = append(at, name)
		e, ok := tr.Lookup(strings.Join(at, "/"))
		if !ok {
			return e, fs.ErrNotExist
		}
		if e.Kind == tree.Link {
			target := e.Target
			if !strings.HasPrefix(target, "/") {
				target = "/" + strings.Join(at[:len(at)-1], "/") + "/" + target
			}
			return walkPath(tr, target+"/"+strings.Join(names[i+1:], "/"), links+1)
		}
	}
	e, ok := tr.Lookup(strings.Join(at, "/"))
	if !ok {
		return e, fs.ErrNotExist
	}
	return e, nil
}

// same wants the path p to lead to the same thing in tr and on the host.
func same(t *testing.T, tr *tree.Tree, p string) {
	t.Helper()
	e, err := walkPath(tr, p, 0)
	info, herr := os.Stat(p)
	if err != nil || herr != nil {
		if (err == nil) != (herr == nil) || errors.Is(err, syscall.ELOOP) != errors.Is(herr, syscall.ELOOP) {
			t.Errorf("%s: %v in the tree, %v on the host", p, err, herr)
		}
		return
	}
	if info.IsDir() {
		if e.Kind != tree.Dir {
			t.Errorf("%s: %+v in the tree, a folder on the host", p, e)
		}
		return
	}
	b, herr := os.ReadFile(p)
	must(t, herr)
	if e.Kind != tree.File || e.File != digest.Of(b) || e.Executable != (info.Mode()&0o111 != 0) {
		t.Errorf("%s: %+v in the tree, %v on the host", p, e, info.Mode())
	}
}

func TestHostTree(t *testing.T) {
	dir := lay(t, map[string]string{
		"usr/bin/sh@": "dash", "usr/bin/dash*": "dash", "bin@": "usr/bin", "usr/lib/libc.so.6": "libc", "lib@": "usr/lib", "lib64@": "usr/lib64", "usr/lib64@": "lib",
		"etc/alternatives/": "", "usr/bin/gcc@": "gcc-12", "usr/bin/gcc-12*": "gcc",
		"opt/real/deep/x": "deep x", "opt/real/y": "real y", "opt/y": "wrong y", "opt/short@": "real/deep", "opt/tricky@": "short/../y",
		"share/a": "a", "share/empty/": "", "share/dangling@": "none/x", "share/self@": "self", "share/here@": ".", "share/up@": "..", "share/out@": "../usr/lib",
		"share/slash@": "../usr/lib/", "share/sub/b*": "b", "not/asked": "",
	})
	for l, text := range map[string]string{"usr/bin/cc": "/etc/alternatives/cc", "etc/alternatives/cc": "/usr/bin/gcc"} {
		must(t, os.Symlink(dir+text, filepath.Join(dir, l)))
	}
	for name, tt := range map[string]struct {
		ask  []string
		same []string // paths, below those asked for, that work as on the host
		not  []string // paths that are not dragged in
	}{
		"link to the file":  {[]string{"usr/bin/sh"}, []string{"usr/bin/sh", "usr/bin/dash"}, []string{"usr/bin/gcc", "usr/lib"}},
		"folder is a link":  {[]string{"bin/sh"}, []string{"bin/sh", "usr/bin/sh", "usr/bin/dash"}, []string{"lib"}},
		"chain of links":    {[]string{"usr/bin/cc"}, []string{"usr/bin/cc", "etc/alternatives/cc", "usr/bin/gcc-12"}, nil},
		"two folder links":  {[]string{"lib64/libc.so.6"}, []string{"lib64/libc.so.6", "usr/lib64/libc.so.6", "usr/lib/libc.so.6"}, []string{"usr/bin"}},
		"dot dot of a link": {[]string{"opt/tricky"}, []string{"opt/tricky", "opt/real/y"}, []string{"opt/y"}},
		"unclean":           {[]string{"usr//bin/./sh", "opt/short/x"}, []string{"usr/bin/sh", "opt/short/x"}, nil},
		"a folder": {[]string{"share"},
			[]string{"share/a", "share/empty", "share/dangling", "share/self", "share/here/here/a", "share/out/libc.so.6", "share/slash/libc.so.6", "share/sub/b", "share/up/share/a"}, nil},
		"both": {[]string{"bin/sh", "usr/bin/cc", "lib64/libc.so.6", "usr/bin"}, []string{"bin/cc", "bin/sh", "usr/bin/gcc", "lib64/libc.so.6"}, nil},
	} {
		var paths []string
		for _, p := range tt.ask {
			paths = append(paths, dir+"/"+p)
		}
		tr, err := hostTree(t, paths...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, p := range tt.same {
			same(t, tr, dir+"/"+p)
		}
		for _, p := range tt.not {
			if e, ok := tr.Lookup(strings.TrimPrefix(dir, "/") + "/" + p); ok {
				t.Errorf("%s: %s is in the tree: %+v", name, p, e)
			}
		}
		slices.Reverse(paths)
		if again, err := hostTree(t, paths...); err != nil || again.Digest() != tr.Digest() {
			t.Errorf("%s: another order of paths gives another tree: %v", name, err)
		}
	}
	if e, _ := walkPath(mustTree(t, dir+"/bin/sh"), dir+"/bin", 0); e.Kind != tree.Dir {
		t.Errorf("bin = %+v", e)
	}
}

func mustTree(t testing.TB, paths ...string) *tree.Tree {
	t.Helper()
	tr, err := hostTree(t, paths...)
	must(t, err)
	return tr
}

// TestHostShell takes the host's own shell, wherever its links lead.
func TestHostShell(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip(err)
	}
	tr := mustTree(t, "/bin/sh")
	same(t, tr, "/bin/sh")
	for _, p := range show(t, tr) {
		p, _, _ = strings.Cut(strings.TrimSuffix(p, "*"), " -> ")
		same(t, tr, "/"+p)
		e, _ := tr.Lookup(p)
		if info, err := os.Lstat("/" + p); err != nil || (info.Mode()&fs.ModeSymlink != 0) != (e.Kind == tree.Link) {
			t.Errorf("/%s: %+v in the tree, %v on the host", p, e, info)
		}
	}
}

func TestHostTreeErrors(t *testing.T) {
	dir := lay(t, map[string]string{"dangling@": "none", "loop@": "loop", "f": "", "root@": "/"})
	must(t, syscall.Mkfifo(dir+"/pipe", 0o644))
	for p, want := range map[string]string{
		"relative/path": "not an absolute path", dir + "/none": "none", dir + "/dangling": "none", dir + "/loop": "loop", dir + "/f/x": "f/x", dir + "/pipe": "neither a file",
		"/": "root folder", dir + "/root": "root folder",
	} {
		if tr, err := hostTree(t, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want an error with %q", p, tr, err, want)
		}
	}
}

func TestHostTreeFacts(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(t testing.TB, d string)
		ok   bool
	}{
		"nothing":            {func(testing.TB, string) {}, true},
		"elsewhere":          {func(t testing.TB, d string) { put(t, d+"/usr/bin/x", "") }, true},
		"the file":           {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/usr/bin/dash", []byte("new!"), 0o755)) }, false},
		"a link":             {func(t testing.TB, d string) { relink(t, d+"/usr/bin/sh", "bash") }, false},
		"a folder's link":    {func(t testing.TB, d string) { relink(t, d+"/bin", "usr/bin2") }, false},
		"into a folder":      {func(t testing.TB, d string) { put(t, d+"/share/new", "") }, false},
		"dangling no longer": {func(t testing.TB, d string) { put(t, d+"/share/none", "") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := lay(t, map[string]string{"usr/bin/sh@": "dash", "usr/bin/dash*": "dash", "usr/bin/bash*": "bash", "usr/bin2/sh*": "sh", "bin@": "usr/bin", "share/l@": "none"})
			settle()
			s := snapshot(t)
			resolve(t, s, &action.Source{Host: &action.HostTree{Paths: []string{dir + "/bin/sh", dir + "/share"}}})
			facts := s.Facts()
			tt.edit(t, dir)
			if ok, p := source.Hold(facts, nil); ok != tt.ok {
				t.Errorf("Hold = %v, %q, want %v", ok, p, tt.ok)
			}
		})
	}
}
