//go:build race

package peer_test

// simSchedules is how many schedules TestSimulation plays where nobody says: the race
// detector makes each several times as long.
const simSchedules = 8
