// A Go client (grpc-go) that leads jobs through a whole life on a Muster server. run.sh generates the code that it
// imports, builds and runs it:
//
//	test/clients/go/run.sh http://127.0.0.1:8082 [DOMAIN]
//
// DOMAIN names a domain that approves its jobs by hand (`approval: manual` in muster.yaml); without it nothing waits
// for an approval. Ends with 0, or with 1 and a sentence about the first surprise.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/secretflow/kuscia/proto/api/v1alpha1/kusciaapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	// Far more than anything here takes.
	patience = time.Minute
	// Milliseconds; should this program break off, what it started is gone after them.
	long = 120_000
)

type client struct {
	jobs   kusciaapi.JobServiceClient
	images kusciaapi.AppImageServiceClient
	// Names of this run only, so that any server will do, also one on which an earlier run broke off.
	prefix  string
	image   string
	created []string
}

func main() {
	if len(os.Args) != 2 && len(os.Args) != 3 {
		fail("usage: main http://HOST:PORT [DOMAIN]")
	}
	target := strings.TrimPrefix(os.Args[1], "http://")
	// Newer versions of grpc-go say grpc.NewClient and insecure.NewCredentials.
	compressed := grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name))
	connection, err := grpc.Dial(target, grpc.WithInsecure(), compressed)
	if err != nil {
		fail("dial: %v", err)
	}
	defer connection.Close()
	prefix := fmt.Sprintf("go-%d", os.Getpid())
	c := &client{
		jobs:   kusciaapi.NewJobServiceClient(connection),
		images: kusciaapi.NewAppImageServiceClient(connection),
		prefix: prefix,
		image:  prefix + "-sleep",
	}
	ctx := context.Background()
	c.createImage(ctx)
	c.twoTasks(ctx)
	c.suspendRestartCancel(ctx)
	c.stop(ctx)
	if len(os.Args) == 3 {
		c.approve(ctx, os.Args[2])
	}
	c.refusals(ctx)
	c.watchLimits(ctx)
	c.deleteAll(ctx)
	fmt.Println("go client: all is well")
}

func (c *client) createImage(ctx context.Context) {
	sleep := &kusciaapi.Container{
		Name:    "sleep",
		Command: []string{"node", "-e", "setTimeout(() => undefined, Number(process.env.TASK_INPUT_CONFIG))"},
	}
	template := &kusciaapi.DeployTemplate{Name: "sleep", Replicas: 1, Containers: []*kusciaapi.Container{sleep}}
	request := &kusciaapi.CreateAppImageRequest{
		Name:            c.image,
		Image:           &kusciaapi.AppImageInfo{Name: "example/sleep", Tag: "1"},
		DeployTemplates: []*kusciaapi.DeployTemplate{template},
	}
	expect("CreateAppImage", 0, "")(c.images.CreateAppImage(ctx, request))
	expect("CreateAppImage again", 13106, "already exists")(c.images.CreateAppImage(ctx, request))
	found, err := c.images.QueryAppImage(ctx, &kusciaapi.QueryAppImageRequest{Name: c.image})
	expect("QueryAppImage", 0, "")(found, err)
	check("QueryAppImage gives the image back", proto.Equal(found.Data.DeployTemplates[0].Containers[0], sleep))

	changed := &kusciaapi.AppImageInfo{Name: "example/sleep", Tag: "2"}
	change := &kusciaapi.UpdateAppImageRequest{Name: c.image, Image: changed}
	expect("UpdateAppImage", 0, "")(c.images.UpdateAppImage(ctx, change))
	batch, err := c.images.BatchQueryAppImage(ctx, &kusciaapi.BatchQueryAppImageRequest{Names: []string{c.image}})
	expect("BatchQueryAppImage", 0, "")(batch, err)
	check("UpdateAppImage changed the tag", batch.Data[0].Image.Tag == "2")

	times := 0
	for token, more := "", true; more; more = token != "" {
		page, err := c.images.ListAppImage(ctx, &kusciaapi.ListAppImageRequest{PageSize: 1, PageToken: token})
		expect("ListAppImage", 0, "")(page, err)
		for _, image := range page.Data.AppimageList {
			if image.Name == c.image {
				times++
			}
		}
		token = page.Data.NextPageToken
	}
	check("ListAppImage lists the image once", times == 1)
}

