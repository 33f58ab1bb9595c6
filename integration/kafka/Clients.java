import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Does with Apache Kafka's own clients what connectors do with them, and prints
 * what each step finds, a line each, without what differs from broker to broker.
 * Argument: the address of a broker without topics.
 */
public class Clients {
    static final String SUBJECT = "subject", MONEY = "money";
    static final TopicPartition FIRST = new TopicPartition(SUBJECT, 0), PAID = new TopicPartition(MONEY, 0);
    static String broker;
    static Admin admin;

    interface Step {
        Object run() throws Exception;
    }

    /** Prints what a step returns, or the class of its error. */
    static void step(String name, Step s) {
        String found;
        try {
            found = String.valueOf(s.run());
        } catch (Throwable e) {
            Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
            found = cause.getClass().getSimpleName();
            if (cause instanceof RuntimeException && !(cause instanceof org.apache.kafka.common.KafkaException)) {
                e.printStackTrace(); // the client could not make sense of an answer
            }
        }
        System.out.println(name + " = " + found);
    }

    /** Asks until the answer is right, which takes its time where a controller tells its brokers, and returns the last one. */
    static <T> T eventually(Callable<T> question, Predicate<T> right) throws Exception {
        for (long end = System.currentTimeMillis() + 30_000;; Thread.sleep(20)) {
            boolean late = System.currentTimeMillis() > end;
            try {
                T answer = question.call();
                if (late || right.test(answer)) {
                    return answer;
                }
            } catch (ExecutionException e) {
                if (late) {
                    throw e;
                }
            }
        }
    }

