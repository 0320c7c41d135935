package journal

// History is the latest entry of each piece of work, over all builds.
type History struct {
	forms map[string]*Entry
	works map[string][]*Entry
}

// NewHistory makes a History of entries, the later of which win.
func NewHistory(entries []*Entry) *History {
	h := &History{forms: make(map[string]*Entry, len(entries)), works: map[string][]*Entry{}}
	for _, e := range entries {
		h.forms[e.form()] = e
	}
	for _, e := range entries {
		if h.forms[e.form()] == e {
			h.works[e.work()] = append(h.works[e.work()], e)
		}
	}
	return h
}

// Before returns the entry that e replaces: the one that made the same files,
// or, where e makes others (a new version's), the one of the same work whose
// command is most like e's.
func (h *History) Before(e *Entry) *Entry {
	if old := h.forms[e.form()]; old != nil {
		return old
	}
	var best *Entry
	least := 0
	for _, old := range h.works[e.work()] {
		if n := distance(old.Argv, e.Argv); best == nil || n < least {
			best, least = old, n
		}
	}
	return best
}

// distance counts the words that only one of two commands has, identities aside.
func distance(a, b []string) int {
	words := map[string]int{}
	for _, w := range a {
		words[masked(w)]++
	}
	n := len(a)
	for _, w := range b {
		if w = masked(w); words[w] > 0 {
			words[w]--
			n--
		} else {
			n++
		}
	}
	return n
}

// maxHistory bounds the entries that are kept: a few builds of a large workspace.
const maxHistory = 20_000

// With returns the history's entries with newer ones in their places.
func (h *History) With(newer []*Entry) []*Entry {
	out := make([]*Entry, 0, len(h.forms)+len(newer))
	replaced := make(map[string]bool, len(newer))
	for _, e := range newer {
		replaced[e.form()] = true
	}
	for form, e := range h.forms {
		if !replaced[form] && len(out)+len(newer) < maxHistory {
			out = append(out, e)
		}
	}
	return append(out, newer...)
}
