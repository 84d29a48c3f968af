package sqlite_test

import (
	"fmt"
	"testing"

	"github.com/claudemesh/claudemesh-go/sqlite"
)

// Functions of many callers, each with one row, share commits.
func BenchmarkSubmit(b *testing.B) {
	for _, bound := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("inflight=%d", bound), func(b *testing.B) {
			db := open(b)
			data := make([]byte, 400)
			free := make(chan struct{}, bound)
			b.ReportAllocs()
			for b.Loop() {
				free <- struct{}{}
				db.Submit(func(tx *sqlite.Tx) error {
					_, err := tx.Exec("INSERT INTO item (name, data) VALUES (hex(randomblob(8)), ?)", data)
					return err
				}, func(err error) {
					if err != nil {
						b.Error(err)
					}
					<-free
				})
			}
			for range bound {
				free <- struct{}{}
			}
		})
	}
}
