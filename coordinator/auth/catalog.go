package auth

import (
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/inference"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/diagnose"
)

// The paths of what a coordinator answers besides the RPC.
const (
	HealthPath  = "/healthz"
	ReadyPath   = "/readyz"
	MetricsPath = "/metrics"
	OpenAPIPath = "/openapi.yaml"
	// Requests for predictions are passed on to workers: rows, and those of the Open
	// Inference Protocol.
	ScorePath     = "/v1/score/"
	InferencePath = "/v2"
	GRPCPath      = "/" + inference.GRPCInferenceServiceName + "/"
	// Coordinators find each other and become members by these.
	HelloPath   = "/cluster/hello"
	ConsentPath = "/cluster/consent"
	JoinPath    = "/cluster/join"
)

// jobs say which role each kind of job takes: reader where it only looks, operator where it
// writes. What a kind does is in the catalog of package worker/jobs.
var jobs = [...]struct {
	kind string
	role Role
}{
	{"fsck", Reader},
	{"results", Reader},
	{"lineage", Reader},
	{"diff", Reader},
	{"replay", Operator},
	{"dlq-list", Reader},
	{"dlq-show", Reader},
	{"dlq-replay", Operator},
	{"verify", Reader},
	{"checkpoint", Reader},
	{"evaluation", Reader},
	{"drift", Reader},
	{"quality", Reader},
}

// withText bounds requests with a spec of 256 KiB or the arguments of a job, written as JSON
// with escapes.
const withText = 1 << 20

