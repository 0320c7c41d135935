package schedule

import (
	"fmt"
	"slices"
	"strings"

	"gorules/executor/internal/action"
)

// A CircleError says that things can never be made: each needs the next, and
// the last the first. Only plans can close a circle.
type CircleError struct{ Of []string }

// maxShown bounds how much of a long circle is shown.
const maxShown = 12

func (e *CircleError) Error() string {
	var b strings.Builder
	b.WriteString("a circle, none of which can ever be made:")
	for i, s := range e.Of {
		if i == maxShown && len(e.Of) > maxShown+1 {
			fmt.Fprintf(&b, "\n    (%d more, of which the last needs the first)", len(e.Of)-maxShown)
			break
		}
		b.WriteString("\n    " + s)
	}
	if len(e.Of) <= maxShown+1 {
		b.WriteString("\n    the first again")
	}
	b.WriteString("\na plan must not bind an output to what is made with that output")
	return b.String()
}

// aliasCircle words that a would be bound to to, which stands for a already.
func (g *graph) aliasCircle(a, to *action.Artifact) error {
	e := &CircleError{Of: []string{a.Path + " is bound to"}}
	for ; to != a; to = g.cells[to].alias {
		e.Of = append(e.Of, to.Path+" is bound to")
	}
	return e
}

// breakCircles is called when no worker is left. What still waits then, waits in
// a circle or for one: each circle fails as a whole. It returns false when
// nothing waits.
func (g *graph) breakCircles() bool {
	const (
		unseen = iota
		onWay
		seen
	)
	color := map[*node]int{}
	found, stuck := false, 0
	for _, root := range g.nodes {
		if !g.stuck(root) {
			continue
		}
		stuck++
		if color[root] != unseen {
			continue
		}
		type step struct {
			n    *node
			left []wait // what it waits for and was not looked at
			via  string // for what of n the one before waits
		}
		way := []step{{root, g.waitsFor(root), ""}}
		color[root] = onWay
		for len(way) > 0 {
			s := &way[len(way)-1]
			if len(s.left) == 0 {
				color[s.n] = seen
				way = way[:len(way)-1]
				continue
			}
			next := s.left[len(s.left)-1]
			s.left = s.left[:len(s.left)-1]
			switch color[next.node] {
			case unseen:
				color[next.node] = onWay
				way = append(way, step{next.node, g.waitsFor(next.node), next.via})
			case onWay:
				circle, via := []wait{}, next.via
				for i := len(way) - 1; ; i-- {
					circle = append(circle, wait{way[i].n, via})
					if way[i].n == next.node {
						break
					}
					via = way[i].via
				}
				g.failCircle(circle)
				found = true
			}
		}
	}
	if stuck > 0 && !found {
		panic(fmt.Sprintf("schedule: %d nodes wait for nothing", stuck))
	}
	return found
}

// stuck reports whether n waits for something.
func (g *graph) stuck(n *node) bool {
	return n.state == waiting || n.state == done && n.value.wanted && !n.value.ready && n.value.failure == nil
}

// A wait is for a node, because of something of it.
type wait struct {
	node *node
	via  string
}

// waitsFor lists the nodes that keep n from going on.
func (g *graph) waitsFor(n *node) []wait {
	var out []wait
	add := func(m *node, via string) {
		if m != nil && g.stuck(m) {
			out = append(out, wait{m, via})
		}
	}
	if n.state == done {
		add(n.value.follows, "is what that plan comes to, which is")
		return out
	}
	eachInput(n.spec, func(a *action.Artifact) {
		if c := g.find(a); c != nil && !c.ready {
			add(c.maker, "needs "+a.Path+", which is made by")
		}
	})
	if n.spec.Plan != nil {
		for _, w := range n.spec.Plan.Waits {
			if m := g.nodes[w]; m != nil && !m.value.ready {
				add(m, "waits for what that plan comes to, which is")
			}
		}
	}
	return out
}

// failCircle fails a circle, given against the direction of need, in the name
// of the oldest of its plans, if there is one, with which the message begins.
func (g *graph) failCircle(circle []wait) {
	slices.Reverse(circle)
	first := 0
	for i, w := range circle {
		n, b := w.node, circle[first].node
		if better := n.spec.Plan != nil; better == (b.spec.Plan != nil) && n.id < b.id || better && b.spec.Plan == nil {
			first = i
		}
	}
	e := &CircleError{}
	for _, w := range slices.Concat(circle[first:], circle[:first]) {
		e.Of = append(e.Of, fmt.Sprintf("%s of %s %s", w.node.spec.Mnemonic, w.node.spec.Owner, w.via))
	}
	n := circle[first].node
	f := &Failure{Spec: n.spec, Err: e}
	if n.state == done { // its function ended, its value never will
		g.report(f, Done{ID: n.id, Spec: n.spec, Failure: f})
		g.failValue(n, f)
		return
	}
	g.fail(n, f)
}
