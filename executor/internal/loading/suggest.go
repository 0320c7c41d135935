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

// editDistance is the Levenshtein distance in bytes, or limit if that is not less.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
