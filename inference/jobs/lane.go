package jobs

// Lane says before which others a job begins. Each lane of a model is a queue of its own, with a consumer; a worker with a
// slot asks those of all its models for a more urgent job before it asks for the next. A job under way is not interrupted.
type Lane int

// The lanes. Routine is where a job is that nobody says more of; its queues have the names of the models alone.
const (
	Routine Lane = iota
	High
	Stat
	Bulk // what nobody waits for: only where no model has anything else
)

// lanes are all, the most urgent first.
var lanes = []Lane{Stat, High, Routine, Bulk}

// queueKey names the queue of a model's jobs in a lane: the token of its subjects, and the name of its consumer.
func queueKey(model Model, lane Lane) string {
	return model.Key() + map[Lane]string{High: "-high", Stat: "-stat", Bulk: "-bulk"}[lane]
}

// Queues names the consumers of a model's jobs, the most urgent first: what waits for a worker waits at them.
func (m Model) Queues() (names []string) {
	for _, lane := range lanes {
		names = append(names, queueKey(m, lane))
	}
	return names
}
