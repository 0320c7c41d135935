package repo_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/source"
)

// run evaluates body as the implementation of a repository rule of @r and
// returns the error. What body adds to out comes back as text.
func run(w *world, body string) (string, error) {
	w.t.Helper()
	indented := strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n    ")
	w.write("-- ws/BUILD --\nfilegroup(name = 'x')\n-- ws/WORKSPACE --\nload('//:r.bzl', 'r')\nr(name = 'r', text = 'one')\n-- ws/r.bzl --\ndef _impl(ctx):\n    out = []\n    " +
		indented + "\n    ctx.file('BUILD', 'filegroup(name = \"x\")')\n    ctx.file('out', '\\n'.join([str(o) for o in out]))\n\nr = repository_rule(implementation = _impl, attrs = {'text': attr.string()}, environ = ['DECLARED'])\n")
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
		{"write through a link", "ctx.symlink('/tmp', 'd')\nctx.file('d/gorules-test', '')", "ERR file: cannot write outside of the repository directory: ROOT/out/external/r/d/gorules-test: "},
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

// What a rule found or watched makes it run again when it changes, and nothing
// else does. What a command read of the repository holds exactly as long.
func TestWatched(t *testing.T) {
	const files = "-- seen --\nold\n-- same --\nold\n-- dir/x --\n-- dir/deep/y --\nold\n-- ws/f --\nold\n-- prog --\n#!/bin/sh\n-- bin/other --\n-- bin2/x --\n-- ws/t --\n{x}\n"
	for _, tt := range []struct {
		name, body, change string
		want               int
	}{
		{"watch", "ctx.watch('ROOT/seen')", "echo new >seen", 1},
		{"watch, same size", "ctx.watch('ROOT/seen')", "echo odl >seen; touch -r dir/x seen", 1},
		{"watch, removed", "ctx.watch('ROOT/seen')", "rm seen", 1},
		{"watch, now a folder", "ctx.watch('ROOT/seen')", "rm seen; mkdir seen", 1},
		{"watch, touched", "ctx.watch('ROOT/seen')", "touch -d 2001-01-01 seen", 0},
		{"watch, executable now", "ctx.watch('ROOT/seen')", "chmod +x seen", 0},
		{"watch, an equal file", "ctx.watch('ROOT/seen')", "rm seen; ln -s same seen", 0},
		{"watch, replaced by an equal one", "ctx.watch('ROOT/seen')", "cp same new; mv new seen", 0},
		{"watch a link", "ctx.watch('ROOT/link')", "echo new >seen", 1},
		{"watch a link, that leads elsewhere", "ctx.watch('ROOT/link')", "rm link; ln -s prog link", 1},
		{"watch missing", "ctx.watch('ROOT/other')", "echo new >other", 1},
		{"watch missing, other file", "ctx.watch('ROOT/other')", "echo new >another", 0},
		{"watch a folder", "ctx.watch('ROOT/dir')", "touch dir/new", 0},
		{"watch a folder, removed", "ctx.watch('ROOT/dir')", "rm -r dir", 1},

		{"watch_tree", "ctx.watch_tree('ROOT/dir')", "touch dir/deep/new", 1},
		{"watch_tree, edited", "ctx.watch_tree('ROOT/dir')", "echo new >dir/deep/y", 1},
		{"watch_tree, removed", "ctx.watch_tree('ROOT/dir')", "rm dir/deep/y", 1},
		{"watch_tree, other type", "ctx.watch_tree('ROOT/dir')", "mv dir/deep/y z; ln -s ../../z dir/deep/y", 1},
		{"watch_tree, behind a link", "ctx.watch_tree('ROOT/bin')", "touch dir/deep/new", 1},
		{"watch_tree, touched", "ctx.watch_tree('ROOT/dir')", "touch dir dir/deep dir/deep/y", 0},
		{"watch_tree, beside", "ctx.watch_tree('ROOT/dir')", "touch new", 0},
		{"watch_tree of a file", "ctx.watch_tree('ROOT/seen')", "echo new >seen", 1},

		{"readdir", "ctx.path('ROOT/dir').readdir()", "touch dir/new", 1},
		{"readdir, other type", "ctx.path('ROOT/dir').readdir()", "rm -r dir/deep; touch dir/deep", 1},
		{"readdir, below", "ctx.path('ROOT/dir').readdir()", "touch dir/deep/new", 0},
		{"readdir, came and went", "ctx.path('ROOT/dir').readdir()", "touch dir/new; rm dir/new", 0},
		{"readdir unwatched", "ctx.path('ROOT/dir').readdir(watch = 'no')", "touch dir/new", 0},

		{"label linked", "ctx.symlink(Label('//:f'), 'f')", "echo new >ws/f", 1},
		{"label as path", "ctx.path(Label('//:f'))", "echo new >ws/f", 1},
		{"label missing", "ctx.path(Label('//:g'))", "echo new >ws/g", 1},
		{"label in a command", "ctx.execute(['/bin/echo', Label('//:f')])", "echo new >ws/f", 1},
		{"label of a folder", "ctx.path(Label('//:.'))", "touch ws/new", 0},
		{"read", "ctx.read('ROOT/seen')", "echo new >seen", 1},
		{"read unwatched", "ctx.read('ROOT/seen', watch = 'no')", "echo new >seen", 0},
		{"read its own", "ctx.file('own', 'x')\nctx.read('own')", "echo new >seen", 0},
		{"template", "ctx.template('t', Label('//:t'), {'{x}': '1'})", "echo '{x} new' >ws/t", 1},
		{"sha256", "ctx.sha256('ROOT/seen')", "echo new >seen", 1},

		{"which, none", "ctx.which('tool')", "cp prog bin/tool", 1},
		{"which, not executable", "ctx.which('tool')", "touch bin/tool", 0},
		{"which, an earlier one", "ctx.which('sh')", "cp prog bin/sh", 1},
		{"which, PATH as good", "ctx.which('sh')", "PATH=ROOT/bin2:ROOT/bin:/usr/bin:/bin", 0},
		{"which, PATH as bad", "ctx.which('tool')", "PATH=ROOT/bin2", 0},
		{"which, PATH without it", "ctx.which('sh')", "PATH=ROOT/bin2", 1},
		{"program", "ctx.execute(['ROOT/prog'])", "echo echo new >>prog", 1},
		{"program, touched", "ctx.execute(['ROOT/prog'])", "touch prog", 1},
		{"program, no program now", "ctx.execute(['ROOT/prog'])", "chmod -x prog", 1},
		{"program, copied with its time", "ctx.execute(['ROOT/prog'])", "cp -p prog new; mv new prog", 0},
		{"program missing", "ctx.execute(['ROOT/tool'])", "cp prog tool", 1},
		{"program by name", "ctx.execute(['tool'])", "cp prog bin/tool", 1},
		{"elf_closure", "ctx.elf_closure(['ROOT/elf'])", "cp /bin/true elf; touch -d 2001-01-01 elf", 1},

		{"getenv", "ctx.getenv('VAR')", "VAR=2", 1},
		{"getenv, empty", "ctx.getenv('VAR')", "VAR=", 1},
		{"getenv, unset", "ctx.getenv('VAR')", "VAR", 1},
		{"getenv, set to nothing", "ctx.getenv('NONE')", "NONE=", 1},
		{"getenv, other", "ctx.getenv('VAR')", "NONE=1", 0},
		{"environ of the rule", "", "DECLARED=1", 1},
		{"os.environ", "ctx.os.environ.get('VAR')", "VAR=2", 0},

		{"lock", "ctx.lock('k', 'v')", "echo x y >>ws/gorules.lock", 0},
		{"lock, without the line", "ctx.lock('k', 'v')", "echo x y >ws/gorules.lock", 1},
		{"rule", "", "echo '# new' >>ws/r.bzl", 1},
		{"attribute", "", "sed -i s/one/two/ ws/WORKSPACE", 1},
		{"nothing of it", "", "echo '# new' >>ws/WORKSPACE", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, files)
			w.env["PATH"], w.env["VAR"] = w.path("bin")+":/usr/bin:/bin", "1"
			w.shell("chmod +x prog; ln -s seen link; ln -s ../dir/deep bin/deep; cp /bin/false elf")
			if _, err := run(w, strings.ReplaceAll(tt.body, "ROOT", w.root)+"\n0"); err != nil {
				t.Fatal(err)
			}
			r, err := w.target("@r//:x") // what a fetch adds to gorules.lock is read now
			if err != nil || r.Fetches() != 0 || !w.fresh() {
				t.Fatalf("nothing changed: %d fetches, fresh %v, %v", r.Fetches(), w.fresh(), err)
			}
			time.Sleep(2 * time.Millisecond)
			change := strings.ReplaceAll(tt.change, "ROOT", w.root)
			if name, value, ok := strings.Cut(change, "="); !strings.Contains(change, " ") && (ok || name == "VAR") {
				w.env[name] = value
				if !ok {
					delete(w.env, name)
				}
			} else {
				w.shell(change)
			}
			// These files are read by every command that uses the repository.
			own := strings.HasSuffix(tt.change, "WORKSPACE") || strings.HasSuffix(tt.change, "gorules.lock")
			if fresh := w.fresh(); fresh != (tt.want == 0 && !own) {
				t.Errorf("what was read before holds: %v", fresh)
			}
			if r, err = w.target("@r//:x"); err != nil || r.Fetches() != tt.want {
				t.Errorf("changed: %d fetches, want %d, %v", r.Fetches(), tt.want, err)
			}
		})
	}
}

