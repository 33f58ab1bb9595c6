package state

// catalog makes the commands that entries are decoded into. To add one: a file
// cmd_<name>.go, or that of its concern, and a line here. A name is never used
// again for another command.
var catalog = [...]func() Command{
	func() Command { return new(ApplySpec) },
	func() Command { return new(StartRun) },
	func() Command { return new(CancelRun) },
	func() Command { return new(GrantLeases) },
	func() Command { return new(ReportTask) },
	func() Command { return new(ReleaseLeases) },
	func() Command { return new(SaveCheckpoint) },
	func() Command { return new(RegisterModel) },
	func() Command { return new(Promote) },
	func() Command { return new(SetStream) },
	func() Command { return new(SetPartitions) },
	func() Command { return new(SetWanted) },
	func() Command { return new(TripStream) },
	func() Command { return new(DropRuns) },
	func() Command { return new(DeletePipeline) },
	func() Command { return new(CollectVersions) },
	func() Command { return new(GrantBackup) },
	func() Command { return new(StartScheduled) },
	func() Command { return new(SetSchedule) },
	func() Command { return new(CreateToken) },
	func() Command { return new(RevokeToken) },
	func() Command { return new(DropAudit) },
	func() Command { return new(NoteRestore) },
	func() Command { return new(NoteRemoval) },
	func() Command { return new(StartJob) },
	func() Command { return new(CancelJob) },
	func() Command { return new(RaiseLevel) },
	func() Command { return new(JudgeRollout) },
	func() Command { return new(SetRollout) },
	func() Command { return new(UpdateAlerts) },
}
