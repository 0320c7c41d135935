package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/schedule"
	"gorules/executor/internal/tree"
	"gorules/executor/internal/worker"
	"gorules/executor/label"
)

// Random graphs of actions and plans against a model that evaluates the same
// description by recursion: what is made, what fails, what runs, what is kept.
//
// A thing is a source, an action with one output, or the promise of a plan. Its
// deps are older things. A plan declares what its promise stands for only when
// it runs: an action of its own, an older thing, or another plan's promise.
type thing struct {
	id   int
	kind kind
	deps []*thing

	cmd    int  // of an action: equal commands over equal content are equal actions
	stored bool // the exit code is an output

	plan *promise
}

type kind int

const (
	aSource kind = iota
	anAction
	aPromise
)

type promise struct {
	id      int
	deps    []*thing // whose text the function reads
	waits   []*promise
	to      *thing
	handed  bool // to is an action that makes the promise itself
	follow  *promise
	goals   []*thing
	outputs bool // false for a plan that only has a value
}

// A world is what edits change.
type world struct {
	version map[int]int  // of sources, by id
	fails   map[int]bool // commands that exit with 1
	early   map[int]bool // commands that announce their output early
}

type graphOf struct {
	things []*thing
	plans  []*promise
	world  world
}

func randomGraph(rng *rand.Rand) *graphOf {
	g := &graphOf{world: world{map[int]int{}, map[int]bool{}, map[int]bool{}}}
	some := func(from []*thing, n int) (out []*thing) {
		for range rng.IntN(n + 1) {
			if t := from[rng.IntN(len(from))]; !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
		return out
	}
	command := func(t *thing) {
		t.cmd = t.id
		g.world.fails[t.cmd] = rng.IntN(12) == 0
		g.world.early[t.cmd] = rng.IntN(3) == 0
		t.stored = rng.IntN(8) == 0
	}
	id := 0
	next := func(k kind) *thing { id++; return &thing{id: id, kind: k} }
	var plan func(depth int) *promise
	plan = func(depth int) *promise {
		id++
		p := &promise{id: id, deps: some(g.things, 2), outputs: rng.IntN(5) > 0}
		for _, w := range g.plans {
			if rng.IntN(6) == 0 {
				p.waits = append(p.waits, w)
			}
		}
		switch rng.IntN(4) {
		case 0:
			p.to = g.things[rng.IntN(len(g.things))]
		case 1:
			if depth < 3 {
				inner := plan(depth + 1)
				inner.outputs = true
				p.to = next(aPromise)
				p.to.plan = inner
				p.follow = inner
				break
			}
			fallthrough
		default:
			p.to = next(anAction)
			p.to.deps = some(g.things, 3)
			command(p.to)
			p.handed = rng.IntN(2) == 0
		}
		if p.follow == nil && len(g.plans) > 0 && rng.IntN(5) == 0 {
			p.follow = g.plans[rng.IntN(len(g.plans))]
		}
		if p.follow == nil {
			p.goals = some(g.things, 2)
		}
		return p
	}
	for range 2 + rng.IntN(3) {
		g.things = append(g.things, next(aSource))
	}
	var actions []*thing
	for range 3 + rng.IntN(20) {
		switch rng.IntN(6) {
		case 0:
			p := plan(0)
			g.plans = append(g.plans, p)
			if p.outputs {
				t := next(aPromise)
				t.plan = p
				g.things = append(g.things, t)
			}
		case 1:
			if len(actions) > 0 { // an equal action, maybe judged in another way
				old := actions[rng.IntN(len(actions))]
				t := next(anAction)
				t.deps, t.cmd, t.stored = old.deps, old.cmd, rng.IntN(2) == 0
				g.things = append(g.things, t)
			}
		default:
			t := next(anAction)
			t.deps = some(g.things, 3)
			command(t)
			g.things = append(g.things, t)
			actions = append(actions, t)
		}
	}
	return g
}

// model evaluates the description. loose takes what was announced early for made
// although its command fails: what can run then is what may run.
type model struct {
	*graphOf
	loose bool
	runs  map[string]bool // commands over content, as runKey names them
	kept  map[string]bool // of them, those whose result is to be kept
	own   map[*thing]bool // what fails by itself
	memo  map[*thing]*string
	asked map[*promise]bool
}

func (g *graphOf) model(loose bool) *model {
	return &model{g, loose, map[string]bool{}, map[string]bool{}, map[*thing]bool{}, map[*thing]*string{}, map[*promise]bool{}}
}

func runKey(cmd int, inputs []string) string {
	return fmt.Sprintf("%d(%s)", cmd, strings.Join(inputs, ","))
}

// content is what a thing comes to; ok is false if it fails.
func (m *model) content(t *thing) (text string, ok bool) {
	if s, done := m.memo[t]; done {
		if s == nil {
			return "", false
		}
		return *s, true
	}
	m.memo[t] = nil
	switch t.kind {
	case aSource:
		text, ok = fmt.Sprintf("source %d version %d", t.id, m.world.version[t.id]), true
	case anAction:
		text, ok = m.action(t)
	case aPromise:
		if ok = m.planRuns(t.plan); ok {
			text, ok = m.content(t.plan.to)
		}
	}
	if ok {
		m.memo[t] = &text
	}
	return text, ok
}

func (m *model) action(t *thing) (string, bool) {
	var in []string
	ok := true
	for _, d := range t.deps {
		text, dok := m.content(d)
		in, ok = append(in, digest.Of([]byte(text)).Hex()[:8]), ok && dok
	}
	if !ok {
		return "", false
	}
	key := runKey(t.cmd, in)
	m.runs[key] = true
	if m.world.fails[t.cmd] && !t.stored {
		m.own[t] = true
		return "made by " + key, m.loose && m.world.early[t.cmd]
	}
	m.kept[key] = true
	return "made by " + key, true
}

// planRuns reports whether p's function has what it needs.
func (m *model) planRuns(p *promise) bool {
	ok := true
	for _, d := range p.deps {
		_, dok := m.content(d)
		ok = ok && dok
	}
	for _, w := range p.waits {
		_, wok := m.value(w, false)
		ok = ok && wok
	}
	return ok
}

// value is what a plan comes to.
func (m *model) value(p *promise, goal bool) (string, bool) {
	if !m.planRuns(p) {
		return "", false
	}
	if goal && !m.asked[p] {
		m.asked[p] = true
		for _, t := range p.goals {
			m.content(t)
		}
	}
	if p.follow != nil {
		return m.value(p.follow, goal)
	}
	return "value " + strconv.Itoa(p.id), true
}

// made is the description as Specs.
type made struct {
	*graphOf
	t     *testing.T
	model *model
	specs map[*promise]*action.Spec
	arts  map[*thing]*action.Artifact
	mu    sync.Mutex
}

func (m *made) artifact(t *thing) *action.Artifact {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.artifactLocked(t)
}

func (m *made) artifactLocked(t *thing) *action.Artifact {
	if a := m.arts[t]; a != nil {
		return a
	}
	var a *action.Artifact
	switch t.kind {
	case aSource:
		a = &action.Artifact{Path: fmt.Sprint("s", t.id), Source: &action.Source{Path: fmt.Sprintf("source %d version %d", t.id, m.world.version[t.id])}}
	case anAction:
		a = &action.Artifact{Path: fmt.Sprint("out/", t.cmd)}
		a.Producer = m.actionSpec(t, a)
	case aPromise:
		a = m.plan(t.plan).Plan.Outputs[0]
	}
	m.arts[t] = a
	return a
}

func (m *made) actionSpec(t *thing, out *action.Artifact) *action.Spec {
	s := &action.Spec{Mnemonic: fmt.Sprint("Act", t.id), Owner: label.Label{Name: "x"}, Outputs: []*action.Artifact{out},
		Argv: []action.Arg{action.Lit(strconv.Itoa(t.cmd))}}
	var in action.InputList
	for i, d := range t.deps {
		in = append(in, action.Input{Path: fmt.Sprintf("/in/%d", i), Artifact: m.artifactLocked(d)})
	}
	s.Inputs = in
	if m.world.early[t.cmd] {
		s.Messages = &action.Messages{Early: map[*action.Artifact]map[string]string{out: {"x": "y"}}}
	}
	if t.stored {
		s.ExitCode = &action.Artifact{Path: fmt.Sprint("exit/", t.id), Producer: s}
	}
	return s
}

func (m *made) plan(p *promise) *action.Spec {
	if s := m.specs[p]; s != nil {
		return s
	}
	s := &action.Spec{Mnemonic: fmt.Sprint("Plan", p.id), Owner: label.Label{Name: "x"}}
	m.specs[p] = s
	s.Plan = &action.Plan{F: func(_ context.Context, in action.PlanInput) (*action.PlanResult, error) { return m.call(p, in) }}
	for _, d := range p.deps {
		s.Plan.Inputs = append(s.Plan.Inputs, m.artifactLocked(d))
	}
	for _, w := range p.waits {
		s.Plan.Waits = append(s.Plan.Waits, m.plan(w))
	}
	if p.outputs {
		// An action that a promise is handed to makes it at the promise's path, which
		// equal actions must share.
		path := fmt.Sprint("promise/", p.id)
		if p.handed {
			path = fmt.Sprint("out/", p.to.cmd)
		}
		s.Plan.Outputs = []*action.Artifact{{Path: path, Producer: s}}
	}
	return s
}

// call is a plan's function. It checks what it was given.
func (m *made) call(p *promise, in action.PlanInput) (*action.PlanResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.specs[p]
	for _, d := range p.deps {
		want, ok := m.model.content(d)
		if got := string(in.Text[m.artifactLocked(d)]); !ok || got != want {
			m.t.Errorf("plan %d reads %q of thing %d, want %q %v", p.id, got, d.id, want, ok)
		}
	}
	for _, w := range p.waits {
		want, ok := m.model.value(w, false)
		if got := in.Values[m.specs[w]]; !ok || got != want {
			m.t.Errorf("plan %d gets %v of plan %d, want %q %v", p.id, got, w.id, want, ok)
		}
	}
	r := &action.PlanResult{Value: "value " + strconv.Itoa(p.id)}
	if p.outputs {
		out := s.Plan.Outputs[0]
		if p.handed {
			r.Makers = map[*action.Artifact]*action.Spec{out: m.actionSpec(p.to, out)}
			m.arts[p.to] = out
		} else {
			r.Bind = map[*action.Artifact]*action.Artifact{out: m.artifactLocked(p.to)}
		}
	}
	for _, t := range p.goals {
		r.Goals = append(r.Goals, m.artifactLocked(t))
	}
	if p.follow != nil {
		r.Follow = m.plan(p.follow)
	}
	return r, nil
}

// machine runs commands: the real worker and decorators over a runner that needs
// no process.
type machine struct {
	worker.Worker
	world  *world
	rng    *rand.Rand
	mu     sync.Mutex
	ran    map[string]int
	stored map[digest.Digest]run.Result
	keys   map[digest.Digest]string
	after  int // cancels the run after so many commands; 0 never
	cancel context.CancelCauseFunc
}

func newMachine(rng *rand.Rand) *machine {
	m := &machine{rng: rng, stored: map[digest.Digest]run.Result{}, keys: map[digest.Digest]string{}}
	m.Store, m.Cache, m.Sources = &cas.Memory{}, m, m
	return m
}

// command begins a new command over the same cache.
func (m *machine) command(w *world) {
	m.world, m.ran = w, map[string]int{}
	m.Worker = worker.Worker{Store: m.Store, Cache: m, Sources: m, Runner: run.Once(run.Cached(runnerOf{m}, m))}
}

func (m *machine) Resolve(src *action.Source) (action.Content, error) {
	d, err := cas.PutBytes(context.Background(), m.Store, []byte(src.Path))
	return action.Content{File: d}, err
}

func (m *machine) Lookup(_ context.Context, b *action.Bound) (run.Result, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	res, ok := m.stored[b.Digest]
	if !ok || !run.Cacheable(b, res) {
		return run.Result{}, false, nil
	}
	res.Cache = "memory"
	return res, true, nil
}

func (m *machine) Record(_ context.Context, b *action.Bound, res run.Result) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored[res.Key] = res
	return nil
}

