package loading

import (
	"go.starlark.net/syntax"

	"gorules/executor/internal/bzl"
)

// boundOperations makes the operations of f that can make much of little at one stroke
// calls of functions that look at their operands first: the interpreter has no
// hook for them, and what Go cannot allocate ends the process. Positions stay.
func boundOperations(f *syntax.File) {
	for _, s := range f.Stmts {
		boundStatement(s)
	}
}

func boundStatement(s syntax.Stmt) {
	switch s := s.(type) {
	case *syntax.AssignStmt:
		boundTarget(s.LHS)
		boundExpr(&s.RHS)
		boundAssignment(s)
	case *syntax.DefStmt:
		boundExprs(s.Params)
		for _, s := range s.Body {
			boundStatement(s)
		}
	case *syntax.ExprStmt:
		boundExpr(&s.X)
	case *syntax.ForStmt:
		boundTarget(s.Vars)
		boundExpr(&s.X)
		for _, s := range s.Body {
			boundStatement(s)
		}
	case *syntax.WhileStmt:
		boundExpr(&s.Cond)
		for _, s := range s.Body {
			boundStatement(s)
		}
	case *syntax.IfStmt:
		boundExpr(&s.Cond)
		for _, s := range s.True {
			boundStatement(s)
		}
		for _, s := range s.False {
			boundStatement(s)
		}
	case *syntax.ReturnStmt:
		boundExpr(&s.Result)
	}
}

// boundAssignment makes x *= y an assignment of what x and y come to. Where x is
// more than a name it would be computed twice: then y alone is looked at.
func boundAssignment(s *syntax.AssignStmt) {
	name, ok := map[syntax.Token]string{syntax.STAR_EQ: bzl.Repeat, syntax.PERCENT_EQ: bzl.Format, syntax.PLUS_EQ: bzl.Extend}[s.Op]
	id, plain := s.LHS.(*syntax.Ident)
	switch {
	case !ok || s.Op == syntax.PLUS_EQ && isLiteral(s.RHS):
	case plain:
		s.Op, s.RHS = syntax.EQ, call(name, s.OpPos, &syntax.Ident{Name: id.Name, NamePos: id.NamePos}, s.RHS)
	case s.Op == syntax.PLUS_EQ:
		s.RHS = call(bzl.Little, s.OpPos, s.RHS)
	}
}

// isLiteral reports whether e is no larger than it is written.
func isLiteral(e syntax.Expr) bool {
	switch e := e.(type) {
	case *syntax.Literal, *syntax.ListExpr, *syntax.TupleExpr, *syntax.DictExpr:
		return true
	case *syntax.ParenExpr:
		return isLiteral(e.X)
	}
	return false
}

// boundTarget is boundExpr for what is assigned to.
func boundTarget(e syntax.Expr) {
	switch e := e.(type) {
	case *syntax.DotExpr:
		boundExpr(&e.X)
	case *syntax.IndexExpr:
		boundExpr(&e.X)
		boundExpr(&e.Y)
	case *syntax.ListExpr:
		for _, e := range e.List {
			boundTarget(e)
		}
	case *syntax.TupleExpr:
		for _, e := range e.List {
			boundTarget(e)
		}
	case *syntax.ParenExpr:
		boundTarget(e.X)
	}
}

func boundExprs(list []syntax.Expr) {
	for i := range list {
		boundExpr(&list[i])
	}
}

// boundExpr replaces the expression at p, and those in it; checkDepth has bounded
// how deep they are.
func boundExpr(p *syntax.Expr) {
	switch e := (*p).(type) {
	case *syntax.BinaryExpr:
		boundExpr(&e.X)
		boundExpr(&e.Y)
		switch e.Op {
		case syntax.STAR:
			*p = call(bzl.Repeat, e.OpPos, e.X, e.Y)
		case syntax.PERCENT:
			*p = call(bzl.Format, e.OpPos, e.X, e.Y)
		case syntax.PLUS:
			if !isLiteral(e.X) && !isLiteral(e.Y) {
				*p = call(bzl.Add, e.OpPos, e.X, e.Y)
			}
		}
	case *syntax.DotExpr:
		boundExpr(&e.X)
		if bzl.Methods[e.Name.Name] {
			*p = call(bzl.Method, e.Dot, e.X, &syntax.Literal{Token: syntax.STRING, TokenPos: e.NamePos, Value: e.Name.Name})
		}
	case *syntax.CallExpr:
		boundExpr(&e.Fn)
		boundExprs(e.Args)
	case *syntax.Comprehension:
		boundExpr(&e.Body)
		for _, c := range e.Clauses {
			switch c := c.(type) {
			case *syntax.ForClause:
				boundTarget(c.Vars)
				boundExpr(&c.X)
			case *syntax.IfClause:
				boundExpr(&c.Cond)
			}
		}
	case *syntax.CondExpr:
		boundExpr(&e.Cond)
		boundExpr(&e.True)
		boundExpr(&e.False)
	case *syntax.DictEntry:
		boundExpr(&e.Key)
		boundExpr(&e.Value)
	case *syntax.DictExpr:
		boundExprs(e.List)
	case *syntax.IndexExpr:
		boundExpr(&e.X)
		boundExpr(&e.Y)
	case *syntax.LambdaExpr:
		boundExprs(e.Params)
		boundExpr(&e.Body)
	case *syntax.ListExpr:
		boundExprs(e.List)
	case *syntax.ParenExpr:
		boundExpr(&e.X)
	case *syntax.SliceExpr:
		boundExpr(&e.X)
		boundExpr(&e.Lo)
		boundExpr(&e.Hi)
		boundExpr(&e.Step)
	case *syntax.TupleExpr:
		boundExprs(e.List)
	case *syntax.UnaryExpr:
		boundExpr(&e.X)
	}
}

// call is a call of one of bzl's functions for operations.
func call(name string, at syntax.Position, args ...syntax.Expr) *syntax.CallExpr {
	return &syntax.CallExpr{Fn: &syntax.Ident{Name: name, NamePos: at}, Lparen: at, Args: args, Rparen: at}
}