func (c *client) twoTasks(ctx context.Context) {
	first := c.task("first", 50, "alice", "bob")
	second := c.task("second", 50, "alice", "bob")
	second.Dependencies = []string{"first"}
	request := c.jobOf("two-tasks", first, second)
	events := c.watchUntil(ctx, request.JobId, "its end", hasEnded, func() { c.create(ctx, request) })
	check("the first event is ADDED", events[0].Type == kusciaapi.EventType_ADDED)
	for i, event := range events {
		check("the others are MODIFIED", i == 0 || event.Type == kusciaapi.EventType_MODIFIED)
		tasks := event.Object.Status.Tasks
		check("the second task waits for the first", tasks[1].State == "Pending" || tasks[0].State == "Succeeded")
	}
	expect("the same CreateJob again", 0, "")(c.jobs.CreateJob(ctx, request))
	request.MaxParallelism = 1
	expect("another CreateJob of that name", 11201, "already exists")(c.jobs.CreateJob(ctx, request))

	found, err := c.jobs.QueryJob(ctx, &kusciaapi.QueryJobRequest{JobId: request.JobId})
	expect("QueryJob", 0, "")(found, err)
	check("the job has Succeeded", found.Data.Status.State == "Succeeded")
	_, err = time.Parse(time.RFC3339, found.Data.Status.EndTime)
	check("the end time is RFC 3339", err == nil)
	check("custom_fields come back", reflect.DeepEqual(found.Data.CustomFields, map[string]string{"made-by": "go"}))
	check("the definition comes back", reflect.DeepEqual(found.Data.Tasks[1].Dependencies, []string{"first"}))
	for _, task := range found.Data.Status.Tasks {
		check("both parties are listed", len(task.Parties) == 2)
		for _, party := range task.Parties {
			check("every party has Succeeded", party.State == "Succeeded")
		}
	}
	missing := &kusciaapi.QueryJobRequest{JobId: "no-such-job"}
	expect("QueryJob of no job", 11202, "no-such-job")(c.jobs.QueryJob(ctx, missing))

	ids := []string{request.JobId, request.JobId}
	batch, err := c.jobs.BatchQueryJobStatus(ctx, &kusciaapi.BatchQueryJobStatusRequest{JobIds: ids})
	expect("BatchQueryJobStatus", 0, "")(batch, err)
	check("the batch is complete", len(batch.Data.Jobs) == 2 && batch.Data.Jobs[1].Status.State == "Succeeded")
	more := &kusciaapi.BatchQueryJobStatusRequest{JobIds: append(ids, "no-such-job")}
	expect("BatchQueryJobStatus with a missing job", 11203, "no-such-job")(c.jobs.BatchQueryJobStatus(ctx, more))
}

func (c *client) suspendRestartCancel(ctx context.Context) {
	jobId := c.createLong(ctx, "long")
	restart := &kusciaapi.RestartJobRequest{JobId: jobId, Reason: "go on"}
	expect("RestartJob while it runs", 11211, "")(c.jobs.RestartJob(ctx, restart))
	approve := &kusciaapi.ApproveJobRequest{JobId: jobId, Result: kusciaapi.ApproveResult_APPROVE_RESULT_ACCEPT}
	expect("ApproveJob of what waits for nobody", 11206, "")(c.jobs.ApproveJob(ctx, approve))
	suspend := &kusciaapi.SuspendJobRequest{JobId: jobId, Reason: "a pause"}
	expect("SuspendJob", 0, "")(c.jobs.SuspendJob(ctx, suspend))
	suspended := c.untilState(ctx, jobId, "Suspended")
	check("a suspended job has no end", suspended.EndTime == "")
	expect("RestartJob", 0, "")(c.jobs.RestartJob(ctx, restart))
	c.watchUntil(ctx, jobId, "its first task runs", isAtWork, nil)
	cancel := &kusciaapi.CancelJobRequest{JobId: jobId, Reason: "enough"}
	expect("CancelJob", 0, "")(c.jobs.CancelJob(ctx, cancel))
	c.untilState(ctx, jobId, "Cancelled")
	expect("CancelJob again", 0, "")(c.jobs.CancelJob(ctx, cancel))
	expect("SuspendJob of a cancelled job", 11210, "")(c.jobs.SuspendJob(ctx, suspend))
}

func (c *client) stop(ctx context.Context) {
	jobId := c.createLong(ctx, "stopped")
	request := &kusciaapi.StopJobRequest{JobId: jobId, Reason: "no more power"}
	expect("StopJob", 0, "")(c.jobs.StopJob(ctx, request))
	check("a stopped job says why it ended", c.untilState(ctx, jobId, "Failed").ErrMsg != "")
}

