package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/schedule"
	"gorules/executor/label"
)

// fake makes outputs whose content is a digest of what the action is. Its hooks
// say otherwise for single actions, by mnemonic.
type fake struct {
	mu       sync.Mutex
	ran      []string
	recorded []string
	cache    map[digest.Digest]*schedule.Outcome
	source   func(path string)
	run      map[string]func(ctx context.Context, b *action.Bound, early func(string, action.Content)) (*schedule.Outcome, error)
}

func newFake() *fake {
	return &fake{
		cache: map[digest.Digest]*schedule.Outcome{},
		run:   map[string]func(context.Context, *action.Bound, func(string, action.Content)) (*schedule.Outcome, error){},
	}
}

func (f *fake) Lookup(_ context.Context, b *action.Bound) (*schedule.Outcome, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.cache[b.Digest]
	if !ok {
		return nil, false, nil
	}
	c := *o
	c.Cached = true
	return &c, true, nil
}

func success(b *action.Bound) *schedule.Outcome {
	o := &schedule.Outcome{Outputs: map[string]action.Content{}, Storable: true, Runner: "fake"}
	for _, out := range b.Outputs {
		o.Outputs[out.Path] = action.Content{File: digest.Of([]byte(b.Digest.Hex() + out.Path))}
	}
	return o
}

func (f *fake) Run(ctx context.Context, b *action.Bound, early func(string, action.Content)) (*schedule.Outcome, error) {
	f.mu.Lock()
	f.ran = append(f.ran, b.Spec.Mnemonic)
	hook := f.run[b.Spec.Mnemonic]
	f.mu.Unlock()
	if hook != nil {
		return hook(ctx, b, early)
	}
	return success(b), ctx.Err()
}

func (f *fake) Record(_ context.Context, b *action.Bound, o *schedule.Outcome) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recorded = append(f.recorded, b.Spec.Mnemonic)
	f.cache[b.Digest] = o
	return nil
}

func (f *fake) Internal(_ context.Context, s *action.Spec, in action.Resolver) (action.Content, error) {
	b, err := s.Write.Content(in)
	return action.Content{File: digest.Of(b)}, err
}

func (f *fake) Source(src *action.Source) (action.Content, error) {
	if f.source != nil {
		f.source(src.Path)
	}
	if strings.HasPrefix(src.Path, "missing") {
		return action.Content{}, errors.New("no such file: " + src.Path)
	}
	return action.Content{File: digest.Of([]byte(src.Path))}, nil
}

func (f *fake) Text(context.Context, action.Content) ([]byte, error) { return []byte("text"), nil }

// spec declares an action called name with one output and the given inputs.
func spec(name string, in ...*action.Artifact) (*action.Spec, *action.Artifact) {
	s := &action.Spec{Mnemonic: name, Owner: label.Label{Name: name}, Argv: []action.Arg{action.Lit(name)}}
	var list action.InputList
	for _, a := range in {
		list = append(list, action.Input{Path: action.Abs(a.Path), Artifact: a})
	}
	s.Inputs = list
	out := &action.Artifact{Path: "out/" + name, Producer: s}
	s.Outputs = []*action.Artifact{out}
	return s, out
}

func src(p string) *action.Artifact {
	return &action.Artifact{Path: p, Source: &action.Source{Path: p}}
}

func build(t *testing.T, f *fake, opt schedule.Options, want ...*action.Artifact) (*schedule.Scheduler, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	opt.Executor = f
	if opt.Jobs == 0 {
		opt.Jobs = 2
	}
	s := schedule.New(opt)
	return s, s.Build(ctx, want, nil)
}