type runnerOf struct{ *machine }

func (r runnerOf) Run(ctx context.Context, b *action.Bound, h run.Hints) (run.Result, error) {
	release, err := h.Slot(ctx)
	if err != nil {
		return run.Result{}, err
	}
	defer release()
	cmd, err := strconv.Atoi(b.Argv[0])
	if err != nil {
		return run.Result{}, err
	}
	var in []string
	for i := 0; ; i++ {
		e, ok := b.Root.Lookup(fmt.Sprintf("in/%d", i))
		if !ok {
			break
		}
		if e.Kind != tree.File {
			return run.Result{}, errors.New("an input is no file")
		}
		in = append(in, e.File.Hex()[:8])
	}
	key := runKey(cmd, in)
	r.mu.Lock()
	r.ran[key]++
	r.keys[b.Digest] = key
	pause := time.Duration(r.rng.IntN(200)) * time.Microsecond
	if r.after--; r.after == 0 {
		r.cancel(errors.New("enough"))
	}
	r.mu.Unlock()
	d, err := cas.PutBytes(ctx, r.Store, []byte("made by "+key))
	if err != nil {
		return run.Result{}, err
	}
	c := action.Content{File: d}
	if r.world.early[cmd] {
		h.Early(b.Outputs[0].Path, c)
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return run.Result{}, context.Cause(ctx)
	}
	res := run.Result{Key: b.Digest, Stdout: digest.Empty, Stderr: digest.Empty, Outputs: map[string]action.Content{b.Outputs[0].Path: c}}
	if r.world.fails[cmd] {
		res.ExitCode = 1
	}
	return res, nil
}

