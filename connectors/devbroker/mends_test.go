package devbroker_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg/connectors/devbroker"
)

// wire is a connection on which requests are sent in any version, as no client
// would let one.
type wire struct {
	net.Conn
	t *testing.T
}

func dial(t *testing.T, b *devbroker.Broker) wire {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return wire{conn, t}
}

// frame returns a request as it is sent.
func frame(req kmsg.Request, id int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, id)
}

// answer reads the answer to a request.
func (w wire) answer(req kmsg.Request, id int32) kmsg.Response {
	w.t.Helper()
	head := make([]byte, 8)
	if _, err := io.ReadFull(w, head); err != nil {
		w.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(w, body); err != nil {
		w.t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != id {
		w.t.Fatalf("the answer is to %d, not to %d", got, id)
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		w.t.Fatalf("the answer to %s cannot be read: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp
}

// ask sends a request in a version and returns its answer.
func ask[Q kmsg.Request](w wire, version int16, req Q) kmsg.Response {
	w.t.Helper()
	req.SetVersion(version)
	if _, err := w.Write(frame(req, 7)); err != nil {
		w.t.Fatal(err)
	}
	return w.answer(req, 7)
}

// create makes topics and returns the answer.
func create(w wire, names ...string) *kmsg.CreateTopicsResponse {
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 2, 1
		if strings.HasPrefix(name, "compacted") {
			t.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "cleanup.policy", Value: kmsg.StringPtr("compact")}}
		}
		req.Topics = append(req.Topics, t)
	}
	return ask(w, 7, req).(*kmsg.CreateTopicsResponse)
}

func TestListsThatAreEmptyAreNotNull(t *testing.T) {
	w := dial(t, start(t, "", devbroker.Config{}))
	made := create(w, "plain", "compacted")
	for _, topic := range made.Topics {
		if topic.ErrorCode != 0 || topic.Configs == nil {
			t.Errorf("topic %s: error %d, settings %v, want an empty list at least", topic.Topic, topic.ErrorCode, topic.Configs)
		}
		for _, c := range topic.Configs {
			if c.Source != int8(kmsg.ConfigSourceDynamicTopicConfig) {
				t.Errorf("setting %s comes from %d, which is no source", c.Name, c.Source)
			}
		}
	}
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.Topics, req.ResponsePartitionLimit = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "plain"}}, 2000
	described := ask(w, 0, req).(*kmsg.DescribeTopicPartitionsResponse)
	if len(described.Topics) != 1 || len(described.Topics[0].Partitions) != 2 {
		t.Fatalf("described as %+v", described.Topics)
	}
	for _, p := range described.Topics[0].Partitions {
		if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil || len(p.ISR) != 1 {
			t.Errorf("partition %+v, want lists of eligible leaders", p)
		}
	}
	if quotas := ask(w, 1, kmsg.NewPtrDescribeClientQuotasRequest()).(*kmsg.DescribeClientQuotasResponse); quotas.ErrorCode != 0 || quotas.Entries == nil {
		t.Errorf("quotas %+v, want an empty list", quotas)
	}
}

func TestAGroupThatIsNotKnownHoldsNoOffsets(t *testing.T) {
	w := dial(t, start(t, "", devbroker.Config{}))
	create(w, "events")
	for _, version := range []int16{1, 5, 7} {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group, req.Topics = "new", []kmsg.OffsetFetchRequestTopic{{Topic: "events", Partitions: []int32{0, 1}}}
		resp := ask(w, version, req).(*kmsg.OffsetFetchResponse)
		if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[1].Offset != -1 {
			t.Errorf("version %d: %+v", version, resp)
		}
	}
	for _, version := range []int16{8, 9} {
		req := kmsg.NewPtrOffsetFetchRequest()
		for _, name := range []string{"new", "newer"} {
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group, g.Topics = name, []kmsg.OffsetFetchRequestGroupTopic{{Topic: "events", Partitions: []int32{1}}}
			req.Groups = append(req.Groups, g)
		}
		all := kmsg.NewOffsetFetchRequestGroup() // of all topics
		all.Group = "newest"
		req.Groups = append(req.Groups, all)
		resp := ask(w, version, req).(*kmsg.OffsetFetchResponse)
		if len(resp.Groups) != 3 {
			t.Fatalf("version %d: %+v", version, resp)
		}
		for _, g := range resp.Groups[:2] {
			if g.ErrorCode != 0 || len(g.Topics) != 1 || len(g.Topics[0].Partitions) != 1 || g.Topics[0].Partitions[0].Offset != -1 || g.Topics[0].Partitions[0].ErrorCode != 0 {
				t.Errorf("version %d: group %+v", version, g)
			}
		}
		if g := resp.Groups[2]; g.ErrorCode != 0 || len(g.Topics) != 0 {
			t.Errorf("version %d: group %+v", version, g)
		}
	}
}

