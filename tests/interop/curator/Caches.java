// SPDX-License-Identifier: Apache-2.0

import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;

/** Caches hold what the tree holds, also after a restart of the server. */
@SuppressWarnings("deprecation") // the old caches are what most programs use
final class Caches {
    private Caches() {
    }

    static void run() {
        Suite.attempt("curator cache", c -> curatorCache(c, false));
        Suite.attempt("curator cache over a restart",
                c -> curatorCache(c, true));
        Suite.attempt("tree cache", Caches::treeCache);
        Suite.attempt("path children cache", Caches::childrenCache);
        Suite.attempt("node cache", Caches::nodeCache);
    }

    private static void fill(CuratorFramework client, int from, int to)
            throws Exception {
        for (int i = from; i < to; i++) {
            client.create().orSetData().creatingParentsIfNeeded()
                    .forPath("/tree/p" + i % 5 + "/n" + i,
                            Nodes.bytes("v" + i));
        }
    }

    /** What the tree holds below a path, by name. */
    private static void read(CuratorFramework client, String path,
            Map<String, String> into) throws Exception {
        into.put(path, Nodes.text(client.getData().forPath(path)));
        for (String name : client.getChildren().forPath(path)) {
            read(client, path + "/" + name, into);
        }
    }

    private static Map<String, String> tree(CuratorFramework client)
            throws Exception {
        Map<String, String> all = new TreeMap<>();
        read(client, "/tree", all);
        return all;
    }

    private static void curatorCache(Suite.Clients clients, boolean restart)
            throws Exception {
        CuratorFramework client = clients.one();
        CuratorFramework other = clients.one();
        Map<String, String> told = new ConcurrentSkipListMap<>();
        CountDownLatch ready = new CountDownLatch(1);
        fill(other, 0, 40);
        try (CuratorCache cache = CuratorCache.build(client, "/tree")) {
            cache.listenable().addListener(CuratorCacheListener.builder()
                    .forCreatesAndChanges((old, node) -> told.put(
                            node.getPath(), Nodes.text(node.getData())))
                    .forDeletes(node -> told.remove(node.getPath()))
                    .forInitialized(ready::countDown).build());
            cache.start();
            Suite.check(ready.await(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                    "the cache is filled");
            if (restart) {
                Suite.restartServer();
            }
            fill(other, 30, 80);
            other.delete().deletingChildrenIfNeeded().forPath("/tree/p3");
            Map<String, String> want = tree(other);
            Suite.eventually("listeners know " + want.size() + " nodes",
                    () -> told.equals(want));
            Suite.same(cache.size(), want.size(), "nodes in the cache");
        }
    }

    private static void treeCache(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        fill(client, 0, 30);
        try (TreeCache cache = new TreeCache(client, "/tree")) {
            cache.start();
            fill(client, 20, 60);
            client.delete().deletingChildrenIfNeeded().forPath("/tree/p1");
            Map<String, String> want = tree(client);
            Suite.eventually("the cache is the tree", () -> {
                Map<String, String> have = new TreeMap<>();
                collect(cache, "/tree", have);
                return have.equals(want);
            });
        }
    }

    private static void collect(TreeCache cache, String path,
            Map<String, String> into) {
        ChildData node = cache.getCurrentData(path);
        Map<String, ChildData> children = cache.getCurrentChildren(path);
        if (node == null || children == null) {
            return;
        }
        into.put(path, Nodes.text(node.getData()));
        for (String name : children.keySet()) {
            collect(cache, path + "/" + name, into);
        }
    }

    private static void childrenCache(Suite.Clients clients)
            throws Exception {
        CuratorFramework client = clients.one();
        client.create().creatingParentsIfNeeded().forPath("/p/a",
                Nodes.bytes("1"));
        try (PathChildrenCache cache =
                new PathChildrenCache(client, "/p", true)) {
            cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
            Suite.same(cache.getCurrentData().size(), 1, "children at first");
            client.create().forPath("/p/b", Nodes.bytes("2"));
            client.setData().forPath("/p/a", Nodes.bytes("3"));
            Suite.eventually("both are there, the first one changed", () ->
                    cache.getCurrentData().size() == 2
                    && Nodes.text(cache.getCurrentData("/p/a").getData())
                            .equals("3"));
            client.delete().forPath("/p/a");
            Suite.eventually("one is gone",
                    () -> cache.getCurrentData("/p/a") == null);
        }
    }

    private static void nodeCache(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        try (NodeCache cache = new NodeCache(client, "/n")) {
            cache.start(true);
            Suite.same(cache.getCurrentData(), null, "before");
            client.create().forPath("/n", Nodes.bytes("1"));
            Suite.eventually("made", () -> cache.getCurrentData() != null);
            client.setData().forPath("/n", Nodes.bytes("2"));
            Suite.eventually("changed", () -> Nodes.text(
                    cache.getCurrentData().getData()).equals("2"));
            client.delete().forPath("/n");
            Suite.eventually("gone", () -> cache.getCurrentData() == null);
        }
    }
}