// policies say who may call what. A route that is not here is refused to everybody, and
// the server has no other way to add one. docs/reference/access.md comes of the table.
var policies = [...]Policy{
	{Route: HealthPath, Open: true, Unlimited: true},
	{Route: ReadyPath, Open: true, Unlimited: true},
	{Route: MetricsPath, Role: Reader, Over: OverCluster},
	{Route: OpenAPIPath, Role: Reader},

	// Who may read a pipeline may ask its model: an answer tells no more than a scored row.
	{Route: ScorePath, Role: Reader, Over: OverPipeline, Unlimited: true, MaxBytes: api.MaxPredictionBytes},
	{Route: InferencePath, Role: Reader, Unlimited: true},
	{Route: InferencePath + "/", Role: Reader, Over: OverPipeline, Unlimited: true, MaxBytes: api.MaxPredictionBytes},
	{Route: GRPCPath, Role: Reader, Over: OverPipeline, Unlimited: true, MaxBytes: api.MaxPredictionBytes + small},

	{Route: apiv1.CoordinatorServiceStatusProcedure, Role: Reader},
	{Route: apiv1.CoordinatorServiceNodeStatusProcedure, Role: Reader, Nodes: []string{pki.Coordinator}},
	{Route: apiv1.CoordinatorServiceListPipelinesProcedure, Role: Reader, Nodes: jobsRead, Over: OverList},
	{Route: apiv1.CoordinatorServiceGetPipelineProcedure, Role: Reader, Nodes: jobsRead, Over: OverPipeline, Name: field((*apiv1.GetPipelineRequest).GetName)},
	{Route: apiv1.CoordinatorServiceListRunsProcedure, Role: Reader, Over: OverList, Name: field((*apiv1.ListRunsRequest).GetPipeline)},
	{Route: apiv1.CoordinatorServiceGetRunProcedure, Role: Reader, Nodes: jobsRead, Over: OverRun, Name: field((*apiv1.GetRunRequest).GetRunId)},
	{Route: apiv1.CoordinatorServiceListModelsProcedure, Role: Reader, Nodes: jobsRead, Over: OverList},
	{Route: apiv1.CoordinatorServiceStreamStatusProcedure, Role: Reader, Nodes: jobsRead, Over: OverList, Name: field((*apiv1.StreamStatusRequest).GetPipeline)},

	{Route: apiv1.CoordinatorServiceListEndpointsProcedure, Role: Reader, Over: OverList, Name: field((*apiv1.ListEndpointsRequest).GetPipeline)},

	{Route: apiv1.CoordinatorServiceListAlertsProcedure, Role: Reader, Over: OverList, Name: field((*apiv1.ListAlertsRequest).GetPipeline)},

	{Route: apiv1.CoordinatorServiceListJobsProcedure, Role: Reader, Over: OverList, Name: field((*apiv1.ListJobsRequest).GetPipeline)},
	{Route: apiv1.CoordinatorServiceGetJobProcedure, Role: Reader, Over: OverJob, Name: field((*apiv1.GetJobRequest).GetJobId)},
	{Route: apiv1.CoordinatorServiceReadJobProcedure, Role: Reader, Over: OverJob, Name: field((*apiv1.ReadJobRequest).GetJobId)},
	{Route: apiv1.CoordinatorServiceStartJobProcedure, Role: Reader, ByKind: true, Over: OverPipeline, Name: field((*apiv1.StartJobRequest).GetPipeline), MaxBytes: withText},
	{Route: apiv1.CoordinatorServiceCancelJobProcedure, Role: Reader, ByKind: true, Over: OverJob, Name: field((*apiv1.CancelJobRequest).GetJobId)},

	{Route: apiv1.CoordinatorServiceApplyProcedure, Role: Submitter, Over: OverSpec, MaxBytes: withText},
	{Route: apiv1.CoordinatorServiceStartRunProcedure, Role: Submitter, Over: OverPipeline, Name: field((*apiv1.StartRunRequest).GetPipeline), MaxBytes: withText},
	{Route: apiv1.CoordinatorServiceCancelRunProcedure, Role: Submitter, Over: OverRun, Name: field((*apiv1.CancelRunRequest).GetRunId)},

	{Route: apiv1.CoordinatorServicePromoteProcedure, Role: Operator, Over: OverModel, Name: field((*apiv1.PromoteRequest).GetModel)},
	{Route: apiv1.CoordinatorServiceSetRolloutProcedure, Role: Operator, Over: OverPipeline, Name: field((*apiv1.SetRolloutRequest).GetPipeline)},
	{Route: apiv1.CoordinatorServiceSetStreamProcedure, Role: Operator, Over: OverPipeline, Name: field((*apiv1.SetStreamRequest).GetPipeline)},
	{Route: apiv1.CoordinatorServiceSetScheduleProcedure, Role: Operator, Over: OverPipeline, Name: field((*apiv1.SetScheduleRequest).GetPipeline)},
	{Route: apiv1.CoordinatorServiceDeletePipelineProcedure, Role: Operator, Over: OverPipeline, Name: field((*apiv1.DeletePipelineRequest).GetPipeline)},

	{Route: apiv1.CoordinatorServiceCreateTokenProcedure, Role: Admin, Over: OverCluster},
	{Route: apiv1.CoordinatorServiceListTokensProcedure, Role: Admin, Over: OverCluster},
	{Route: apiv1.CoordinatorServiceRevokeTokenProcedure, Role: Admin, Over: OverCluster},
	{Route: apiv1.CoordinatorServiceRemoveMemberProcedure, Role: Admin, Over: OverCluster},
	{Route: apiv1.CoordinatorServiceBackupProcedure, Role: Admin, Over: OverCluster},
	{Route: apiv1.CoordinatorServiceRestoreProcedure, Role: Admin, Over: OverCluster, MaxBytes: api.MaxMessageBytes},
	{Route: apiv1.CoordinatorServiceListAuditProcedure, Role: Admin, Over: OverCluster},

	{Route: diagnose.CPUPath, Role: Admin, Over: OverCluster},
	{Route: diagnose.TracePath, Role: Admin, Over: OverCluster},
	{Route: diagnose.HeapPath, Role: Admin, Over: OverCluster},
	{Route: diagnose.AllocsPath, Role: Admin, Over: OverCluster},
	{Route: diagnose.GoroutinePath, Role: Admin, Over: OverCluster},
	{Route: diagnose.BlockPath, Role: Admin, Over: OverCluster},
	{Route: diagnose.MutexPath, Role: Admin, Over: OverCluster},
	{Route: diagnose.InfoPath, Role: Admin, Over: OverCluster},
	{Route: diagnose.LogsPath, Role: Admin, Over: OverCluster},
	{Route: diagnose.MetricsPath, Role: Admin, Over: OverCluster},

	{Route: HelloPath, Nodes: []string{pki.Coordinator}, Unlimited: true},
	{Route: ConsentPath, Nodes: []string{pki.Coordinator}, Unlimited: true},
	{Route: JoinPath, Nodes: []string{pki.Coordinator}, Unlimited: true},
	{Route: apiv1.CoordinatorServicePollProcedure, Nodes: []string{pki.Worker}, Unlimited: true, Over: OverWorker, Name: field((*apiv1.PollRequest).GetWorkerId), MaxBytes: api.MaxPollBytes},
}

// jobsRead are the nodes that read what the state says of pipelines: workers do, for jobs.
var jobsRead = []string{pki.Worker}

// field returns what finds a field of a message.
func field[M any](get func(M) string) func(any) string {
	return func(message any) string { return get(message.(M)) }
}
