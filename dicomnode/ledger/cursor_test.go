package ledger

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// paged is all of a list, a page at a time, while more comes in.
func paged[T any](t *testing.T, limit int, meanwhile func(), read func(after Cursor) ([]T, int), cursor func(T) Cursor) (all []T) {
	t.Helper()
	for after := (Cursor{}); ; meanwhile() {
		page, total := read(after)
		require.GreaterOrEqual(t, total, len(page))
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		require.Len(t, page, limit)
		after = cursor(page[limit-1])
		require.Less(t, len(all), 1000, "it comes to an end")
	}
}

// TestCursor reads every list that grows a page at a time: each row once, whatever comes in meanwhile, and the total is what there is.
func TestCursor(t *testing.T) {
	l, ctx := openLedger(t), context.Background()
	const limit = 3
	n := 0
	more := func() {
		for range 2 {
			n++
			r := receipt(n)
			r.Header.StudyInstanceUID = dicom.UID(fmt.Sprint("1.2.", 1000+n))
			r.At = at(n / 3) // several at one time
			receive(t, l, r)
			require.NoError(t, l.FinishJob(ctx, r.ID+".demo", testModel, frames(), []Object{object(n, "pacs")}, at(n)))
			m := inbound(strconv.Itoa(n), OrderChange{Patch: patch(Order{Accession: fmt.Sprint("A", n), Placer: Identifier{ID: fmt.Sprint("P", n)}})})
			m.At = at(n / 3)
			take(t, l, m)
		}
	}
	for range 5 {
		more()
	}
	each := func(name string, got int, unique map[string]bool) {
		t.Helper()
		require.Len(t, unique, got, "%s: none twice", name)
		require.GreaterOrEqual(t, got, 10, "%s: none left out", name)
	}
	seen := map[string]bool{}
	studies := paged(t, limit, more, func(after Cursor) ([]Study, int) {
		page, total, err := l.Studies(ctx, StudyFilter{Limit: limit, After: after})
		require.NoError(t, err)
		require.Equal(t, n, total)
		return page, total
	}, func(s Study) Cursor { return Cursor{At: s.StandsAt, ID: string(s.StudyInstanceUID)} })
	for _, s := range studies {
		seen[string(s.StudyInstanceUID)] = true
	}
	each("studies", len(studies), seen)

	seen = map[string]bool{}
	orders := paged(t, limit, more, func(after Cursor) ([]OrderView, int) {
		page, total, err := l.Orders(ctx, OrderFilter{Limit: limit, After: after, State: OrderOpen})
		require.NoError(t, err)
		require.Equal(t, n, total)
		return page, total
	}, func(o OrderView) Cursor { return Cursor{At: o.ChangedAt, ID: strconv.FormatInt(o.ID, 10)} })
	for _, o := range orders {
		seen[o.Accession] = true
	}
	each("orders", len(orders), seen)

	seen = map[string]bool{}
	messages := paged(t, limit, more, func(after Cursor) ([]Message, int) {
		page, total, err := l.Messages(ctx, MessageFilter{Limit: limit, After: after, Type: "ORM^O01", Answer: "AA"})
		require.NoError(t, err)
		require.Equal(t, n, total)
		return page, total
	}, func(m Message) Cursor { return Cursor{ID: m.Entry} })
	for _, m := range messages {
		seen[m.Entry] = true
	}
	each("messages", len(messages), seen)

	seen = map[string]bool{}
	deliveries := paged(t, limit, more, func(after Cursor) ([]Delivery, int) {
		page, total, err := l.Outbox(ctx, OutboxFilter{Limit: limit, After: after, State: DeliveryPending})
		require.NoError(t, err)
		return page, total
	}, func(d Delivery) Cursor { return Cursor{ID: strconv.FormatInt(d.ID, 10)} })
	for _, d := range deliveries {
		seen[strconv.FormatInt(d.ID, 10)] = true
	}
	each("deliveries", len(deliveries), seen)

	study := dicom.UID("1.2.1001")
	for v := range 12 {
		d := draft(1, v+1)
		d.Study = study
		require.NoError(t, l.PutDraft(ctx, d, []Agreement{{Finding: fmt.Sprint("2.25.", v), Model: "demo", Decision: Accept}}, nil))
	}
	seen = map[string]bool{}
	decisions := paged(t, limit, more, func(after Cursor) ([]Agreement, int) {
		page, total, err := l.Agreements(ctx, AgreementFilter{Page: Page{Limit: limit}, After: after})
		require.NoError(t, err)
		require.Equal(t, 12, total)
		return page, total
	}, func(a Agreement) Cursor { return Cursor{ID: strconv.FormatInt(a.ID, 10)} })
	for _, d := range decisions {
		seen[d.Finding] = true
	}
	each("decisions", len(decisions), seen)

	problems, err := l.Check(ctx)
	require.NoError(t, err)
	require.Empty(t, problems, "what is counted is what there is")
}

// TestCheck_tallies: a count that is wrong is found.
func TestCheck_tallies(t *testing.T) {
	for _, spoil := range []string{
		"UPDATE tally SET n = n + 1 WHERE kind = 'order'", "UPDATE tally SET n = n + 1 WHERE kind = 'message'", "UPDATE agreed SET n = n + 1",
	} {
		l := reported(t)
		ctx := t.Context()
		take(t, l, inbound("1", OrderChange{Patch: patch(Order{Accession: "A1", Placer: Identifier{ID: "P1"}})}))
		require.NoError(t, l.PutDraft(ctx, draft(1, 1), []Agreement{{Finding: "2.25.1", Model: "demo", Decision: Accept}}, nil))
		problems, err := l.Check(ctx)
		require.NoError(t, err)
		require.Empty(t, problems)
		_, err = l.writes.tx.exec(spoil)
		require.NoError(t, err)
		problems, err = l.Check(ctx)
		require.NoError(t, err)
		require.NotEmpty(t, problems, spoil)
		require.Contains(t, problems[0], "the count of")
	}
}
