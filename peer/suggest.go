package peer

// suggest returns the candidate nearest to name, one slip of the finger away,
// two in names of five characters and more, three from nine on; "" if none is.
func suggest(name string, candidates []string) string {
	limit := 1
	switch {
	case len(name) >= 9:
		limit = 3
	case len(name) >= 5:
		limit = 2
	}
	best := ""
	for _, c := range candidates {
		if d := slips(name, c); d <= limit && d < len(c) {
			best, limit = c, d-1
		}
	}
	return best
}

// slips counts the insertions, deletions, changes and swaps of neighbours that
// make b of a (optimal string alignment, by bytes).
func slips(a, b string) int {
	// Three rows: two back for swaps, one back, and the one being filled.
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			now[j] = min(change, last[j]+1, now[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
