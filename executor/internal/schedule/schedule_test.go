package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/schedule"
	"gorules/executor/label"
)

// fake makes outputs whose content is a digest of what the action is. Its hooks
// say otherwise for single actions, by mnemonic.
type fake struct {
	mu     sync.Mutex
	ran    []string
	kept   []string
	cache  map[digest.Digest]*schedule.Outcome
	source func(path string)
	run    map[string]hook
}

type hook func(ctx context.Context, b *action.Bound, early func(string, action.Content)) (*schedule.Outcome, error)

func newFake() *fake {
	return &fake{cache: map[digest.Digest]*schedule.Outcome{}, run: map[string]hook{}}
}

func success(b *action.Bound) *schedule.Outcome {
	o := &schedule.Outcome{Outputs: map[string]action.Content{}, Runner: "fake"}
	for _, out := range b.Outputs {
		o.Outputs[out.Path] = action.Content{File: digest.Of([]byte(b.Digest.Hex() + out.Path))}
	}
	return o
}

func (f *fake) lookup(b *action.Bound) *schedule.Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.cache[b.Digest]
	if o == nil {
		return nil
	}
	c := *o
	c.Cached, c.Keep = true, nil
	return &c
}

func (f *fake) Run(ctx context.Context, b *action.Bound, job schedule.Job) (*schedule.Outcome, error) {
	if o := f.lookup(b); o != nil {
		return o, nil
	}
	release, err := job.Slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	f.mu.Lock()
	f.ran = append(f.ran, b.Spec.Mnemonic)
	h := f.run[b.Spec.Mnemonic]
	f.mu.Unlock()
	o, err := success(b), ctx.Err()
	if h != nil {
		o, err = h(ctx, b, job.Early)
	}
	if err != nil || o.Failure != "" {
		return o, err
	}
	stored := *o
	o.Keep = func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.kept = append(f.kept, b.Spec.Mnemonic)
		f.cache[b.Digest] = &stored
		return nil
	}
	return o, nil
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

// watcher notes what fails.
type watcher struct{ failed []string }

func (w *watcher) Started(int, *action.Bound)  {}
func (w *watcher) Told(*action.Spec, []string) {}
func (w *watcher) Progress(schedule.Counts)    {}
func (w *watcher) Done(d schedule.Done) {
	if d.Failure != nil {
		w.failed = append(w.failed, d.Spec.Mnemonic)
	}
}

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

func build(t *testing.T, f *fake, opt schedule.Options, want ...*action.Artifact) (*schedule.Report, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	opt.Worker = f
	if opt.Jobs == 0 {
		opt.Jobs = 2
	}
	var goals []schedule.Goal
	for _, a := range want {
		goals = append(goals, schedule.Goal{Artifact: a})
	}
	return schedule.Run(ctx, goals, opt)
}

// why returns the first cause for which a is not there.
func why(t *testing.T, r *schedule.Report, a *action.Artifact) *schedule.Failure {
	t.Helper()
	_, err := r.Content(a)
	var f *schedule.Failure
	errors.As(err, &f)
	return f
}

// plan declares a plan that promises outputs.
func plan(name string, f func(context.Context, action.PlanInput) (*action.PlanResult, error), outputs ...string) (*action.Spec, []*action.Artifact) {
	s := &action.Spec{Mnemonic: name, Owner: label.Label{Name: name}}
	s.Plan = &action.Plan{F: f}
	for _, o := range outputs {
		s.Plan.Outputs = append(s.Plan.Outputs, &action.Artifact{Path: o, Producer: s})
	}
	return s, s.Plan.Outputs
}