// join joins a group of the classic protocol as a static member.
func join(w wire, group, instance string) {
	w.t.Helper()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.InstanceID, req.ProtocolType = group, &instance, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30_000, 30_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0}}}
	if resp := ask(w, 7, req).(*kmsg.JoinGroupResponse); resp.ErrorCode != 0 {
		w.t.Fatalf("join %s: %v", group, kerr.ErrorForCode(resp.ErrorCode))
	}
}

func TestAMemberThatIsRemovedIsNamedAsItWasAskedFor(t *testing.T) {
	w := dial(t, start(t, "", devbroker.Config{}))
	join(w, "readers", "first")
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.Members = "readers", []kmsg.LeaveGroupRequestMember{{InstanceID: kmsg.StringPtr("first")}}
	left := ask(w, 5, req).(*kmsg.LeaveGroupResponse)
	if len(left.Members) != 1 || left.Members[0].MemberID != "" || *left.Members[0].InstanceID != "first" || left.Members[0].ErrorCode != 0 {
		t.Errorf("%+v", left)
	}
}

func TestGroupsAreListedByTypeInAnyCase(t *testing.T) {
	w := dial(t, start(t, "", devbroker.Config{}))
	join(w, "readers", "first")
	for _, kind := range []string{"Classic", "classic", "CLASSIC"} {
		req := kmsg.NewPtrListGroupsRequest()
		req.TypesFilter = []string{kind}
		listed := ask(w, 5, req).(*kmsg.ListGroupsResponse)
		if len(listed.Groups) != 1 || listed.Groups[0].ProtocolType != "consumer" {
			t.Errorf("%s: %+v", kind, listed.Groups)
		}
	}
}

func TestASubscriptionThatChangesIsTakenUp(t *testing.T) {
	w := dial(t, start(t, "", devbroker.Config{}))
	create(w, "events", "more")
	beat := func(epoch int32, topics []string, owned []kmsg.ConsumerGroupHeartbeatRequestTopic) *kmsg.ConsumerGroupHeartbeatResponse {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = "readers", "one", epoch, -1
		if epoch == 0 {
			req.RebalanceTimeoutMillis = 60_000
		}
		req.SubscribedTopicNames, req.Topics = topics, owned
		return ask(w, 1, req).(*kmsg.ConsumerGroupHeartbeatResponse)
	}
	none := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	joined := beat(0, []string{}, none) // by a pattern that the client has not resolved yet
	given := beat(joined.MemberEpoch, []string{"events"}, none)
	if given.ErrorCode != 0 || given.Assignment == nil || len(given.Assignment.Topics) != 1 || len(given.Assignment.Topics[0].Partitions) != 2 {
		t.Fatalf("%+v", given)
	}
	for range 2 {
		if again := beat(given.MemberEpoch, []string{"events", "more"}, nil); again.ErrorCode != kerr.FencedMemberEpoch.Code {
			t.Errorf("%+v, want that it joins anew", again)
		}
	}
	given = beat(0, []string{"events", "more"}, none)
	if given.ErrorCode != 0 || given.Assignment == nil || len(given.Assignment.Topics) != 2 {
		t.Errorf("%+v", given)
	}
}

func TestNamesOfTopicsAreThoseOfApacheKafka(t *testing.T) {
	w := dial(t, start(t, t.TempDir(), devbroker.Config{}))
	wrong := []string{"", ".", "..", "two words", "a/b", "ü", strings.Repeat("x", 250)}
	made := create(w, append([]string{"right", "also.right-1_"}, wrong...)...)
	if len(made.Topics) != 2+len(wrong) {
		t.Errorf("%d answers for %d topics", len(made.Topics), 2+len(wrong))
	}
	for _, topic := range made.Topics {
		want := int16(0)
		if !strings.Contains(topic.Topic, "right") {
			want = kerr.InvalidTopicException.Code
		}
		if topic.ErrorCode != want {
			t.Errorf("topic %q: error %d, want %d", topic.Topic, topic.ErrorCode, want)
		}
	}
	for _, name := range wrong[1:] { // of use
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = true
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		if meta := ask(w, 9, req).(*kmsg.MetadataResponse); len(meta.Topics) != 1 || meta.Topics[0].ErrorCode != kerr.InvalidTopicException.Code {
			t.Errorf("use of topic %q: %+v", name, meta.Topics)
		}
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil // all
	if meta := ask(w, 9, req).(*kmsg.MetadataResponse); len(meta.Topics) != 2 {
		t.Errorf("there are %+v", meta.Topics)
	}
}

func TestAppendingToAListThatIsNotSetKeepsItsDefault(t *testing.T) {
	w := dial(t, start(t, "", devbroker.Config{}))
	create(w, "events", "compacted")
	for topic, want := range map[string]string{"events": "delete,compact", "compacted": "compact,compact"} {
		alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
		alter.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "cleanup.policy", Op: kmsg.IncrementalAlterConfigOpAppend, Value: kmsg.StringPtr("compact")}}}}
		if resp := ask(w, 1, alter).(*kmsg.IncrementalAlterConfigsResponse); resp.Resources[0].ErrorCode != 0 {
			t.Fatalf("%+v", resp)
		}
		describe := kmsg.NewPtrDescribeConfigsRequest()
		describe.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"cleanup.policy"}}}
		resp := ask(w, 4, describe).(*kmsg.DescribeConfigsResponse)
		if len(resp.Resources) != 1 || len(resp.Resources[0].Configs) != 1 || *resp.Resources[0].Configs[0].Value != want {
			t.Errorf("%s: %+v, want %s", topic, resp.Resources, want)
		}
	}
}

