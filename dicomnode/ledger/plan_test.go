package ledger

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlans holds that what runs all the time never looks at every row of a table. A scan of
// an index is good where the index has only the rows with work to do.
func TestPlans(t *testing.T) {
	l := openLedger(t)
	small := regexp.MustCompile(`^SCAN (\w+ USING (COVERING )?INDEX (exam_open|exam_parked|job_open|job_line|job_parked|delivery_next|delivery_parked|study_conflict|study_last|study_stands|imaging_order_changed|instance_held|instance_unanalysed|need_refused|need_ended|gate_held|gate_mismatch|desk_due|delivery_stale|delivery_sent|desk_parked)\b|\(subquery-\d+\)|json_each|turn\b|line\b|due\b|r VIRTUAL TABLE|ids|value|CONSTANT ROW)`)
	for _, q := range []struct {
		name, text string
		args       int
		sorted     bool // the index gives the order
	}{
		{"due deliveries", dueDeliveries, 4, false}, // sorted are those of a batch
		{"due deliveries that are behind", dueBehind, 4, false},
		{"next delivery", nextDelivery, 1, true},
		{"due exams", dueExams, 2, true},
		{"oldest jobs", oldestJobs, 0, false},
		{"oldest delivery", oldestDelivery, 1, true},
		{"oldest exam", oldestExam, 0, true},
		{"oldest held", oldestHeld, 0, true},
		{"waiting", waiting, 1, false},
		{"waits ahead of the clock", someWaitsAhead, 1, false},
		{"ages ahead of the clock", someAgesAhead, 1, false},
		{"exam results", examResults, 2, false},
		{"open jobs", openJobs, 2, true},
		{"lines of open jobs", openLines, 0, true},
		{"jobs in line", jobsInLine, 3, true},
		{"jobs of an order", hurry, 2, false},
		{"releasable instances", releasableInstances, 2, true},
		{"releasable objects", releasableObjects, 2, true},
		{"releasable others", releasableOthers, 2, false},
		{"overdue commitments", "SELECT d.id FROM delivery d WHERE " + overdue, 3, false},
		{"due drafts", dueDrafts, 1, true},
		{"report of an exam", reportOf, 1, false},
		{"stale deliveries", staleDeliveries, 1, true},
		{"parked drafts", parkedDrafts, 0, false},
		{"newest draft", oneDraft, 3, true},
		{"history of drafts", draftHistory, 3, true},
		{"refused", refusedEntries, 0, true},
		{"needed", neededEntries, 1, false},
		{"parked jobs", parkedJobs, 2, true},
		{"parked exams", parkedExams, 2, true},
		{"parked deliveries", parkedDeliveries, 2, true},
		{"held instances", heldInstances, 2, true},
		{"held and refused", heldAndRefused, 0, true},
		{"last delivered", lastDelivered, 1, true},
		{"receive again", keptAs, 2, true},
		{"what was lost", sameBytes, 1, false},
		{"known", knownEntries, 1, false},
		{"unreleased", heldEntries, 2, false},
		{"nobody to send to", "SELECT d.id FROM delivery d WHERE d.state = 'pending' " + unconfigured, 2, false},
		{"somebody to send to again", "SELECT d.id FROM delivery d WHERE " + reconfigured, 2, false},
		{"retry of a destination", "SELECT d.id FROM delivery d WHERE " + bulk, 2, false},
		{"waits for bytes", "SELECT d.id FROM delivery d WHERE " + waitedForBytes, 2, false},
		{"lost deliveries", "SELECT d.id FROM delivery d WHERE " + lostDeliveries, 2, false},
		{"forgettable", forgettable, 1, true},
		{"other content", otherContent, 2, false},
		{"trace", tracedStudies, 1, false},
		{"duplicates", lookUpInstances, 1, true},
		{"entry of an instance", entryOf, 1, true},
		{"studies", selectStudy + "WHERE " + remembered + " ORDER BY stands_at DESC, id DESC LIMIT ? OFFSET ?", 2, true},
		{"studies of a patient", selectStudy + "WHERE " + remembered + " AND patient_id = ? ORDER BY stands_at DESC, id DESC LIMIT ? OFFSET ?", 3, true},
		{"studies by accession", selectStudy + "WHERE " + remembered + " AND accession_number = ? ORDER BY stands_at DESC, id DESC LIMIT ? OFFSET ?", 3, true},
		{"studies that wait", selectStudy + "INDEXED BY study_status WHERE " + remembered + " AND status = ? ORDER BY stands_at DESC, id DESC LIMIT ? OFFSET ?", 3, true},
		{"studies by a search", selectStudy + "WHERE " + remembered + " AND id IN (" + searched + searchedPatients + searchedName + ")", 8, false},
		{"what was received since", receivedSince, 1, false},
		{"what was analysed since", analysedSince, 1, false},
		{"what was delivered since", deliveredSince, 2, false},
		{"instances of a study", selectInstance, 3, true},
		{"deliveries of a study's objects", deliveriesOfObjects, 3, false},
		{"held results", heldGates, 2, true},
		{"gate of a study", selectGate + "WHERE s.study_instance_uid = ?", 1, true},
		{"studies of an order's patient", studiesByOrder, 2, false},
		{"studies of an image's patient", studiesByImage, 2, false},
		{"a patient", selectPatient + "WHERE identifier = ? ORDER BY id", 1, false},
		{"totals of a study", studyTotals, 1, true},
		{"objects of a study", selectObject + "WHERE o.study = ? ORDER BY o.id", 1, true},
		{"events of a study", selectEvent, 3, true},
		{"message again", messageAgain, 5, false},
		{"studies by name", namedStudies, 3, false},
		{"messages about a study", messagesAbout, 2, false},
		{"releasable messages", releasableMessages, 2, true},
		{"resting messages", restingMessages, 2, true},
		{"resting orders", restingOrders, 2, true},
		{"orders by name", namedOrders, 3, false},
		{"order of a study", orderOfStudy, 1, false},
		{"screenings", selectScreening + "WHERE c.id < ? ORDER BY c.id DESC LIMIT 50", 1, true},
		{"orders", selectOrder + "WHERE 1 ORDER BY o.changed_at DESC, o.id DESC LIMIT ? OFFSET ?", 2, true},
	} {
		t.Run(q.name, func(t *testing.T) {
			args := make([]any, q.args)
			for i := range args {
				args[i] = 1
			}
			rows, err := l.readDB.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q.text, args...)
			require.NoError(t, err)
			defer func() { require.NoError(t, rows.Close()) }()
			for rows.Next() {
				var id, parent, unused int
				var step string
				require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
				if strings.HasPrefix(step, "SCAN") {
					require.Regexp(t, small, step)
				}
				if q.sorted {
					require.NotRegexp(t, "TEMP B-TREE FOR [^c]", step) // what is counted is of one study
				}
			}
			require.NoError(t, rows.Err())
		})
	}
}
