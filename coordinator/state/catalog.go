package state

// The commands. To add one: a file cmd_<name>.go and a line here with the next
// number. Numbers are never changed and never used again.
const (
	kindApplySpec      Kind = 1
	kindStartRun       Kind = 2
	kindCancelRun      Kind = 3
	kindGrantLeases    Kind = 4
	kindReportTask     Kind = 5
	kindReleaseLeases  Kind = 6
	kindExpireWorker   Kind = 7
	kindSaveCheckpoint Kind = 8
	kindRegisterModel  Kind = 9
	kindPromote        Kind = 10
	kindSetStream      Kind = 11
	kindSetPartitions  Kind = 12
	kindTripStream     Kind = 13
	kindDropRuns       Kind = 14
)

// catalog is the table by which entries are decoded.
var catalog = [...]struct {
	kind  Kind
	blank func() Command
}{
	{kindApplySpec, func() Command { return new(ApplySpec) }},
	{kindStartRun, func() Command { return new(StartRun) }},
	{kindCancelRun, func() Command { return new(CancelRun) }},
	{kindGrantLeases, func() Command { return new(GrantLeases) }},
	{kindReportTask, func() Command { return new(ReportTask) }},
	{kindReleaseLeases, func() Command { return new(ReleaseLeases) }},
	{kindExpireWorker, func() Command { return new(ExpireWorker) }},
	{kindSaveCheckpoint, func() Command { return new(SaveCheckpoint) }},
	{kindRegisterModel, func() Command { return new(RegisterModel) }},
	{kindPromote, func() Command { return new(Promote) }},
	{kindSetStream, func() Command { return new(SetStream) }},
	{kindSetPartitions, func() Command { return new(SetPartitions) }},
	{kindTripStream, func() Command { return new(TripStream) }},
	{kindDropRuns, func() Command { return new(DropRuns) }},
}
