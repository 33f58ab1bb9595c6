package devbroker

import (
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicName is what Apache Kafka takes as the name of a topic. kfake takes any.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func isTopicName(name string) bool { return topicName.MatchString(name) && name != "." && name != ".." }

// mends are the answers of kfake that Apache Kafka gives otherwise and that the
// field's clients fail on, by request. Each function gets the request and
// changes the answer.
var mends = map[int16]func(kmsg.Request, kmsg.Response){
	kmsg.Metadata.Int16():                mendMetadata,
	kmsg.OffsetFetch.Int16():             mendOffsetFetch,
	kmsg.LeaveGroup.Int16():              mendLeaveGroup,
	kmsg.ListGroups.Int16():              mendListGroups,
	kmsg.CreateTopics.Int16():            mendCreateTopics,
	kmsg.AlterConfigs.Int16():            mendAlterConfigs,
	kmsg.IncrementalAlterConfigs.Int16(): mendIncrementalAlterConfigs,
	kmsg.DescribeClientQuotas.Int16():    mendDescribeClientQuotas,
	kmsg.ConsumerGroupDescribe.Int16():   mendConsumerGroupDescribe,
	kmsg.DescribeTopicPartitions.Int16(): mendDescribeTopicPartitions,
}

// mendMetadata says of a topic that cannot be that its name is wrong: clients
// wait for one that is merely not known.
func mendMetadata(_ kmsg.Request, a kmsg.Response) {
	resp := a.(*kmsg.MetadataResponse)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.ErrorCode == kerr.UnknownTopicOrPartition.Code && t.Topic != nil && !isTopicName(*t.Topic) {
			t.ErrorCode = kerr.InvalidTopicException.Code
		}
	}
}

// mendOffsetFetch has a group that is not known hold no offsets, which is not an
// error: consumers that are assigned their partitions ask before they commit.
func mendOffsetFetch(q kmsg.Request, a kmsg.Response) {
	req, resp := q.(*kmsg.OffsetFetchRequest), a.(*kmsg.OffsetFetchResponse)
	if req.Version < 8 {
		unsaid := req.Version < 2 && len(resp.Topics) == 0 // there is no place for the error
		if resp.ErrorCode != kerr.GroupIDNotFound.Code && !unsaid {
			return
		}
		resp.ErrorCode, resp.Topics = 0, nil
		for _, t := range req.Topics {
			none := kmsg.OffsetFetchResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				none.Partitions = append(none.Partitions, kmsg.OffsetFetchResponseTopicPartition{Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new(string)})
			}
			resp.Topics = append(resp.Topics, none)
		}
		return
	}
	for i := range min(len(resp.Groups), len(req.Groups)) {
		asked, group := &req.Groups[i], &resp.Groups[i]
		if group.ErrorCode != kerr.GroupIDNotFound.Code || asked.MemberID != nil {
			continue
		}
		group.ErrorCode, group.Topics = 0, nil
		for _, t := range asked.Topics {
			none := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic, TopicID: t.TopicID}
			for _, p := range t.Partitions {
				none.Partitions = append(none.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new(string)})
			}
			group.Topics = append(group.Topics, none)
		}
	}
}

// mendLeaveGroup names each member as the request does, by which clients find
// their answer.
func mendLeaveGroup(q kmsg.Request, a kmsg.Response) {
	req, resp := q.(*kmsg.LeaveGroupRequest), a.(*kmsg.LeaveGroupResponse)
	for i := range min(len(resp.Members), len(req.Members)) {
		resp.Members[i].MemberID = req.Members[i].MemberID
	}
}

// mendListGroups gives groups of the new protocol their type of protocol.
func mendListGroups(_ kmsg.Request, a kmsg.Response) {
	resp := a.(*kmsg.ListGroupsResponse)
	for i := range resp.Groups {
		if g := &resp.Groups[i]; g.GroupType == "consumer" && g.ProtocolType == "" {
			g.ProtocolType = "consumer"
		}
	}
}

// mendCreateTopics says where each setting of a new topic comes from, that
// there is none by an empty list, and which topics were refused (prepare).
func mendCreateTopics(q kmsg.Request, a kmsg.Response) {
	req, resp := q.(*kmsg.CreateTopicsRequest), a.(*kmsg.CreateTopicsResponse)
	for _, t := range req.Topics {
		if e, why := refuseTopic(&t); e != nil {
			resp.Topics = append(resp.Topics, kmsg.CreateTopicsResponseTopic{Topic: t.Topic, ErrorCode: e.Code, ErrorMessage: &why,
				NumPartitions: -1, ReplicationFactor: -1})
		}
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Configs == nil {
			t.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
		}
		for j := range t.Configs {
			t.Configs[j].Source = int8(kmsg.ConfigSourceDynamicTopicConfig)
		}
	}
}

// mendAlterConfigs and mendIncrementalAlterConfigs say which settings were
// refused (prepare).
func mendAlterConfigs(q kmsg.Request, a kmsg.Response) {
	req, resp := q.(*kmsg.AlterConfigsRequest), a.(*kmsg.AlterConfigsResponse)
	for _, r := range req.Resources {
		if why := refuseSettings(&r); why != "" {
			resp.Resources = append(resp.Resources, kmsg.AlterConfigsResponseResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName,
				ErrorCode: kerr.InvalidConfig.Code, ErrorMessage: &why})
		}
	}
}