    static Map<String, Object> settings(Object... more) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", broker, "key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class,
            "key.deserializer", StringDeserializer.class, "value.deserializer", StringDeserializer.class, "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        for (int i = 0; i < more.length; i += 2) {
            all.put((String) more[i], more[i + 1]);
        }
        return all;
    }

    static KafkaProducer<String, String> producer(Object... more) {
        return new KafkaProducer<>(settings(more));
    }

    static KafkaConsumer<String, String> consumer(Object... more) {
        return new KafkaConsumer<>(settings(more));
    }

    static ProducerRecord<String, String> to(TopicPartition p, String value) {
        return new ProducerRecord<>(p.topic(), p.partition(), "key", value);
    }

    /** The values of the next records, as many as there should be. */
    static List<String> next(KafkaConsumer<String, String> c, int count) {
        List<String> values = new ArrayList<>();
        for (long end = System.currentTimeMillis() + 30_000; values.size() < count && System.currentTimeMillis() < end;) {
            c.poll(Duration.ofMillis(100)).forEach(r -> values.add(r.value()));
        }
        return values;
    }

    /** All records of a partition, to its end as this isolation level sees it. */
    static List<ConsumerRecord<String, String>> all(TopicPartition p, String isolation) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        try (KafkaConsumer<String, String> c = consumer("isolation.level", isolation)) {
            c.assign(List.of(p));
            c.seekToBeginning(List.of(p));
            long end = c.endOffsets(List.of(p)).get(p);
            for (long late = System.currentTimeMillis() + 30_000; c.position(p) < end && System.currentTimeMillis() < late;) {
                c.poll(Duration.ofMillis(100)).forEach(records::add);
            }
        }
        return records;
    }

    static List<String> values(TopicPartition p, String isolation) {
        return all(p, isolation).stream().map(ConsumerRecord::value).toList();
    }

    static TopicDescription describe(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    static List<String> partitions(TopicDescription d) {
        return d.partitions().stream().map(p -> p.partition() + " led " + (p.leader() != null) + ", " + p.replicas().size() + " " + p.isr().size() + " " + p.elr() + " " + p.lastKnownElr()).toList();
    }

    static long offset(TopicPartition p, OffsetSpec spec, IsolationLevel isolation) throws Exception {
        return admin.listOffsets(Map.of(p, spec), new ListOffsetsOptions(isolation)).partitionResult(p).get().offset();
    }

    static String setting(String topic, String name) throws Exception {
        ConfigResource r = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        ConfigEntry e = admin.describeConfigs(List.of(r), new DescribeConfigsOptions().includeSynonyms(true)).all().get().get(r).get(name);
        return e.value() + " " + e.source() + " " + e.type();
    }

    static String alter(AlterConfigOp.OpType op, String name, String value) throws Exception {
        String before = setting(SUBJECT, name);
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, SUBJECT), List.of(new AlterConfigOp(new ConfigEntry(name, value), op)))).all().get();
        return eventually(() -> setting(SUBJECT, name), now -> !now.equals(before));
    }

    public static void main(String[] args) {
        broker = args[0];
        admin = Admin.create(Map.of("bootstrap.servers", broker));
        topics();
        records();
        offsets();
        transactions();
        for (String protocol : List.of("classic", "consumer")) {
            groups(protocol);
        }
        ends();
        admin.close(Duration.ofSeconds(1));
    }

    static void topics() {
        step("cluster", () -> admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true)).nodes().get().size() + " " + (admin.describeCluster().controller().get() != null));
        step("create", () -> {
            CreateTopicsResult made = admin.createTopics(List.of(new NewTopic(SUBJECT, 2, (short) 1).configs(Map.of("retention.ms", "-1")), new NewTopic(MONEY, Optional.empty(), Optional.empty())));
            eventually(() -> describe(SUBJECT) != null && describe(MONEY) != null, known -> known);
            return made.numPartitions(SUBJECT).get() + " " + made.replicationFactor(SUBJECT).get() + " " + made.numPartitions(MONEY).get() + " " + made.config(SUBJECT).get().get("retention.ms").value();
        });
        step("create again", () -> admin.createTopics(List.of(new NewTopic(SUBJECT, 2, (short) 1))).all().get());
        step("create to try", () -> admin.createTopics(List.of(new NewTopic("tried", 2, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all().get());
        step("create with a wrong name", () -> admin.createTopics(List.of(new NewTopic("two words", 1, (short) 1))).all().get());
        step("create with a wrong setting", () -> admin.createTopics(List.of(new NewTopic("set", 1, (short) 1).configs(Map.of("retention.ms", "7d")))).all().get());
        step("create with a setting that is none", () -> admin.createTopics(List.of(new NewTopic("set", 1, (short) 1).configs(Map.of("retention", "7")))).all().get());
        step("create with copies", () -> admin.createTopics(List.of(new NewTopic("copied", 1, (short) 3))).all().get());
        step("create without partitions", () -> admin.createTopics(List.of(new NewTopic("none", 0, (short) 1))).all().get());
        step("list", () -> new TreeSet<>(admin.listTopics().names().get()));
        step("describe", () -> partitions(describe(SUBJECT)));
        step("describe in pages", () -> partitions(admin.describeTopics(List.of(SUBJECT, MONEY), new DescribeTopicsOptions().partitionSizeLimitPerResponse(1)).allTopicNames().get().get(MONEY)));
        step("describe by id", () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(describe(SUBJECT).topicId()))).allTopicIds().get().values().iterator().next().name());
        step("describe what is not there", () -> describe("missing"));
        step("describe an id that is not there", () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(new Uuid(1, 2)))).allTopicIds().get());
        step("add a partition", () -> {
            admin.createPartitions(Map.of(SUBJECT, NewPartitions.increaseTo(3))).all().get();
            return eventually(() -> describe(SUBJECT).partitions().size(), now -> now == 3);
        });
        step("take partitions away", () -> admin.createPartitions(Map.of(SUBJECT, NewPartitions.increaseTo(1))).all().get());
        step("settings", () -> setting(SUBJECT, "retention.ms") + ", " + setting(SUBJECT, "cleanup.policy") + ", " + setting(MONEY, "max.message.bytes"));
        step("settings of what is not there", () -> setting("missing", "retention.ms"));
        step("set", () -> alter(AlterConfigOp.OpType.SET, "max.message.bytes", "2000000"));
        step("set what is wrong", () -> alter(AlterConfigOp.OpType.SET, "retention.ms", "soon"));
        step("append", () -> alter(AlterConfigOp.OpType.APPEND, "cleanup.policy", "compact"));
        step("subtract", () -> alter(AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "compact"));
        step("unset", () -> alter(AlterConfigOp.OpType.DELETE, "max.message.bytes", ""));
        step("quotas", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get());
        step("log directories", () -> admin.describeLogDirs(List.of(admin.describeCluster().nodes().get().iterator().next().id())).allDescriptions().get().size());
    }

    static void records() {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            step("write and read by " + codec, () -> {
                TopicPartition p = new TopicPartition("by-" + codec, 0);
                admin.createTopics(List.of(new NewTopic(p.topic(), 1, (short) 1).configs(Map.of("retention.ms", "-1")))).all().get();
                try (KafkaProducer<String, String> out = producer("compression.type", codec, "linger.ms", "20")) {
                    for (int i = 0; i < 200; i++) { // each tenth is a tombstone
                        out.send(new ProducerRecord<>(p.topic(), 0, 1000L + i, "key", i % 10 == 9 ? null : "v".repeat(i), List.of(new RecordHeader("h", ("" + i).getBytes()), new RecordHeader("null", null))));
                    }
                }
                long right = all(p, "read_committed").stream().filter(r -> Objects.equals(r.value(), r.offset() % 10 == 9 ? null : "v".repeat((int) r.offset()))
                    && r.timestamp() == 1000 + r.offset() && new String(r.headers().lastHeader("h").value()).equals("" + r.offset()) && r.headers().lastHeader("null").value() == null).count();
                return right;
            });
        }
        step("write in order, once", () -> {
            TopicPartition p = new TopicPartition("ordered", 0);
            try (KafkaProducer<String, String> out = producer("batch.size", "500")) { // which makes the topic
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (int i = 0; i < 2000; i++) {
                    sent.add(out.send(to(p, "" + i)));
                }
                for (Future<RecordMetadata> s : sent) {
                    s.get();
                }
            }
            List<ConsumerRecord<String, String>> read = all(p, "read_committed");
            return read.size() + " " + read.stream().allMatch(r -> r.value().equals("" + r.offset())) + " " + describe("ordered").partitions().size();
        });
        step("write without waiting", () -> {
            try (KafkaProducer<String, String> out = producer("acks", "0", "enable.idempotence", "false")) {
                return out.send(to(new TopicPartition(SUBJECT, 2), "a")).get().hasOffset();
            }
        });
        step("write too much", () -> {
            try (KafkaProducer<String, String> out = producer("max.request.size", "9000000")) {
                return out.send(to(FIRST, "y".repeat(2_000_000))).get();
            }
        });
        step("write to a wrong name", () -> {
            try (KafkaProducer<String, String> out = producer()) {
                return out.send(new ProducerRecord<>("two words", "v")).get();
            }
        });
        step("write with times", () -> {
            try (KafkaProducer<String, String> out = producer()) {
                for (int i = 0; i < 10; i++) {
                    out.send(new ProducerRecord<>(SUBJECT, 0, 10_000L * (i + 1), "key", "v" + i)).get();
                }
            }
            return values(FIRST, "read_uncommitted");
        });
    }

    static void offsets() {
        Map<String, OffsetSpec> specs = new TreeMap<>(Map.of("earliest", OffsetSpec.earliest(), "latest", OffsetSpec.latest(), "at a time", OffsetSpec.forTimestamp(50_000),
            "between times", OffsetSpec.forTimestamp(55_000), "after all", OffsetSpec.forTimestamp(999_999_999_999_999L), "of the newest", OffsetSpec.maxTimestamp(),
            "of a second tier", OffsetSpec.latestTiered(), "of the local tier", OffsetSpec.earliestLocal()));
        specs.forEach((name, spec) -> step("offset " + name, () -> offset(FIRST, spec, IsolationLevel.READ_COMMITTED)));
        step("offset of what is not there", () -> offset(new TopicPartition("missing", 0), OffsetSpec.latest(), IsolationLevel.READ_COMMITTED));
        step("delete records", () -> admin.deleteRecords(Map.of(FIRST, RecordsToDelete.beforeOffset(3))).lowWatermarks().get(FIRST).get().lowWatermark() + " " + values(FIRST, "read_committed"));
        step("delete more than there are", () -> admin.deleteRecords(Map.of(FIRST, RecordsToDelete.beforeOffset(300))).lowWatermarks().get(FIRST).get());
        step("seek by time", () -> {
            try (KafkaConsumer<String, String> c = consumer()) {
                c.assign(List.of(FIRST));
                OffsetAndTimestamp found = c.offsetsForTimes(Map.of(FIRST, 75_000L)).get(FIRST);
                c.seek(FIRST, found.offset());
                return found + " " + next(c, 3) + " " + c.beginningOffsets(List.of(FIRST)).get(FIRST) + " " + c.offsetsForTimes(Map.of(FIRST, 999_999_999_999L)).get(FIRST);
            }
        });
        step("read what is deleted", () -> {
            try (KafkaConsumer<String, String> c = consumer("auto.offset.reset", "none")) {
                c.assign(List.of(FIRST));
                c.seek(FIRST, 0);
                return next(c, 1);
            }
        });
        step("assigned, and of a new group", () -> {
            try (KafkaConsumer<String, String> c = consumer("group.id", "assigned")) {
                c.assign(List.of(FIRST));
                return c.committed(Set.of(FIRST)).get(FIRST) + " " + next(c, 7) + " " + admin.listConsumerGroupOffsets("unheard").partitionsToOffsetAndMetadata().get();
            }
        });
    }

    static void transactions() {
        step("transactions", () -> {
            try (KafkaProducer<String, String> out = producer("transactional.id", "bank")) {
                out.initTransactions();
                for (String how : List.of("commit", "abort", "commit", "empty commit", "empty abort")) {
                    out.beginTransaction();
                    if (!how.startsWith("empty")) {
                        out.send(to(PAID, how + " 1"));
                        out.send(to(PAID, how + " 2")).get();
                    }
                    if (how.endsWith("commit")) {
                        out.commitTransaction();
                    } else {
                        out.abortTransaction();
                    }
                }
                out.beginTransaction();
                out.send(to(PAID, "open")).get();
                String open = offset(PAID, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED) + " " + offset(PAID, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)
                    + " " + admin.describeTransactions(List.of("bank")).description("bank").get().topicPartitions() + " " + admin.describeProducers(List.of(PAID)).partitionResult(PAID).get().activeProducers().size()
                    + " " + admin.listTransactions().all().get().stream().map(TransactionListing::state).toList();
                List<String> closed = values(PAID, "read_committed");
                out.abortTransaction();
                return open + " " + closed + " " + values(PAID, "read_uncommitted");
            }
        });
        step("the second of one name", () -> {
            try (KafkaProducer<String, String> first = producer("transactional.id", "bank"); KafkaProducer<String, String> second = producer("transactional.id", "bank")) {
                first.initTransactions();
                first.beginTransaction();
                first.send(to(PAID, "lost")).get();
                second.initTransactions();
                try {
                    first.send(to(PAID, "lost, too")).get();
                    return "the first may go on";
                } catch (ExecutionException e) {
                    return e.getCause().getClass().getSimpleName() + " " + values(PAID, "read_committed");
                }
            }
        });
        step("offsets in transactions", () -> {
            try (KafkaConsumer<String, String> in = consumer("group.id", "teller", "isolation.level", "read_committed"); KafkaProducer<String, String> out = producer("transactional.id", "teller")) {
                out.initTransactions();
                in.subscribe(List.of(MONEY));
                List<String> read = next(in, 4);
                for (long at : new long[] {2, 3}) {
                    out.beginTransaction();
                    out.send(to(new TopicPartition(MONEY, 1), "sum"));
                    out.sendOffsetsToTransaction(Map.of(PAID, new OffsetAndMetadata(at, "note")), in.groupMetadata());
                    if (at == 2) {
                        out.commitTransaction();
                    } else {
                        out.abortTransaction();
                    }
                }
                OffsetAndMetadata kept = in.committed(Set.of(PAID)).get(PAID);
                return read + " " + kept.offset() + " " + kept.metadata();
            }
        });
        step("fence", () -> admin.fenceProducers(List.of("teller")).all().get());
    }

    static void groups(String protocol) {
        String group = "of-" + protocol;
        Object[] common = {"group.id", group, "group.protocol", protocol};
        step(protocol + ": read and commit", () -> {
            try (KafkaConsumer<String, String> c = consumer(common)) {
                c.subscribe(List.of(SUBJECT));
                List<String> read = next(c, 8);
                c.commitSync();
                ConsumerGroupDescription d = eventually(() -> {
                    c.poll(Duration.ZERO);
                    return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                }, now -> now.groupState() == GroupState.STABLE);
                MemberDescription m = d.members().iterator().next();
                return new TreeSet<>(read) + " " + d.type() + " " + d.groupState() + " " + d.partitionAssignor() + " " + d.members().size() + " " + m.assignment().topicPartitions().size() + " " + c.currentLag(FIRST);
            }
        });
        step(protocol + ": committed", () -> {
            Map<String, Long> offsets = new TreeMap<>();
            admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().forEach((p, o) -> offsets.put(p.toString(), o.offset()));
            return offsets;
        });
        step(protocol + ": listed", () -> listed(admin.listGroups(ListGroupsOptions.forConsumerGroups()).all().get(), group) + " " + listed(admin.listGroups().all().get(), group));
        step(protocol + ": set back", () -> {
            admin.alterConsumerGroupOffsets(group, Map.of(FIRST, new OffsetAndMetadata(5, "back"))).all().get();
            try (KafkaConsumer<String, String> c = consumer(common)) {
                c.subscribe(Pattern.compile(SUBJECT));
                return next(c, 5);
            }
        });
        step(protocol + ": forget an offset", () -> {
            admin.deleteConsumerGroupOffsets(group, Set.of(FIRST)).all().get();
            return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().containsKey(FIRST);
        });
        step(protocol + ": two members", () -> {
            try (KafkaConsumer<String, String> a = consumer(common); KafkaConsumer<String, String> b = consumer(common)) {
                a.subscribe(List.of(SUBJECT));
                b.subscribe(List.of(SUBJECT));
                for (long end = System.currentTimeMillis() + 30_000; System.currentTimeMillis() < end;) {
                    a.poll(Duration.ofMillis(50));
                    b.poll(Duration.ofMillis(50));
                    if (!a.assignment().isEmpty() && !b.assignment().isEmpty() && a.assignment().size() + b.assignment().size() == 3) {
                        return "share";
                    }
                }
                return a.assignment() + " " + b.assignment();
            }
        });
        step(protocol + ": delete while used", () -> {
            try (KafkaConsumer<String, String> c = consumer(common)) {
                c.subscribe(List.of(SUBJECT));
                next(c, 1);
                return admin.deleteConsumerGroups(List.of(group)).all().get();
            }
        });
        step(protocol + ": delete", () -> {
            admin.deleteConsumerGroups(List.of(group)).all().get();
            return listed(admin.listGroups().all().get(), group);
        });
        step(protocol + ": delete again", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
        step(protocol + ": describe what is gone", () -> admin.describeConsumerGroups(List.of(group)).all().get());
    }

    static List<String> listed(Collection<GroupListing> groups, String name) {
        return groups.stream().filter(g -> g.groupId().equals(name)).map(g -> g.type() + " " + g.protocol() + " " + g.groupState()).toList();
    }

    static void ends() {
        step("a member of a name is removed", () -> {
            Object[] named = {"group.id", "named", "group.instance.id", "one"};
            try (KafkaConsumer<String, String> c = consumer(named)) {
                c.subscribe(List.of(SUBJECT));
                next(c, 1);
            }
            admin.removeMembersFromConsumerGroup("named", new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("one")))).all().get();
            return admin.describeConsumerGroups(List.of("named")).all().get().get("named").members().size();
        });
        step("cooperative", () -> {
            try (KafkaConsumer<String, String> c = consumer("group.id", "cooperative", "partition.assignment.strategy", CooperativeStickyAssignor.class.getName())) {
                c.subscribe(List.of(SUBJECT));
                return next(c, 8).size();
            }
        });
        step("no topic by reading", () -> {
            try (KafkaConsumer<String, String> c = consumer("allow.auto.create.topics", "false")) {
                c.assign(List.of(new TopicPartition("unasked", 0)));
                c.poll(Duration.ofMillis(300));
                return admin.listTopics().names().get().contains("unasked");
            }
        });
        step("delete a topic by its id", () -> admin.deleteTopics(TopicCollection.ofTopicIds(List.of(describe(MONEY).topicId()))).all().get());
        step("delete a topic", () -> admin.deleteTopics(List.of(SUBJECT)).all().get());
        step("delete a topic that is not there", () -> admin.deleteTopics(List.of("missing")).all().get());
        step("create it anew", () -> {
            eventually(() -> admin.createTopics(List.of(new NewTopic(SUBJECT, 1, (short) 1))).all().get(), made -> true);
            try (KafkaProducer<String, String> out = producer()) {
                return out.send(to(FIRST, "again")).get().offset() + " " + values(FIRST, "read_committed");
            }
        });
    }
}
