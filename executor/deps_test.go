package executor_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers is the picture of the packages: what each may import of this module,
// lowest first. A package that is not in it fails the test. Nobody edits it to
// make a build pass: an edge that is missing here is a question of design.
var layers = []layer{
	// 0: values that cannot be wrong; an error with a position; compute-once-per-key; what happened, as data.
	{"executor/label", ""},
	{"executor/diag", ""},
	{"executor/event", "executor/label executor/diag"},
	{internal + "digest", ""},
	{internal + "bug", ""},
	{internal + "exit", ""},
	{internal + "memo", "bug"},
	{internal + "fsx", ""},

	// 1: content store; immutable Merkle trees.
	{internal + "cas", "digest fsx"},
	{internal + "cas/castest", "cas digest"},
	{internal + "tree", "cas digest"},

	// 2: what a rule asked and the bytes to run; one view of the files; what was done.
	{internal + "action", "executor/label executor/diag digest tree"},
	{internal + "source", "action digest tree memo"},
	{internal + "journal", "executor/label action digest tree"},

	// 3, front: Starlark to Specs. It reads files through what it is given, and
	// knows neither how actions run nor where content is kept.
	{internal + "bzl", "executor/label executor/diag executor/event action"},
	{internal + "loading", "executor/label executor/diag executor/event bzl memo"},
	{internal + "repo", "executor/label executor/diag executor/event bzl loading memo digest"},
	{internal + "query", "executor/label executor/diag bzl loading"},
	{internal + "analysis", "executor/label executor/diag executor/event action bzl loading memo"},

	// 3, back: Bound to results. It knows no Starlark.
	{internal + "sandbox", ""},
	{internal + "run", "action bug cas digest fsx sandbox tree"},
	{internal + "run/runtest", "action cas digest run sandbox tree"},

	// 4: sole owner of the running graph, which sees the worker as an interface.
	{internal + "schedule", "executor/label action bug digest tree"},
	{internal + "worker", "action cas digest run sandbox schedule tree"},

	// 5: one command with its parts.
	{internal + "narrate", "executor/label executor/diag executor/event action bug digest journal schedule"},
	{internal + "resume", "executor/label journal source"},
	{internal + "layout", "executor/label action cas digest source tree"},
	{internal + "command", "executor/label executor/event action analysis bug exit layout narrate resume run sandbox schedule"},
	{internal + "front", "executor/label executor/diag executor/event action analysis bug command exit loading repo source"},

	// 5: the Engine wires them.
	{"executor", "executor/label executor/diag executor/event action analysis bug bzl cas command digest exit front journal layout loading narrate query resume run sandbox schedule source worker"},

	// 6: rule sets, and the command line, which sees the engine's public side alone.
	{"rules", ""},
	{"cmd/gorules", "cmd/gorules/internal/cli executor executor/label executor/event rules"},
	{"cmd/gorules/internal/cli", "executor executor/label executor/diag executor/event cmd/gorules/internal/cargoinit cmd/gorules/internal/flags cmd/gorules/internal/rc " +
		"cmd/gorules/internal/starfmt cmd/gorules/internal/ui cmd/gorules/internal/workspace"},
	{"cmd/gorules/internal/cargoinit", "executor/diag cmd/gorules/internal/starfmt"},
	{"cmd/gorules/internal/flags", "executor/diag"},
	{"cmd/gorules/internal/rc", "executor/diag cmd/gorules/internal/flags"},
	{"cmd/gorules/internal/starfmt", "executor/diag"},
	{"cmd/gorules/internal/ui", "executor/diag executor/event executor/label"},
	{"cmd/gorules/internal/workspace", "executor/diag"},
	{"cmd/gorules-bench", "cmd/gorules-bench/internal/bench"}, // runs gorules as a user does
	{"cmd/gorules-bench/internal/bench", ""},
}

const internal = "executor/internal/"

// A layer is one package and a space-separated list of the packages it may
// import; a name without a slash is below executor/internal.
type layer struct{ pkg, may string }

// confined are packages outside the module (with what is below them) and the
// only packages of it that may import them. Where tests is set, files of tests
// may, too.
var confined = []confinement{
	// Only the front end, and the engine's reading of a test's verdict, see Starlark values.
	{"go.starlark.net", []string{internal + "bzl", internal + "loading", internal + "repo", internal + "query", internal + "analysis", internal + "front", "executor"}, true},
	{"google.golang.org/grpc", nil, false},
	{"net", []string{internal + "repo", internal + "sandbox"}, true}, // sandbox: the socket to its own helper
	{"net/http", []string{internal + "repo"}, true},
	// run starts a process itself where the user asked for no sandbox (tags = ["local"]).
	{"os/exec", []string{internal + "sandbox", internal + "repo", internal + "run", "cmd/gorules-bench", "cmd/gorules-bench/internal/bench"}, true},
	// The engine reports events; it never prints.
	{"github.com/rs/zerolog", []string{"cmd/gorules", "cmd/gorules/internal/cli", "cmd/gorules/internal/ui"}, false},
	{"log", nil, false},
	{"log/slog", nil, false},
	{"github.com/bazelbuild/remote-apis", []string{internal + "digest", internal + "tree", internal + "action", internal + "run"}, true},
}