func bind(a, to *action.Artifact) (*action.PlanResult, error) {
	return &action.PlanResult{Bind: map[*action.Artifact]*action.Artifact{a: to}}, nil
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
	if len(f.kept) != 4 {
		t.Errorf("recorded %v, want all four", f.kept)
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
	if len(f.kept) != 2 {
		t.Errorf("recorded %v", f.kept)
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
	if fl := why(t, s, last); fl == nil || fl.Spec != p {
		t.Errorf("failure of last: %v, want the producer's", fl)
	}
	if len(f.kept) != 0 {
		t.Errorf("recorded %v, want nothing", f.kept)
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
	if v, err := s.Value(plan); err != nil || v != 7 {
		t.Errorf("value %v %v", v, err)
	}
}

// A plan is what the plan is that it returned, and that one runs only where
// somebody wants to know.
func TestPlanFollowsAnother(t *testing.T) {
	f := newFake()
	_, in := spec("in", src("x"))
	_, made := spec("made", src("y"))
	inner := &action.Spec{Mnemonic: "inner", Plan: &action.Plan{Inputs: []*action.Artifact{in},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Value: "inner's"}, nil
		}}}
	var out []*action.Artifact
	outer, out := plan("outer", func(context.Context, action.PlanInput) (*action.PlanResult, error) {
		r, err := bind(out[0], made)
		r.Follow = inner
		return r, err
	}, "promised")
	waits := &action.Spec{Mnemonic: "waits", Plan: &action.Plan{Waits: []*action.Spec{outer},
		F: func(_ context.Context, pi action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Value: pi.Values[outer]}, nil
		}}}
	r, err := build(t, f, schedule.Options{}, out...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Content(out[0]); err != nil {
		t.Error(err)
	}
	if !slices.Equal(f.ran, []string{"made"}) {
		t.Errorf("for the output alone ran %v", f.ran)
	}
	if _, err := r.Value(outer); err == nil {
		t.Error("a value that nobody wanted is there")
	}
	r, err = schedule.Run(t.Context(), []schedule.Goal{{Plan: waits}, {Plan: outer}}, schedule.Options{Jobs: 1, Worker: f})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*action.Spec{waits, outer} {
		if v, err := r.Value(p); err != nil || v != "inner's" {
			t.Errorf("value %v %v", v, err)
		}
	}
	f.run["in"] = func(context.Context, *action.Bound, func(string, action.Content)) (*schedule.Outcome, error) {
		return &schedule.Outcome{Failure: "exit code 1"}, nil
	}
	f.cache = map[digest.Digest]*schedule.Outcome{}
	r, err = schedule.Run(t.Context(), []schedule.Goal{{Plan: waits}}, schedule.Options{Jobs: 1, Worker: f})
	if err != nil {
		t.Fatal(err)
	}
	var fl *schedule.Failure
	if _, err := r.Value(waits); !errors.As(err, &fl) || fl.Spec.Mnemonic != "in" {
		t.Errorf("failure %v, want that of in", err)
	}
}

// What a plan's result names is made in the same run, and only for a goal.
func TestPlanNamesGoals(t *testing.T) {
	for _, goal := range []bool{true, false} {
		f := newFake()
		_, log := spec("log", src("x"))
		judge, _ := plan("judge", func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Value: 1, Goals: []*action.Artifact{log}}, nil
		})
		first, _ := plan("first", func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Follow: judge}, nil
		})
		last, _ := plan("last", func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{}, nil
		})
		last.Plan.Waits = []*action.Spec{first}
		want := last
		if goal {
			want = first
		}
		r, err := schedule.Run(t.Context(), []schedule.Goal{{Plan: want}}, schedule.Options{Worker: f})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Value(first); err != nil {
			t.Error(err)
		}
		if _, err := r.Content(log); (err == nil) != goal || (len(f.ran) == 1) != goal {
			t.Errorf("goal %v: log %v, ran %v", goal, err, f.ran)
		}
	}
}

