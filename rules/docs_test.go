package rules_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bazelbuild/buildtools/build"

	"gorules/rules"
)

// exporting are the files that users load; every rule they export is in the page.
var exporting = []string{"cargo/defs.bzl", "cargo/repositories.bzl"}

// TestCargoRulesPage holds docs/cargo-rules.md against the rules: each has a
// section, whose table names every attribute with its default, and no other.
func TestCargoRulesPage(t *testing.T) {
	page, err := os.ReadFile("../docs/cargo-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]attribute{}
	for _, file := range exporting {
		found, err := exported(rules.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) < 5 {
			t.Errorf("%s: only %d rules found: %v", file, len(found), slices.Sorted(maps.Keys(found)))
		}
		maps.Copy(all, found)
	}
	for _, p := range comparePage(string(page), all) {
		t.Error(p)
	}
}

func TestComparePageFindsDifferences(t *testing.T) {
	page := "### a\n| `x` | `1` | text |\n| `y` | required | text |\n### b\n"
	for name, tt := range map[string]struct {
		rules map[string][]attribute
		want  string
	}{
		"same":        {map[string][]attribute{"a": {{"x", "1"}, {"y", "required"}}}, ""},
		"any default": {map[string][]attribute{"a": {{"x", ""}, {"y", ""}}}, ""},
		"no section":  {map[string][]attribute{"c": nil}, "c has no section"},
		"missing":     {map[string][]attribute{"a": {{"x", "1"}, {"y", "required"}, {"z", ""}}}, "a: attribute z is not in the table"},
		"too many":    {map[string][]attribute{"a": {{"x", "1"}}}, "a: there is no attribute y"},
		"default":     {map[string][]attribute{"a": {{"x", "2"}, {"y", "required"}}}, "a: the default of x is 2, not 1"},
		"elsewhere":   {map[string][]attribute{"b": {{"x", "1"}}}, "b: attribute x is not in the table"},
	} {
		if got := strings.Join(comparePage(page, tt.rules), "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// attribute is what the page must say of one. A default of "" may be worded
// freely: it depends on other things.
type attribute struct{ name, def string }

// attributeRow is a line of a section's table: attribute and default.
var attributeRow = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\|")

// comparePage returns what the page says wrongly of the rules.
func comparePage(page string, all map[string][]attribute) []string {
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		_, section, ok := strings.Cut(page, "\n### "+name+"\n")
		if !ok {
			section, ok = strings.CutPrefix(page, "### "+name+"\n")
		}
		if !ok {
			problems = append(problems, name+" has no section")
			continue
		}
		section, _, _ = strings.Cut(section, "\n#")
		said := map[string]string{}
		for _, row := range attributeRow.FindAllStringSubmatch(section, -1) {
			said[row[1]] = strings.Trim(row[2], "`")
		}
		for _, a := range all[name] {
			def, ok := said[a.name]
			delete(said, a.name)
			switch {
			case !ok:
				problems = append(problems, fmt.Sprintf("%s: attribute %s is not in the table", name, a.name))
			case a.def != "" && def != a.def:
				problems = append(problems, fmt.Sprintf("%s: the default of %s is %s, not %s", name, a.name, a.def, def))
			}
		}
		for _, extra := range slices.Sorted(maps.Keys(said)) {
			problems = append(problems, fmt.Sprintf("%s: there is no attribute %s", name, extra))
		}
	}
	return problems
}

// exported returns the rules and macros that a file offers, with their
// attributes: those it defines, and those it loads and gives a public name.
func exported(fsys fs.FS, file string) (map[string][]attribute, error) {
	f, err := parse(fsys, file)
	if err != nil {
		return nil, err
	}
	loaded := map[string][2]string{} // local name -> file, name there
	found := map[string][]attribute{}
	for _, stmt := range f.Stmt {
		switch s := stmt.(type) {
		case *build.LoadStmt:
			from := "cargo/" + strings.TrimPrefix(s.Module.Value, ":")
			for i := range s.To {
				loaded[s.To[i].Name] = [2]string{from, s.From[i].Name}
			}
		case *build.DefStmt:
			if !strings.HasPrefix(s.Name, "_") {
				found[s.Name] = parameters(s)
			}
		case *build.AssignExpr:
			to, ok1 := s.LHS.(*build.Ident)
			from, ok2 := s.RHS.(*build.Ident)
			if !ok1 || !ok2 {
				continue
			}
			origin, ok := loaded[from.Name]
			if !ok {
				return nil, fmt.Errorf("%s: %s is %s, which is not loaded", file, to.Name, from.Name)
			}
			attrs, isRule, err := ruleIn(fsys, origin[0], origin[1])
			if err != nil {
				return nil, err
			}
			if isRule {
				found[to.Name] = attrs
			}
		}
	}
	return found, nil
}

func parse(fsys fs.FS, file string) (*build.File, error) {
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, err
	}
	return build.ParseBzl(file, text)
}

// parameters are those of a macro, without **kwargs.
func parameters(def *build.DefStmt) []attribute {
	var out []attribute
	for _, p := range def.Params {
		switch p := p.(type) {
		case *build.Ident:
			out = append(out, attribute{p.Name, "required"})
		case *build.AssignExpr:
			out = append(out, attribute{p.LHS.(*build.Ident).Name, build.FormatString(p.RHS)})
		}
	}
	return out
}

// ruleIn reads the attributes of the rule that file assigns to name; ok is
// false where name is no rule.
func ruleIn(fsys fs.FS, file, name string) (attrs []attribute, ok bool, err error) {
	f, err := parse(fsys, file)
	if err != nil {
		return nil, false, err
	}
	for _, stmt := range f.Stmt {
		s, isAssign := stmt.(*build.AssignExpr)
		if !isAssign {
			continue
		}
		if id, isIdent := s.LHS.(*build.Ident); !isIdent || id.Name != name {
			continue
		}
		call, isCall := s.RHS.(*build.CallExpr)
		if !isCall {
			return nil, false, fmt.Errorf("%s: %s is no call", file, name)
		}
		if fn, _ := call.X.(*build.Ident); fn == nil || fn.Name != "rule" && fn.Name != "repository_rule" {
			return nil, false, nil
		}
		dict, isDict := argument(call, "attrs").(*build.DictExpr)
		if !isDict {
			return nil, false, fmt.Errorf("%s: the attrs of %s are no literal", file, name)
		}
		for _, kv := range dict.List {
			key := kv.Key.(*build.StringExpr).Value
			value, isCall := kv.Value.(*build.CallExpr)
			if !isCall {
				return nil, false, fmt.Errorf("%s: %s.%s is no attr.* call", file, name, key)
			}
			if !strings.HasPrefix(key, "_") {
				attrs = append(attrs, attribute{key, defaultOf(value)})
			}
		}
		return attrs, true, nil
	}
	return nil, false, fmt.Errorf("%s does not define %s", file, name)
}

func argument(call *build.CallExpr, name string) build.Expr {
	for _, a := range call.List {
		if as, ok := a.(*build.AssignExpr); ok && as.LHS.(*build.Ident).Name == name {
			return as.RHS
		}
	}
	return nil
}

// defaultOf is the default of an attr.* call as the page writes it, "" where
// the implementation chooses: a label, or a string that is empty.
func defaultOf(call *build.CallExpr) string {
	if m, ok := argument(call, "mandatory").(*build.Ident); ok && m.Name == "True" {
		return "required"
	}
	if d := argument(call, "default"); d != nil {
		return build.FormatString(d)
	}
	switch kind := call.X.(*build.DotExpr).Name; {
	case kind == "bool":
		return "False"
	case kind == "int":
		return "0"
	case strings.HasSuffix(kind, "_dict"):
		return "{}"
	case strings.HasSuffix(kind, "_list"):
		return "[]"
	}
	return ""
}
