package explain

// rule is the vector-Jacobian product of one operator: from the gradients of the outputs ("" where
// none) to those of the inputs. It asks [walk.wants] before it makes one.
type rule func(w *walk, n *node, dy []string) (dx []string, err error)

// operator is what the compiler knows of an operator of the ONNX standard.
type operator struct {
	vjp rule
	// inputs says how many leading inputs a gradient can flow to; 0 means all. The others are
	// sizes, axes and the like.
	inputs int
	// pointwise operators keep a layer's activation what it is: they follow a convolution
	// without changing the place of anything.
	pointwise bool
	// stop: the output does not depend on the input's values smoothly; its gradient is zero.
	stop bool
}

// operators is the table of everything that can be differentiated. It is read only.
func operators() map[string]operator { return table }

var table map[string]operator

func init() {
	table = map[string]operator{
		"Conv":          {vjp: vjpConv},
		"ConvTranspose": {vjp: vjpConvTranspose},

		"BatchNormalization": {vjp: vjpBatchNormalization, pointwise: true},
		"LRN":                {vjp: vjpLRN, pointwise: true},

		"LayerNormalization":    {vjp: vjpNorm, inputs: 1, pointwise: true},
		"InstanceNormalization": {vjp: vjpNorm, inputs: 1, pointwise: true},
		"GroupNormalization":    {vjp: vjpNorm, inputs: 1, pointwise: true},
		"RMSNormalization":      {vjp: vjpNorm, inputs: 1, pointwise: true},
		"LpNormalization":       {vjp: vjpNorm, pointwise: true},

		"MeanVarianceNormalization": {vjp: vjpNorm, pointwise: true},

		"MaxPool":           {vjp: vjpMaxPool},
		"AveragePool":       {vjp: vjpAveragePool},
		"GlobalAveragePool": {vjp: vjpGlobalAveragePool},
		"GlobalMaxPool":     {vjp: vjpGlobalMaxPool},
		"ReduceMean":        {vjp: vjpReduceMean, inputs: 1},
		"ReduceSum":         {vjp: vjpReduceSum, inputs: 1},
		"ReduceMax":         {vjp: vjpReduceExtreme, inputs: 1},
		"ReduceMin":         {vjp: vjpReduceExtreme, inputs: 1},
		"ReduceL1":          {vjp: vjpReduceL1, inputs: 1},
		"ReduceL2":          {vjp: vjpReduceL2, inputs: 1},
		"ReduceSumSquare":   {vjp: vjpReduceSumSquare, inputs: 1},
		"ReduceLogSumExp":   {vjp: vjpReduceLogSumExp, inputs: 1},
		"CumSum":            {vjp: vjpCumSum, inputs: 1},

		"MaxUnpool": {vjp: vjpMaxUnpool, inputs: 1},
		"Col2Im":    {vjp: vjpCol2Im, inputs: 1},
		"DFT":       {vjp: vjpDFT, inputs: 1},

		"Gemm":   {vjp: vjpGemm},
		"Einsum": {vjp: vjpEinsum},
		"MatMul": {vjp: vjpMatMul},

		"Add": {vjp: vjpAdd, pointwise: true},
		"Sub": {vjp: vjpSub, pointwise: true},
		"Mul": {vjp: vjpMul, pointwise: true},
		"Div": {vjp: vjpDiv, pointwise: true},
		"Sum": {vjp: vjpSum, pointwise: true},
		"Pow": {vjp: vjpPow, inputs: 1, pointwise: true},

		"Mean": {vjp: vjpMean, pointwise: true},

		"Relu":            {vjp: vjpRelu, pointwise: true},
		"LeakyRelu":       {vjp: vjpLeakyRelu, pointwise: true},
		"PRelu":           {vjp: vjpPRelu, inputs: 1, pointwise: true},
		"Elu":             {vjp: vjpElu, pointwise: true},
		"Clip":            {vjp: vjpClip, inputs: 1, pointwise: true},
		"Sigmoid":         {vjp: vjpSigmoid, pointwise: true},
		"HardSigmoid":     {vjp: vjpHardSigmoid, pointwise: true},
		"HardSwish":       {vjp: vjpHardSwish, pointwise: true},
		"Tanh":            {vjp: vjpTanh, pointwise: true},
		"Softplus":        {vjp: vjpSoftplus, pointwise: true},
		"Exp":             {vjp: vjpExp, pointwise: true},
		"Log":             {vjp: vjpLog, pointwise: true},
		"Sqrt":            {vjp: vjpSqrt, pointwise: true},
		"Reciprocal":      {vjp: vjpReciprocal, pointwise: true},
		"Erf":             {vjp: vjpErf, pointwise: true},
		"Abs":             {vjp: vjpAbs, pointwise: true},
		"Neg":             {vjp: vjpNeg, pointwise: true},
		"Gelu":            {vjp: vjpGelu, pointwise: true},
		"Mish":            {vjp: vjpMish, pointwise: true},
		"Selu":            {vjp: vjpSelu, pointwise: true},
		"Celu":            {vjp: vjpCelu, pointwise: true},
		"ThresholdedRelu": {vjp: vjpThresholdedRelu, pointwise: true},
		"Shrink":          {vjp: vjpShrink, pointwise: true},
		"Swish":           {vjp: vjpSwish, pointwise: true},
		"Softsign":        {vjp: vjpSoftsign, pointwise: true},
		"Max":             {vjp: vjpExtreme, pointwise: true},
		"Min":             {vjp: vjpExtreme, pointwise: true},
		"Where":           {vjp: vjpWhere, pointwise: true},
		"Mod":             {vjp: vjpMod, inputs: 1, pointwise: true},

		"Softmax":    {vjp: vjpSoftmax},
		"LogSoftmax": {vjp: vjpLogSoftmax},

		// as the float network that was quantised; not part of a layer's activation, which they round
		"QuantizeLinear":   {vjp: vjpQuantizeLinear, inputs: 1},
		"DequantizeLinear": {vjp: vjpDequantizeLinear, inputs: 1},

		"DynamicQuantizeLinear": {vjp: vjpDynamicQuantizeLinear}, // its scale counts as constant

		"Identity":  {vjp: vjpIdentity, pointwise: true},
		"Dropout":   {vjp: vjpIdentity, inputs: 1, pointwise: true},
		"Cast":      {vjp: vjpCast, pointwise: true},
		"CastLike":  {vjp: vjpCast, inputs: 1, pointwise: true},
		"Trilu":     {vjp: vjpTrilu, inputs: 1},
		"Flatten":   {vjp: vjpReshape},
		"Reshape":   {vjp: vjpReshape, inputs: 1},
		"Squeeze":   {vjp: vjpReshape, inputs: 1},
		"Unsqueeze": {vjp: vjpReshape, inputs: 1},
		"Transpose": {vjp: vjpTranspose},
		"Concat":    {vjp: vjpConcat, pointwise: true},
		"Split":     {vjp: vjpSplit, inputs: 1},
		"Slice":     {vjp: vjpSlice, inputs: 1},
		"Pad":       {vjp: vjpPad, inputs: 1},
		"Expand":    {vjp: vjpExpand, inputs: 1},
		"Tile":      {vjp: vjpTile, inputs: 1},
		"Gather":    {vjp: vjpGather, inputs: 1},
		"Resize":    {vjp: vjpResize, inputs: 1},

		"GatherElements":  {vjp: vjpGatherElements, inputs: 1},
		"GatherND":        {vjp: vjpGatherND, inputs: 1},
		"ScatterElements": {vjp: vjpScatter},
		"ScatterND":       {vjp: vjpScatter},

		"DepthToSpace": {vjp: vjpDepthToSpace},
		"SpaceToDepth": {vjp: vjpSpaceToDepth},
	}
	for typ, slope := range slopes {
		table[typ] = operator{vjp: bySlope(slope), pointwise: true}
	}
	for _, typ := range []string{
		"Shape", "Size", "ArgMax", "ArgMin", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Not",
		"And", "Or", "Xor", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "IsNaN", "IsInf", "Sign", "Floor", "Ceil", "Round", "NonZero", "ConstantOfShape", "Range", "Hardmax", "OneHot", "EyeLike",
	} {
		table[typ] = operator{stop: true}
	}
}

// known is the node's entry in the table.
func (n *node) known() (operator, bool) {
	if !n.standard() {
		return operator{}, false
	}
	op, ok := operators()[n.GetOpType()]
	return op, ok
}

// differentiable names the inputs a gradient can flow to. An operator that is not in the table
// counts with all of them, so that it is noticed where it matters.
func (n *node) differentiable() []string {
	op, ok := n.known()
	switch {
	case ok && op.stop, ok && n.GetOpType() == "Cast" && !isFloat(int32(n.attrInt("to", 0))): // what is cut off to whole numbers has no slope
		return nil
	case ok && op.inputs > 0 && op.inputs < len(n.Input):
		return n.Input[:op.inputs]
	}
	return n.Input
}

// whereItIs are operators without a slope that leave every value in its place.
var whereItIs = setOf("Sign", "Floor", "Ceil", "Round", "Cast", "IsNaN", "IsInf", "Not", "And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
	"BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot")

// follows names the inputs whose axes and places the outputs have: of what is rounded or compared too, where no gradient flows.
func (n *node) follows() []string {
	if n.standard() && whereItIs[n.GetOpType()] {
		return n.Input
	}
	return n.differentiable()
}
