package run

import (
	"context"
	"path"
	"slices"

	"gorules/executor/internal/action"
	"gorules/executor/internal/sandbox"
)

// Observed finds the results of actions that have scopes, and runs those that have
// none. What an action declares says too little: it is in its key, and under that
// key it is remembered what runs of it looked at. Each of these observations is
// compared with the scopes as they are now, and gives the key of the action
// narrowed to what it names; under one of these keys the result is found. Where it
// is not, the action runs with its scopes, and its result is stored under the key
// of the action narrowed to what this run looked at.
//
// So the key is still the bytes that run, and a run that looked at nothing else
// comes to the same with nothing else there.
type Observed struct {
	Next  Runner // of what has no scope, also from caches
	Local Runner // runs what has one
	Cache ActionCache
	Known Observations

	// Unseen, where not nil, says that the host lets nothing be observed. It is
	// asked for each action with a scope.
	Unseen func() bool

	// Saw, where not nil, is told on what of a source a result rests.
	Saw func(src *action.Source, at string, looks []action.Look) error
}

// Run implements Runner.
func (o *Observed) Run(ctx context.Context, b *action.Bound, h Hints) (Result, error) {
	if len(b.Scopes) == 0 {
		return o.Next.Run(ctx, b, h)
	}
	if b.NoSandbox || o.Unseen != nil && o.Unseen() {
		whole, err := b.Everything()
		if err != nil {
			return Result{}, err
		}
		var all action.Observation
		for _, sc := range b.Scopes {
			all = append(all, everything(&sc)...)
		}
		if err := o.saw(b, action.NewObservation(all)); err != nil {
			return Result{}, err
		}
		res, err := o.Next.Run(ctx, whole, h)
		res.Bound = whole
		return res, err
	}
	if !h.NoLookup {
		if res, ok, err := o.find(ctx, b); ok || err != nil {
			return res, err
		}
	}
	res, err := o.Local.Run(ctx, b, h)
	if err != nil {
		return res, err
	}
	seen := res.Looks
	narrowed, err := b.Narrow(seen)
	if err == nil {
		err = o.saw(b, seen)
	}
	if err != nil {
		return Result{}, err
	}
	res.Key, res.Bound = narrowed.Digest, narrowed
	if Cacheable(b, res) {
		err = o.Known.Add(b.Digest, seen)
	}
	return res, err
}

// find looks for a result of b as its scopes are now.
func (o *Observed) find(ctx context.Context, b *action.Bound) (Result, bool, error) {
	for _, seen := range o.Known.Known(b.Digest) {
		narrowed, err := b.Narrow(seen)
		if err != nil {
			return Result{}, false, err
		}
		res, ok, err := o.Cache.Lookup(ctx, narrowed)
		if err != nil {
			return Result{}, false, err
		}
		if ok {
			res.Bound = narrowed
			return res, true, o.saw(b, seen)
		}
	}
	return Result{}, false, nil
}

// saw tells Saw of each scope what of it is in seen.
func (o *Observed) saw(b *action.Bound, seen action.Observation) error {
	if o.Saw == nil {
		return nil
	}
	for i := range b.Scopes {
		sc := &b.Scopes[i]
		if sc.Source == nil {
			continue
		}
		var looks []action.Look
		for _, l := range seen {
			if sc.Holds(l.Path) {
				looks = append(looks, l)
			}
		}
		if err := o.Saw(sc.Source, sc.Path, looks); err != nil {
			return err
		}
	}
	return nil
}

// everything is the observation of one who looks at all of sc.
func everything(sc *action.BoundScope) []action.Look {
	var out []action.Look
	var add func(p string)
	add = func(p string) {
		out = append(out, action.Look{Path: p, What: action.Kind | action.Bytes | action.Names})
		names, err := sc.Names(p)
		if err != nil {
			return // whoever reads it says so
		}
		for _, e := range names {
			add(path.Join(p, e.Name))
		}
	}
	for _, f := range sc.Folders() {
		add(f)
	}
	return out
}

// looked is what a process looked at, as far as that is not what it makes itself.
func looked(b *action.Bound, all []sandbox.Look) action.Observation {
	looks := make([]action.Look, 0, len(all))
	for _, l := range all {
		var w action.What
		for from, to := range map[sandbox.What]action.What{sandbox.LookKind: action.Kind, sandbox.LookContent: action.Bytes, sandbox.LookNames: action.Names} {
			if l.What&from != 0 {
				w |= to
			}
		}
		looks = append(looks, action.Look{Path: l.Path, What: w})
	}
	return slices.DeleteFunc(action.NewObservation(looks), func(l action.Look) bool {
		return slices.ContainsFunc(b.Outputs, func(o action.BoundOutput) bool { return action.Below(l.Path, o.Path) })
	})
}