func mendIncrementalAlterConfigs(q kmsg.Request, a kmsg.Response) {
	req, resp := q.(*kmsg.IncrementalAlterConfigsRequest), a.(*kmsg.IncrementalAlterConfigsResponse)
	for _, r := range req.Resources {
		if why := refuseChange(&r); why != "" {
			resp.Resources = append(resp.Resources, kmsg.IncrementalAlterConfigsResponseResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName,
				ErrorCode: kerr.InvalidConfig.Code, ErrorMessage: &why})
		}
	}
}

// mendConsumerGroupDescribe names the assignor of the groups that ask for none.
func mendConsumerGroupDescribe(_ kmsg.Request, a kmsg.Response) {
	resp := a.(*kmsg.ConsumerGroupDescribeResponse)
	for i := range resp.Groups {
		if g := &resp.Groups[i]; g.ErrorCode == 0 && g.AssignorName == "" {
			g.AssignorName = "uniform"
		}
	}
}

func mendDescribeClientQuotas(_ kmsg.Request, a kmsg.Response) {
	if resp := a.(*kmsg.DescribeClientQuotasResponse); resp.Entries == nil {
		resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	}
}

// mendDescribeTopicPartitions has no replica but those in sync be eligible.
func mendDescribeTopicPartitions(_ kmsg.Request, a kmsg.Response) {
	resp := a.(*kmsg.DescribeTopicPartitionsResponse)
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			if p.EligibleLeaderReplicas == nil {
				p.EligibleLeaderReplicas = []int32{}
			}
			if p.LastKnownELR == nil {
				p.LastKnownELR = []int32{}
			}
		}
	}
}

// prepare has kfake see requests that it would carry out otherwise than Apache
// Kafka in the form in which it does.
func prepare(cluster *kfake.Cluster) {
	on := func(key kmsg.Key, change func(kmsg.Request)) {
		cluster.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			change(req)
			return nil, nil, false
		})
	}
	on(kmsg.CreateTopics, func(q kmsg.Request) { // mendCreateTopics answers for those taken out
		req := q.(*kmsg.CreateTopicsRequest)
		req.Topics = slices.DeleteFunc(req.Topics, func(t kmsg.CreateTopicsRequestTopic) bool {
			e, _ := refuseTopic(&t)
			return e != nil
		})
	})
	on(kmsg.ListGroups, func(q kmsg.Request) { // by types in any case
		req := q.(*kmsg.ListGroupsRequest)
		for i, t := range req.TypesFilter {
			req.TypesFilter[i] = strings.ToLower(t)
		}
	})
	on(kmsg.AlterConfigs, func(q kmsg.Request) {
		req := q.(*kmsg.AlterConfigsRequest)
		req.Resources = slices.DeleteFunc(req.Resources, func(r kmsg.AlterConfigsRequestResource) bool { return refuseSettings(&r) != "" })
	})
	on(kmsg.IncrementalAlterConfigs, func(q kmsg.Request) { // a list that is not set is the default one, to which is appended
		req := q.(*kmsg.IncrementalAlterConfigsRequest)
		req.Resources = slices.DeleteFunc(req.Resources, func(r kmsg.IncrementalAlterConfigsRequestResource) bool { return refuseChange(&r) != "" })
		for i := range req.Resources {
			r := &req.Resources[i]
			const list, standard = "cleanup.policy", "delete"
			changes := slices.ContainsFunc(r.Configs, func(c kmsg.IncrementalAlterConfigsRequestResourceConfig) bool {
				return c.Name == list && (c.Op == kmsg.IncrementalAlterConfigOpAppend || c.Op == kmsg.IncrementalAlterConfigOpSubtract)
			})
			if !changes || r.ResourceType != kmsg.ConfigResourceTypeTopic {
				continue
			}
			if topic := cluster.TopicInfo(r.ResourceName); topic != nil && topic.Configs[list] == nil {
				set := kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: list, Op: kmsg.IncrementalAlterConfigOpSet, Value: kmsg.StringPtr(standard)}
				r.Configs = slices.Insert(r.Configs, 0, set)
			}
		}
	})
	cluster.ControlKey(kmsg.ConsumerGroupHeartbeat.Int16(), onHeartbeat(cluster.KeepControl))
}

// onHeartbeat has changed subscriptions be taken up: clients send what changed
// and no more, and kfake reads a subscription only beside all else. A member that
// owns partitions joins anew with all of it.
func onHeartbeat(keep func()) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(q kmsg.Request) (kmsg.Response, error, bool) {
		req := q.(*kmsg.ConsumerGroupHeartbeatRequest)
		changed := req.SubscribedTopicNames != nil || req.SubscribedTopicRegex != nil
		if req.MemberEpoch <= 0 || !changed || req.RebalanceTimeoutMillis != -1 {
			return nil, nil, false
		}
		if req.Topics != nil {
			req.RebalanceTimeoutMillis = 1 // that it is there is all that counts
			return nil, nil, false
		}
		keep()
		resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
		resp.ErrorCode = kerr.FencedMemberEpoch.Code
		return resp, nil, true
	}
}
