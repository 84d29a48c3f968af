package store_test

import (
	"testing"

	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t testing.TB, place string) store.Store {
		s, err := store.OpenSQLite(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