// A promise can be handed on to an action, or to a plan that promises it in turn.
func TestPromiseIsHandedOn(t *testing.T) {
	f := newFake()
	var out []*action.Artifact
	maker := &action.Spec{Mnemonic: "maker", Argv: []action.Arg{action.Lit("make")}}
	second := &action.Spec{Mnemonic: "second", Plan: &action.Plan{
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Makers: map[*action.Artifact]*action.Spec{out[0]: maker}}, nil
		}}}
	_, out = plan("first", func(context.Context, action.PlanInput) (*action.PlanResult, error) {
		return &action.PlanResult{Makers: map[*action.Artifact]*action.Spec{out[0]: second}}, nil
	}, "promised")
	maker.Outputs, second.Plan.Outputs = out, out
	_, user := spec("user", out[0])
	r, err := build(t, f, schedule.Options{}, user, out[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Content(out[0]); err != nil || !slices.Equal(f.ran, []string{"maker", "user"}) {
		t.Errorf("%v, ran %v", err, f.ran)
	}
	f = newFake()
	f.run["maker"] = func(context.Context, *action.Bound, func(string, action.Content)) (*schedule.Outcome, error) {
		return &schedule.Outcome{Failure: "exit code 1"}, nil
	}
	r, _ = build(t, f, schedule.Options{}, user)
	if fl := why(t, r, user); fl == nil || fl.Spec != maker {
		t.Errorf("failure %v, want the maker's", fl)
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
	r, err := build(t, newFake(), schedule.Options{}, promised)
	if err != nil {
		t.Fatal(err)
	}
	if fl := why(t, r, promised); fl == nil || !strings.Contains(fl.Error(), "did not bind") {
		t.Errorf("failure %v", fl)
	}
}

// Whatever waits for itself fails with the circle, for every goal, also beside
// work that succeeds.
func TestCircles(t *testing.T) {
	promised := func(name string, to func(own *action.Artifact) *action.Artifact) *action.Artifact {
		var out []*action.Artifact
		_, out = plan(name, func(context.Context, action.PlanInput) (*action.PlanResult, error) { return bind(out[0], to(out[0])) }, name+".out")
		return out[0]
	}
	consumer := func() *action.Artifact {
		return promised("p", func(own *action.Artifact) *action.Artifact {
			_, mid := spec("mid", own)
			_, out := spec("out", mid)
			return out
		})
	}
	for name, tt := range map[string]struct {
		goals func() []schedule.Goal
		want  []string // in the message
	}{
		"its own consumer": {func() []schedule.Goal { return []schedule.Goal{{Artifact: consumer()}} }, []string{"mid of //:mid needs p.out", "out of //:out needs out/mid"}},
		"with a user": {func() []schedule.Goal {
			p := consumer()
			_, user := spec("user", p)
			return []schedule.Goal{{Artifact: user}, {Artifact: p}}
		}, []string{"mid of"}},
		"each other": {func() []schedule.Goal {
			var a, b *action.Artifact
			a = promised("a", func(*action.Artifact) *action.Artifact { return b })
			b = promised("b", func(*action.Artifact) *action.Artifact { return a })
			return []schedule.Goal{{Artifact: a}, {Artifact: b}}
		}, []string{"a.out is bound to", "b.out is bound to"}},
		"plan that follows itself": {func() []schedule.Goal {
			var p *action.Spec
			p, _ = plan("p", func(context.Context, action.PlanInput) (*action.PlanResult, error) {
				return &action.PlanResult{Follow: p}, nil
			})
			return []schedule.Goal{{Plan: p}}
		}, []string{"p of"}},
		"plan that waits for who follows it": {func() []schedule.Goal {
			var outer, inner *action.Spec
			outer, _ = plan("outer", func(context.Context, action.PlanInput) (*action.PlanResult, error) {
				return &action.PlanResult{Follow: inner}, nil
			})
			inner, _ = plan("inner", nil)
			inner.Plan.Waits = []*action.Spec{outer}
			return []schedule.Goal{{Plan: outer}}
		}, []string{"outer of", "inner of"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, keep := range []bool{false, true} {
				w := &watcher{}
				goals := tt.goals()
				r, err := schedule.Run(t.Context(), goals, schedule.Options{Jobs: 2, Worker: newFake(), Watcher: w, KeepGoing: keep})
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range goals {
					if g.Artifact != nil {
						_, err = r.Content(g.Artifact)
					} else {
						_, err = r.Value(g.Plan)
					}
					if err == nil {
						t.Fatalf("%v is there", g)
					}
				}
				fs := r.Failures()
				if len(fs) != 1 || len(w.failed) != 1 {
					t.Fatalf("failures %v, told of %v; want one", fs, w.failed)
				}
				var circle *schedule.CircleError
				if !errors.As(fs[0], &circle) {
					t.Fatalf("%v is no circle", fs[0])
				}
				for _, part := range tt.want {
					if !strings.Contains(fs[0].Error(), strings.TrimPrefix(part, "Plan ")) {
						t.Errorf("%q is not in %q", part, fs[0])
					}
				}
			}
		})
	}
}

// A circle of 20,000 promises and one of 20,000 actions are found at once, and
// chains as long are no circles.
func TestLongCircles(t *testing.T) {
	const n = 20_000
	for _, closed := range []bool{true, false} {
		for _, alias := range []bool{true, false} {
			outs := make([]*action.Artifact, n)
			for i := range outs {
				var out []*action.Artifact
				_, out = plan("p", func(context.Context, action.PlanInput) (*action.PlanResult, error) {
					next := outs[(i+1)%n]
					if i == n-1 && !closed {
						next = src("end")
					}
					if !alias {
						_, next = spec(fmt.Sprint("a", i), next)
					}
					return bind(out[0], next)
				}, fmt.Sprint("o", i))
				outs[i] = out[0]
			}
			begin := time.Now()
			r, err := build(t, newFake(), schedule.Options{}, outs[0])
			if err != nil {
				t.Fatal(err)
			}
			if fl := why(t, r, outs[0]); (fl != nil) != closed {
				t.Fatalf("closed %v: %v", closed, fl)
			}
			if d := time.Since(begin); d > 10*time.Second { // quadratic would be minutes
				t.Errorf("closed %v alias %v: %v", closed, alias, d)
			}
		}
	}
}

func TestFailures(t *testing.T) {
	for _, keep := range []bool{false, true} {
		f := newFake()
		gate := make(chan struct{})
		started := make(chan struct{})
		f.run["bad"] = func(context.Context, *action.Bound, func(string, action.Content)) (*schedule.Outcome, error) {
			<-started
			return &schedule.Outcome{ExitCode: 2, Failure: "exit code 2"}, nil
		}
		f.run["slow"] = func(_ context.Context, b *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
			close(started)
			<-gate // runs while bad fails
			return success(b), nil
		}
		w := &gated{watcher: watcher{}, at: "bad", gate: gate}
		_, bad := spec("bad", src("x"))
		_, user := spec("user", bad)
		_, slow := spec("slow", src("y"))
		_, after := spec("after", slow)
		_, beside := spec("beside", slow)
		r, err := build(t, f, schedule.Options{Jobs: 2, KeepGoing: keep, Watcher: w}, user, after, beside)
		if err != nil {
			t.Fatal(err)
		}
		if fl := why(t, r, user); fl == nil || fl.Spec.Mnemonic != "bad" {
			t.Errorf("keep %v: failure of user %v", keep, fl)
		}
		if _, err := r.Content(slow); err != nil {
			t.Errorf("keep %v: what ran was not let finish: %v", keep, err)
		}
		if !slices.Contains(f.kept, "slow") {
			t.Errorf("keep %v: the result of what was let finish is not kept", keep)
		}
		want := []string{"bad", "slow"}
		if keep {
			want = []string{"after", "bad", "beside", "slow"}
		}
		slices.Sort(f.ran)
		if !slices.Equal(f.ran, want) {
			t.Errorf("keep %v: ran %v, want %v", keep, f.ran, want)
		}
		_, err = r.Content(after)
		var not *schedule.NotAttempted
		if errors.As(err, &not) == keep || !keep && !strings.Contains(not.Error(), "exit code 2") {
			t.Errorf("keep %v: after is %v", keep, err)
		}
		if !slices.Equal(w.failed, []string{"bad"}) {
			t.Errorf("told of %v, want bad alone", w.failed)
		}
	}
}

// gated opens its gate when it is told of a failure.
type gated struct {
	watcher
	at   string
	gate chan struct{}
}

func (g *gated) Done(d schedule.Done) {
	g.watcher.Done(d)
	if d.Spec.Mnemonic == g.at {
		close(g.gate)
	}
}

// What is not there without anybody's fault fails each who reads it, once, and a
// goal by itself.
func TestMissing(t *testing.T) {
	f := newFake()
	_, a := spec("a", src("missing.txt"))
	gone := src("missing.too")
	_, maker := spec("maker", src("x"))
	extra := &action.Artifact{Path: "out/extra", Producer: maker.Producer}
	maker.Producer.Outputs = append(maker.Producer.Outputs, extra)
	maker.Producer.Optional = map[*action.Artifact]bool{extra: true}
	f.run["maker"] = func(_ context.Context, b *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
		o := success(b)
		delete(o.Outputs, "/w/out/extra")
		return o, nil
	}
	_, reader := spec("reader", extra)
	_, late := spec("late", maker, extra)
	w := &watcher{}
	r, err := build(t, f, schedule.Options{KeepGoing: true, Watcher: w}, a, gone, maker, extra, reader, late)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(w.failed)
	if !slices.Equal(w.failed, []string{"", "a", "late", "reader"}) {
		t.Errorf("told of %q", w.failed)
	}
	if _, err := r.Content(maker); err != nil {
		t.Error(err)
	}
}

// An error of Keep, like one that is Fatal, ends Run even with KeepGoing.
func TestToolFailures(t *testing.T) {
	broken := errors.New("disk full")
	for _, name := range []string{"keep", "fatal"} {
		f := newFake()
		f.run["first"] = func(_ context.Context, b *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
			if name == "fatal" {
				return nil, broken
			}
			return success(b), nil
		}
		_, first := spec("first", src("x"))
		var want []*action.Artifact
		for i := range 50 {
			_, a := spec(fmt.Sprint("later", i), first)
			_, a = spec(fmt.Sprint("last", i), a)
			want = append(want, a)
		}
		k := keeper{f, broken, name == "keep"}
		goals := []schedule.Goal{}
		for _, a := range want {
			goals = append(goals, schedule.Goal{Artifact: a})
		}
		r, err := schedule.Run(t.Context(), goals, schedule.Options{Worker: k, KeepGoing: true, Fatal: func(err error) bool { return errors.Is(err, broken) }})
		if !errors.Is(err, broken) {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := r.Content(want[0]); err == nil || !errors.Is(err, broken) {
			t.Errorf("%s: last is %v", name, err)
		}
		if len(f.ran) > 60 {
			t.Errorf("%s: ran %d although nothing can be kept", name, len(f.ran))
		}
	}
}

// keeper is a fake that keeps nothing.
type keeper struct {
	*fake
	err  error
	fail bool
}

func (k keeper) Run(ctx context.Context, b *action.Bound, job schedule.Job) (*schedule.Outcome, error) {
	o, err := k.fake.Run(ctx, b, job)
	if k.fail && o != nil {
		o.Keep = func(context.Context) error { return k.err }
	}
	return o, err
}

// A panic on any goroutine is an error of Run.
func TestPanics(t *testing.T) {
	f := newFake()
	f.run["a"] = func(context.Context, *action.Bound, func(string, action.Content)) (*schedule.Outcome, error) {
		panic("lost")
	}
	_, a := spec("a", src("x"))
	r, err := build(t, f, schedule.Options{}, a)
	var b *bug.Error
	if !errors.As(err, &b) || b.Value != "lost" || !strings.Contains(err.Error(), "schedule") {
		t.Errorf("in a worker: %v", err)
	}
	if _, err := r.Content(a); err == nil {
		t.Error("a is there")
	}
	p, _ := plan("p", func(context.Context, action.PlanInput) (*action.PlanResult, error) { panic("plan") })
	if _, err := schedule.Run(t.Context(), []schedule.Goal{{Plan: p}}, schedule.Options{Worker: f}); !errors.As(err, &b) || b.Value != "plan" {
		t.Errorf("in a plan: %v", err)
	}
	_, c := spec("c", src("x"))
	if _, err := build(t, f, schedule.Options{Watcher: panicky{}}, c); !errors.As(err, &b) || b.Value != "watcher" {
		t.Errorf("in the loop: %v", err)
	}
}

type panicky struct{}

func (panicky) Started(int, *action.Bound)  { panic("watcher") }
func (panicky) Told(*action.Spec, []string) {}
func (panicky) Progress(schedule.Counts)    {}
func (panicky) Done(schedule.Done)          {}

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
	if _, err := schedule.Run(ctx, []schedule.Goal{{Artifact: b}}, schedule.Options{Jobs: 1, Worker: f}); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v", err)
	}
	if len(f.kept) > 0 {
		t.Errorf("recorded %v", f.kept)
	}
}

// Before something runs it is known what waits for it, also of what a plan
// declares later; what the cache has is not among that.
func TestOutdated(t *testing.T) {
	f := newFake()
	_, stored := spec("stored", src("x"))
	if _, err := build(t, f, schedule.Options{}, stored); err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	all := make(chan struct{})
	f.run["new"] = func(ctx context.Context, b *action.Bound, _ func(string, action.Content)) (*schedule.Outcome, error) {
		select {
		case <-all:
		case <-ctx.Done():
		}
		return success(b), nil
	}
	_, again := spec("stored", src("x"))
	_, fresh := spec("new", src("y"))
	_, after := spec("after", fresh)
	inner := &action.Spec{Mnemonic: "inner", Plan: &action.Plan{Inputs: []*action.Artifact{fresh},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) { return &action.PlanResult{}, nil }}}
	verdict := &action.Spec{Mnemonic: "verdict", Plan: &action.Plan{Inputs: []*action.Artifact{again},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			return &action.PlanResult{Follow: inner}, nil
		}}}
	waits := &action.Spec{Mnemonic: "waits", Plan: &action.Plan{Waits: []*action.Spec{verdict},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) { return &action.PlanResult{}, nil }}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := schedule.Run(ctx, []schedule.Goal{{Plan: waits}, {Artifact: after}, {Artifact: again}}, schedule.Options{Jobs: 1, Worker: f,
		Outdated: func(s *action.Spec) {
			if told[s.Mnemonic]++; len(told) == 5 {
				close(all)
			}
		}})
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"new", "after", "inner", "verdict", "waits"} {
		if told[name] != 1 {
			t.Errorf("told %d times of %s, want once", told[name], name)
		}
	}
	if told["stored"] != 0 {
		t.Error("told of what the cache has")
	}
}

