package flags_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gorules/cmd/gorules/internal/flags"
	"gorules/executor/diag"
)

type opts struct {
	Keep  bool
	Jobs  int
	Size  int64
	Mode  string
	List  []string
	Comma []string
	Last  []string
	Wait  time.Duration
	N     int
	Label map[string]string
}

func (o *opts) table() *flags.Table {
	o.Label = map[string]string{}
	return &flags.Table{
		Flags: []flags.Flag{
			{Name: "keep_going", Short: "k", Value: flags.Bool(&o.Keep)},
			{Name: "jobs", Short: "j", Arg: "N", Value: flags.Jobs(&o.Jobs)},
			{Name: "mode", Arg: "a|b", Verbs: []string{"build"}, Value: flags.Enum(&o.Mode, "alpha", "beta")},
			{Name: "list", Arg: "X", Line: true, Value: flags.List(&o.List)},
			{Name: "comma", Value: flags.CommaList(&o.Comma)},
			{Name: "last", Value: flags.LastCommaList(&o.Last)},
			{Name: "wait", Value: flags.Seconds(&o.Wait)},
			{Name: "size", Value: flags.Size(&o.Size, false)},
			{Name: "n", Value: flags.Int(&o.N, 1)},
			{Name: "fast", Verbs: []string{"test"}, Value: flags.Bool(&o.Keep)},
		},
		Label: func(l, v string) error {
			if v == "bad" {
				return errors.New("no such value")
			}
			o.Label[l] = v
			return nil
		},
	}
}

