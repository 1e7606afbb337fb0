package analysis

import "time"

// Live is what is said of a frame of a signal while it goes on.
type Live struct {
	Frame         int                `json:"frame"`         // of those that were decoded, from 1
	Time          float64            `json:"time_s"`        // by the source's clock, in seconds since its connection began
	At            time.Time          `json:"at"`            // when it had come out of the decoder
	Probabilities map[string]float64 `json:"probabilities"` // of the frame alone, by class, 0..1
	Findings      []Present          `json:"findings"`      // what persists over time, in the order of the model's classes
	Heatmap       string             `json:"heatmap"`       // the class whose map lies over the picture; "" for none
	Discounted    string             `json:"discounted"`    // in a word or two, why the frame does not count; "" where it does
	Latency       float64            `json:"latency_ms"`    // from then to the result, in milliseconds
	Dropped       int                `json:"dropped"`       // of the frames so far, those that were not analysed, as newer ones had come
}

// Present is a class that persists where a signal is.
type Present struct {
	Class       string  `json:"class"`
	Role        Role    `json:"role"`
	Probability float64 `json:"probability"` // smoothed over time, 0..1
	Threshold   float64 `json:"threshold"`
	Since       int     `json:"since_frame"` // with which it began to count
}