// A value that cannot be a goal is a failure of the plan that returned it, told
// once, and only where it is a goal.
func TestGoalOfAPlan(t *testing.T) {
	wrong := errors.New("no verdict")
	make := func() (inner, outer *action.Spec) {
		inner = &action.Spec{Mnemonic: "inner", Plan: &action.Plan{Goal: func(any) error { return wrong },
			F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
				return &action.PlanResult{Value: 1}, nil
			}}}
		outer = &action.Spec{Mnemonic: "outer", Plan: &action.Plan{Goal: func(any) error { return errors.New("not asked") },
			F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
				return &action.PlanResult{Follow: inner}, nil
			}}}
		return inner, outer
	}
	_, other := spec("other", src("x"))
	w := &watcher{}
	inner, outer := make()
	r, err := schedule.Run(t.Context(), []schedule.Goal{{Plan: outer}, {Plan: inner}, {Artifact: other}},
		schedule.Options{Jobs: 1, KeepGoing: true, Worker: newFake(), Watcher: w})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*action.Spec{outer, inner} {
		if _, err := r.Value(s); !errors.Is(err, wrong) {
			t.Errorf("%s: %v", s.Mnemonic, err)
		}
	}
	if !slices.Equal(w.failed, []string{"inner"}) {
		t.Errorf("told of failures of %v", w.failed)
	}
	if _, err := r.Content(other); err != nil {
		t.Error(err)
	}
	_, outer = make()
	waits := &action.Spec{Mnemonic: "waits", Plan: &action.Plan{Waits: []*action.Spec{outer},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) { return &action.PlanResult{}, nil }}}
	if r, err = schedule.Run(t.Context(), []schedule.Goal{{Plan: waits}}, schedule.Options{Jobs: 1, Worker: newFake()}); err != nil || len(r.Failures()) > 0 {
		t.Errorf("where it is no goal: %v, %v", err, r.Failures())
	}
}
