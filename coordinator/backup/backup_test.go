package backup

import (
	"testing"

	"github.com/thalweg/thalweg/coordinator/state"
)

// Whatever bytes are read, they are refused or are a state that can be written.
func FuzzRead(f *testing.F) {
	written, err := Write(state.New())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(written)
	f.Add(written[:len(written)-1])
	f.Add([]byte(firstLine + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(data)
		if err != nil {
			return
		}
		if s.Index() < ahead {
			t.Errorf("index %d", s.Index())
		}
		if _, err := s.Encode(); err != nil {
			t.Error(err)
		}
	})
}
