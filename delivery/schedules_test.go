package delivery

import (
	"flag"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	schedules = flag.Int("schedules", simSchedules, "how many simulated schedules")
	firstSeed = flag.Uint64("seed", 1, "the first seed of the simulated schedules")
	showTrace = flag.Bool("story", false, "print what happened in the schedule of -seed")
)

// once failed: seeds that found something. What each found stands in the
// history of this list.
var onceFailed = []uint64{9010657, 20016370, 20067909, 20134952, 300238006, 500255874, 500277405, 610303143, 700036178, 700476292, 121836, 155186, 155588, 204096, 279130, 336212, 374297, 789045, 877343, 1197455, 1828608}

// TestSchedules plays schedules from consecutive seeds.
func TestSchedules(t *testing.T) {
	if *showTrace {
		w, broken := runSchedule(newConfig(*firstSeed), true)
		t.Logf("%+v\n%s", w.simConfig, strings.Join(w.log, "\n"))
		if broken != "" {
			t.Errorf("seed %d: step %d: %s", *firstSeed, w.step, broken)
		}
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // a schedule is small, and there are many
	var next atomic.Uint64
	var shown, marked, failed atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= uint64(*schedules) || failed.Load() > 10 {
					return
				}
				seed := *firstSeed + n
				w, broken := runSchedule(newConfig(seed), false)
				if broken != "" {
					failed.Add(1)
					t.Errorf("seed %d: step %d: %s", seed, w.step, broken)
				}
				shown.Add(int64(w.shown))
				marked.Add(int64(w.marked))
			}
		})
	}
	wg.Wait()
	t.Logf("%d schedules from seed %d: %d messages shown, %d of them with a mark", *schedules, *firstSeed, shown.Load(), marked.Load())
}

// TestSeedsThatFailed plays the schedules that once found something.
func TestSeedsThatFailed(t *testing.T) {
	for _, seed := range onceFailed {
		if w, broken := runSchedule(newConfig(seed), false); broken != "" {
			t.Errorf("seed %d: step %d: %s", seed, w.step, broken)
		}
	}
}
