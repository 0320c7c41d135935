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
	b.WriteString("a circle, none of which can ever be made; a plan bound an output to something that waits for it:")
	for i, s := range e.Of {
		if i == maxShown && len(e.Of) > maxShown+1 {
			fmt.Fprintf(&b, "\n    ... %d more ->", len(e.Of)-maxShown)
			break
		}
		b.WriteString("\n    " + s + " ->")
	}
	b.WriteString("\n    " + e.Of[0])
	return b.String()
}

// aliasCircle words that a would be bound to to, which stands for a already.
func (g *graph) aliasCircle(a, to *action.Artifact) error {
	e := &CircleError{Of: []string{"output " + a.Path}}
	for ; to != a; to = g.cells[to].alias {
		e.Of = append(e.Of, "output "+to.Path)
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
			left []*node // what it waits for and was not looked at
		}
		way := []step{{root, g.waitsFor(root)}}
		color[root] = onWay
		for len(way) > 0 {
			s := &way[len(way)-1]
			if len(s.left) == 0 {
				color[s.n] = seen
				way = way[:len(way)-1]
				continue
			}
			next := pop(&s.left)
			switch color[next] {
			case unseen:
				color[next] = onWay
				way = append(way, step{next, g.waitsFor(next)})
			case onWay:
				var circle []*node
				for i := len(way) - 1; ; i-- {
					circle = append(circle, way[i].n)
					if way[i].n == next {
						break
					}
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

// waitsFor lists the nodes that keep n from going on.
func (g *graph) waitsFor(n *node) []*node {
	var out []*node
	add := func(m *node) {
		if m != nil && g.stuck(m) {
			out = append(out, m)
		}
	}
	if n.state == done {
		add(n.value.follows)
		return out
	}
	eachInput(n.spec, func(a *action.Artifact) {
		if c := g.find(a); c != nil && !c.ready {
			add(c.maker)
		}
	})
	if n.spec.Plan != nil {
		for _, w := range n.spec.Plan.Waits {
			if m := g.nodes[w]; m != nil && !m.value.ready {
				add(m)
			}
		}
	}
	return out
}

// failCircle fails a circle, given against the direction of need, in the name
// of the oldest of its plans, with which the message begins.
func (g *graph) failCircle(circle []*node) {
	slices.Reverse(circle)
	first := 0
	for i, n := range circle {
		b := circle[first]
		if b.spec.Plan == nil || n.spec.Plan != nil && n.id < b.id {
			first = i
		}
	}
	e := &CircleError{}
	for _, n := range slices.Concat(circle[first:], circle[:first]) {
		e.Of = append(e.Of, fmt.Sprintf("%s of %s", n.spec.Mnemonic, n.spec.Owner))
	}
	n := circle[first]
	f := &Failure{Spec: n.spec, Err: e}
	if n.state == done { // its function ended, its value never will
		g.report(f, Done{ID: n.id, Spec: n.spec, Failure: f})
		g.failValue(n, f)
		return
	}
	g.fail(n, f)
}
