package explain

import (
	"fmt"
	"slices"
	"strings"
)

// lowerEinsum writes a sum of products as what has a rule: two factors a time, with their result and every axis named, of which each
// that is summed is in both.
func lowerEinsum(b *builder, n *node) string {
	terms, result, why := b.g.labels(n)
	if why != "" {
		return why
	}
	if len(terms) == 2 && strings.ReplaceAll(n.attrString("equation", ""), " ", "") == terms[0]+","+terms[1]+"->"+result && without(terms[0], terms[1]+result) == "" && without(terms[1], terms[0]+result) == "" {
		return "" // as it is
	}
	x, term := b.within(n.in(0), terms[0], strings.Join(terms[1:], "")+result)
	for i, other := range terms[1:] {
		later := strings.Join(terms[i+2:], "") + result
		y, label := b.within(n.in(i+1), other, term+later)
		x, term = b.within(x, term, label+later)
		to := result
		if i+2 < len(terms) {
			to = ""
			for _, c := range term + label {
				if strings.ContainsRune(later, c) && !strings.ContainsRune(to, c) {
					to += string(c)
				}
			}
		}
		x, term = b.op("Einsum", []string{x, y}, stringAttr("equation", term+","+label+"->"+to)), to
	}
	if term != result {
		perm := make([]int64, len(result))
		for i, c := range result {
			perm[i] = int64(strings.IndexRune(term, c))
		}
		x = b.op("Transpose", []string{x}, intsAttr("perm", perm...))
	}
	b.named(x, n.out(0))
	return ""
}

// without are the labels of a term that are not among others.
func without(term, others string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(others, c) {
			return -1
		}
		return c
	}, term)
}

// within sums over the axes of a factor that nothing else has.
func (b *builder) within(x, term, others string) (sum, left string) {
	alone := without(term, others)
	if alone == "" {
		return x, term
	}
	var axes []int64
	for i, c := range term {
		if strings.ContainsRune(alone, c) {
			axes = append(axes, int64(i))
		}
	}
	return b.reduceSum(x, false, axes...), without(term, alone)
}

// labels are the terms of an Einsum and its result, with a letter for each axis: those that dots stand for, and a result that is left out, too.
func (g *graph) labels(n *node) (terms []string, result, why string) {
	equation := strings.ReplaceAll(n.attrString("equation", ""), " ", "")
	left, result, given := strings.Cut(equation, "->")
	terms = strings.Split(left, ",")
	if len(terms) != len(n.Input) {
		return nil, "", "it has another number of factors than " + equation
	}
	free := ""
	for c := 'A'; c <= 'Z'; c++ {
		if !strings.ContainsRune(equation, c) {
			free += string(c)
		}
	}
	most := 0
	for i, term := range terms {
		if before, after, dots := strings.Cut(term, "..."); dots {
			most = max(most, len(g.shape(n.Input[i]))-len(before+after))
		}
	}
	if most > len(free) {
		return nil, "", "it has too many axes"
	}
	size := map[rune]int64{}
	for i, term := range terms {
		before, after, dots := strings.Cut(term, "...")
		dims := g.shape(n.Input[i])
		if dots {
			terms[i] = before + free[most-max(len(dims)-len(before+after), 0):most] + after
		}
		if len(terms[i]) != len(dims) {
			return nil, "", fmt.Sprintf("%s does not fit a tensor of shape %v", term, dims)
		}
		for k, c := range terms[i] {
			if strings.ContainsRune(terms[i][:k], c) {
				return nil, "", "a label that is repeated in one factor cannot be differentiated: " + equation
			}
			if s, ok := size[c]; ok && s != dims[k] {
				return nil, "", "axes of other lengths under one label cannot be differentiated: " + equation
			}
			size[c] = dims[k]
		}
	}
	if given {
		return terms, strings.Replace(result, "...", free[:most], 1), ""
	}
	once, all := []rune{}, strings.Join(terms, "")
	for _, c := range all {
		if strings.Count(all, string(c)) == 1 && !strings.ContainsRune(free[:most], c) {
			once = append(once, c)
		}
	}
	slices.Sort(once)
	return terms, free[:most] + string(once), ""
}
