package explain_test

import (
	"testing"

	"endogate/explain"

	"github.com/stretchr/testify/require"
)

func TestLayoutOf(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		want  explain.Layout
	}{
		{[]int64{1, 3, 20, 30}, explain.Layout{Frames: 1, Channels: 3, Height: 20, Width: 30}},
		{[]int64{1, 20, 30, 3}, explain.Layout{Frames: 1, Channels: 3, Height: 20, Width: 30, ChannelsLast: true}},
		{[]int64{1, 6, 20, 30}, explain.Layout{Frames: 1, Channels: 6, Height: 20, Width: 30}},
		{[]int64{1, 3, 16, 20, 30}, explain.Layout{Frames: 16, Channels: 3, Height: 20, Width: 30}},
		{[]int64{1, 3, 4, 20, 30}, explain.Layout{Frames: 4, Channels: 3, Height: 20, Width: 30}},
		{[]int64{1, 4, 4, 20, 30}, explain.Layout{Frames: 4, Channels: 4, Height: 20, Width: 30}},
		{[]int64{1, 16, 3, 20, 30}, explain.Layout{Frames: 16, Channels: 3, Height: 20, Width: 30, FramesFirst: true}},
		{[]int64{1, 4, 3, 20, 30}, explain.Layout{Frames: 4, Channels: 3, Height: 20, Width: 30, FramesFirst: true}},
		{[]int64{1, 4, 1, 20, 30}, explain.Layout{Frames: 4, Channels: 1, Height: 20, Width: 30, FramesFirst: true}},
	} {
		got, ok := explain.LayoutOf(c.shape)
		require.True(t, ok, "%v", c.shape)
		require.Equal(t, c.want, got, "%v", c.shape)
	}
	_, ok := explain.LayoutOf([]int64{1, 10})
	require.False(t, ok)
}
