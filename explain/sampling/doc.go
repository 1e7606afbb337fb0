// Package sampling explains a network by running it many times: on noisy, masked or half-hidden
// copies of its input. It runs nothing itself; it is given the functions of a [Network].
//
// With gradients: [SmoothGrad] and [IntegratedGradients], which answer in the input's layout;
// [Reduce] makes maps of that. With logits alone, so for any network: [Occlusion], [RISE], [LIME],
// and [ScoreCAM], which also needs the activation of a layer.
//
// # Absence
//
// What is hidden is replaced with the baseline, values of an input that stand for "nothing to see
// here", in the network's units. Its choice is part of the explanation: black after normalisation is
// not 0, and a blurred input hides detail but keeps colour (Sturmfels et al. 2020).
//
// # Clips
//
// The same place is hidden in all frames of a clip, and a clip has one map: a finding moves less
// than a patch in the second or so that a clip lasts, and frames that stay would give away what was
// hidden. For the share of a single frame, describe that frame as a still and let Logits put it
// into the clip.
//
// # The same again
//
// All chance comes from a seed, each sample is drawn in order, and sums are made in that order:
// the answer does not depend on the size of the batch, as far as the network's does not.
// Nothing is started in the background; a method keeps one batch of inputs, with their masks, and
// one sum the size of its answer (LIME the choices of its samples too). All methods may be called
// from any goroutine.
package sampling