type confinement struct {
	path  string
	in    []string
	tests bool
}

// apart are sets of packages that never import each other, whatever layers says.
var apart = []struct{ from, to []string }{
	{
		[]string{internal + "bzl", internal + "loading", internal + "repo", internal + "query", internal + "analysis"},
		[]string{internal + "cas", internal + "sandbox", internal + "run", internal + "reapi", internal + "schedule"},
	},
	{[]string{"executor"}, []string{"rules", "cmd"}}, // and what is below it
}

// vague are package names that say nothing.
var vague = []string{"util", "utils", "common", "core", "types", "pkg", "helpers", "misc"}

// namespaceCalls start processes or make namespaces without os/exec.
var namespaceCalls = []string{"ForkExec", "StartProcess", "Unshare", "Setns", "Cloneflags", "SYS_CLONE", "SYS_CLONE3", "SYS_UNSHARE", "SYS_SETNS"}

// goFile is what the checks see of a source file; pkg is relative to the module.
type goFile struct {
	pkg, name string
	imports   []string
	selectors []string // the names after a dot, as in syscall.ForkExec
	test      bool
}

func TestLayers(t *testing.T) {
	module, files := readModule(t, "..")
	if len(files) < 100 {
		t.Fatalf("read %d files only", len(files))
	}
	for _, problem := range check(module, files, layers) {
		t.Error(problem)
	}
}

// check returns every edge that the tables forbid.
func check(module string, files []goFile, layers []layer) []string {
	may := map[string]map[string]bool{}
	for _, l := range layers {
		may[l.pkg] = map[string]bool{}
		for name := range strings.FieldsSeq(l.may) {
			if !strings.Contains(name, "/") && name != "executor" && name != "rules" {
				name = internal + name
			}
			may[l.pkg][name] = true
		}
	}
	problems := map[string]bool{}
	for _, f := range files {
		report := func(format string, args ...any) {
			problems[f.pkg+"/"+f.name+": "+fmt.Sprintf(format, args...)] = true
		}
		for part := range strings.SplitSeq(f.pkg, "/") {
			if slices.Contains(vague, part) {
				report("a package named %s says nothing of what it does", part)
			}
		}
		if !f.test && may[f.pkg] == nil {
			report("package %s is not in the table of layers", f.pkg)
		}
		for _, imp := range f.imports {
			if own, ok := strings.CutPrefix(imp, module+"/"); ok {
				if !f.test && may[f.pkg] != nil && !may[f.pkg][own] {
					report("%s may not import %s", f.pkg, own)
				}
				for _, a := range apart {
					if !f.test && under(f.pkg, a.from) && under(own, a.to) {
						report("%s must never import %s", f.pkg, own)
					}
				}
				continue
			}
			for _, c := range confined {
				if (imp == c.path || strings.HasPrefix(imp, c.path+"/") && strings.Contains(c.path, ".")) && !slices.Contains(c.in, f.pkg) && !(f.test && c.tests) {
					report("%s may not import %s", f.pkg, imp)
				}
			}
		}
		for _, s := range f.selectors {
			if (slices.Contains(namespaceCalls, s) || strings.HasPrefix(s, "CLONE_")) && !f.test && f.pkg != internal+"sandbox" {
				report("%s may not use %s: only sandbox starts processes in namespaces", f.pkg, s)
			}
		}
	}
	return slices.Sorted(maps.Keys(problems))
}

// under reports whether pkg is one of dirs or below it.
func under(pkg string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return pkg == d || strings.HasPrefix(pkg, d+"/") })
}

