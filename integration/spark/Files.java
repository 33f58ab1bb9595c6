import java.io.ByteArrayInputStream;
import java.net.URI;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.*;

/**
 * Does with Hadoop's s3a what committers of jobs do with it, and prints what each
 * step finds, a line each. Arguments: the store's URL, a bucket, and whether many
 * objects are deleted by one request; the store's keys are in AWS_*.
 */
public class Files {
    static FileSystem fs;
    static String root;

    interface Step {
        Object run() throws Exception;
    }

    static void step(String name, Step s) {
        String found;
        try {
            found = String.valueOf(s.run());
        } catch (Exception e) {
            found = e.getClass().getSimpleName();
        }
        System.out.println(name + " = " + found);
    }

    static Path at(String name) {
        return new Path(root + name);
    }

    static void write(String name, int size) throws Exception {
        try (FSDataOutputStream out = fs.create(at(name), true)) {
            out.write("x".repeat(size).getBytes());
        }
    }

    /** What a directory holds. */
    static List<String> list(String dir) throws Exception {
        List<String> names = new ArrayList<>();
        for (FileStatus f : fs.listStatus(at(dir))) {
            names.add(f.getPath().getName() + (f.isDirectory() ? "/" : " " + f.getLen()));
        }
        Collections.sort(names);
        return names;
    }

    /** All files below a directory. */
    static List<String> walk(String dir) throws Exception {
        List<String> names = new ArrayList<>();
        for (RemoteIterator<LocatedFileStatus> all = fs.listFiles(at(dir), true); all.hasNext();) {
            LocatedFileStatus f = all.next();
            names.add(f.getPath().toString().substring(root.length()) + " " + f.getLen());
        }
        Collections.sort(names);
        return names;
    }

    public static void main(String[] args) throws Exception {
        Configuration c = new Configuration();
        c.set("fs.s3a.endpoint", args[0]);
        c.set("fs.s3a.endpoint.region", "us-east-1");
        c.set("fs.s3a.path.style.access", "true");
        c.set("fs.s3a.multiobjectdelete.enable", args[2]);
        c.set("fs.s3a.multipart.size", "5242880");
        c.set("fs.s3a.multipart.threshold", "5242880");
        c.set("fs.s3a.fast.upload.buffer", "array");
        c.set("fs.s3a.retry.limit", "1");
        root = "s3a://" + args[1] + "/many-" + args[2] + "/";
        fs = FileSystem.newInstance(URI.create("s3a://" + args[1]), c);
        step("make directories", () -> fs.mkdirs(at("a/b/c")) + " " + fs.mkdirs(at("a/b/c")) + " " + fs.getFileStatus(at("a/b")).isDirectory());
        step("write into them", () -> {
            write("a/b/c/one", 10);
            write("a/b/two", 20);
            return list("a/b") + " " + list("a/b/c");
        });
        step("what is not there", () -> fs.exists(at("a/none")) + " " + fs.exists(at("a/b/two/none")) + " " + fs.delete(at("a/none"), true));
        step("list what is not there", () -> list("none"));
        step("delete a directory that is not empty", () -> fs.delete(at("a/b"), false));
        step("rename a file", () -> fs.rename(at("a/b/two"), at("a/three")) + " " + list("a"));
        step("rename a directory", () -> fs.rename(at("a/b"), at("d")) + " " + walk("") + list(""));
        step("rename into a directory", () -> fs.mkdirs(at("e")) + " " + fs.rename(at("d"), at("e")) + " " + walk("") + list("e"));
        step("rename an empty directory", () -> fs.mkdirs(at("empty")) + " " + fs.rename(at("empty"), at("void")) + " " + list(""));
        step("delete the last file of a directory", () -> {
            write("last/one", 1);
            return fs.delete(at("last/one"), false) + " " + fs.exists(at("last"));
        });
        step("delete a directory with markers and files", () -> {
            fs.mkdirs(at("m/a/b"));
            write("m/a/one", 1);
            write("m/a/b/two", 1);
            return fs.delete(at("m/a"), true) + " " + fs.exists(at("m/a")) + " " + fs.exists(at("m"));
        });
        step("large, renamed, read", () -> {
            write("large", 12 << 20);
            fs.rename(at("large"), at("larger"));
            byte[] end = new byte[3];
            try (FSDataInputStream in = fs.open(at("larger"))) {
                in.readFully((12 << 20) - end.length, end);
            }
            return fs.getFileStatus(at("larger")).getLen() + " " + new String(end);
        });
        step("given up", () -> {
            FSDataOutputStream out = fs.create(at("given-up"));
            out.write(new byte[6 << 20]);
            out.abort();
            out.close();
            return fs.exists(at("given-up"));
        });
        step("in parts", () -> {
            MultipartUploader u = fs.createMultipartUploader(at("")).build();
            UploadHandle kept = u.startUpload(at("parts")).get(), dropped = u.startUpload(at("dropped")).get();
            PartHandle part = u.putPart(kept, 1, true, at("parts"), new ByteArrayInputStream(new byte[7]), 7).get();
            u.complete(kept, at("parts"), Map.of(1, part)).get();
            u.abort(dropped, at("dropped")).get();
            return fs.getFileStatus(at("parts")).getLen() + " " + fs.exists(at("dropped"));
        });
        step("a committer's", () -> {
            write("job/_temporary/0/_temporary/attempt/part-0", 3);
            fs.mkdirs(at("job/_temporary/0/task"));
            fs.rename(at("job/_temporary/0/_temporary/attempt"), at("job/_temporary/0/task_1"));
            fs.rename(at("job/_temporary/0/task_1/part-0"), at("job/part-0"));
            fs.delete(at("job/_temporary"), true);
            write("job/_SUCCESS", 0);
            return walk("job") + " " + list("job");
        });
        step("a committer's without renames", () -> {
            write("magic/__magic_job-1/task/__base/part-0", 5);
            return walk("magic").size() + " " + fs.delete(at("magic/__magic_job-1"), true) + " " + walk("magic");
        });
        step("odd names", () -> {
            for (String name : List.of("two words", "plus+", "per%cent", "ü", "year=2024/month=1/f")) {
                write("odd/" + name, 1);
            }
            return fs.rename(at("odd"), at("even")) + " " + walk("even");
        });
        step("delete all", () -> {
            fs.delete(at(""), true);
            return walk("");
        });
        fs.close();
    }
}
