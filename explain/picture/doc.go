// Package picture lays maps out for people: signed maps, guided pictures, legends, contact sheets, and NumPy files for
// those who want the numbers.
//
// Every legend and sheet says "AI, not verified". A map that is zero everywhere or not finite never becomes a picture
// of a map: [Words.Note] says why.
package picture