// seeds is how many graphs are tried: GORULES_SEEDS says more.
func seeds(t *testing.T) uint64 {
	text := os.Getenv("GORULES_SEEDS")
	if text == "" {
		return 300
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("GORULES_SEEDS=%s: want a number", text)
	}
	return n
}

func TestRandomGraphs(t *testing.T) {
	for seed := range seeds(t) {
		rng := rand.New(rand.NewPCG(seed, 2))
		g := randomGraph(rng)
		m := newMachine(rand.New(rand.NewPCG(seed, 3)))
		for step := range 4 {
			if step > 0 {
				g.edit(rng)
			}
			m.after = 0
			if rng.IntN(6) == 0 {
				m.after = 1 + rng.IntN(6)
			}
			g.try(t, m, rng.IntN(3) > 0, 1+rng.IntN(4), rng)
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

// edit changes a source, or how a command ends. A command that ends in another
// way is another command: its results are not mixed up.
func (g *graphOf) edit(rng *rand.Rand) {
	for id := range g.things {
		if g.things[id].kind == aSource && rng.IntN(3) == 0 {
			g.world.version[g.things[id].id]++
		}
	}
}

// try runs the graph once and compares with the model.
func (g *graphOf) try(t *testing.T, m *machine, keepGoing bool, jobs int, rng *rand.Rand) {
	t.Helper()
	strict, loose := g.model(false), g.model(true)
	s := &made{graphOf: g, t: t, model: g.model(false), specs: map[*promise]*action.Spec{}, arts: map[*thing]*action.Artifact{}}
	var goals []schedule.Goal
	var wanted []*thing
	var plans []*promise
	for _, x := range g.things {
		if rng.IntN(3) == 0 {
			wanted = append(wanted, x)
			goals = append(goals, schedule.Goal{Artifact: s.artifact(x)})
			strict.content(x)
			loose.content(x)
		}
	}
	for _, p := range g.plans {
		if rng.IntN(3) == 0 {
			plans = append(plans, p)
			s.mu.Lock()
			goals = append(goals, schedule.Goal{Plan: s.plan(p)})
			s.mu.Unlock()
			strict.value(p, true)
			loose.value(p, true)
		}
	}
	known := map[string]bool{}
	for d := range m.stored {
		known[m.keys[d]] = true
	}
	m.command(&g.world)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	m.cancel = cancel
	told := map[*action.Spec]bool{}
	r, err := schedule.Run(ctx, goals, schedule.Options{Jobs: jobs, KeepGoing: keepGoing, Worker: m, Outdated: func(s *action.Spec) {
		if told[s] {
			t.Errorf("told twice that %s is outdated", s.Mnemonic)
		}
		told[s] = true
	}})
	cancelled := ctx.Err() != nil
	if err != nil && (!cancelled || err.Error() != "enough") {
		t.Fatalf("error %v", err)
	}
	complete := keepGoing && !cancelled
	check := func(what string, err error, got, want string, ok bool) {
		t.Helper()
		var f *schedule.Failure
		var not *schedule.NotAttempted
		switch {
		case err == nil && (!ok || got != want):
			t.Errorf("%s is %q, want %q %v", what, got, want, ok)
		case errors.As(err, &not) && complete:
			t.Errorf("%s: %v although nothing stopped the rest", what, err)
		case errors.As(err, &not) && !cancelled && len(r.Failures()) == 0:
			t.Errorf("%s: %v although nothing failed", what, err)
		case err != nil && not == nil && !errors.As(err, &f):
			t.Errorf("%s: %v", what, err)
		case err != nil && not == nil && ok:
			t.Errorf("%s failed: %v", what, err)
		}
	}
	for _, x := range wanted {
		c, err := r.Content(s.artifact(x))
		var got []byte
		if err == nil {
			got, _ = m.Text(t.Context(), c)
		}
		want, ok := strict.content(x)
		check(fmt.Sprint("thing ", x.id), err, string(got), want, ok)
	}
	for _, p := range plans {
		v, err := r.Value(s.specs[p])
		got, _ := v.(string)
		want, ok := strict.value(p, true)
		check(fmt.Sprint("plan ", p.id), err, got, want, ok)
	}
	for key, n := range m.ran {
		if n > 1 {
			t.Errorf("%s ran %d times", key, n)
		}
		if !loose.runs[key] {
			t.Errorf("%s ran and nobody needs it", key)
		}
		if known[key] && !mixed(g, key) {
			t.Errorf("%s ran although its result is known", key)
		}
	}
	kept := map[string]bool{}
	for d := range m.stored {
		kept[m.keys[d]] = true
	}
	for key := range kept {
		if !known[key] && !strict.kept[key] {
			t.Errorf("%s is kept: it failed, or rests on what failed later", key)
		}
	}
	if !complete {
		return
	}
	for key := range strict.runs {
		if m.ran[key] == 0 && !known[key] {
			t.Errorf("%s did not run", key)
		}
	}
	for key := range strict.kept {
		if !kept[key] {
			t.Errorf("%s is not kept", key)
		}
	}
	if maps.Equal(strict.runs, loose.runs) && len(r.Failures()) != len(strict.own) {
		t.Errorf("failures %v, want %d", r.Failures(), len(strict.own))
	}
}

// mixed reports whether equal actions of key are judged in different ways: who
// takes the exit code for a failure runs although another's result is known.
func mixed(g *graphOf, key string) bool {
	cmd, _, _ := strings.Cut(key, "(")
	n, _ := strconv.Atoi(cmd)
	return g.world.fails[n]
}
