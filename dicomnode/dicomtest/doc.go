// Package dicomtest holds what the tests of endogate share: data sets of VL Endoscopic Images built in memory,
// a scripted peer that speaks PDUs by hand, and the replay of recorded conversations.
// Only tests import it.
package dicomtest
