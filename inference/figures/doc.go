// Package figures computes how well a network classifies, of frames whose class is known: counts and what is made of them, the area
// under the ROC curve, operating points and calibration, each with its interval. What cannot be computed is said in words and
// is never NaN.
//
// One class is measured against all others. Sources: Wilson 1927 for the intervals of shares; DeLong, DeLong and
// Clarke-Pearson 1988 for the interval of an area, and where that has no width (all pairs in order, or too few frames) Newcombe 2006 (part 2,
// method 5); Naeini, Cooper and Hauskrecht 2015 and Guo et al. 2017 for the expected calibration error; Matthews 1975 for MCC.
package figures
