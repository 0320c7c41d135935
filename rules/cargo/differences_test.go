package cargo_test

import (
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// differences are the ways in which a call may differ from cargo's. Each changes
// cargo's call into ours and reports whether it had to; each must be needed.
var differences = []struct {
	name   string
	reason string
	apply  func(c *comparison, u starlark.Value, r *call) bool
}{
	{"incremental", "results are cached by content instead", func(_ *comparison, _ starlark.Value, r *call) bool {
		return dropFlag(r, "-C", "incremental=")
	}},
	{"names", "-C metadata and -C extra-filename are the identity of the unit, the same on every machine", func(c *comparison, u starlark.Value, r *call) bool {
		return replaceWords(r, func(w string) string {
			if strings.HasPrefix(w, "metadata=") {
				return "metadata=" + text(field(c.t, u, "id"))
			}
			if strings.HasPrefix(w, "extra-filename=-") {
				return "extra-filename=-" + text(field(c.t, u, "id"))
			}
			return w
		})
	}},
	{"out-dir", "a compile writes into a folder of its own", func(_ *comparison, _ starlark.Value, r *call) bool {
		return afterWord(r, "--out-dir", "/out")
	}},
	{"native search paths of libraries", "rustc reads them when it links; a library is given only those of its own build script", func(c *comparison, u starlark.Value, r *call) bool {
		if r.Kind != "rustc" || field(c.t, u, "links") == starlark.True {
			return false
		}
		own := map[string]bool{}
		if p := c.printed[text(field(c.t, u, "script"))]; p != nil {
			for _, s := range words(field(c.t, p, "search")) {
				own[s] = true
			}
		}
		changed := false
		for i := 0; i+1 < len(r.Argv); i++ {
			if r.Argv[i] == "-L" && !strings.HasPrefix(r.Argv[i+1], "dependency=") && !own[r.Argv[i+1]] {
				r.Argv = slices.Delete(r.Argv, i, i+2)
				i--
				changed = true
			}
		}
		return changed
	}},
	{"doctest search paths", "cargo gives rustdoc those of all packages it built; here only of what the library links", func(c *comparison, u starlark.Value, r *call) bool {
		if r.Kind != "rustdoc" {
			return false
		}
		linked := map[string]bool{}
		for _, s := range words(field(c.t, u, "scripts")) {
			for _, p := range words(field(c.t, c.printed[s], "search")) {
				linked[p] = true
			}
		}
		changed := false
		for i := 0; i+1 < len(r.Argv); i++ {
			if r.Argv[i] == "-L" && !strings.HasPrefix(r.Argv[i+1], "dependency=") && !linked[r.Argv[i+1]] {
				r.Argv = slices.Delete(r.Argv, i, i+2)
				i--
				changed = true
			}
		}
		return changed
	}},
	{"jobserver", "the engine decides how much runs at once", dropVars("CARGO_MAKEFLAGS")},
	{"number of jobs", "a constant: it is part of the key", setVar("NUM_JOBS", "4", "build-script")},
	{"home", "an empty folder that the sandbox names", dropVars("HOME")},
	{"certificates", "there is no network", dropVars("SSL_CERT_DIR", "SSL_CERT_FILE")},
	{"search path of libraries", "the root holds each unit's dependencies at one place; nothing is found through it", dropVars("LD_LIBRARY_PATH")},
	{"absolute rustc", "a script's rustc is the toolchain's whatever its PATH", setVar("RUSTC", "/rust/bin/rustc", "build-script")},
	{"absolute rustdoc", "as rustc", setVar("RUSTDOC", "/rust/bin/rustdoc", "build-script")},
	{"temporary folder of tests", "/tmp is private to each test", func(_ *comparison, _ starlark.Value, r *call) bool {
		if _, ok := r.Env["CARGO_TARGET_TMPDIR"]; !ok {
			return false
		}
		return set(r, "CARGO_TARGET_TMPDIR", "/tmp")
	}},
	{"clippy's variables", "added by cargo_clippy to the units it lints, and to no other", dropVars("CLIPPY_ARGS", "CLIPPY_TERMINAL_WIDTH", "RUSTC_WORKSPACE_WRAPPER")},
	{"linted build scripts", "cargo compiles them as it lints them; here a lint makes metadata only", func(c *comparison, u starlark.Value, r *call) bool {
		if text(field(c.t, u, "mode")) != "check" || text(field(c.t, u, "kind")) != "custom-build" {
			return false
		}
		return replaceWords(r, func(w string) string {
			if w == "--emit=dep-info,link" {
				return "--emit=dep-info,metadata"
			}
			return strings.Replace(w, ".rlib", ".rmeta", 1)
		})
	}},
	{"linted against compiled crates", "a lint reads the .rmeta that the build made: no crate is compiled for it", func(c *comparison, u starlark.Value, r *call) bool {
		if text(field(c.t, u, "mode")) != "check" {
			return false
		}
		ours := map[string]string{}
		for _, e := range slices.Collect(starlark.Elements(field(c.t, u, "externs").(starlark.Iterable))) {
			w := words(e)
			ours[w[1]] = w[2]
		}
		// The build script ran once, for the build.
		if script := text(field(c.t, u, "script")); script != "" {
			set(r, "OUT_DIR", "/unit/"+text(field(c.t, u, "package"))+"-"+script+"/out")
		}
		return replaceWords(r, func(w string) string {
			name, file, ok := strings.Cut(w, "=/unit/")
			if !ok || ours[name] == "" || crateOf(ours[name]) != crateOf(file) || path.Ext(ours[name]) != path.Ext(file) {
				return w
			}
			return name + "=/unit/" + ours[name]
		})
	}},
}

func crateOf(file string) string {
	i := strings.LastIndex(file, "-")
	return file[:max(i, 0)]
}

func replaceWords(r *call, f func(string) string) bool {
	changed := false
	for i, w := range r.Argv {
		if v := f(w); v != w {
			r.Argv[i] = v
			changed = true
		}
	}
	return changed
}

func dropFlag(r *call, flag, prefix string) bool {
	for i := 0; i+1 < len(r.Argv); i++ {
		if r.Argv[i] == flag && strings.HasPrefix(r.Argv[i+1], prefix) {
			r.Argv = slices.Delete(r.Argv, i, i+2)
			return true
		}
	}
	return false
}

func afterWord(r *call, flag, value string) bool {
	i := slices.Index(r.Argv, flag)
	if i < 0 || r.Argv[i+1] == value {
		return false
	}
	r.Argv[i+1] = value
	return true
}

func set(r *call, name, value string) bool {
	if r.Env[name] == value {
		return false
	}
	r.Env[name] = value
	return true
}

func setVar(name, value, kind string) func(*comparison, starlark.Value, *call) bool {
	return func(_ *comparison, _ starlark.Value, r *call) bool { return r.Kind == kind && set(r, name, value) }
}

func dropVars(names ...string) func(*comparison, starlark.Value, *call) bool {
	return func(_ *comparison, _ starlark.Value, r *call) bool {
		before := len(r.Env)
		for _, n := range names {
			delete(r.Env, n)
		}
		return len(r.Env) < before
	}
}