func (c *client) approve(ctx context.Context, domain string) {
	request := c.jobOf("approved", c.task("sleep", 50, "alice", domain))
	c.create(ctx, request)
	check("the job waits", c.untilState(ctx, request.JobId, "AwaitingApproval").StartTime == "")
	decision := &kusciaapi.ApproveJobRequest{JobId: request.JobId, Reason: "fine"}
	expect("ApproveJob without a result", 11100, "result")(c.jobs.ApproveJob(ctx, decision))
	decision.Result = kusciaapi.ApproveResult_APPROVE_RESULT_ACCEPT
	expect("ApproveJob", 0, "")(c.jobs.ApproveJob(ctx, decision))
	decisions := map[string]string{}
	for _, each := range c.untilState(ctx, request.JobId, "Succeeded").ApproveStatusList {
		decisions[each.DomainId] = each.State
	}
	check("the approval is listed", decisions[domain] == "JobAccepted")
}

func (c *client) refusals(ctx context.Context) {
	expect("CreateJob without a name", 11100, "job_id")(c.jobs.CreateJob(ctx, &kusciaapi.CreateJobRequest{}))
	circle := c.task("sleep", 1, "alice")
	circle.Dependencies = []string{"sleep"}
	expect("CreateJob of a cycle", 11100, "cycle")(c.jobs.CreateJob(ctx, c.jobOf("circle", circle)))
	missing := &kusciaapi.DeleteJobRequest{JobId: "no-such-job"}
	expect("DeleteJob of no job", 11204, "no-such-job")(c.jobs.DeleteJob(ctx, missing))
}

func (c *client) watchLimits(ctx context.Context) {
	watch := func(what string, seconds int64, limit time.Duration, wanted codes.Code) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		stream, err := c.jobs.WatchJob(ctx, &kusciaapi.WatchJobRequest{TimeoutSeconds: seconds})
		for err == nil {
			_, err = stream.Recv()
		}
		if err == io.EOF {
			err = nil
		}
		if status.Code(err) != wanted {
			fail("WatchJob with %s: wanted %v, got %v", what, wanted, err)
		}
		fmt.Printf("WatchJob with %s: %v\n", what, status.Convert(err).Message())
	}
	watch("timeout_seconds", 1, patience, codes.OK)
	watch("a deadline", 0, 500*time.Millisecond, codes.DeadlineExceeded)
	watch("a negative time", -1, patience, codes.InvalidArgument)
}

func (c *client) deleteAll(ctx context.Context) {
	isDeleted := func(e *event) bool { return e.Type == kusciaapi.EventType_DELETED }
	for _, jobId := range c.created {
		c.watchUntil(ctx, jobId, "it is deleted", isDeleted, func() {
			expect("DeleteJob", 0, "")(c.jobs.DeleteJob(ctx, &kusciaapi.DeleteJobRequest{JobId: jobId}))
		})
		gone := &kusciaapi.QueryJobRequest{JobId: jobId}
		expect("QueryJob of a deleted job", 11202, jobId)(c.jobs.QueryJob(ctx, gone))
	}
	image := &kusciaapi.DeleteAppImageRequest{Name: c.image}
	expect("DeleteAppImage", 0, "")(c.images.DeleteAppImage(ctx, image))
	expect("DeleteAppImage again", 13103, c.image)(c.images.DeleteAppImage(ctx, image))
}

// A task that sleeps for so many milliseconds in each of the domains.
func (c *client) task(alias string, milliseconds int, domains ...string) *kusciaapi.Task {
	task := &kusciaapi.Task{AppImage: c.image, Alias: alias, TaskInputConfig: strconv.Itoa(milliseconds)}
	for _, domain := range domains {
		task.Parties = append(task.Parties, &kusciaapi.Party{DomainId: domain})
	}
	return task
}

func (c *client) jobOf(name string, tasks ...*kusciaapi.Task) *kusciaapi.CreateJobRequest {
	return &kusciaapi.CreateJobRequest{
		JobId:          c.prefix + "-" + name,
		Initiator:      "alice",
		MaxParallelism: 2,
		Tasks:          tasks,
		CustomFields:   map[string]string{"made-by": "go"},
	}
}

func (c *client) create(ctx context.Context, request *kusciaapi.CreateJobRequest) {
	created, err := c.jobs.CreateJob(ctx, request)
	expect("CreateJob "+request.JobId, 0, "")(created, err)
	check("CreateJob names the job", created.Data.JobId == request.JobId)
	c.created = append(c.created, request.JobId)
}

// Creates a job that goes on for long, and returns its id once it is at work.
func (c *client) createLong(ctx context.Context, name string) string {
	request := c.jobOf(name, c.task("sleep", long, "alice", "bob"))
	c.create(ctx, request)
	c.watchUntil(ctx, request.JobId, "its first task runs", isAtWork, nil)
	return request.JobId
}
