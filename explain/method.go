package explain

import (
	"slices"
	"strings"
	"sync"
)

// Method is a way to explain, by the name that manifests, routes and the command line use.
type Method string

// The methods. Those with Runs in their [MethodInfo] are made of many runs of the network (package sampling);
// all others are one run of a compiled graph.
const (
	// Gradient is the logit's gradient at the input (Simonyan et al. 2014).
	Gradient Method = "gradient"
	// GradientInput is the input times its gradient (Shrikumar et al. 2016).
	GradientInput Method = "gradient-x-input"
	// GuidedBackprop lets only positive gradients pass active ReLUs (Springenberg et al. 2015).
	GuidedBackprop Method = "guided-backprop"
	// Deconvnet lets only positive gradients pass ReLUs, active or not (Zeiler and Fergus 2014).
	Deconvnet Method = "deconvnet"
	// SmoothGrad is the mean gradient over noisy inputs (Smilkov et al. 2017).
	SmoothGrad Method = "smoothgrad"
	// IntegratedGradients is the mean gradient on the way from a baseline, times the way (Sundararajan et al. 2017).
	IntegratedGradients Method = "integrated-gradients"
	// GradCAM weights each channel with the mean of its gradient and keeps what is positive
	// (Selvaraju et al. 2017, equations 1 and 2).
	GradCAM Method = "gradcam"
	// GuidedGradCAM is guided backpropagation times the grad-CAM map at the input's size (Selvaraju et al. 2017, 3.2).
	GuidedGradCAM Method = "guided-gradcam"
	// GradCAMPlusPlus weights positive gradients by their share in the score (Chattopadhay et al. 2018, equation 19).
	GradCAMPlusPlus Method = "gradcam++"
	// HiResCAM multiplies activation and gradient place by place (Draelos and Carin 2020).
	HiResCAM Method = "hirescam"
	// LayerCAM weights each place with its positive gradient (Jiang et al. 2021).
	LayerCAM Method = "layercam"
	// ScoreCAM weights each channel with the score of the input that it masks (Wang et al. 2020).
	ScoreCAM Method = "scorecam"
	// LRPEpsilon is layer-wise relevance propagation with a small stabiliser (Bach et al. 2015).
	LRPEpsilon Method = "lrp-epsilon"
	// LRPGamma favours by a quarter what has the sign of the result (Montavon et al. 2019, Andéol et al. 2021), with a z-box at the input.
	LRPGamma Method = "lrp-gamma"
	// LRPAlphaBeta keeps positive and negative parts apart, α = 2 and β = 1, with a z-box at the input (Montavon et al. 2017).
	LRPAlphaBeta Method = "lrp-alphabeta"
	// DeepLIFT is the rescale rule against a baseline (Shrikumar et al. 2017).
	DeepLIFT Method = "deeplift"
	// Occlusion is the loss of score when a patch is covered (Zeiler and Fergus 2014).
	Occlusion Method = "occlusion"
	// RISE is the mean of random masks weighted with their scores (Petsiuk et al. 2018).
	RISE Method = "rise"
	// LIME is a linear model of which superpixels matter (Ribeiro et al. 2016).
	LIME Method = "lime"
	// AttentionRollout multiplies the attention matrices of all layers (Abnar and Zuidema 2020); it knows no class.
	AttentionRollout Method = "attention-rollout"
	// GradientAttention adds up attention weighted with its positive gradient (Chefer et al. 2021).
	GradientAttention Method = "gradient-attention"
	// LayerSaliency is the gradient of a layer's channel-wise maximum at the input (Hicks et al. 2018); it knows no class.
	LayerSaliency Method = "layer-saliency"

	// AttentionWeights are the attention matrices of all layers over patches, or over the frames of a clip, mean over the heads:
	// layers×tokens×tokens.
	AttentionWeights Method = "attention-weights"
	// Activation and ActivationGradient are what class activation maps are made of, N×C×... and S×C×...
	Activation         Method = "activation"
	ActivationGradient Method = "activation-gradient"
)

// Kind is what sort of explanation a method gives, as PS3.16 CID 217 tells them apart.
type Kind int

// The kinds, in the order of CID 217.
const (
	ClassActivation Kind = iota + 1
	GradientWeighted
	Saliency
)

// MethodInfo is what is known of a method.
type MethodInfo struct {
	Method  Method
	Title   string
	Kind    Kind
	AtLayer bool // depends on the layer
	AtInput bool // gives a value for each element of the input, rather than a map of a layer's places
	Signed  bool // negative values speak against the class
	Runs    bool // is made of many runs of the network
	Raw     bool // is no map but what maps are made of
	NoClass bool // says what the network looks at, for whatever class

	needs func(c *compiler, t *target) ([]need, error)        // the gradients it reads; nil where Runs
	make  func(c *compiler, t *target, grads []string) string // the output, of the gradients in the order of needs
}

