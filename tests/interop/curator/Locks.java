// SPDX-License-Identifier: Apache-2.0

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;

/** Locks, semaphores and barriers let in as many as they promise. */
final class Locks {
    private static final int CLIENTS = 4;
    private static final int ROUNDS = 10;

    private Locks() {
    }

    static void run() {
        Suite.attempt("mutex", Locks::mutex);
        Suite.attempt("mutex over a restart", Locks::mutexOverRestart);
        Suite.attempt("semaphore mutex", Locks::semaphoreMutex);
        Suite.attempt("read write lock", Locks::readWriteLock);
        Suite.attempt("semaphore", Locks::semaphore);
        Suite.attempt("multi lock", Locks::multiLock);
        Suite.attempt("barrier", Locks::barrier);
        Suite.attempt("double barrier", Locks::doubleBarrier);
    }

    /** Counts who is inside, and fails if there are too many. */
    private static final class Room {
        private final AtomicInteger inside = new AtomicInteger();
        private final AtomicInteger visits = new AtomicInteger();
        private final int places;

        Room(int places) {
            this.places = places;
        }

        void visit() {
            int now = inside.incrementAndGet();
            Suite.check(now <= places, now + " inside");
            Thread.yield();
            visits.incrementAndGet();
            inside.decrementAndGet();
        }
    }

    private static void mutex(Suite.Clients clients) throws Exception {
        Room room = new Room(1);
        Suite.together(CLIENTS, i -> {
            InterProcessMutex lock =
                    new InterProcessMutex(clients.one(), "/lock");
            for (int round = 0; round < ROUNDS; round++) {
                lock.acquire();
                lock.acquire(); // the same thread may
                room.visit();
                lock.release();
                lock.release();
            }
        });
        Suite.same(room.visits.get(), CLIENTS * ROUNDS, "visits");
    }

    private static void mutexOverRestart(Suite.Clients clients)
            throws Exception {
        InterProcessMutex holder =
                new InterProcessMutex(clients.one(), "/lock");
        InterProcessMutex waiter =
                new InterProcessMutex(clients.one(), "/lock");
        holder.acquire();
        Suite.check(!waiter.acquire(0, TimeUnit.SECONDS), "it is taken");
        Suite.restartServer();
        Suite.same(holder.getParticipantNodes().size(), 1, "holders");
        Suite.check(!waiter.acquire(0, TimeUnit.SECONDS), "still taken");
        holder.release();
        Suite.check(waiter.acquire(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                "the next one has it");
        waiter.release();
    }

    private static void semaphoreMutex(Suite.Clients clients)
            throws Exception {
        Room room = new Room(1);
        Suite.together(CLIENTS, i -> {
            InterProcessSemaphoreMutex lock =
                    new InterProcessSemaphoreMutex(clients.one(), "/lock");
            for (int round = 0; round < ROUNDS; round++) {
                lock.acquire();
                room.visit();
                lock.release();
            }
        });
        Suite.same(room.visits.get(), CLIENTS * ROUNDS, "visits");
    }

    private static void readWriteLock(Suite.Clients clients)
            throws Exception {
        Room writers = new Room(1);
        AtomicInteger readers = new AtomicInteger();
        Suite.together(CLIENTS, i -> {
            InterProcessReadWriteLock lock =
                    new InterProcessReadWriteLock(clients.one(), "/lock");
            for (int round = 0; round < ROUNDS; round++) {
                if (i == 0) {
                    lock.writeLock().acquire();
                    Suite.same(readers.get(), 0, "readers beside a writer");
                    writers.visit();
                    lock.writeLock().release();
                } else {
                    lock.readLock().acquire();
                    readers.incrementAndGet();
                    Thread.yield();
                    readers.decrementAndGet();
                    lock.readLock().release();
                }
            }
        });
        Suite.same(writers.visits.get(), ROUNDS, "writes");
    }

    private static void semaphore(Suite.Clients clients) throws Exception {
        Room room = new Room(2);
        Suite.together(CLIENTS, i -> {
            InterProcessSemaphoreV2 semaphore =
                    new InterProcessSemaphoreV2(clients.one(), "/sem", 2);
            for (int round = 0; round < ROUNDS; round++) {
                Lease lease = semaphore.acquire();
                room.visit();
                semaphore.returnLease(lease);
            }
        });
        Suite.same(room.visits.get(), CLIENTS * ROUNDS, "visits");
    }

    private static void multiLock(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        InterProcessMultiLock both =
                new InterProcessMultiLock(client, List.of("/l1", "/l2"));
        both.acquire();
        InterProcessMutex other = new InterProcessMutex(clients.one(), "/l2");
        Suite.check(!other.acquire(0, TimeUnit.SECONDS), "both are taken");
        both.release();
        Suite.check(other.acquire(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                "both are free");
        other.release();
    }

    private static void barrier(Suite.Clients clients) throws Exception {
        DistributedBarrier owner =
                new DistributedBarrier(clients.one(), "/barrier");
        owner.setBarrier();
        CountDownLatch ready = new CountDownLatch(CLIENTS);
        AtomicInteger passed = new AtomicInteger();
        Suite.together(CLIENTS + 1, i -> {
            if (i == CLIENTS) {
                ready.await();
                Suite.same(passed.get(), 0, "passed before it is lifted");
                owner.removeBarrier();
                return;
            }
            DistributedBarrier mine =
                    new DistributedBarrier(clients.one(), "/barrier");
            ready.countDown();
            Suite.check(mine.waitOnBarrier(Suite.WAIT_SECONDS,
                    TimeUnit.SECONDS), "it is lifted");
            passed.incrementAndGet();
        });
        Suite.same(passed.get(), CLIENTS, "passed");
    }

    private static void doubleBarrier(Suite.Clients clients)
            throws Exception {
        AtomicInteger entering = new AtomicInteger();
        AtomicInteger leaving = new AtomicInteger();
        Suite.together(CLIENTS, i -> {
            DistributedDoubleBarrier mine = new DistributedDoubleBarrier(
                    clients.one(), "/barrier", CLIENTS);
            entering.incrementAndGet();
            Suite.check(mine.enter(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                    "all come");
            Suite.same(entering.get(), CLIENTS, "came");
            leaving.incrementAndGet();
            Suite.check(mine.leave(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                    "all go");
            Suite.same(leaving.get(), CLIENTS, "went");
        });
    }
}
