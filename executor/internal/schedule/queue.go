package schedule

import "container/heap"

// queue is a heap of nodes: highest priority first, then oldest.
type queue struct{ h nodeHeap }

func (q *queue) push(n *node)   { heap.Push(&q.h, n) }
func (q *queue) pop() *node     { return heap.Pop(&q.h).(*node) }
func (q *queue) fix(n *node)    { heap.Fix(&q.h, n.index) }
func (q *queue) remove(n *node) { heap.Remove(&q.h, n.index) }
func (q *queue) len() int       { return len(q.h) }

type nodeHeap []*node

func (h nodeHeap) Len() int { return len(h) }
func (h nodeHeap) Less(i, j int) bool {
	if h[i].priority != h[j].priority {
		return h[i].priority > h[j].priority
	}
	return h[i].id < h[j].id
}
func (h nodeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *nodeHeap) Push(x any) {
	n := x.(*node)
	n.index = len(*h)
	*h = append(*h, n)
}
func (h *nodeHeap) Pop() any {
	old := *h
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	n.index = -1
	return n
}
