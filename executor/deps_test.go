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
	{"executor/regular", ""},
	{"executor/event", "executor/label executor/diag"},
	{internal + "digest", ""},
	{internal + "bug", ""},
	{internal + "exit", ""},
	{internal + "glob", ""},
	{internal + "memo", "bug"},
	{internal + "fsx", "executor/regular"},
	{internal + "supervise", ""},

	// 1: content store; immutable Merkle trees.
	{internal + "lease", ""},
	{internal + "cas", "digest fsx lease"},
	{internal + "cas/castest", "cas digest"},
	{internal + "tree", "digest"},

	// 2: what a rule asked and the bytes to run; one view of the files; what was done.
	{internal + "action", "executor/label executor/diag digest glob tree"},
	{internal + "source", "executor/regular action digest fsx tree"},
	{internal + "journal", "executor/label action digest tree"},

	// 3, front: Starlark to Specs. It reads files through what it is given (repo
	// through source, since its facts outlive a command), and knows neither how
	// actions run nor where content is kept.
	{internal + "bzl", "executor/label executor/diag action"},
	{internal + "loading", "executor/label executor/diag bzl glob memo"},
	{internal + "repo", "executor/label executor/diag executor/event executor/regular bzl fsx loading memo source supervise"},
	{internal + "query", "executor/label executor/diag bzl loading"},
	{internal + "analysis", "executor/label executor/diag executor/event action bzl glob loading memo"},

	// 3, back: Bound to results. It knows no Starlark.
	{internal + "sandbox", ""},
	{internal + "run", "executor/regular action bug cas digest fsx lease sandbox supervise tree"},
	{internal + "run/runtest", "action cas digest run sandbox tree"},

	// 4: sole owner of the running graph, which sees the worker as an interface.
	{internal + "schedule", "action bug digest tree"},
	{internal + "worker", "executor/regular action cas digest fsx run sandbox schedule tree"},

	// 5: one command with its parts; what is kept to a budget.
	{internal + "gc", "cas digest fsx lease run tree"},
	{internal + "narrate", "executor/label executor/diag executor/event action bug digest journal schedule"},
	{internal + "resume", "executor/label fsx journal source"},
	{internal + "layout", "executor/label action cas digest fsx tree"},
	{internal + "command", "executor/label executor/diag executor/event action analysis bug exit layout narrate resume run sandbox schedule"},
	{internal + "front", "executor/label executor/diag executor/event action analysis bug bzl command exit loading repo source supervise"},

	// 5: the Engine wires them.
	{"executor", "executor/label executor/diag executor/event action analysis bug bzl cas command exit front fsx gc journal layout lease loading narrate query repo resume run sandbox schedule source supervise worker"},

	// 6: rule sets, and the command line, which sees the engine's public side alone.
	{"rules", ""},
	{"cmd/gorules", "cmd/gorules/internal/cli executor rules"},
	{"cmd/gorules/internal/cli", "executor executor/label executor/diag executor/event cmd/gorules/internal/cargoinit cmd/gorules/internal/flags cmd/gorules/internal/rc " +
		"cmd/gorules/internal/starfmt cmd/gorules/internal/ui cmd/gorules/internal/workspace"},
	{"cmd/gorules/internal/cargoinit", "executor/diag executor/regular cmd/gorules/internal/starfmt"},
	{"cmd/gorules/internal/flags", "executor/diag"},
	{"cmd/gorules/internal/rc", "executor/diag executor/regular cmd/gorules/internal/flags"},
	{"cmd/gorules/internal/starfmt", "executor/diag executor/regular"},
	{"cmd/gorules/internal/ui", "executor/diag executor/event executor/regular"},
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
	{"net", []string{internal + "repo", internal + "sandbox"}, false}, // sandbox: the socket to its own helper
	{"net/http", []string{internal + "repo"}, false},
	// supervise starts what runs on the host as it is: repository rules, tags = ["local"].
	{"os/exec", []string{internal + "sandbox", internal + "supervise", "cmd/gorules-bench", "cmd/gorules-bench/internal/bench"}, true},
	// The engine reports events; it never prints.
	{"github.com/rs/zerolog", []string{"cmd/gorules/internal/cli", "cmd/gorules/internal/ui"}, false},
	{"log", nil, false},
	{"log/slog", nil, false},
	{"github.com/bazelbuild/remote-apis", []string{internal + "digest", internal + "tree", internal + "action", internal + "run"}, false},
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
		[]string{internal + "cas", internal + "sandbox", internal + "run", internal + "schedule"},
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
			may[l.pkg][fullName(name)] = true
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

