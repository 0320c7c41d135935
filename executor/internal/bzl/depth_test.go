package bzl_test

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
)

// nest is v in n lists.
func nest(v starlark.Value, n int) starlark.Value {
	for range n {
		v = starlark.NewList([]starlark.Value{v})
	}
	return v
}

func TestFreezeRefusesDepth(t *testing.T) {
	shared := nest(starlark.MakeInt(1), 10)
	for range 200 { // 2^200 ways to the bottom
		shared = starlark.NewList([]starlark.Value{shared, shared})
	}
	circle := starlark.NewList(nil)
	if err := circle.Append(starlark.Tuple{circle}); err != nil {
		t.Fatal(err)
	}
	// The first way to the shared part is a short one.
	part := nest(starlark.None, 60_000)
	late := starlark.NewList([]starlark.Value{part, nest(part, 60_000)})
	for _, tt := range []struct {
		name string
		v    starlark.Value
		deep bool
	}{
		{"none", starlark.None, false},
		{"flat", starlark.NewList([]starlark.Value{starlark.String("a")}), false},
		{"as deep as may be", nest(starlark.None, 100_000), false},
		{"one deeper", nest(starlark.None, 100_001), true},
		{"too deep", nest(starlark.None, 1_000_000), true},
		{"deep on a second way", late, true},
		{"shared parts", shared, false},
		{"a circle", circle, false},
	} {
		err := bzl.Freeze(tt.v)
		if deep := err != nil && strings.Contains(err.Error(), "nested more than 100000 deep"); deep != tt.deep {
			t.Errorf("%s: %v", tt.name, err)
		}
		if l, ok := tt.v.(*starlark.List); ok && err == nil && l.Append(starlark.None) == nil {
			t.Errorf("%s: not frozen", tt.name)
		}
	}
}

func TestOperatorsBehindChecks(t *testing.T) {
	ops := bzl.Common()
	call := func(name string, args ...starlark.Value) (starlark.Value, error) {
		return starlark.Call(&starlark.Thread{}, ops[name], args, nil)
	}
	list := func(n int) *starlark.List { return starlark.NewList(make([]starlark.Value, n)) }
	for _, tt := range []struct {
		op   string
		args []starlark.Value
		want string // of the error; "" if there is none
	}{
		{bzl.Repeat, []starlark.Value{starlark.MakeInt(3), starlark.String("ab")}, ""},
		{bzl.Repeat, []starlark.Value{starlark.String("ab"), starlark.MakeInt(-1)}, ""},
		{bzl.Repeat, []starlark.Value{list(2), starlark.MakeInt(10_000_001)}, "excessive repeat"},
		{bzl.Repeat, []starlark.Value{starlark.MakeInt(10_000_001), list(2)}, "excessive repeat"},
		{bzl.Repeat, []starlark.Value{starlark.Tuple{starlark.None}, starlark.MakeInt(1).Lsh(70)}, "excessive repeat"},
		{bzl.Repeat, []starlark.Value{starlark.None, starlark.MakeInt(1)}, "unknown binary op: NoneType * int"},
		{bzl.Add, []starlark.Value{list(20_000_000), list(1)}, "a list of 20000001 elements is too long"},
		{bzl.Add, []starlark.Value{starlark.String("a"), starlark.MakeInt(1)}, "unknown binary op: string + int"},
		{bzl.Extend, []starlark.Value{list(1), starlark.MakeInt(1)}, "unknown binary op: list + int"},
		{bzl.Format, []starlark.Value{starlark.String("%s"), nest(starlark.None, 10_001)}, "nested more than 10000 deep"},
		{bzl.Method, []starlark.Value{starlark.None, starlark.String("join")}, "NoneType has no .join field or method"},
		{bzl.Method, []starlark.Value{list(0), starlark.String("join")}, "list has no .join field or method"},
	} {
		_, err := call(tt.op, tt.args...)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s%v: %v, want %q", tt.op, len(tt.args), err, tt.want)
		}
	}
	// As many parts as are asked for are made room for.
	for _, most := range []starlark.Int{starlark.MakeInt64(1 << 40), starlark.MakeInt64(1<<63 - 1), starlark.MakeInt(1).Lsh(80)} {
		for _, name := range []string{"split", "rsplit"} {
			m, err := call(bzl.Method, starlark.String("a b c"), starlark.String(name))
			if err != nil {
				t.Fatal(err)
			}
			got, err := starlark.Call(&starlark.Thread{}, m, starlark.Tuple{starlark.None, most}, nil)
			if err != nil || got.String() != `["a", "b", "c"]` {
				t.Errorf("%s(None, %v): %v, %v", name, most, got, err)
			}
		}
	}
	// However many parts there are, few may be asked for.
	m, err := call(bzl.Method, starlark.String(strings.Repeat("a\n", 20_000_001)), starlark.String("split"))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []starlark.Tuple{nil, {starlark.String("\n")}} {
		if _, err := starlark.Call(&starlark.Thread{}, m, args, nil); err == nil || !strings.Contains(err.Error(), "is too long") {
			t.Errorf("split%v: %v", args, err)
		}
	}
	if got, err := starlark.Call(&starlark.Thread{}, m, starlark.Tuple{starlark.String("\n"), starlark.MakeInt(1)}, nil); err != nil || starlark.Len(got) != 2 {
		t.Errorf("split once: %v", err)
	}
	x := list(0)
	got, err := call(bzl.Extend, x, starlark.Tuple{starlark.None})
	if err != nil || got != starlark.Value(x) || x.Len() != 1 {
		t.Errorf("x += y gives %v, %v; want x itself with one more element", got, err)
	}
	x.Freeze()
	if _, err := call(bzl.Extend, x, starlark.Tuple{}); err == nil || err.Error() != "cannot apply += to frozen list" {
		t.Errorf("x += y of a frozen list: %v", err)
	}
}

func TestPrintShared(t *testing.T) {
	check(t, `
def f(n):
    x = depset(["a"])
    y = depset(["b"])
    for i in range(n):
        x, y = depset(["x%d" % i], transitive = [x, y]), depset(["y%d" % i], transitive = [x, y])
    return x

def g(n):
    x = ["ab"]
    for i in range(n):
        x = [x, x]
    return x
`, [][2]string{
		{"len(str(f(100)))", "1391"},
		{"len(str(g(10)))", "10236"},
		{"json.encode(g(2))", `[[["ab"],["ab"]],[["ab"],["ab"]]]`},
	})
	refuse(t, "def g(n):\n    x = [\"ab\"]\n    for i in range(n):\n        x = [x, x]\n    return x\n", [][2]string{
		{"str(g(100))", "str: the value (list) is too long: more than 268435456 bytes"},
		{"json.encode(g(100))", "json.encode: the value (list) is too long"},
	})
}
