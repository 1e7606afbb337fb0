// Package faithfulness measures whether maps tell the truth about a network.
//
// [Curves] take pixels away in the order of a map, or give them back, and watch the score (Petsiuk et al. 2018, "RISE", section
// 4.3): a map that names what matters makes it fall early, or rise early. [Pointing] and [EnergyInside] hold a map against a
// mask that a person drew (Zhang et al. 2018; Wang et al. 2020): they ask whether the network looks where it should,
// which is another question. [RankCorrelation] compares maps of a network with those of one whose weights were
// randomised (Adebayo et al. 2018): a map that stays the same explains nothing.
//
// The package runs no network: it is given a [Scorer].
package faithfulness
