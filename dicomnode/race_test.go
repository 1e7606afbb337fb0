//go:build race

package dicomnode_test

const raceEnabled = true
