// Following a job by WatchJob, and checking answers.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	api "github.com/secretflow/kuscia/proto/api/v1alpha1"
	"github.com/secretflow/kuscia/proto/api/v1alpha1/kusciaapi"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type event = kusciaapi.WatchJobEventResponse

type condition func(*event) bool

func hasEnded(e *event) bool {
	switch e.Object.Status.State {
	case "Succeeded", "Failed", "Cancelled", "ApprovalReject":
		return true
	}
	return false
}

func isAtWork(e *event) bool {
	task := e.Object.Status.Tasks[0]
	for _, party := range task.Parties {
		if party.State != "Running" {
			return false
		}
	}
	return task.State == "Running"
}

func (c *client) untilState(ctx context.Context, jobId, state string) *kusciaapi.JobStatusDetail {
	events := c.watchUntil(ctx, jobId, "it is "+state, func(e *event) bool {
		return e.Object.Status.State == state
	}, nil)
	return events[len(events)-1].Object.Status
}

// Follows the watch, prints the job's events and returns them, up to the first that the condition holds for.
// onceComplete is called when the snapshot of existing jobs is complete, which the first HEARTBEAT says.
func (c *client) watchUntil(ctx context.Context, jobId, what string, reached condition, onceComplete func()) []*event {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stream, err := c.jobs.WatchJob(ctx, &kusciaapi.WatchJobRequest{})
	if err != nil {
		fail("WatchJob: %v", err)
	}
	var seen []*event
	for {
		e, err := stream.Recv()
		if err != nil {
			fail("%s: the watch ended before %s: %v", jobId, what, err)
		}
		if e.Type == kusciaapi.EventType_HEARTBEAT && onceComplete != nil {
			onceComplete()
			onceComplete = nil
		}
		if e.Type == kusciaapi.EventType_ERROR {
			fail("the watch ended: %s", e.Object.Status.ErrMsg)
		}
		if e.GetObject().GetJobId() != jobId {
			continue
		}
		var tasks []string
		for _, task := range e.Object.Status.Tasks {
			tasks = append(tasks, task.Alias+" "+task.State)
		}
		fmt.Printf("  %s %s %s (%s)\n", e.Type, jobId, e.Object.Status.State, strings.Join(tasks, ", "))
		seen = append(seen, e)
		if reached(e) {
			return seen
		}
	}
}

type answer interface {
	proto.Message
	GetStatus() *api.Status
}

// Checks the error of a call and the in-band status of its answer.
func expect(what string, code int32, says string) func(answer, error) {
	return func(response answer, err error) {
		if err != nil {
			fail("%s: %v", what, err)
		}
		got := response.GetStatus()
		if got.GetCode() != code || !strings.Contains(got.GetMessage(), says) {
			fail("%s: wanted code %d %q, got %d %q", what, code, says, got.GetCode(), got.GetMessage())
		}
		if (got.GetReason() == "") != (code == 0) {
			fail("%s: code %d came with reason %q", what, code, got.GetReason())
		}
		// Whoever logs answers as JSON must be able to.
		if _, err := protojson.Marshal(response); err != nil {
			fail("%s: the answer has no JSON form: %v", what, err)
		}
		fmt.Printf("%s: %d %s\n", what, got.GetCode(), got.GetMessage())
	}
}

func check(what string, holds bool) {
	if !holds {
		fail("%s does not hold", what)
	}
}

func fail(format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, "go client: "+format+"\n", arguments...)
	os.Exit(1)
}
