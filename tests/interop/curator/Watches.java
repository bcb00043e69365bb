// SPDX-License-Identifier: Apache-2.0

import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.WatcherRemoveCuratorFramework;
import org.apache.curator.framework.api.CuratorWatcher;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.WatchedEvent;

/** Watches: once, persistent, recursive, and their removal. */
final class Watches {
    private Watches() {
    }

    static void run() {
        Suite.attempt("one-time watch", Watches::once);
        Suite.attempt("persistent recursive watch", Watches::recursive);
        Suite.attempt("removed watches", Watches::removed);
    }

    private static final class Seen {
        final LinkedBlockingQueue<WatchedEvent> events =
                new LinkedBlockingQueue<>();
        final CuratorWatcher watcher = events::add;

        /** The next event as "Type path". */
        String next() throws InterruptedException {
            WatchedEvent e = events.poll(Suite.WAIT_SECONDS, TimeUnit.SECONDS);
            Suite.check(e != null, "an event comes");
            return e.getType() + " " + e.getPath();
        }
    }

    private static void once(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        Seen seen = new Seen();
        client.checkExists().usingWatcher(seen.watcher).forPath("/n");
        client.create().forPath("/n");
        Suite.same(seen.next(), "NodeCreated /n", "event");
        client.getData().usingWatcher(seen.watcher).forPath("/n");
        client.setData().forPath("/n", Nodes.bytes("1"));
        client.setData().forPath("/n", Nodes.bytes("2"));
        Suite.same(seen.next(), "NodeDataChanged /n", "event");
        client.getChildren().usingWatcher(seen.watcher).forPath("/n");
        client.create().forPath("/n/c");
        Suite.same(seen.next(), "NodeChildrenChanged /n", "event");
        client.delete().deletingChildrenIfNeeded().forPath("/n");
        Suite.check(seen.events.isEmpty(), "each is told once");
    }

    private static void recursive(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        Seen seen = new Seen();
        client.create().forPath("/r");
        client.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE)
                .usingWatcher(seen.watcher).forPath("/r");
        client.create().forPath("/r/a");
        client.create().forPath("/r/a/b");
        client.setData().forPath("/r/a/b", Nodes.bytes("x"));
        client.delete().forPath("/r/a/b");
        for (String want : List.of("NodeCreated /r/a", "NodeCreated /r/a/b",
                "NodeDataChanged /r/a/b", "NodeDeleted /r/a/b")) {
            Suite.same(seen.next(), want, "event");
        }
    }

    private static void removed(Suite.Clients clients) throws Exception {
        CuratorFramework plain = clients.one();
        plain.create().forPath("/w");
        WatcherRemoveCuratorFramework client =
                plain.newWatcherRemoveCuratorFramework();
        Seen removed = new Seen();
        Seen kept = new Seen();
        client.getData().usingWatcher(removed.watcher).forPath("/w");
        plain.getData().usingWatcher(kept.watcher).forPath("/w");
        client.removeWatchers();
        Suite.same(removed.next(), "DataWatchRemoved /w", "told so");
        plain.setData().forPath("/w", Nodes.bytes("1"));
        Suite.same(kept.next(), "NodeDataChanged /w", "event");
        Suite.check(removed.events.isEmpty(), "the removed one is silent");
    }
}
