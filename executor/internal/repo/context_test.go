package repo_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// run evaluates body as the implementation of a repository rule of @r and
// returns the error. What body adds to out comes back as text.
func run(w *world, body string) (string, error) {
	w.t.Helper()
	indented := strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n    ")
	w.write("-- ws/BUILD --\nfilegroup(name = 'x')\n-- ws/WORKSPACE --\nload('//:r.bzl', 'r')\nr(name = 'r')\n-- ws/r.bzl --\ndef _impl(ctx):\n    out = []\n    " +
		indented + "\n    ctx.file('BUILD', 'filegroup(name = \"x\")')\n    ctx.file('out', '\\n'.join([str(o) for o in out]))\n\nr = repository_rule(implementation = _impl)\n")
	if _, err := w.target("@r//:x"); err != nil {
		return "", err
	}
	return w.read("out/external/r/out"), nil
}

func TestRepositoryContext(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"names", "out += [ctx.name, ctx.attr.name, ctx.os.name, ctx.os.arch != '', 'PATH' in ctx.os.environ]", "r\nr\nlinux\nTrue\nTrue"},
		{"path", "p = ctx.path('a/b')\nout += [p.basename, p.dirname.basename, p.exists, ctx.path('.') == ctx.path('a').dirname, p.get_child('c', 'd').basename]",
			"b\na\nFalse\nTrue\nd"},
		{"file and read", "ctx.file('d/f', 'text')\nout += [ctx.read('d/f'), ctx.path('d/f').exists, ctx.path('d').is_dir]\nout += [p.basename for p in ctx.path('d').readdir()]", "text\nTrue\nTrue\nf"},
		{"template", "ctx.file('t', 'a{x}b{y}')\nctx.template('u', 't', {'{x}': '1', '{y}': '2'})\nout.append(ctx.read('u'))", "a1b2"},
		{"symlink", "ctx.symlink(Label('//:BUILD'), 'l')\nout += [ctx.read('l') != '', ctx.path('l').realpath.basename]", "True\nBUILD"},
		{"delete", "ctx.file('f')\nout += [ctx.delete('f'), ctx.delete('f'), ctx.path('f').exists]", "True\nFalse\nFalse"},
		{"rename", "ctx.file('f', 'x')\nctx.rename('f', 'd/g')\nout.append(ctx.read('d/g'))", "x"},
		{"which", "out += [ctx.which('sh') != None, ctx.which('no-such-program')]", "True\nNone"},
		{"getenv", "out += [ctx.getenv('PATH') != None, ctx.getenv('NO'), ctx.getenv('NO', 'x')]", "True\nNone\nx"},
		{"execute", "r = ctx.execute(['sh', '-c', 'echo $V; pwd; echo e >&2; exit 3'], environment = {'V': 'v'})\nout += [r.return_code, r.stdout.split('\\n')[0], r.stdout.strip().endswith('/r'), r.stderr.strip()]",
			"3\nv\nTrue\ne"},
		{"execute unset", "r = ctx.execute(['/bin/sh', '-c', 'echo ${PATH-unset}'], environment = {'PATH': None})\nout += [r.return_code]", "0"},
		{"execute missing", "r = ctx.execute(['no-such-program'])\nout += [r.return_code, r.stderr]", "256\nno-such-program: not found in PATH"},
		{"execute timeout", "r = ctx.execute(['sleep', '60'], timeout = 1)\nout += [r.return_code, r.stderr.strip()]", "256\nsleep timed out after 1s"},
		{"sha256", "ctx.file('f', '')\nout.append(ctx.sha256('f'))", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"elf_closure", "c = ctx.elf_closure([ctx.which('sh')])\nout += [len(c) >= 3, [p for p in c if '/ld-linux' in p or '/ld-musl' in p] != [], [p for p in c if '/libc' in p] != []]", "True\nTrue\nTrue"},
		{"patch", "ctx.file('d/f', 'one\\ntwo\\n')\nctx.file('p', '--- a/d/f\\n+++ b/d/f\\n@@ -1,2 +1,2 @@\\n one\\n-two\\n+three\\n')\nctx.patch('p', strip = 1)\nout.append(ctx.read('d/f'))", "one\nthree\n"},
		{"git patch", "ctx.file('f', 'one\\n')\nctx.file('p', 'diff --git a/f b/f\\n--- a/f\\n+++ b/f\\n@@ -1 +1 @@\\n-one\\n+two\\ndiff --git a/n b/n\\nnew file mode 100644\\n--- /dev/null\\n+++ b/n\\n@@ -0,0 +1 @@\\n+new\\n')\nctx.patch('p', strip = 1)\nout += [ctx.read('f'), ctx.read('n')]", "two\n\nnew\n"},
		{"progress and metadata", "ctx.report_progress('x')\nout.append(type(ctx.repo_metadata(reproducible = True)))", "struct"},

		{"read missing", "ctx.read('nothing')", "ERR read: no such file: ROOT/out/external/r/nothing"},
		{"write outside", "ctx.file('../x', '')", "ERR file: cannot write outside of the repository directory: ROOT/out/external/x"},
		{"write through a link", "ctx.symlink('/tmp', 'd')\nctx.file('d/gorules-test', '')", "ERR file: cannot write outside of the repository directory: ROOT/out/external/r/d/gorules-test leads to /tmp"},
		{"label as text", "ctx.read('//:BUILD')", `ERR read: "//:BUILD" looks like a label: write Label("//:BUILD")`},
		{"bad patch", "ctx.file('f', 'x\\n')\nctx.file('p', '--- f\\n+++ f\\n@@ -1 +1 @@\\n-one\\n+two\\n')\nctx.patch('p')", "ERR patch: ROOT/out/external/r/p: the patch of f does not apply"},
		{"misspelt", "ctx.downlaod()", "ERR repository_ctx has no .downlaod field or method (did you mean .download?)"},
		{"fail", "fail('no', 'way')", "ERR no way"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "")
			got, err := run(w, tt.body)
			if want, ok := strings.CutPrefix(tt.want, "ERR "); ok {
				want = strings.ReplaceAll(want, "ROOT", w.root)
				if err == nil || !strings.HasPrefix(err.Error(), "WORKSPACE:2:2: fetching @r (r): r.bzl:") || !strings.Contains(err.Error(), ": "+want) {
					t.Errorf("error = %v\nwant %s", err, want)
				}
				if _, err := os.Stat(w.path("out/external/@r.marker")); err == nil {
					t.Error("a failed fetch left a marker")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What a rule found or watched makes it run again when it changes.
func TestWatched(t *testing.T) {
	for _, tt := range []struct{ name, body, change string }{
		{"watch", "ctx.watch('ROOT/seen')", "-- seen --\nnew\n"},
		{"watch missing", "ctx.watch('ROOT/other')", "-- other --\nnew\n"},
		{"watch_tree", "ctx.watch_tree('ROOT/dir')", "-- dir/deep/new --\n"},
		{"readdir", "ctx.path('ROOT/dir').readdir()", "-- dir/new --\n"},
		{"label", "ctx.symlink(Label('//:f'), 'f')", "-- ws/f --\nnew\n"},
		{"which", "ctx.which('tool')", "-- bin/tool --\nx\n"},
		{"program", "ctx.execute(['ROOT/prog'])", "-- prog --\n#!/bin/sh\necho new\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "-- seen --\nold\n-- dir/x --\n-- dir/deep/y --\n-- ws/f --\nold\n-- prog --\n#!/bin/sh\n-- bin/other --\n")
			w.env["PATH"] = w.path("bin") + ":/usr/bin"
			if err := os.Chmod(w.path("prog"), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := run(w, tt.body); err != nil {
				t.Fatal(err)
			}
			r, err := w.target("@r//:x")
			if err != nil || r.Fetches() != 0 {
				t.Fatalf("nothing changed: %d fetches, %v", r.Fetches(), err)
			}
			if got := fmt.Sprint(r.Used()); got != "[r]" {
				t.Errorf("used = %s", got)
			}
			time.Sleep(2 * time.Millisecond)
			w.write(tt.change)
			if _, err := os.Stat(w.path("bin/tool")); err == nil {
				if err := os.Chmod(w.path("bin/tool"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			r, err = w.target("@r//:x")
			if err != nil || r.Fetches() != 1 {
				t.Errorf("changed: %d fetches, %v", r.Fetches(), err)
			}
		})
	}
}

func TestImmutable(t *testing.T) {
	for body, want := range map[string]bool{
		"ctx.symlink(ctx.path('a'), 'b')": true, "ctx.symlink('/etc/passwd', 'b')": false,
	} {
		w := newWorld(t, "")
		if _, err := run(w, body); err != nil {
			t.Fatal(err)
		}
		for range 2 { // fetched, then found
			v, err := w.open().View(t.Context(), "r")
			if err != nil || v.Immutable != want || v.Root != w.path("out/external/r") {
				t.Errorf("%s: view %+v, %v; want immutable %v", body, v, err, want)
			}
		}
	}
}
