package loading

import (
	"fmt"
	"slices"
)

// Suggest returns " (did you mean 'x'?)" for the name in names nearest to name,
// or "" if none is near. Ties go to the first in text order.
func Suggest(name string, names []string) string {
	best, least := "", min(1+len(name)/3, len(name)/2)+1
	slices.Sort(names)
	for _, n := range names {
		if n == "" || n == name {
			continue
		}
		if d := editDistance(name, n, least); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean '%s'?)", best)
}

// editDistance is the number of bytes to insert, delete, replace or swap with
// their neighbour to get from a to b, or limit if that is not less.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			d := last[j]
			if a[i] != b[j] {
				d++
			}
			row[j+1] = min(d, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return min(last[len(b)], limit)
}
