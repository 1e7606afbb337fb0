package dicom

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAETitle(t *testing.T) {
	for title, want := range map[AETitle]bool{
		"A": true, "SIXTEEN_CHARS_16": true, "with blank": true, "*": true,
		"": false, " ": false, "SEVENTEEN_CHARS17": false, " LEADING": false, "TRAILING ": false, `BACK\SLASH`: false, "TAB\t": false, "ÄE": false,
	} {
		require.Equal(t, want, title.Valid(), "%q", title)
	}
	var title AETitle
	require.NoError(t, title.UnmarshalText([]byte("  SCOPE 1 ")))
	require.Equal(t, AETitle("SCOPE 1"), title)
}

func TestSelectStorage(t *testing.T) {
	classes, err := SelectStorage([]string{GroupEndoscopic, "1.2.3"})
	require.NoError(t, err)
	require.Equal(t, append(StorageGroup(GroupEndoscopic), SOPClass{UID: "1.2.3", Name: "1.2.3"}), classes)
	classes, err = SelectStorage([]string{GroupAnyStorage})
	require.NoError(t, err)
	require.Equal(t, StorageSOPClasses, classes)
	_, err = SelectStorage([]string{"endoscopy"})
	require.ErrorContains(t, err, `"endoscopy" is neither a UID nor a group`)
}
