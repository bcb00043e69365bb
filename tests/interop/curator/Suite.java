// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.ExponentialBackoffRetry;

/**
 * The frame of the cases: each has clients of its own in a namespace of its
 * own, and ends as a line "ok NAME" or "not_ok NAME WHY" on stdout, which is
 * what client_program.py counts.
 */
final class Suite {
    interface Case {
        void run(Clients clients) throws Exception;
    }

    interface Worker {
        void run(int number) throws Exception;
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    /** Clients of one case; closed together, whatever came of it. */
    static final class Clients implements AutoCloseable {
        final String namespace;
        private final List<CuratorFramework> open =
                Collections.synchronizedList(new ArrayList<>());

        Clients(String namespace) {
            this.namespace = namespace;
        }

        CuratorFramework one() throws Exception {
            return started(builder());
        }

        CuratorFrameworkFactory.Builder builder() {
            return CuratorFrameworkFactory.builder()
                    .connectString(hosts)
                    .namespace(namespace)
                    .sessionTimeoutMs(30_000)
                    .connectionTimeoutMs(20_000)
                    .retryPolicy(new ExponentialBackoffRetry(50, 8));
        }

        CuratorFramework started(CuratorFrameworkFactory.Builder builder)
                throws Exception {
            CuratorFramework client = builder.build();
            open.add(client);
            client.start();
            check(client.blockUntilConnected(WAIT_SECONDS, TimeUnit.SECONDS),
                    "a client connects");
            return client;
        }

        @Override
        public void close() {
            open.forEach(CuratorFramework::close);
        }
    }

    static final int WAIT_SECONDS = 20;

    private static String hosts;
    private static final BufferedReader stdin =
            new BufferedReader(new InputStreamReader(System.in));

    private Suite() {
    }

    static void attempt(String name, Case body) {
        String verdict = "ok " + name;
        try (Clients clients = new Clients(name.replace(' ', '-'))) {
            body.run(clients);
        } catch (Throwable e) {
            verdict = "not_ok " + name + ": " + e.toString().replace('\n', ' ');
            e.printStackTrace();
        }
        System.out.println(verdict);
    }

    /** Has the server restarted; comes back when it serves again. */
    static void restartServer() throws Exception {
        System.out.println("RESTART");
        check(stdin.readLine() != null, "the server is restarted");
    }

    static void check(boolean good, String what) {
        if (!good) {
            throw new AssertionError(what);
        }
    }

    static void same(Object got, Object want, String what) {
        check(Objects.equals(got, want),
                what + ": got " + got + ", want " + want);
    }

    static void eventually(String what, Condition condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS);
        while (!condition.holds()) {
            check(System.nanoTime() < end, "in time: " + what);
            Thread.sleep(5);
        }
    }

    /** Runs worker(0) to worker(count - 1) at once; throws what one threw. */
    static void together(int count, Worker worker) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(count);
        try {
            List<Callable<Void>> calls = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                int number = i;
                calls.add(() -> {
                    worker.run(number);
                    return null;
                });
            }
            for (Future<Void> done : threads.invokeAll(
                    calls, 2 * WAIT_SECONDS, TimeUnit.SECONDS)) {
                done.get();
            }
        } finally {
            threads.shutdownNow();
        }
    }

    public static void main(String[] args) {
        hosts = args[0];
        Nodes.run();
        Watches.run();
        Caches.run();
        Locks.run();
        Leaders.run();
        Counters.run();
        Queues.run();
        Discovery.run();
        Sessions.run();
        System.exit(0);
    }
}
