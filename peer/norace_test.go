//go:build !race

package peer_test

// simSchedules is how many schedules TestSimulation plays where nobody says.
const simSchedules = 80
