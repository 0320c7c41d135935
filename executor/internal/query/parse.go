package query

import (
	"fmt"
	"strconv"
	"strings"

	"gorules/executor/diag"
)

// syntaxError says what is wrong with an expression, and shows it with a mark
// under the place, an offset in bytes.
func syntaxError(expr string, offset int, text string) error {
	return diag.Errorf(diag.Position{}, "syntax error in query: %s\n    %s\n    %s^", text, expr, strings.Repeat(" ", offset))
}

// expr is a parsed expression.
type expr interface{}

type (
	wordExpr struct{ text string } // a target pattern or $variable
	setExpr  struct{ words []string }
	letExpr  struct {
		name        string
		value, body expr
	}
	binaryExpr struct {
		op   string // "+", "-", "^"
		x, y expr
	}
	callExpr struct {
		name string
		f    *function
		args []expr // expr, string (a word argument) or int
	}
)

type token struct {
	kind   byte // 'w' word, 'q' quoted word, 'e' end, otherwise the character itself
	text   string
	offset int
}

// operators are the words and signs between two expressions.
var operators = map[string]string{"+": "+", "-": "-", "^": "^", "union": "+", "except": "-", "intersect": "^"}

// keywords cannot be target patterns unless quoted.
var keywords = map[string]bool{"except": true, "in": true, "intersect": true, "let": true, "set": true, "union": true}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("*/@.-_:$~[]#%!;|&?<>{}\\", c) >= 0 || c >= 0x80
}

func tokens(src string) ([]token, error) {
	var out []token
	for i := 0; i < len(src); {
		c := src[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '"' || c == '\'':
			end := strings.IndexByte(src[i+1:], c)
			if end < 0 {
				return nil, syntaxError(src, i, "unclosed quotation")
			}
			out = append(out, token{'q', src[i+1 : i+1+end], i})
			i += end + 2
		case strings.IndexByte("()+^=,", c) >= 0 || c == '-':
			out = append(out, token{c, string(c), i})
			i++
		case isWordByte(c):
			start := i
			for i < len(src) && isWordByte(src[i]) || i < len(src) && src[i] == '+' && i > start {
				i++
			}
			out = append(out, token{'w', src[start:i], start})
		default:
			return nil, syntaxError(src, i, fmt.Sprintf("unexpected character %q", c))
		}
	}
	return append(out, token{'e', "end of the query", len(src)}), nil
}

type parser struct {
	src    string
	tokens []token
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != 'e' {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) fail(t token, format string, args ...any) error {
	return syntaxError(p.src, t.offset, fmt.Sprintf(format, args...))
}

func (p *parser) expect(kind byte) error {
	if t := p.next(); t.kind != kind {
		return p.fail(t, "expected %q, got %s", kind, t.text)
	}
	return nil
}

func parse(src string) (expr, error) {
	ts, err := tokens(src)
	if err != nil {
		return nil, err
	}
	p := &parser{src, ts}
	e, err := p.expr(0)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != 'e' {
		return nil, p.fail(t, "unexpected %s after the end of an expression", t.text)
	}
	return e, nil
}

// maxDepth bounds the nesting of expressions.
const maxDepth = 1000

func (p *parser) expr(depth int) (expr, error) {
	if depth > maxDepth {
		return nil, p.fail(p.peek(), "the query is nested more than %d deep", maxDepth)
	}
	x, err := p.primary(depth)
	if err != nil {
		return nil, err
	}
	for {
		t := p.peek()
		op, ok := operators[t.text]
		if !ok || t.kind == 'q' {
			return x, nil
		}
		p.next()
		y, err := p.primary(depth)
		if err != nil {
			return nil, err
		}
		x = binaryExpr{op, x, y}
	}
}

func (p *parser) primary(depth int) (expr, error) {
	t := p.next()
	switch {
	case t.kind == '(':
		e, err := p.expr(depth + 1)
		if err != nil {
			return nil, err
		}
		return e, p.expect(')')
	case t.kind == 'q':
		return wordExpr{t.text}, nil
	case t.kind != 'w':
		return nil, p.fail(t, "expected an expression, got %s", t.text)
	case t.text == "let":
		return p.let(depth)
	case t.text == "set" && p.peek().kind == '(':
		p.next()
		var s setExpr
		for {
			switch t := p.next(); t.kind {
			case 'w', 'q':
				s.words = append(s.words, t.text)
			case ')':
				return s, nil
			default:
				return nil, p.fail(t, "expected a target or ')' in set(...), got %s", t.text)
			}
		}
	case p.peek().kind == '(':
		return p.call(t, depth)
	case keywords[t.text]:
		return nil, p.fail(t, "%s is a keyword: quote it if it is a target", t.text)
	case t.text[0] == '*':
		return nil, p.fail(t, "a target may not begin with %q unless quoted", t.text[0])
	}
	return wordExpr{t.text}, nil
}

func (p *parser) let(depth int) (expr, error) {
	name := p.next()
	if name.kind != 'w' || strings.Trim(name.text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return nil, p.fail(name, "expected a name after let, got %s", name.text)
	}
	if err := p.expect('='); err != nil {
		return nil, err
	}
	value, err := p.expr(depth + 1)
	if err != nil {
		return nil, err
	}
	if in := p.next(); in.kind != 'w' || in.text != "in" {
		return nil, p.fail(in, "expected in, got %s", in.text)
	}
	body, err := p.expr(depth + 1)
	return letExpr{name.text, value, body}, err
}

func (p *parser) call(name token, depth int) (expr, error) {
	f := functionsByName[name.text]
	if f == nil {
		return nil, p.fail(name, "unknown function %s: there are %s", name.text, strings.Join(Functions(), ", "))
	}
	p.next() // the parenthesis
	c := callExpr{name: name.text, f: f}
	for p.peek().kind != ')' {
		if len(c.args) > 0 {
			if err := p.expect(','); err != nil {
				return nil, err
			}
		}
		if len(c.args) == len(f.args) {
			return nil, p.fail(p.peek(), "too many arguments: %s", f.usage)
		}
		arg, err := p.argument(f, len(c.args), depth)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, arg)
	}
	end := p.next()
	if len(c.args) < f.required() {
		return nil, p.fail(end, "too few arguments: %s", f.usage)
	}
	return c, nil
}

func (p *parser) argument(f *function, i, depth int) (expr, error) {
	if f.args[i] == argExpr {
		return p.expr(depth + 1)
	}
	t := p.next()
	if t.kind != 'w' && t.kind != 'q' {
		return nil, p.fail(t, "expected a word, got %s: %s", t.text, f.usage)
	}
	if f.args[i] == argWord {
		return t.text, nil
	}
	n, err := strconv.Atoi(t.text)
	if err != nil || n < 0 {
		return nil, p.fail(t, "expected a number, got %s: %s", t.text, f.usage)
	}
	return n, nil
}
