package admin

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is asked has bounds, and boxes have an inside.
func TestQuestion_bounded(t *testing.T) {
	q, err := parseQuestion("class=polyp&black=0,1,2,3&black=4,5,65535,7&border=crop&as=map", []Form{AsMap, AsNone})
	require.NoError(t, err)
	require.Equal(t, Question{Class: "polyp", As: AsMap, Opacity: -1, Black: [][4]int{{0, 1, 2, 3}, {4, 5, 65535, 7}}, CropBorder: true}, q)
	q, err = parseQuestion("opacity=40&colours=jet", nil)
	require.NoError(t, err)
	require.Equal(t, Question{Opacity: 0.4, Colours: "jet"}, q)
	for _, wrong := range []string{
		"black=1,2,3", "black=1,2,3,4,5", "black=a,2,3,4", "black=-1,2,3,4", "black=1,2,3,65536", "black=3,2,3,4", "black=1,4,3,4", "black=", "border=tea", "as=picture",
		strings.TrimSuffix(strings.Repeat("black=1,2,3,4&", maxBlack+1), "&"), "opacity=1", "class=a&class=b",
	} {
		_, err := parseQuestion(wrong, []Form{AsMap, AsNone})
		require.Error(t, err, wrong)
	}
	_, err = parseQuestion("as=map", nil)
	require.Error(t, err, "a picture is a picture")
}