// A repository that another command made anew in between is another one, even if
// that command's reasons do not count any more.
func TestMadeAnewInBetween(t *testing.T) {
	w := newWorld(t, "")
	w.env["VAR"] = "1"
	if _, err := run(w, "out.append(ctx.getenv('VAR'))"); err != nil {
		t.Fatal(err)
	}
	before := w.sources.Facts()
	w.env["VAR"] = "2"
	if r, err := w.target("@r//:x"); err != nil || r.Fetches() != 1 {
		t.Fatalf("%d fetches, %v", r.Fetches(), err)
	}
	for _, value := range []string{"2", "1"} {
		w.env["VAR"] = value
		if ok, _ := source.Hold(before, w.env); ok {
			t.Errorf("VAR is %s, the repository made with 2: what was read of it when that was 1 holds", value)
		}
	}
}

func TestImmutable(t *testing.T) {
	for body, want := range map[string]bool{
		"ctx.file('a')\nctx.symlink(ctx.path('a'), 'b')": true, "ctx.execute(['ln', '-s', 'a', 'b'])": true, "ctx.execute(['ln', '-s', '../../x', 'b'])": false,
		"ctx.execute(['ln', '-s', '/etc/passwd', 'b'])": false, "ctx.execute(['mkfifo', 'odd'])": false, "ctx.symlink('/etc/passwd', 'b')": false,
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

// What a rule made and somebody changed is made again, said once, and never read.
func TestChangedOnDisk(t *testing.T) {
	for name, tt := range map[string]struct{ change, says string }{
		"nothing":           {"true", ""},
		"touched":           {"touch out/external/r/BUILD", ""},
		"one byte":          {"printf X | dd of=out/external/r/d/f conv=notrunc", "d/f"},
		"its time restored": {"touch -r out/external/r/d/f t; printf Y | dd of=out/external/r/d/f conv=notrunc; touch -r t out/external/r/d/f", "d/f"},
		"a BUILD file":      {"echo >>out/external/r/BUILD", "BUILD"},
		"mode":              {"chmod +x out/external/r/d/f", "d/f"},
		"removed":           {"rm out/external/r/d/f", "d/f"},
		"added":             {"touch out/external/r/d/g", "d/g"},
		"replaced":          {"rm out/external/r/d/f; mkdir out/external/r/d/f", "d/f"},
		"a link out":        {"ln -s / out/external/r/root", "leads out"},
		"two":               {"rm out/external/r/BUILD; echo >>out/external/r/d/f", "BUILD and 1 more"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			if _, err := run(w, "ctx.file('d/f', 'pinned', executable = False)"); err != nil {
				t.Fatal(err)
			}
			w.shell(tt.change)
			r, err := w.target("@r//:x")
			if err != nil {
				t.Fatal(err)
			}
			want := 0
			if tt.says != "" {
				want = 1
			}
			if r.Fetches() != want || len(w.warned) != want || want == 1 && (!strings.Contains(w.warned[0], tt.says) || !strings.Contains(w.warned[0], "@r is fetched again")) {
				t.Errorf("%d fetches, said %q; want %d with %q", r.Fetches(), w.warned, want, tt.says)
			}
			if got := w.read("out/external/r/d/f"); got != "pinned" {
				t.Errorf("then d/f is %q", got)
			}
			if r, err := w.target("@r//:x"); err != nil || r.Fetches() != 0 || len(w.warned) != 0 {
				t.Errorf("afterwards: %d fetches, said %q, %v", r.Fetches(), w.warned, err)
			}
		})
	}
}

// Where it cannot be made again, the error says why it had to be, and what was
// changed is not used.
func TestChangedOnDiskAndGone(t *testing.T) {
	w := newWorld(t, "-- a/f --\npinned\n")
	w.shell("tar -cf a.tar a")
	if _, err := run(w, "ctx.download_and_extract('file://"+w.root+"/a.tar')"); err != nil {
		t.Fatal(err)
	}
	w.shell("echo new >out/external/r/a/f; rm -r a.tar out/downloads")
	for range 2 {
		_, err := w.target("@r//:x")
		if err == nil {
			t.Fatal("no error")
		}
		for _, part := range []string{"@r was changed on disk after it was fetched (a/f)", "cannot be fetched again", "a.tar: no such file"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v\ndoes not say %q", err, part)
			}
		}
	}
	w.shell("tar -cf a.tar a")
	if _, err := w.target("@r//:x"); err != nil {
		t.Error(err)
	}
}

// What is part of the program is written again where it was changed.
func TestEmbeddedChangedOnDisk(t *testing.T) {
	w := newWorld(t, "-- ws/WORKSPACE --\n")
	materialize := func() string {
		t.Helper()
		dir, err := w.open().Materialize(t.Context(), "bazel_tools")
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := materialize()
	if again := materialize(); again != dir || len(w.warned) != 0 {
		t.Errorf("%s, then %s, said %q", dir, again, w.warned)
	}
	for _, change := range []string{"echo >>x.bzl", "touch new", "rm BUILD", "chmod +x BUILD"} {
		w.shell("cd " + dir + "; " + change)
		if again := materialize(); again != dir || len(w.warned) != 1 || !strings.Contains(w.warned[0], "@bazel_tools is written again") {
			t.Errorf("%s: said %q", change, w.warned)
		}
		if b, err := os.ReadFile(dir + "/x.bzl"); err != nil || string(b) != "x = 1\n" {
			t.Errorf("%s: %q, %v", change, b, err)
		}
	}
}
