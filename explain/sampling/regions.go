package sampling

// joinRegions makes labels of connected regions: what hangs apart from the rest of its label is a region of
// its own, and one of fewer than least pixels joins a neighbour (Achanta et al. 2012, section 3, last
// paragraph). Labels are numbered anew, row by row, from 0 to count-1.
func joinRegions(labels []int, width, height, least int) (joined []int, count int) {
	f := newForest(len(labels))
	eachNeighbour(width, height, func(a, b int) {
		if labels[a] == labels[b] {
			f.union(a, b)
		}
	})
	// Regions only grow, and each pair of neighbours is looked at: none that is too small is left.
	eachNeighbour(width, height, func(a, b int) {
		if min(f.size[f.root(a)], f.size[f.root(b)]) < least {
			f.union(a, b)
		}
	})
	joined, numbers := make([]int, len(labels)), map[int]int{}
	for at := range joined {
		root := f.root(at)
		if _, known := numbers[root]; !known {
			numbers[root] = len(numbers)
		}
		joined[at] = numbers[root]
	}
	return joined, len(numbers)
}

// eachNeighbour calls do with each pair of pixels that share a side.
func eachNeighbour(width, height int, do func(a, b int)) {
	for at := range width * height {
		if at%width < width-1 {
			do(at, at+1)
		}
		if at/width < height-1 {
			do(at, at+width)
		}
	}
}

// forest is sets of pixels, each a tree (union by size, paths halved).
type forest struct{ parent, size []int }

func newForest(n int) forest {
	f := forest{make([]int, n), make([]int, n)}
	for i := range n {
		f.parent[i], f.size[i] = i, 1
	}
	return f
}

func (f forest) root(i int) int {
	for f.parent[i] != i {
		f.parent[i] = f.parent[f.parent[i]]
		i = f.parent[i]
	}
	return i
}

func (f forest) union(a, b int) {
	a, b = f.root(a), f.root(b)
	if a == b {
		return
	}
	if f.size[a] < f.size[b] {
		a, b = b, a
	}
	f.parent[b], f.size[a] = a, f.size[a]+f.size[b]
}
