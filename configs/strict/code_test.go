package strict

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestVerhoeff(t *testing.T) {
	for _, id := range []string{"68496003", "17621005", "71854001", "32713005", "413261003", "32849002"} {
		assert.True(t, verhoeff(id), id)
		for i := range id { // every wrong digit is found
			wrong := []byte(id)
			wrong[i] = '0' + (wrong[i]-'0'+1)%10
			assert.False(t, verhoeff(string(wrong)), string(wrong))
		}
	}
}
