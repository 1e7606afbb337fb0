package inference

import (
	"context"
	"fmt"
	"math"
	"time"

	"endogate/dicomnode/pixeldata/video"
)

// Select says which frames of a video a model is shown. One of the first four is not zero.
type Select struct {
	Every     int     // n-th frame
	PerSecond float64 // frames
	Segments  int     // of equal length, of which the frame in the middle
	Scene     float64 // frames that differ from the one before by so much, 0..1; and the first
	Most      int     // frames; of more, as many as this, evenly spread
}

// String says in words which frames.
func (s Select) String() string {
	text := ""
	switch {
	case s.Every > 0:
		text = fmt.Sprintf("one of every %d", s.Every)
	case s.Segments > 0:
		text = fmt.Sprintf("the middle of each of %d segments", s.Segments)
	case s.Scene > 0:
		text = fmt.Sprintf("where the scene changes by %g", s.Scene)
	default:
		text = fmt.Sprintf("%g per second", s.PerSecond)
	}
	return fmt.Sprintf("%s, at most %d", text, s.Most)
}

// Choose returns the numbers of the frames, which rise, so many at most. Errors as [video.Clip.Scenes].
func (s Select) Choose(ctx context.Context, c *video.Clip, most int) (numbers []int, err error) {
	switch {
	case s.Scene > 0:
		if numbers, err = c.Scenes(ctx, s.Scene); err != nil {
			return nil, err
		}
	default:
		numbers = s.timed(c.Count(), c.Time)
	}
	return thinned(numbers, min(most, s.Most)), nil
}

// timed chooses by numbers and times alone.
func (s Select) timed(count int, at func(n int) time.Duration) (numbers []int) {
	switch {
	case s.Every > 0:
		for n := 1; n <= count; n += s.Every {
			numbers = append(numbers, n)
		}
	case s.Segments > 0:
		k := min(s.Segments, count)
		for i := range k {
			numbers = append(numbers, 1+(2*i+1)*count/(2*k))
		}
	default:
		next := int64(0) // of the grid of times
		for n := 1; n <= count; n++ {
			if slot := int64(math.Floor(at(n).Seconds()*s.PerSecond + 1e-6)); slot >= next {
				numbers, next = append(numbers, n), slot+1
			}
		}
	}
	return numbers
}

// thinned leaves as many as most, evenly spread.
func thinned(numbers []int, most int) []int {
	if len(numbers) <= most {
		return numbers
	}
	few := make([]int, most)
	for i := range few {
		few[i] = numbers[i*len(numbers)/most]
	}
	return few
}
