// What methods show and what they do not, in words for who looks at a map.

const coarse = "It is as coarse as the layer's grid: a warm place is a neighbourhood, not an outline.";
const pixels = "Single bright points mean little; look at where many are. An edge may light up because it is an edge.";
const words = {
  "gradcam": ["Where the chosen layer holds what raises the class, weighted by how much each channel matters to it.", `${coarse} It shows what speaks for the class, not what speaks against it.`],
  "gradcam++": ["As Grad-CAM, with more weight for channels that matter in a few places, so that several lesions show.", coarse],
  "hirescam": ["Activation times gradient, place by place: what each place of the layer adds to the class.", coarse],
  "layercam": ["As Grad-CAM, weighted place by place; finer at early layers.", coarse],
  "scorecam": ["How much of the class remains when the frame is seen through each channel of the layer. It needs no gradient.", coarse],
  "guided-gradcam": ["Which pixels drive the class, within what Grad-CAM points at.", `${pixels} Guided backpropagation depends on the picture more than on what was learnt.`],
  "gradient": ["Which pixels, changed a little, would change the class most (saliency).", `${pixels} It is sensitivity, not contribution.`],
  "gradient-x-input": ["What each pixel adds to the class, to first order.", `${pixels} A black pixel gets nothing, however much it matters.`],
  "guided-backprop": ["Which structures in the picture excite the network.", "It depends on the picture more than on the class: with random weights it looks much the same."],
  "deconvnet": ["Which structures in the picture excite the network.", "It depends on the picture more than on the class."],
  "smoothgrad": ["The gradient, averaged over the frame with noise: less speckle.", pixels],
  "integrated-gradients": ["What each pixel adds to the class on the way from a plain frame to this one; the parts add up to the whole.", `${pixels} Another plain frame would give another map.`],
  "lrp-epsilon": ["The class's score, handed back layer by layer to the pixels it came from.", pixels],
  "lrp-gamma": ["As LRP, favouring what speaks for the class.", pixels],
  "lrp-alphabeta": ["As LRP, with what speaks for and against the class kept apart.", `${pixels} It hardly depends on the class at deep layers.`],
  "deeplift": ["What each pixel's difference from a plain frame adds to the class.", `${pixels} Another plain frame would give another map.`],
  "layer-saliency": ["Which pixels drive the chosen layer, whatever the class.", "It says nothing of a class."],
  "attention-rollout": ["Where the network's attention goes, over all layers.", "It says nothing of a class; attention is not reason."],
  "gradient-attention": ["Where attention goes that raises the class.", coarse],
  "occlusion": ["By how much the class falls when a patch is covered. Easy to check by hand.", "What two places say together is seen at neither."],
  "rise": ["How probable the class stays behind many random masks.", "It is made of random masks: small differences are noise."],
  "lime": ["Which patches of the frame matter, by a simple model of what the network does when patches are covered.", "It is an approximation, on patches that were cut beforehand."],
};

// shows is what a method shows and what it does not; of one without words, nothing.
export const shows = (method) => words[method] || ["", ""];
