package schedule

import "context"

// Two nodes whose bound actions have one digest are the same work: the first
// to miss the cache leads and runs, the others are its twins and get what it
// gets. Edges are not touched; each keeps its own artifacts.

// lead queues n, or makes it a twin of the node that has its action already.
func (s *Scheduler) lead(ctx context.Context, n *node) {
	leader := s.leaders[n.bound.Digest]
	switch {
	case leader == nil || leader.state == failed:
		s.leaders[n.bound.Digest] = n
		s.queue.push(n)
	case leader.state == done:
		s.set(n, done)
		s.finish(ctx, n, leader.outcome.shared())
	default:
		leader.twins = append(leader.twins, n)
		for _, e := range leader.early {
			s.publish(ctx, n, e)
		}
	}
}

// tellTwins ends the twins of a leader whose run has ended.
func (s *Scheduler) tellTwins(ctx context.Context, leader *node) {
	for _, t := range take(&leader.twins) {
		switch {
		case t.state == failed:
		case leader.state == done:
			s.set(t, done)
			s.finish(ctx, t, leader.outcome.shared())
		case leader.failure != nil && leader.failure.Spec == leader.spec:
			f := *leader.failure
			f.Spec, f.Bound = t.spec, t.bound
			s.fail(ctx, t, &f)
		default: // the leader fell with a producer that t need not have: run t itself
			s.lead(ctx, t)
		}
	}
}

// shared is o as a twin reports it.
func (o *Outcome) shared() *Outcome {
	c := *o
	c.Cached = true
	if !o.Cached {
		c.Runner = "deduplicated"
	}
	return &c
}
