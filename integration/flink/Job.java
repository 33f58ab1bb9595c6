import java.util.concurrent.TimeUnit;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * A job of Flink, as one would run it on a cluster: the flights of a topic go, as
 * Parquet files by partition, to a path of S3, and in transactions to another
 * topic; checkpoints lie on S3, too. Then the files are read back, and what is
 * found is printed: how many rows, how many different events, the sum of the
 * distances. Arguments: the broker, the store's URL, both topics and the path; the
 * store's keys are in AWS_*.
 */
public class Job {
    static final String COLUMNS = "(`date` TIMESTAMP_LTZ(3), distance BIGINT, origin STRING, destination STRING, delay BIGINT";

    public static void main(String[] args) throws Exception {
        Configuration c = new Configuration();
        c.setString("s3.endpoint", args[1]);
        c.setString("s3.access-key", System.getenv("AWS_ACCESS_KEY_ID"));
        c.setString("s3.secret-key", System.getenv("AWS_SECRET_ACCESS_KEY"));
        c.setString("s3.path.style.access", "true");
        c.setString("execution.checkpointing.interval", "1s");
        c.setString("execution.checkpointing.dir", "s3://lake/flink/checkpoints");
        c.setString("parallelism.default", "2");
        c.setString("rest.port", "0");
        c.setString("restart-strategy.type", "none");
        c.setString("table.local-time-zone", "UTC");
        c.setString("taskmanager.memory.network.min", "32m");
        c.setString("taskmanager.memory.network.max", "32m");
        c.setString("taskmanager.memory.managed.size", "32m");
        FileSystem.initialize(c, null);
        TableEnvironment stream = TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(c).build());
        String kafka = ") WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = '" + args[0] + "', 'format' = 'json',"
            + " 'json.timestamp-format.standard' = 'ISO-8601', 'topic' = ";
        stream.executeSql("CREATE TABLE events " + COLUMNS + ", part INT METADATA FROM 'partition' VIRTUAL, place BIGINT METADATA FROM 'offset' VIRTUAL" + kafka + "'"
            + args[2] + "', 'properties.group.id' = 'flink', 'scan.startup.mode' = 'group-offsets', 'properties.auto.offset.reset' = 'earliest', 'scan.bounded.mode' = 'latest-offset')");
        stream.executeSql("CREATE TABLE copies " + COLUMNS + kafka + "'" + args[3]
            + "', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'flink-', 'properties.transaction.timeout.ms' = '60000')");
        files(stream, args[4]);
        StatementSet job = stream.createStatementSet();
        job.addInsertSql("INSERT INTO files SELECT `date`, distance, origin, destination, delay, place, part FROM events");
        job.addInsertSql("INSERT INTO copies SELECT `date`, distance, origin, destination, delay FROM events");
        job.execute().await(2, TimeUnit.MINUTES);

        TableEnvironment batch = TableEnvironment.create(EnvironmentSettings.newInstance().inBatchMode().withConfiguration(c).build());
        files(batch, args[4]);
        try (CloseableIterator<Row> rows = batch.executeSql("SELECT count(*), count(DISTINCT part * 1000000 + place), sum(distance) FROM files").collect()) {
            System.out.println("found " + rows.next());
        }
        System.exit(0); // its threads outlive it otherwise
    }

    static void files(TableEnvironment t, String path) {
        t.executeSql("CREATE TABLE files " + COLUMNS + ", place BIGINT, part INT) PARTITIONED BY (part) WITH ('connector' = 'filesystem', 'format' = 'parquet', 'path' = '" + path
            + "', 'sink.rolling-policy.rollover-interval' = '1s', 'sink.rolling-policy.check-interval' = '1s', 'sink.partition-commit.policy.kind' = 'success-file')");
    }
}