func TestDiamondRunsEachOnce(t *testing.T) {
	f := newFake()
	_, a := spec("a", src("x"))
	_, b := spec("b", a)
	_, c := spec("c", a)
	_, d := spec("d", b, c)
	s, err := build(t, f, schedule.Options{}, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Content(d); err != nil {
		t.Fatal(err)
	}
	slices.Sort(f.ran)
	if got := strings.Join(f.ran, ""); got != "abcd" {
		t.Errorf("ran %q, want each of abcd once", got)
	}
	if len(f.recorded) != 4 {
		t.Errorf("recorded %v, want all four", f.recorded)
	}
	f.ran = nil
	_, d2 := rebuild()
	if _, err := build(t, f, schedule.Options{}, d2); err != nil {
		t.Fatal(err)
	}
	if len(f.ran) != 0 {
		t.Errorf("a second build ran %v", f.ran)
	}
}

func rebuild() (*action.Spec, *action.Artifact) {
	_, a := spec("a", src("x"))
	_, b := spec("b", a)
	_, c := spec("c", a)
	return spec("d", b, c)
}

// With one slot and a choice, the action on the longer way goes first: while
// the gate holds the only slot, both a and z1 come to wait for it.
func TestLongestWayFirst(t *testing.T) {
	f := newFake()
	started := make(chan struct{})
	f.source = func(p string) {
		if p == "late" {
			<-started
		}
	}
	f.run["gate"] = func(_ context.Context, b *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
		close(started)
		time.Sleep(50 * time.Millisecond)
		return success(b), nil
	}
	_, gate := spec("gate", src("s"))
	_, a := spec("a", src("late"))
	_, z1 := spec("z1", src("late"))
	_, z2 := spec("z2", z1)
	_, z3 := spec("z3", z2)
	_, top := spec("top", gate, a, z3)
	if _, err := build(t, f, schedule.Options{Jobs: 1}, top); err != nil {
		t.Fatal(err)
	}
	if f.ran[0] != "gate" || f.ran[1] != "z1" {
		t.Errorf("ran %v, want z1 right after gate", f.ran)
	}
}

func TestEarlyOutputStartsDependent(t *testing.T) {
	f := newFake()
	p, rlib := spec("producer", src("x"))
	rmeta := &action.Artifact{Path: "out/rmeta", Producer: p}
	p.Outputs = append(p.Outputs, rmeta)
	_, user := spec("user", rmeta)
	started := make(chan struct{})
	f.run["producer"] = func(ctx context.Context, b *action.Bound, early func(string, action.Content)) (*schedule.Outcome, error) {
		o := success(b)
		early("/w/out/rmeta", o.Outputs["/w/out/rmeta"])
		select {
		case <-started:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return o, nil
	}
	f.run["user"] = func(_ context.Context, b *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
		close(started) // only then may the producer end
		return success(b), nil
	}
	s, err := build(t, f, schedule.Options{}, user, rlib)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Content(user); err != nil {
		t.Fatal(err)
	}
	if len(f.recorded) != 2 {
		t.Errorf("recorded %v", f.recorded)
	}
}

// What was made of an early output of an action that fails later is not kept.
func TestEarlyOutputThenFailure(t *testing.T) {
	f := newFake()
	p, _ := spec("producer", src("x"))
	rmeta := &action.Artifact{Path: "out/rmeta", Producer: p}
	p.Outputs = append(p.Outputs, rmeta)
	_, user := spec("user", rmeta)
	_, last := spec("last", user)
	finished := make(chan struct{})
	f.run["producer"] = func(ctx context.Context, b *action.Bound, early func(string, action.Content)) (*schedule.Outcome, error) {
		early("/w/out/rmeta", success(b).Outputs["/w/out/rmeta"])
		<-finished
		return &schedule.Outcome{ExitCode: 1, Failure: "exit code 1"}, nil
	}
	f.run["last"] = func(_ context.Context, b *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
		close(finished)
		return success(b), nil
	}
	s, err := build(t, f, schedule.Options{}, last)
	if err != nil {
		t.Fatal(err)
	}
	if fl := s.Failure(last); fl == nil || fl.Spec != p {
		t.Errorf("failure of last: %v, want the producer's", fl)
	}
	if len(f.recorded) != 0 {
		t.Errorf("recorded %v, want nothing", f.recorded)
	}
}

func TestPlanGrowsTheGraph(t *testing.T) {
	f := newFake()
	_, in := spec("in", src("x"))
	plan := &action.Spec{Mnemonic: "plan"}
	promised := &action.Artifact{Path: "promised", Producer: plan}
	second := &action.Spec{Mnemonic: "second"}
	nested := &action.Artifact{Path: "nested", Producer: second}
	plan.Plan = &action.Plan{Inputs: []*action.Artifact{in}, Outputs: []*action.Artifact{promised},
		F: func(_ context.Context, pi action.PlanInput) (*action.PlanResult, error) {
			if string(pi.Text[in]) != "text" {
				return nil, errors.New("no text")
			}
			return &action.PlanResult{Bind: map[*action.Artifact]*action.Artifact{promised: nested}, Value: 7}, nil
		}}
	second.Plan = &action.Plan{Outputs: []*action.Artifact{nested}, Waits: []*action.Spec{plan},
		F: func(_ context.Context, pi action.PlanInput) (*action.PlanResult, error) {
			_, out := spec(fmt.Sprint("made", pi.Values[plan]), in)
			return &action.PlanResult{Bind: map[*action.Artifact]*action.Artifact{nested: out}}, nil
		}}
	_, user := spec("user", promised)
	s, err := build(t, f, schedule.Options{}, user)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Content(user); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.ran, []string{"in", "made7", "user"}) {
		t.Errorf("ran %v", f.ran)
	}
	if v, ok := s.Value(plan); !ok || v != 7 {
		t.Errorf("value %v %v", v, ok)
	}
}

func TestPlanFollowsAnother(t *testing.T) {
	f := newFake()
	_, in := spec("in", src("x"))
	inner := &action.Spec{Mnemonic: "inner", Plan: &action.Plan{Inputs: []*action.Artifact{in},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Value: "inner's"}, nil
		}}}
	outer := &action.Spec{Mnemonic: "outer", Plan: &action.Plan{
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Follow: inner}, nil
		}}}
	waits := &action.Spec{Mnemonic: "waits", Plan: &action.Plan{Waits: []*action.Spec{outer},
		F: func(_ context.Context, pi action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Value: pi.Values[outer]}, nil
		}}}
	s := schedule.New(schedule.Options{Jobs: 1, Executor: f})
	if err := s.Build(t.Context(), nil, []*action.Spec{waits}); err != nil {
		t.Fatal(err)
	}
	if v, ok := s.Value(waits); !ok || v != "inner's" {
		t.Errorf("value %v %v", v, ok)
	}
	f.run["in"] = func(context.Context, *action.Bound, func(string, action.Content)) (*schedule.Outcome, error) {
		return &schedule.Outcome{Failure: "exit code 1"}, nil
	}
	f.cache = map[digest.Digest]*schedule.Outcome{}
	s = schedule.New(schedule.Options{Jobs: 1, Executor: f})
	if err := s.Build(t.Context(), nil, []*action.Spec{waits}); err != nil {
		t.Fatal(err)
	}
	if fl := s.PlanFailure(waits); fl == nil || fl.Spec.Mnemonic != "in" {
		t.Errorf("failure %v, want that of in", fl)
	}
}

