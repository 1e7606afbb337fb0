package admin

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/failure"
)

// Task is work that goes on when its request has been answered. It is in memory: a stop of the gateway ends it, and what it did until
// then stands.
type Task struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`  // retry, discard, release, compare, reload, rollback
	About   string    `json:"about"` // what it is done with
	State   TaskState `json:"state"`
	Done    int       `json:"done"`
	Of      int       `json:"of"` // 0: not known yet
	BeganAt time.Time `json:"began_at"`
	EndedAt time.Time `json:"ended_at,omitzero"`
	Reason  string    `json:"reason"`           // of one that failed
	Result  any       `json:"result,omitempty"` // of one that has ended: as what it does describes it
}

// TaskState is how a task stands.
type TaskState string

// The states.
const (
	TaskRunning   TaskState = "running"
	TaskDone      TaskState = "done"
	TaskFailed    TaskState = "failed"
	TaskCancelled TaskState = "cancelled"
)

// mostTasks are remembered, and mostRunning go on at once.
const (
	mostTasks   = 50
	mostRunning = 4
)

// tasks are those of a server.
type tasks struct {
	ctx  context.Context // ends with the server
	wg   sync.WaitGroup
	say  func(what string, args ...any) // to the log: what ended, and with which counts
	fail func(what string, args ...any) // to the log: what ended as it should not

	mu     sync.Mutex
	all    []*Task // in the order in which they began
	cancel map[string]context.CancelFunc
}

// begin begins a task for whom a request is of. What do returns with an error is the result as far as it came.
func (t *tasks) begin(request context.Context, kind, about string, do func(ctx context.Context, progress func(done, of int)) (any, error)) (Task, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cancel) >= mostRunning || t.ctx.Err() != nil {
		return Task{}, fmt.Errorf("%w: %d tasks are running", ErrBusy, len(t.cancel))
	}
	if len(t.all) == mostTasks { // fewer are running: one has ended
		oldest := slices.IndexFunc(t.all, func(task *Task) bool { return task.State != TaskRunning })
		t.all = slices.Delete(t.all, oldest, oldest+1)
	}
	task := &Task{ID: rand.Text()[:16], Kind: kind, About: about, State: TaskRunning, BeganAt: time.Now().UTC()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(request))
	kept := context.AfterFunc(t.ctx, cancel)
	if t.cancel == nil {
		t.cancel = map[string]context.CancelFunc{}
	}
	t.all, t.cancel[task.ID] = append(t.all, task), cancel
	t.wg.Go(func() {
		defer kept()
		result, err := guarded(func() (any, error) {
			return do(ctx, func(done, of int) {
				t.mu.Lock()
				defer t.mu.Unlock()
				task.Done, task.Of = done, of
			})
		})
		t.end(task, result, err, ctx.Err() != nil)
	})
	return *task, nil
}

// guarded does it. A panic there is one task's failure, as it is one request's, and not the gateway's.
func guarded(do func() (any, error)) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("admin: task panicked: %s: %s", failure.Reason(p), debug.Stack())
		}
	}()
	return do()
}

func (t *tasks) end(task *Task, result any, err error, cancelled bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel[task.ID]()
	delete(t.cancel, task.ID)
	task.EndedAt, task.Result, task.State = time.Now().UTC(), result, TaskDone
	switch {
	case err != nil && cancelled:
		task.State = TaskCancelled
	case err != nil:
		task.State, task.Reason = TaskFailed, faultOf("it was not done", err).Why
		t.fail("admin: task failed", "kind", task.Kind, "id", task.ID, "err", err)
	}
	ended := []any{"kind", task.Kind, "about", task.About, "id", task.ID, "state", string(task.State), "done", task.Done, "of", task.Of}
	if r, ok := result.(BulkResult); ok {
		ended = append(ended, "matched", r.Matched, "acted_on", r.Done, "kept", r.Kept, "failed", r.Failed)
	}
	t.say("admin: task ended", ended...)
}

// get returns a task as it stands.
func (t *tasks) get(id string) (Task, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, task := range t.all {
		if task.ID == id {
			return *task, nil
		}
	}
	return Task{}, ErrNotFound
}

// stop ends a task, which is then asked for how far it came.
func (t *tasks) stop(id string) (Task, error) {
	t.mu.Lock()
	if cancel := t.cancel[id]; cancel != nil {
		cancel()
	}
	t.mu.Unlock()
	return t.get(id)
}

// answerTask answers with a task that has begun.
func answerTask(c echo.Context, task Task, err error) error {
	if err != nil {
		return faultOf("the task was not begun", err)
	}
	return c.JSON(http.StatusAccepted, task)
}

func (s *Server) listTasks(c echo.Context) error {
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	all := make([]Task, 0, len(s.tasks.all))
	for _, task := range slices.Backward(s.tasks.all) {
		short := *task
		short.Result = nil
		all = append(all, short)
	}
	return c.JSON(http.StatusOK, map[string][]Task{"tasks": all})
}

func (s *Server) task(c echo.Context) error {
	task, err := s.tasks.get(param(c, "id"))
	if err != nil {
		return faultOf("the task was not read", err)
	}
	return c.JSON(http.StatusOK, task)
}

func (s *Server) cancelTask(c echo.Context) error {
	task, err := s.tasks.stop(param(c, "id"))
	if err != nil {
		return faultOf("the task was not cancelled", err)
	}
	s.Log.Info("admin: task cancelled", "kind", task.Kind, "id", task.ID, "remote", c.RealIP(), "request_id", requestID(c))
	return c.JSON(http.StatusOK, task)
}
