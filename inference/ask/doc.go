// Package ask puts questions to a model: what in a frame speaks for a class, by which methods, at which layer, and why this
// class rather than that. A [Model] is asked ([Model.Ask]) and answers ([Model.Answer]), with pictures where they are wanted
// ([Model.Paint]); the command, the routes' heatmaps and whoever asks live do it alike.
package ask