// fullName is the package that a name of layer.may means.
func fullName(name string) string {
	if strings.Contains(name, "/") || name == "executor" || name == "rules" {
		return name
	}
	return internal + name
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
// more is removed, so that the tables stay a picture.
func TestTableIsUsed(t *testing.T) {
	module, files := readModule(t, "..")
	for _, problem := range unused(module, files, layers, confined) {
		t.Error(problem)
	}
}

// unused returns every entry of the tables that nothing needs.
func unused(module string, files []goFile, layers []layer, confined []confinement) []string {
	imports := map[string]map[string]bool{} // of packages, tests aside
	tests := map[string]map[string]bool{}   // of their tests
	note := func(to map[string]map[string]bool, pkg, imp string) {
		if to[pkg] == nil {
			to[pkg] = map[string]bool{}
		}
		to[pkg][imp] = true
	}
	for _, f := range files {
		to := imports
		if f.test {
			to = tests
		}
		note(to, f.pkg, "")
		for _, imp := range f.imports {
			own, _ := strings.CutPrefix(imp, module+"/")
			note(to, f.pkg, own)
		}
	}
	var problems []string
	seen := map[string]bool{}
	for _, l := range layers {
		switch {
		case imports[l.pkg] == nil:
			problems = append(problems, "package "+l.pkg+" is in the table and does not exist")
			continue
		case seen[l.pkg]:
			problems = append(problems, "package "+l.pkg+" is in the table twice")
		}
		seen[l.pkg] = true
		for name := range strings.FieldsSeq(l.may) {
			if full := fullName(name); !imports[l.pkg][full] {
				problems = append(problems, l.pkg+" may import "+full+" and does not")
			}
		}
	}
	uses := func(from map[string]map[string]bool, pkg, path string) bool {
		for imp := range from[pkg] {
			if imp == path || strings.HasPrefix(imp, path+"/") {
				return true
			}
		}
		return false
	}
	for _, c := range confined {
		for _, pkg := range c.in {
			if !uses(imports, pkg, c.path) {
				problems = append(problems, pkg+" may import "+c.path+" and does not")
			}
		}
		if !c.tests {
			continue
		}
		needed := false
		for pkg := range tests {
			needed = needed || !slices.Contains(c.in, pkg) && uses(tests, pkg, c.path)
		}
		if !needed {
			problems = append(problems, "tests may import "+c.path+" and none does")
		}
	}
	return problems
}

// TestUnusedIsFound plants what unused must find.
func TestUnusedIsFound(t *testing.T) {
	files := []goFile{
		{pkg: internal + "tree", name: "x.go", imports: []string{"m/" + internal + "digest", "net/http/httputil"}},
		{pkg: internal + "digest", name: "x.go"},
		{pkg: internal + "tree", name: "x_test.go", test: true, imports: []string{"m/" + internal + "cas"}},
	}
	got := unused("m", files, []layer{
		{internal + "digest", ""}, {internal + "tree", "digest"}, {internal + "tree", "cas"}, {internal + "gone", ""},
	}, []confinement{{"net/http", []string{internal + "tree", internal + "digest"}, true}})
	want := []string{
		"package executor/internal/tree is in the table twice",
		"executor/internal/tree may import executor/internal/cas and does not",
		"package executor/internal/gone is in the table and does not exist",
		"executor/internal/digest may import net/http and does not",
		"tests may import net/http and none does",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
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
