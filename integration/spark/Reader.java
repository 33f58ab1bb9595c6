import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/**
 * Answers GET /?table=URI&amp;where=CONDITION on a port of loopback with what
 * Spark finds in a Delta table, as JSON: the rows, how many of them came twice,
 * the offsets as ranges by topic and partition, the sum of the distances, and
 * the columns; GET / with 200. One session serves all, as a notebook's would.
 * Arguments: the port, and the store's host:port; its keys are in AWS_*.
 */
public class Reader {
    public static void main(String[] args) throws IOException {
        SparkSession spark = SparkSession.builder()
            .master("local[2]")
            .config("spark.log.level", "WARN")
            .config("spark.ui.enabled", false)
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", 2) // of hundreds, for tables of any size
            .config("spark.databricks.delta.snapshotPartitions", 2)
            .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
            .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
            .config("spark.hadoop.fs.s3a.endpoint", "http://" + args[1])
            .config("spark.hadoop.fs.s3a.path.style.access", true)
            .getOrCreate();
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0])), 0);
        server.createContext("/", exchange -> answer(spark, exchange));
        server.start();
    }

    static void answer(SparkSession spark, HttpExchange exchange) throws IOException {
        int status = 200;
        String text = "";
        try {
            Map<String, String> query = new HashMap<>();
            for (String field : String.valueOf(exchange.getRequestURI().getRawQuery()).split("&")) {
                String[] pair = field.split("=", 2);
                query.put(pair[0], URLDecoder.decode(pair[pair.length - 1], StandardCharsets.UTF_8));
            }
            if (query.containsKey("table")) {
                text = read(spark, query.get("table"), query.get("where"));
            }
        } catch (Throwable e) { // missing classes too: the client fails its test with it
            status = 500;
            StringWriter trace = new StringWriter();
            e.printStackTrace(new PrintWriter(trace));
            text = trace.toString();
        }
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    static String read(SparkSession spark, String uri, String where) {
        Dataset<Row> table = spark.read().format("delta").load(uri);
        if (where != null) {
            table = table.where(where);
        }
        long rows = 0;
        long twice = 0;
        long distance = 0;
        StringBuilder logs = new StringBuilder();
        for (Row log : table.groupBy("_topic", "_partition").agg(
                org.apache.spark.sql.functions.expr("sort_array(collect_list(_offset))"),
                org.apache.spark.sql.functions.expr("coalesce(sum(distance), 0)")).collectAsList()) {
            distance += log.getLong(3);
            StringBuilder ranges = new StringBuilder();
            long from = 0;
            long to = -1; // of no range
            for (Object o : log.getList(2)) {
                long at = (Long) o;
                rows++;
                if (at == to - 1) {
                    twice++;
                } else if (at == to) {
                    to++;
                } else {
                    end(ranges, from, to);
                    from = at;
                    to = at + 1;
                }
            }
            end(ranges, from, to);
            logs.append(logs.length() == 0 ? "" : ",").append(String.format("\"%s/%d\":[%s]", log.getString(0), log.getLong(1), ranges));
        }
        return String.format("{\"rows\":%d,\"twice\":%d,\"distance\":%d,\"offsets\":{%s},\"columns\":[\"%s\"]}",
            rows, twice, distance, logs, String.join("\",\"", table.columns()));
    }

    static void end(StringBuilder ranges, long from, long to) {
        if (to > 0) {
            ranges.append(ranges.length() == 0 ? "" : ",").append(String.format("[%d,%d]", from, to));
        }
    }
}