func words(line string, a flags.Arg) []flags.Arg {
	var out []flags.Arg
	for _, w := range strings.Fields(line) {
		a.Text = w
		out = append(out, a)
	}
	return out
}

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want opts
		res  flags.Result
	}{
		{"-k x --jobs 3 y", opts{Keep: true, Jobs: 3}, flags.Result{Operands: []string{"x", "y"}}},
		{"-j4 --nokeep_going", opts{Jobs: 4}, flags.Result{}},
		{"--keep_going=yes -k-", opts{}, flags.Result{}},
		{"--keep_going --keep_going=0 --keep_going=1", opts{Keep: true}, flags.Result{}},
		{"--mode=beta", opts{Mode: "beta"}, flags.Result{}},
		{"--list=a,b --list c", opts{List: []string{"a,b", "c"}}, flags.Result{}},
		{"--comma=a,,b --comma=c", opts{Comma: []string{"a", "b", "c"}}, flags.Result{}},
		{"--last=a,b --last=c", opts{Last: []string{"c"}}, flags.Result{}},
		{"--wait=300", opts{Wait: 300 * time.Second}, flags.Result{}},
		{"--size=1", opts{Size: 1}, flags.Result{}},
		{"--size=20g", opts{Size: 20 << 30}, flags.Result{}},
		{"--size=1.5GiB", opts{Size: 3 << 29}, flags.Result{}},
		{"--wait=5m", opts{Wait: 5 * time.Minute}, flags.Result{}},
		{"--//a:b --no//a:c --@r//d:e=f=g", opts{Label: map[string]string{"//a:b": "true", "//a:c": "false", "@r//d:e": "f=g"}}, flags.Result{}},
		{"... -//a/... -:b -@r//... -... - -- -k --x", opts{}, flags.Result{Operands: []string{"...", "-//a/...", "-:b", "-@r//...", "-...", "-"}, Rest: []string{"-k", "--x"}, Dashes: true}},
		{"--list --", opts{List: []string{"--"}}, flags.Result{}},
		{"--list=", opts{List: []string{""}}, flags.Result{}},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			var o opts
			res, err := o.table().Parse("build", words(test.line, flags.Arg{}))
			if err != nil {
				t.Fatal(err)
			}
			if test.want.Label == nil {
				test.want.Label = map[string]string{}
			}
			if d := cmp.Diff(test.want, o); d != "" {
				t.Errorf("options (-want +got):\n%s", d)
			}
			if d := cmp.Diff(test.res, res); d != "" {
				t.Errorf("rest (-want +got):\n%s", d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ line, want string }{
		{"--keep-going", "f:1: unknown flag --keep-going; did you mean --keep_going?"},
		{"--nokeep_goin", "f:1: unknown flag --nokeep_goin; did you mean --nokeep_going?"},
		{"-x", "f:1: unknown flag -x; `gorules help build` lists the flags"},
		{"-kx", "f:1: unknown flag -kx; `gorules help build` lists the flags"},
		{"--nojobs", "f:1: unknown flag --nojobs; did you mean --jobs?"},
		{"--jobs", "f:1: --jobs needs a value: --jobs=N"},
		{"--jobs=x", "f:1: --jobs=x: expected a number from 1 on, auto or HOST_CPUS*FACTOR"},
		{"--jobs=HOST_CPUS*NaN", "f:1: --jobs=HOST_CPUS*NaN: expected HOST_CPUS*FACTOR with a factor above 0"},
		{"--jobs=HOST_CPUS*1e300", "f:1: --jobs=HOST_CPUS*1e300: expected HOST_CPUS*FACTOR with a factor above 0"},
		{"--n=0", "f:1: --n=0: expected a number of at least 1"},
		{"--mode=alpah", "f:1: --mode=alpah: expected one of alpha, beta; did you mean alpha?"},
		{"--size=0", "f:1: --size=0: expected a size such as 500M or 20G"},
		{"--size=9000000T", "f:1: --size=9000000T: expected a size such as 500M or 20G"},
		{"--size=big", "f:1: --size=big: expected a size such as 500M or 20G"},
		{"--wait=-1", "f:1: --wait=-1: expected seconds, or a time such as 5m"},
		{"--nokeep_going=true", "f:1: --nokeep_going takes no value"},
		{"--keep_going=2", "f:1: --keep_going=2: expected true or false"},
		{"--fast", "f:1: --fast is no flag of `build`; it belongs to test"},
		{"--//a:b=bad", "f:1: --//a:b=bad: no such value"},
		{"--no//a:b=true", "f:1: --no//a:b takes no value"},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			var o opts
			_, err := o.table().Parse("build", words(test.line, flags.Arg{Origin: diag.Position{File: "f", Line: 1}}))
			var bad *diag.Error
			if !errors.As(err, &bad) {
				t.Fatalf("got %v, want a *diag.Error", err)
			}
			if got := err.Error(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// A `common` line may hold flags of other verbs, with their values, but no
// flag that nobody knows.
func TestLenient(t *testing.T) {
	var o opts
	res, err := o.table().Parse("test", words("--mode beta --mode=alpha --jobs=2 x", flags.Arg{Lenient: true}))
	if err != nil {
		t.Fatal(err)
	}
	if o.Mode != "" || o.Jobs != 2 || len(res.Operands) != 1 {
		t.Errorf("got %+v, %+v", o, res)
	}
	if _, err := o.table().Parse("test", words("--nonsense", flags.Arg{Lenient: true})); err == nil {
		t.Error("an unknown flag of a lenient line passed")
	}
}

// The value of a flag cannot come from another line.
func TestValueOfAnotherOrigin(t *testing.T) {
	var o opts
	line := []flags.Arg{{Text: "--jobs", Origin: diag.Position{File: "f", Line: 1}}, {Text: "3", Origin: diag.Position{File: "f", Line: 2}}}
	if _, err := o.table().Parse("build", line); err == nil {
		t.Errorf("passed with %+v", o)
	}
}

// What counts on the command line alone is an error in a file, whatever the line.
func TestLine(t *testing.T) {
	for _, lenient := range []bool{false, true} {
		var o opts
		_, err := o.table().Parse("build", words("--list=x", flags.Arg{Origin: diag.Position{File: "f", Line: 3}, Lenient: lenient}))
		if err == nil || !strings.HasPrefix(err.Error(), "f:3: --list cannot stand in an rc file") || o.List != nil {
			t.Errorf("%v, %q", err, o.List)
		}
	}
}

func TestScanAndVerb(t *testing.T) {
	var o opts
	if err := o.table().Scan(words("--unknown --jobs --list=x --list a --mode -k -- --list=c", flags.Arg{})); err != nil {
		t.Fatal(err)
	}
	// --jobs took --list=x as its value.
	if d := cmp.Diff([]string{"a"}, o.List); d != "" || o.Keep {
		t.Errorf("(-want +got):\n%s", d)
	}
	for line, want := range map[string]int{"build": 0, "--jobs 3 build": 2, "--jobs=3 -k build": 2, "-k": -1, "": -1, "--unknown build": 1, "-- build": -1} {
		if got := o.table().Verb(strings.Fields(line)); got != want {
			t.Errorf("Verb(%q) = %d, want %d", line, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"build", "test", "run", "fmt"}
	for word, want := range map[string]string{"biuld": "build", "tset": "test", "x": "", "tests": "test", "zzz": "", "r": "", "": ""} {
		if got := flags.Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