func TestSettingsOfTopicsAreThoseOfApacheKafka(t *testing.T) {
	w := dial(t, start(t, "", devbroker.Config{}))
	create(w, "events")
	for _, c := range []struct{ name, value, why string }{
		{"retention.ms", "7d", "invalid value 7d for configuration retention.ms"},
		{"retention.ms", "-1", ""},
		{"max.message.bytes", "1MB", "invalid value 1MB"},
		{"min.cleanable.dirty.ratio", "0.5", ""},
		{"min.cleanable.dirty.ratio", "half", "invalid value half"},
		{"cleanup.policy", "compact,delete", ""},
		{"cleanup.policy", "compacted", "invalid value compacted"},
		{"preallocate", "yes", "invalid value yes"},
		{"retention", "1", "unknown topic config name: retention"},
	} {
		told := func(how string, code int16, message *string) {
			t.Helper()
			if c.why == "" && code != 0 || c.why != "" && (code != kerr.InvalidConfig.Code || message == nil || !strings.Contains(*message, c.why)) {
				t.Errorf("%s with %s=%s: error %d, %v, want %q", how, c.name, c.value, code, message, c.why)
			}
		}
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = strings.ReplaceAll(c.name+c.value, ",", "-"), 1, 1
		topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: c.name, Value: &c.value}}
		other := kmsg.NewCreateTopicsRequestTopic() // is made whatever becomes of the first
		other.Topic, other.NumPartitions, other.ReplicationFactor = "other-"+topic.Topic, 1, 1
		made := ask(w, 7, &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topic, other}}).(*kmsg.CreateTopicsResponse)
		for _, m := range made.Topics {
			if m.Topic == topic.Topic {
				told("create", m.ErrorCode, m.ErrorMessage)
			} else if m.ErrorCode != 0 {
				t.Errorf("%s beside it: error %d", m.Topic, m.ErrorCode)
			}
		}
		change := ask(w, 1, &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "events",
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: c.name, Value: &c.value}}}}}).(*kmsg.IncrementalAlterConfigsResponse)
		told("change", change.Resources[0].ErrorCode, change.Resources[0].ErrorMessage)
		set := ask(w, 1, &kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "events",
			Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: c.name, Value: &c.value}}}}}).(*kmsg.AlterConfigsResponse)
		told("set", set.Resources[0].ErrorCode, set.Resources[0].ErrorMessage)
		if len(made.Topics) != 2 || len(change.Resources) != 1 || len(set.Resources) != 1 {
			t.Errorf("%d, %d and %d answers", len(made.Topics), len(change.Resources), len(set.Resources))
		}
	}
}

func TestWhatIsNoRequestEndsItsConnectionAlone(t *testing.T) {
	b := start(t, "", devbroker.Config{})
	other := dial(t, b)
	unknown := binary.BigEndian.AppendUint32(nil, 100)
	unknown = binary.BigEndian.AppendUint16(unknown, 9999)
	for name, bytes := range map[string][]byte{
		"HTTP":            []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"TLS":             {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x00, 0x00, 0x00},
		"unknown request": append(unknown, make([]byte, 96)...),
		"a negative size": append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 20)...),
		"no size":         make([]byte, 20),
	} {
		w := dial(t, b)
		if _, err := w.Write(bytes); err != nil {
			t.Fatal(err)
		}
		if n, err := w.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: %d bytes of answer, %v, want the end of the connection", name, n, err)
		}
		create(other, "still")
	}
}

func TestRequestsAreReadAsTheyComeIn(t *testing.T) {
	w := dial(t, start(t, "", devbroker.Config{}))
	create(w, "events")
	first, second := kmsg.NewPtrListGroupsRequest(), kmsg.NewPtrDescribeTopicPartitionsRequest()
	first.SetVersion(5)
	second.SetVersion(0)
	second.Topics, second.ResponsePartitionLimit = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "events"}}, 2000
	api := kmsg.NewPtrApiVersionsRequest()
	api.SetVersion(0)
	for _, part := range frame(first, 1) { // a byte at a time
		if _, err := w.Write([]byte{part}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(append(frame(second, 2), frame(api, 3)...)); err != nil { // and two at once
		t.Fatal(err)
	}
	w.answer(first, 1)
	if resp := w.answer(second, 2).(*kmsg.DescribeTopicPartitionsResponse); len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].EligibleLeaderReplicas == nil {
		t.Errorf("%+v", resp)
	}
	if resp := w.answer(api, 3).(*kmsg.ApiVersionsResponse); len(resp.ApiKeys) == 0 {
		t.Errorf("%+v", resp)
	}
}
