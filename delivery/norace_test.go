//go:build !race

package delivery

// simSchedules is how many schedules TestSchedules plays where nobody says.
const simSchedules = 5000