// While the gate holds the only slot, "needed" and "other" come to wait for it.
// Only the plan knows that a long way goes through "needed".
func TestPlanExpects(t *testing.T) {
	f := newFake()
	started := make(chan struct{})
	f.source = func(p string) {
		if p == "late" {
			<-started
		}
	}
	f.run["gate"] = func(_ context.Context, b *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
		close(started)
		time.Sleep(50 * time.Millisecond)
		return success(b), nil
	}
	_, gate := spec("gate", src("s"))
	_, other := spec("other", src("late"))
	_, needed := spec("needed", src("late"))
	plan := &action.Spec{Mnemonic: "plan"}
	promised := &action.Artifact{Path: "promised", Producer: plan}
	plan.Plan = &action.Plan{
		Inputs: []*action.Artifact{gate}, Outputs: []*action.Artifact{promised},
		Expects: action.InputList{{Path: "/w/needed", Artifact: needed}},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			_, made := spec("made", needed)
			return &action.PlanResult{Bind: map[*action.Artifact]*action.Artifact{promised: made}}, nil
		}}
	_, user := spec("user", promised)
	if _, err := build(t, f, schedule.Options{Jobs: 1}, other, user); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.ran[:2], []string{"gate", "needed"}) {
		t.Errorf("ran %v, want needed before other", f.ran)
	}
}

func TestPlanThatForgetsAnOutput(t *testing.T) {
	plan := &action.Spec{Mnemonic: "plan"}
	promised := &action.Artifact{Path: "promised", Producer: plan}
	plan.Plan = &action.Plan{Outputs: []*action.Artifact{promised},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) { return &action.PlanResult{}, nil }}
	s, err := build(t, newFake(), schedule.Options{}, promised)
	if err != nil {
		t.Fatal(err)
	}
	if fl := s.Failure(promised); fl == nil || !strings.Contains(fl.Error(), "did not bind") {
		t.Errorf("failure %v", fl)
	}
}

func TestCircularPromiseEnds(t *testing.T) {
	plan := &action.Spec{Mnemonic: "plan"}
	promised := &action.Artifact{Path: "promised", Producer: plan}
	_, out := spec("needs-itself", promised)
	plan.Plan = &action.Plan{Outputs: []*action.Artifact{promised},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Bind: map[*action.Artifact]*action.Artifact{promised: out}}, nil
		}}
	if _, err := build(t, newFake(), schedule.Options{}, promised); err == nil || !strings.Contains(err.Error(), "can never be made") {
		t.Errorf("error %v", err)
	}
}

func TestPromisesBoundToEachOther(t *testing.T) {
	promise := func(name string) (*action.Spec, *action.Artifact) {
		plan := &action.Spec{Mnemonic: "plan"}
		return plan, &action.Artifact{Path: name, Producer: plan}
	}
	p1, a := promise("a")
	p2, b := promise("b")
	for plan, bind := range map[*action.Spec][2]*action.Artifact{p1: {a, b}, p2: {b, a}} {
		plan.Plan = &action.Plan{Outputs: bind[:1], F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Bind: map[*action.Artifact]*action.Artifact{bind[0]: bind[1]}}, nil
		}}
	}
	s, err := build(t, newFake(), schedule.Options{}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if fl := s.Failure(a); fl == nil || !strings.Contains(fl.Error(), "bound to it") {
		t.Errorf("failure %v", fl)
	}
}

