package explain

import "errors"

// errNoAttention says that a method of transformers was asked of a model that is none.
var errNoAttention = errors.New("explain: the model has no attention over patches; ask for another method")

// patchAttentions are the attentions whose tokens are patches of the picture.
func (c *compiler) patchAttentions() ([]attention, error) {
	if c.attended == nil {
		for _, a := range c.g.attentions(c.head) {
			if a.height > 0 && (len(c.attended) == 0 || c.attended[0].tokens == a.tokens) {
				c.attended = append(c.attended, a)
			}
		}
	}
	if len(c.attended) == 0 {
		return nil, errNoAttention
	}
	return c.attended, nil
}

func attentionOnly(c *compiler, _ *target) ([]need, error) {
	_, err := c.patchAttentions()
	return nil, err
}

func attentionGradients(c *compiler, _ *target) ([]need, error) {
	all, err := c.patchAttentions()
	var needs []need
	for _, a := range all {
		needs = append(needs, need{plain, a.tensor})
	}
	return needs, err
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
	return c.toPatches(rolled)
}

// gradientAttention: what an attention adds is its positive product with its gradient, mean over the heads.
func gradientAttention(c *compiler, _ *target, grads []string) string {
	rolled := c.op("Unsqueeze", []string{c.identity(c.attended[0].tokens), c.ints(0)})
	for i, a := range c.attended {
		weighted := c.overHeads(c.op("Relu", []string{c.mul(grads[i], a.tensor)}))
		rolled = c.plus(rolled, c.op("MatMul", []string{weighted, rolled}))
	}
	return c.toPatches(rolled)
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

// toPatches is the class token's row on the grid; where there is no class token, the mean of all rows.
func (c *compiler) toPatches(m string) string {
	a := c.attended[0]
	row := c.meanOver(m, true, 1, int64(a.tokens))
	if a.prefix > 0 {
		row = c.op("Slice", []string{m, c.ints(0), c.ints(1), c.ints(1)})
	}
	row = c.op("Slice", []string{row, c.ints(int64(a.prefix)), c.ints(int64(a.prefix + a.height*a.width)), c.ints(2)})
	return c.reshape(row, -1, int64(a.height), int64(a.width))
}
