//go:build race

package delivery

// simSchedules is how many schedules TestSchedules plays where nobody says: the state
// machines have no goroutine for the race detector to look at.
const simSchedules = 500