func TestEqualActionsRunOnce(t *testing.T) {
	f := newFake()
	var want []*action.Artifact
	for range 5 {
		s, out := spec("same", src("x"))
		s.Owner = label.Label{Name: fmt.Sprint(len(want))} // owners are not in the key
		want = append(want, out)
	}
	s, err := build(t, f, schedule.Options{Jobs: 4}, want...)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range want {
		if _, err := s.Content(a); err != nil {
			t.Error(err)
		}
	}
	if len(f.ran) != 1 {
		t.Errorf("ran %v, want once", f.ran)
	}
}

func TestFailures(t *testing.T) {
	for _, keep := range []bool{false, true} {
		f := newFake()
		bad := func(context.Context, *action.Bound, func(string, action.Content)) (*schedule.Outcome, error) {
			return &schedule.Outcome{ExitCode: 2, Failure: "exit code 2"}, nil
		}
		f.run["bad"] = bad
		_, b := spec("bad", src("x"))
		_, user := spec("user", b)
		_, slow := spec("slow", src("y"))
		_, after := spec("after", slow)
		_, missing := spec("m", src("missing.txt"))
		var done []string
		s, err := build(t, f, schedule.Options{Jobs: 1, KeepGoing: keep, OnDone: func(d schedule.Done) {
			if d.Failure != nil {
				done = append(done, d.Spec.Mnemonic)
			}
		}}, user, missing, after)
		if err != nil {
			t.Fatal(err)
		}
		if fl := s.Failure(user); keep && (fl == nil || fl.Spec.Mnemonic != "bad") {
			t.Errorf("keep %v: failure of user %v", keep, fl)
		}
		if slices.Contains(f.ran, "user") {
			t.Error("user ran although its input failed")
		}
		if keep {
			if !slices.Contains(f.ran, "after") {
				t.Errorf("keep_going did not go on: %v", f.ran)
			}
			slices.Sort(done)
			if !slices.Equal(done, []string{"bad", "m"}) {
				t.Errorf("reported %v, want bad and m, once each", done)
			}
		}
	}
}

func TestCancel(t *testing.T) {
	f := newFake()
	ctx, cancel := context.WithCancelCause(t.Context())
	f.run["hang"] = func(ctx context.Context, _ *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
		cancel(errors.New("interrupted"))
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_, a := spec("hang", src("x"))
	_, b := spec("b", a)
	s := schedule.New(schedule.Options{Jobs: 1, Executor: f})
	if err := s.Build(ctx, []*action.Artifact{b}, nil); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v", err)
	}
	if len(f.recorded) > 0 {
		t.Errorf("recorded %v", f.recorded)
	}
}

// The one law: after any edit, an incremental build ends with what a clean one
// makes, and runs nothing whose inputs are the same.
func TestRandomGraphs(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		version := map[int]int{}
		n := 3 + rng.IntN(25)
		edges := make([][]int, n)
		for i := range edges {
			for j := range i {
				if rng.IntN(4) == 0 {
					edges[i] = append(edges[i], j)
				}
			}
		}
		graph := func() []*action.Artifact {
			outs := make([]*action.Artifact, n)
			for i := range outs {
				in := []*action.Artifact{src(fmt.Sprintf("s%d.%d", i, version[i]))}
				in[0].Path = fmt.Sprintf("s%d", i)
				for _, j := range edges[i] {
					in = append(in, outs[j])
				}
				_, outs[i] = spec(fmt.Sprint("a", i), in...)
			}
			return outs
		}
		kept := newFake()
		for step := range 3 {
			if step > 0 {
				version[rng.IntN(n)]++
			}
			kept.ran = nil
			_, err := build(t, kept, schedule.Options{Jobs: 1 + rng.IntN(4)}, graph()...)
			if err != nil {
				t.Fatal(err)
			}
			a, b := graph(), graph()
			s1, err1 := build(t, kept, schedule.Options{}, a...)
			s2, err2 := build(t, newFake(), schedule.Options{}, b...)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			for i := range a {
				c1, e1 := s1.Content(a[i])
				c2, e2 := s2.Content(b[i])
				if e1 != nil || e2 != nil || c1 != c2 {
					t.Fatalf("seed %d step %d: output %d differs: %v %v %v %v", seed, step, i, c1, c2, e1, e2)
				}
			}
		}
		if len(kept.ran) > n {
			t.Fatalf("seed %d: ran %d of %d", seed, len(kept.ran), n)
		}
	}
}
