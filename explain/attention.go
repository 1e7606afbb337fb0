package explain

import "errors"

// errNoAttention says that a method of transformers was asked of a model that is none.
var errNoAttention = errors.New("explain: the model has no attention over patches or frames; ask for another method")

// attentionsRead are the attentions whose tokens are patches of the picture, or else frames of the clip.
func (c *compiler) attentionsRead() ([]attention, error) {
	if c.attended == nil {
		all := c.g.attentions(c.head)
		for _, over := range []func(a attention) bool{
			func(a attention) bool { return a.height > 0 },
			func(a attention) bool { return a.frames > 0 },
		} {
			for _, a := range all {
				if over(a) && (len(c.attended) == 0 || c.attended[0].tokens == a.tokens) {
					c.attended = append(c.attended, a)
				}
			}
			if len(c.attended) > 0 {
				break
			}
		}
	}
	if len(c.attended) == 0 {
		return nil, errNoAttention
	}
	return c.attended, nil
}

func attentionOnly(c *compiler, _ *target) ([]need, error) {
	_, err := c.attentionsRead()
	return nil, err
}

func attentionGradients(c *compiler, _ *target) ([]need, error) {
	all, err := c.attentionsRead()
	var needs []need
	for _, a := range all {
		needs = append(needs, need{plain, a.tensor})
	}
	return needs, err
}

// attentionWeights are the matrices of all layers, from the input up, as they are.
func attentionWeights(c *compiler, _ *target, _ []string) string {
	var all []string
	for _, a := range c.attended {
		all = append(all, c.overHeads(a.tensor))
	}
	return c.op("Concat", all, intAttr("axis", 0))
}

// attentionRollout: half of every token stays where it is; the matrices of all layers are multiplied.
func attentionRollout(c *compiler, _ *target, _ []string) string {
	rolled := ""
	for _, a := range c.attended {
		half := c.times(c.plus(c.overHeads(a.tensor), c.identity(a.tokens)), 0.5)
		row := c.div(half, c.reduceSum(half, true, 2))
		if rolled != "" {
			row = c.op("MatMul", []string{row, rolled})
		}
		rolled = row
	}
	return c.toPlaces(rolled)
}

// gradientAttention: what an attention adds is its positive product with its gradient, mean over the heads.
func gradientAttention(c *compiler, _ *target, grads []string) string {
	rolled := c.op("Unsqueeze", []string{c.identity(c.attended[0].tokens), c.ints(0)})
	for i, a := range c.attended {
		weighted := c.overHeads(c.op("Relu", []string{c.mul(grads[i], a.tensor)}))
		rolled = c.plus(rolled, c.op("MatMul", []string{weighted, rolled}))
	}
	return c.toPlaces(rolled)
}

// overHeads is the mean over heads, 1×T×T: attention maps are of one input at a time.
func (c *compiler) overHeads(a string) string {
	dims := c.g.shape(c.attended[0].tensor)
	t := dims[len(dims)-1]
	heads := c.op("Reshape", []string{a, c.ints(1, -1, t, t)})
	return c.meanOver(heads, false, 1, size(dims)/(t*t))
}

func (c *compiler) identity(n int) string {
	v := make([]float32, n*n)
	for i := range n {
		v[i*n+i] = 1
	}
	return c.floats([]int64{int64(n), int64(n)}, v...)
}

// toPlaces is the class token's row on the grid, or over the frames; where there is no class token, the mean of all rows.
func (c *compiler) toPlaces(m string) string {
	a := c.attended[0]
	row := c.meanOver(m, true, 1, int64(a.tokens))
	if a.prefix > 0 {
		row = c.op("Slice", []string{m, c.ints(0), c.ints(1), c.ints(1)})
	}
	height, width, _ := a.grid()
	row = c.op("Slice", []string{row, c.ints(int64(a.prefix)), c.ints(int64(a.prefix + a.places())), c.ints(2)})
	return c.reshape(row, -1, int64(height), int64(width))
}
