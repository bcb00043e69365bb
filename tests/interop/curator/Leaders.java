// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;

/** One leads, and when it goes another one does. */
final class Leaders {
    private static final int CLIENTS = 3;

    private Leaders() {
    }

    static void run() {
        Suite.attempt("leader latch", Leaders::latch);
        Suite.attempt("leader latch over a restart",
                Leaders::latchOverRestart);
        Suite.attempt("leader selector", Leaders::selector);
    }

    private static List<LeaderLatch> latches(Suite.Clients clients)
            throws Exception {
        List<LeaderLatch> all = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
            LeaderLatch latch =
                    new LeaderLatch(clients.one(), "/latch", "c" + i);
            latch.start();
            all.add(latch);
        }
        return all;
    }

    private static LeaderLatch leader(List<LeaderLatch> all)
            throws Exception {
        List<LeaderLatch> leading = new ArrayList<>();
        Suite.eventually("one leads", () -> {
            leading.clear();
            for (LeaderLatch latch : all) {
                if (latch.hasLeadership()) {
                    leading.add(latch);
                }
            }
            return !leading.isEmpty();
        });
        Suite.same(leading.size(), 1, "leaders");
        return leading.get(0);
    }

    private static void latch(Suite.Clients clients) throws Exception {
        List<LeaderLatch> all = latches(clients);
        while (!all.isEmpty()) {
            LeaderLatch leads = leader(all);
            for (LeaderLatch latch : all) {
                Suite.eventually("all know it", () -> latch.getLeader()
                        .getId().equals(leads.getId()));
            }
            all.remove(leads);
            leads.close();
        }
    }

    private static void latchOverRestart(Suite.Clients clients)
            throws Exception {
        List<LeaderLatch> all = latches(clients);
        leader(all);
        Suite.restartServer();
        Suite.eventually("one of them leads again", () -> {
            int leading = 0;
            for (LeaderLatch latch : all) {
                leading += latch.hasLeadership() ? 1 : 0;
            }
            return leading == 1;
        });
        for (LeaderLatch latch : all) {
            latch.close();
        }
    }

    private static void selector(Suite.Clients clients) throws Exception {
        AtomicInteger leading = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        CountDownLatch turns = new CountDownLatch(4 * CLIENTS);
        List<LeaderSelector> all = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
            LeaderSelector selector = new LeaderSelector(clients.one(),
                    "/selector", new LeaderSelectorListenerAdapter() {
                        @Override
                        public void takeLeadership(CuratorFramework c) {
                            most.accumulateAndGet(leading.incrementAndGet(),
                                    Math::max);
                            Thread.yield();
                            turns.countDown();
                            leading.decrementAndGet();
                        }
                    });
            selector.autoRequeue();
            selector.start();
            all.add(selector);
        }
        Suite.check(turns.await(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                "they take turns");
        all.forEach(LeaderSelector::close);
        Suite.same(most.get(), 1, "leaders at a time");
    }
}
