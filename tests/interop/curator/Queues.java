// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;

/** Queues give each item once, in their order. */
final class Queues {
    private static final int ITEMS = 60;

    private Queues() {
    }

    static void run() {
        Suite.attempt("queue", Queues::queue);
        Suite.attempt("queue of two consumers", Queues::twoConsumers);
        Suite.attempt("priority queue", Queues::priorities);
        Suite.attempt("delay queue", Queues::delays);
        Suite.attempt("simple queue", Queues::simple);
    }

    private static final class Text implements QueueSerializer<String> {
        @Override
        public byte[] serialize(String item) {
            return Nodes.bytes(item);
        }

        @Override
        public String deserialize(byte[] bytes) {
            return Nodes.text(bytes);
        }
    }

    private static final class Taken implements QueueConsumer<String> {
        final List<String> items =
                Collections.synchronizedList(new ArrayList<>());

        @Override
        public void consumeMessage(String item) {
            items.add(item);
        }

        @Override
        public void stateChanged(CuratorFramework client,
                ConnectionState state) {
        }
    }

    private static List<String> numbers() {
        List<String> all = new ArrayList<>();
        for (int i = 0; i < ITEMS; i++) {
            all.add(String.format("%03d", i));
        }
        return all;
    }

    private static void queue(Suite.Clients clients) throws Exception {
        Taken taken = new Taken();
        try (DistributedQueue<String> consumer = QueueBuilder
                .builder(clients.one(), taken, new Text(), "/q")
                .buildQueue();
                DistributedQueue<String> producer = QueueBuilder
                        .builder(clients.one(), null, new Text(), "/q")
                        .buildQueue()) {
            producer.start();
            for (String item : numbers()) {
                producer.put(item);
            }
            Suite.check(producer.flushPuts(Suite.WAIT_SECONDS,
                    TimeUnit.SECONDS), "all are put");
            consumer.start();
            Suite.eventually("all are taken",
                    () -> taken.items.size() >= ITEMS);
            Suite.same(taken.items, numbers(), "items in order");
        }
    }

    private static void twoConsumers(Suite.Clients clients)
            throws Exception {
        Taken taken = new Taken();
        try (DistributedQueue<String> first = QueueBuilder
                .builder(clients.one(), taken, new Text(), "/q")
                .lockPath("/locks").buildQueue();
                DistributedQueue<String> second = QueueBuilder
                        .builder(clients.one(), taken, new Text(), "/q")
                        .lockPath("/locks").buildQueue()) {
            first.start();
            second.start();
            for (String item : numbers()) {
                first.put(item);
            }
            Suite.eventually("all are taken",
                    () -> taken.items.size() >= ITEMS);
            List<String> sorted = new ArrayList<>(taken.items);
            Collections.sort(sorted);
            Suite.same(sorted, numbers(), "each item once");
        }
    }

    private static void priorities(Suite.Clients clients) throws Exception {
        Taken taken = new Taken();
        try (DistributedPriorityQueue<String> consumer = QueueBuilder
                .builder(clients.one(), taken, new Text(), "/q")
                .buildPriorityQueue(1);
                DistributedPriorityQueue<String> producer = QueueBuilder
                        .builder(clients.one(), null, new Text(), "/q")
                        .buildPriorityQueue(1)) {
            producer.start();
            for (String item : numbers()) {
                producer.put(item, ITEMS - Integer.parseInt(item));
            }
            Suite.check(producer.flushPuts(Suite.WAIT_SECONDS,
                    TimeUnit.SECONDS), "all are put");
            consumer.start();
            Suite.eventually("all are taken",
                    () -> taken.items.size() >= ITEMS);
            List<String> want = numbers();
            Collections.reverse(want);
            Suite.same(taken.items, want, "by priority");
        }
    }

    private static void delays(Suite.Clients clients) throws Exception {
        Taken taken = new Taken();
        try (DistributedDelayQueue<String> queue = QueueBuilder
                .builder(clients.one(), taken, new Text(), "/q")
                .buildDelayQueue()) {
            queue.start();
            long now = System.currentTimeMillis();
            queue.put("late", now + 400);
            queue.put("soon", now + 200);
            Suite.eventually("both are taken", () -> taken.items.size() == 2);
            Suite.same(taken.items, List.of("soon", "late"), "by time");
            Suite.check(System.currentTimeMillis() >= now + 400,
                    "not before its time");
        }
    }

    private static void simple(Suite.Clients clients) throws Exception {
        SimpleDistributedQueue queue =
                new SimpleDistributedQueue(clients.one(), "/q");
        CuratorFramework second = clients.one();
        SimpleDistributedQueue other =
                new SimpleDistributedQueue(second, "/q");
        queue.offer(Nodes.bytes("1"));
        queue.offer(Nodes.bytes("2"));
        second.sync().forPath("/q"); // it may be at another server
        Suite.same(Nodes.text(other.peek()), "1", "peek");
        Suite.same(Nodes.text(other.take()), "1", "first");
        Suite.same(Nodes.text(other.poll(1, TimeUnit.SECONDS)), "2", "second");
        Suite.same(other.poll(), null, "third");
    }
}