// TestCheckFindsBadEdges plants what check must find.
func TestCheckFindsBadEdges(t *testing.T) {
	file := func(pkg string, imports ...string) goFile { return goFile{pkg: pkg, name: "x.go", imports: imports} }
	test := func(f goFile) goFile { f.test = true; return f }
	calls := func(pkg string, names ...string) goFile { return goFile{pkg: pkg, name: "x.go", selectors: names} }
	for name, tt := range map[string]struct {
		file goFile
		want string // a part of the only problem; "" if there is none
	}{
		"allowed":                {file(internal+"tree", "m/"+internal+"digest", "fmt", "golang.org/x/sys/unix"), ""},
		"upwards":                {file(internal+"digest", "m/"+internal+"tree"), "may not import executor/internal/tree"},
		"sideways":               {file(internal+"source", "m/"+internal+"cas"), "may not import"},
		"unknown package":        {file(internal + "shiny"), "not in the table"},
		"of an unknown package":  {file(internal+"tree", "m/"+internal+"shiny"), "may not import"},
		"below a known package":  {file(internal + "tree/deep"), "not in the table"},
		"vague name":             {test(file(internal + "util")), "says nothing"},
		"vague folder":           {test(file("pkg/tree")), "says nothing"},
		"Starlark in the back":   {file(internal+"run", "go.starlark.net/starlark"), "may not import go.starlark.net/starlark"},
		"Starlark in front":      {file(internal+"bzl", "go.starlark.net/starlark", "go.starlark.net/syntax"), ""},
		"Starlark in rule tests": {test(file("rules/cargo", "go.starlark.net/starlark")), ""},
		"grpc":                   {file(internal+"run", "google.golang.org/grpc/codes"), "may not import google.golang.org/grpc/codes"},
		"grpc in a test":         {test(file(internal+"run", "google.golang.org/grpc")), "may not import"},
		"http":                   {file(internal+"source", "net/http"), "may not import net/http"},
		"http in repo":           {file(internal+"repo", "net/http"), ""},
		"a part of net":          {file(internal+"source", "net/url"), ""},
		"exec":                   {file(internal+"source", "os/exec"), "may not import os/exec"},
		"exec in a test":         {test(file(internal+"source", "os/exec")), ""},
		"clone flags":            {calls(internal+"run", "CLONE_NEWUSER"), "may not use CLONE_NEWUSER"},
		"fork":                   {calls("executor", "ForkExec"), "may not use ForkExec"},
		"fork in the sandbox":    {calls(internal+"sandbox", "ForkExec", "CLONE_NEWNS", "Cloneflags"), ""},
		"rules":                  {test(file("executor", "m/rules")), ""},
		"printing":               {file(internal+"schedule", "log"), "may not import log"},
		"cmd to internal":        {file("cmd/gorules", "m/"+internal+"cas"), "may not import"},
	} {
		got := check("m", []goFile{tt.file}, layers)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	// Even a table that somebody has edited does not join what is apart.
	edited := append(slices.Clone(layers), layer{internal + "analysis", "run"}, layer{"executor", "rules"})
	for pkg, to := range map[string]string{internal + "analysis": internal + "run", "executor": "rules"} {
		got := check("m", []goFile{file(pkg, "m/"+to)}, edited)
		if len(got) != 1 || !strings.Contains(got[0], "must never import") {
			t.Errorf("%s to %s with an edited table: %q", pkg, to, got)
		}
	}
}

// TestTableIsUsed: an entry for a package or an edge that does not exist any
// more is removed, so that the table stays a picture.
func TestTableIsUsed(t *testing.T) {
	_, files := readModule(t, "..")
	exists := map[string]bool{}
	for _, f := range files {
		exists[f.pkg] = true
	}
	for i, l := range layers {
		if !exists[l.pkg] {
			t.Errorf("package %s is in the table and does not exist", l.pkg)
		}
		for j := range i {
			if layers[j].pkg == l.pkg {
				t.Errorf("package %s is in the table twice", l.pkg)
			}
		}
	}
}

// readModule parses the Go files below root, without those of nested modules
// and testdata.
func readModule(t *testing.T, root string) (module string, files []goFile) {
	t.Helper()
	module = moduleName(t, filepath.Join(root, "go.mod"))
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			_, nested := os.Stat(filepath.Join(p, "go.mod"))
			if p != root && (nested == nil || strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") || e.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		g := goFile{pkg: path.Dir(rel), name: path.Base(rel), test: strings.HasSuffix(rel, "_test.go")}
		for _, imp := range f.Imports {
			text, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			g.imports = append(g.imports, text)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && (x.Name == "syscall" || x.Name == "unix" || x.Name == "os") {
					g.selectors = append(g.selectors, n.Sel.Name)
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Cloneflags" {
					g.selectors = append(g.selectors, k.Name)
				}
			}
			return true
		})
		files = append(files, g)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return module, files
}

func moduleName(t *testing.T, gomod string) string {
	t.Helper()
	f, err := os.Open(gomod)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "module "); ok {
			return strings.TrimSpace(name)
		}
	}
	t.Fatalf("%s names no module", gomod)
	return ""
}
