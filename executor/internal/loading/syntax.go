package loading

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
)

// Parse parses src, called shown in positions, and checks what its dialect forbids.
func Parse(src []byte, shown string, d bzl.FileKind) (*syntax.File, error) {
	if !utf8.Valid(src) {
		line := 1 + strings.Count(string(src[:firstInvalid(src)]), "\n")
		return nil, diag.Errorf(diag.Position{File: shown, Line: line, Column: 1}, "the file is not UTF-8").WithHint("save it in the encoding UTF-8")
	}
	f, err := bzl.Options(d).Parse(shown, src, 0)
	if err != nil {
		return nil, Diagnose(err)
	}
	if err := checkDepth(f); err != nil {
		return nil, err
	}
	if d == bzl.BzlFile {
		err = checkLoadsFirst(f)
	} else {
		err = checkNoControl(f, map[bzl.FileKind]string{bzl.BuildFile: "BUILD", bzl.WorkspaceFile: "WORKSPACE"}[d])
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func firstInvalid(src []byte) int {
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(src)
}

// maxDepth bounds how deep the syntax tree of a file is. The parser bounds what it
// reads recursively, but 1+1+1... and elif, elif, elif... it reads in a loop, and
// what resolves and compiles the tree is recursive: a stack that is exhausted
// would end the process.
const maxDepth = 10_000

// checkDepth refuses a tree that is deeper than maxDepth.
func checkDepth(f *syntax.File) error {
	var err error
	var at syntax.Position // of what was read in a loop last; Span is recursive too
	depth := 0
	syntax.Walk(f, func(n syntax.Node) bool {
		deep := depth
		switch n := n.(type) {
		case nil: // the end of a node that was entered
			depth--
			return true
		case *syntax.BinaryExpr:
			at = n.OpPos
		case *syntax.DotExpr:
			at = n.Dot
		case *syntax.CallExpr:
			at = n.Lparen
		case *syntax.IndexExpr:
			at = n.Lbrack
		case *syntax.SliceExpr:
			at = n.Lbrack
		case *syntax.IfStmt:
			at = n.If
		case *syntax.Comprehension:
			at = n.Lbrack
			deep += len(n.Clauses) // each is inside the one before it
		}
		if err == nil && deep >= maxDepth {
			err = At(at, "more than %d expressions or statements are inside each other", maxDepth).WithHint("split it, say at an assignment to a variable")
		}
		if err == nil {
			depth++
		}
		return err == nil
	})
	return err
}

// checkLoadsFirst refuses a load() after another statement than a doc string.
func checkLoadsFirst(f *syntax.File) error {
	other := false
	for i, s := range f.Stmts {
		switch s := s.(type) {
		case *syntax.LoadStmt:
			if other {
				return At(s.Load, "load statements must appear before any other statement").WithHint("move it to the top of the file")
			}
		case *syntax.ExprStmt:
			if lit, ok := s.X.(*syntax.Literal); ok && lit.Token == syntax.STRING && i == 0 {
				continue
			}
			other = true
		default:
			other = true
		}
	}
	return nil
}

// checkNoControl refuses, in Bazel's words, what only .bzl files may hold.
func checkNoControl(f *syntax.File, kind string) error {
	var first error
	refuse := func(pos syntax.Position, hint, format string) {
		if first == nil {
			first = At(pos, format, kind).WithHint(hint)
		}
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			refuse(n.Def, "You may move the function to a .bzl file and load it.", "functions may not be defined in %s files.")
		case *syntax.LambdaExpr:
			refuse(n.Lambda, "You may move the function to a .bzl file and load it.", "functions may not be defined in %s files.")
		case *syntax.ForStmt:
			refuse(n.For, "You may inline the loop, move it to a function definition (in a .bzl file), or as a last resort, use a list comprehension.",
				"for statements are not allowed in %s files.")
		case *syntax.WhileStmt:
			refuse(n.While, "You may move it to a function definition (in a .bzl file).", "while statements are not allowed in %s files.")
		case *syntax.IfStmt:
			refuse(n.If, "You may move conditional logic to a function definition (in a .bzl file), or for simple cases, use an if expression.",
				"if statements are not allowed in %s files.")
		case *syntax.CallExpr:
			for _, arg := range n.Args {
				u, ok := arg.(*syntax.UnaryExpr)
				switch {
				case ok && u.Op == syntax.STAR:
					refuse(u.OpPos, "Pass the arguments in explicitly.", "*args arguments are not allowed in %s files.")
				case ok && u.Op == syntax.STARSTAR:
					refuse(u.OpPos, "Pass the arguments in explicitly.", "**kwargs arguments are not allowed in %s files.")
				}
			}
		}
		return first == nil
	})
	return first
}

// cause is the system's own word for a failed read: "permission denied", not
// the whole path that the message has already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Compile resolves the names of f, whose tree it changes (see boundOperations). An
// error suggests near names. predeclared must have those of bzl.Common.
func Compile(f *syntax.File, predeclared starlark.StringDict) (*starlark.Program, error) {
	boundOperations(f)
	prog, err := starlark.FileProgram(f, predeclared.Has)
	var list resolve.ErrorList
	if err == nil || !errors.As(err, &list) {
		return prog, Diagnose(err)
	}
	names := append(predeclared.Keys(), starlark.Universe.Keys()...)
	if m, ok := f.Module.(*resolve.Module); ok {
		for _, b := range slices.Concat(m.Globals, m.Locals) {
			names = append(names, b.First.Name)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !unicode.IsLetter(rune(n[0])) && n[0] != '_' }) // those of boundOperations
	for i, e := range list {
		if name, ok := strings.CutPrefix(e.Msg, "undefined: "); ok && !strings.Contains(name, " ") {
			list[i].Msg = "name '" + name + "' is not defined" + Suggest(name, names)
		}
	}
	return nil, Diagnose(list)
}
