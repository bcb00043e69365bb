// SPDX-License-Identifier: Apache-2.0

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.retry.RetryNTimes;

/** Numbers that many clients change at once. */
final class Counters {
    private static final int CLIENTS = 4;
    private static final int ROUNDS = 25;

    private Counters() {
    }

    static void run() {
        Suite.attempt("atomic long", Counters::atomicLong);
        Suite.attempt("shared count", Counters::sharedCount);
        Suite.attempt("shared count tells listeners", Counters::listener);
    }

    private static void atomicLong(Suite.Clients clients) throws Exception {
        AtomicInteger done = new AtomicInteger();
        CuratorFramework reader = clients.one();
        Suite.together(CLIENTS, i -> {
            DistributedAtomicLong number = new DistributedAtomicLong(
                    clients.one(), "/number", new RetryNTimes(3, 1),
                    PromotedToLock.builder().lockPath("/lock")
                            .timeout(Suite.WAIT_SECONDS, TimeUnit.SECONDS)
                            .retryPolicy(new ExponentialBackoffRetry(5, 5))
                            .build());
            for (int round = 0; round < ROUNDS; round++) {
                if (number.increment().succeeded()) {
                    done.incrementAndGet();
                }
            }
        });
        reader.sync().forPath("/number"); // it may be at another server
        long value = new DistributedAtomicLong(reader, "/number",
                new RetryNTimes(3, 1)).get().postValue();
        Suite.same(value, (long) done.get(), "the number");
        Suite.check(done.get() > 0, "some came through");
    }

    private static void sharedCount(Suite.Clients clients) throws Exception {
        Suite.together(CLIENTS, i -> {
            try (SharedCount count =
                    new SharedCount(clients.one(), "/count", 0)) {
                count.start();
                for (int round = 0; round < ROUNDS; round++) {
                    VersionedValue<Integer> old;
                    do {
                        old = count.getVersionedValue();
                    } while (!count.trySetCount(old, old.getValue() + 1));
                }
            }
        });
        try (SharedCount count =
                new SharedCount(clients.one(), "/count", 0)) {
            count.start();
            Suite.same(count.getCount(), CLIENTS * ROUNDS, "the count");
        }
    }

    private static void listener(Suite.Clients clients) throws Exception {
        CountDownLatch told = new CountDownLatch(1);
        try (SharedCount count = new SharedCount(clients.one(), "/count", 0);
                SharedCount other =
                        new SharedCount(clients.one(), "/count", 0)) {
            count.addListener(new SharedCountListener() {
                @Override
                public void countHasChanged(SharedCountReader reader,
                        int value) {
                    if (value == 7) {
                        told.countDown();
                    }
                }

                @Override
                public void stateChanged(CuratorFramework client,
                        ConnectionState state) {
                }
            });
            count.start();
            other.start();
            other.setCount(7);
            Suite.check(told.await(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                    "the listener is told");
        }
    }
}