// catalogue is every method, read only: to add one, write its rules or its post-processing and a line here.
var catalogue = sync.OnceValue(func() []MethodInfo {
	return []MethodInfo{
		{Method: GradCAM, Title: "Grad-CAM", Kind: GradientWeighted, AtLayer: true, needs: layerGradient, make: atLayer(gradCAM)},
		{Method: GradCAMPlusPlus, Title: "Grad-CAM++", Kind: GradientWeighted, AtLayer: true, needs: layerGradient, make: atLayer(gradCAMPlusPlus)},
		{Method: HiResCAM, Title: "HiResCAM", Kind: GradientWeighted, AtLayer: true, needs: layerGradient, make: atLayer(hiResCAM)},
		{Method: LayerCAM, Title: "LayerCAM", Kind: GradientWeighted, AtLayer: true, needs: layerGradient, make: atLayer(layerCAM)},
		{Method: ScoreCAM, Title: "Score-CAM", Kind: ClassActivation, AtLayer: true, Runs: true},
		{Method: GuidedGradCAM, Title: "Guided Grad-CAM", Kind: GradientWeighted, AtLayer: true, AtInput: true, needs: guidedAndLayer, make: guidedGradCAM},
		{Method: Gradient, Title: "Gradient", Kind: Saliency, AtInput: true, needs: inputGradient(plain), make: only},
		{Method: GradientInput, Title: "Gradient × input", Kind: Saliency, AtInput: true, Signed: true, needs: inputGradient(plain), make: timesInput},
		{Method: GuidedBackprop, Title: "Guided backpropagation", Kind: Saliency, AtInput: true, needs: inputGradient(guided), make: only},
		{Method: Deconvnet, Title: "Deconvnet", Kind: Saliency, AtInput: true, needs: inputGradient(deconvnet), make: only},
		{Method: SmoothGrad, Title: "SmoothGrad", Kind: Saliency, AtInput: true, Runs: true},
		{Method: IntegratedGradients, Title: "Integrated gradients", Kind: Saliency, AtInput: true, Signed: true, Runs: true},
		{Method: LRPEpsilon, Title: "LRP-ε", Kind: Saliency, AtInput: true, Signed: true, needs: inputGradient(lrpEpsilon()), make: only},
		{Method: LRPGamma, Title: "LRP-γ", Kind: Saliency, AtInput: true, Signed: true, needs: inputGradient(lrpGamma()), make: only},
		{Method: LRPAlphaBeta, Title: "LRP-αβ", Kind: Saliency, AtInput: true, Signed: true, needs: inputGradient(lrpAlphaBeta()), make: only},
		{Method: DeepLIFT, Title: "DeepLIFT", Kind: Saliency, AtInput: true, Signed: true, needs: inputGradient(rescale()), make: timesDifference},
		{Method: LayerSaliency, Title: "Layer saliency", Kind: Saliency, AtLayer: true, AtInput: true, NoClass: true, needs: layerMaximum, make: only},
		{Method: AttentionRollout, Title: "Attention rollout", Kind: Saliency, NoClass: true, needs: attentionOnly, make: attentionRollout},
		{Method: GradientAttention, Title: "Gradient-weighted attention", Kind: GradientWeighted, needs: attentionGradients, make: gradientAttention},
		{Method: Occlusion, Title: "Occlusion", Kind: Saliency, Signed: true, Runs: true},
		{Method: RISE, Title: "RISE", Kind: Saliency, Runs: true},
		{Method: LIME, Title: "LIME", Kind: Saliency, Signed: true, Runs: true},
		{Method: AttentionWeights, Title: "Attention", NoClass: true, Raw: true, needs: attentionOnly, make: attentionWeights},
		{Method: Activation, Title: "Activation", AtLayer: true, NoClass: true, Raw: true, needs: nothing, make: itself},
		{Method: ActivationGradient, Title: "Gradient of the activation", AtLayer: true, Raw: true, needs: layerGradient, make: asGrid},
	}
})

// Methods lists the methods that make maps.
func Methods() []MethodInfo {
	return slices.DeleteFunc(slices.Clone(catalogue()), func(m MethodInfo) bool { return m.Raw })
}

// MethodNames lists the methods that make maps, for people.
func MethodNames() string {
	var names []string
	for _, m := range Methods() {
		names = append(names, string(m.Method))
	}
	return strings.Join(names, ", ")
}

// LookupMethod finds a method by its name.
func LookupMethod(m Method) (MethodInfo, bool) {
	for _, info := range catalogue() {
		if info.Method == m {
			return info, true
		}
	}
	return MethodInfo{}, false
}
