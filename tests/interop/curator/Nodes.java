// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/** Operations on nodes as Curator makes them: fluent, in the background, in
 * transactions, with parents, protection and ACLs. */
final class Nodes {
    private Nodes() {
    }

    static void run() {
        Suite.attempt("nodes with parents", Nodes::parents);
        Suite.attempt("create or set", Nodes::createOrSet);
        Suite.attempt("protected sequential nodes", Nodes::protectedNodes);
        Suite.attempt("containers and ttl", Nodes::containersAndTtl);
        Suite.attempt("versions", Nodes::versions);
        Suite.attempt("background operations keep order", Nodes::background);
        Suite.attempt("transaction", Nodes::transaction);
        Suite.attempt("transaction that fails", Nodes::failedTransaction);
        Suite.attempt("acl and digest", Nodes::acl);
        Suite.attempt("compressed data", Nodes::compressed);
        Suite.attempt("sync and config", Nodes::syncAndConfig);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private static void parents(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        client.create().creatingParentsIfNeeded()
                .forPath("/a/b/c", bytes("leaf"));
        Suite.same(text(client.getData().forPath("/a/b/c")), "leaf", "data");
        client.create().forPath("/a/b/d");
        List<String> names =
                new ArrayList<>(client.getChildren().forPath("/a/b"));
        Collections.sort(names);
        Suite.same(names, List.of("c", "d"), "children");
        client.delete().guaranteed().deletingChildrenIfNeeded().forPath("/a");
        Suite.same(client.checkExists().forPath("/a"), null, "the rest");
    }

    private static void createOrSet(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        client.create().orSetData().forPath("/n", bytes("one"));
        client.create().orSetData().forPath("/n", bytes("two"));
        Stat stat = new Stat();
        byte[] data = client.getData().storingStatIn(stat).forPath("/n");
        Suite.same(text(data) + stat.getVersion(), "two1", "data, version");
        client.create().forPath("/m", bytes("three"));
        client.create().idempotent().forPath("/m", bytes("three"));
    }

    private static void protectedNodes(Suite.Clients clients)
            throws Exception {
        CuratorFramework client = clients.one();
        String first = client.create().creatingParentsIfNeeded()
                .withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                .forPath("/seq/n-");
        String second = client.create()
                .withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                .forPath("/seq/n-");
        Suite.check(first.startsWith("/seq/_c_"), "protection in the name");
        Suite.check(first.endsWith("n-0000000000"), "first number " + first);
        Suite.check(second.endsWith("n-0000000001"), "second " + second);
        long owner = client.checkExists().forPath(first).getEphemeralOwner();
        Suite.same(owner, client.getZookeeperClient().getZooKeeper()
                .getSessionId(), "owner");
    }

    private static void containersAndTtl(Suite.Clients clients)
            throws Exception {
        CuratorFramework client = clients.one();
        client.create().creatingParentContainersIfNeeded()
                .forPath("/box/child");
        Suite.check(client.checkExists().forPath("/box") != null, "container");
        client.create().withTtl(600_000)
                .withMode(CreateMode.PERSISTENT_WITH_TTL)
                .forPath("/ttl", bytes("x"));
        Suite.check(client.checkExists().forPath("/ttl") != null, "ttl node");
    }

    private static void versions(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        client.create().forPath("/v", bytes("0"));
        Stat stat = client.setData().withVersion(0).forPath("/v", bytes("1"));
        Suite.same(stat.getVersion(), 1, "version");
        try {
            client.setData().withVersion(0).forPath("/v", bytes("2"));
            throw new AssertionError("a stale version is taken");
        } catch (KeeperException.BadVersionException expected) {
            Suite.same(text(client.getData().forPath("/v")), "1", "data");
        }
        client.delete().withVersion(1).forPath("/v");
    }

    private static void background(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        int count = 500;
        List<String> done = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch all = new CountDownLatch(count);
        for (int i = 0; i < count; i++) {
            client.create().inBackground((c, event) -> {
                Suite.same(event.getResultCode(), 0, "result");
                done.add(event.getPath());
                all.countDown();
            }).forPath("/n" + i, bytes("x"));
        }
        Suite.check(all.await(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                "all are answered");
        for (int i = 0; i < count; i++) {
            Suite.same(done.get(i), "/n" + i, "order");
        }
        Suite.same(client.getChildren().forPath("/").size(), count, "nodes");
    }

    private static void transaction(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        client.create().forPath("/t", bytes("0"));
        List<CuratorTransactionResult> results =
                client.transaction().forOperations(
                        client.transactionOp().check().withVersion(0)
                                .forPath("/t"),
                        client.transactionOp().create().forPath("/t/a"),
                        client.transactionOp().setData()
                                .forPath("/t", bytes("1")),
                        client.transactionOp().delete().forPath("/t/a"));
        Suite.same(results.size(), 4, "results");
        Suite.same(results.get(2).getResultStat().getVersion(), 1, "version");
        Suite.same(results.get(1).getResultPath(), "/t/a", "path");
        Suite.same(client.getChildren().forPath("/t"), List.of(), "children");
    }

    private static void failedTransaction(Suite.Clients clients)
            throws Exception {
        CuratorFramework client = clients.one();
        client.create().forPath("/t", bytes("0"));
        try {
            client.transaction().forOperations(
                    client.transactionOp().setData().forPath("/t", bytes("1")),
                    client.transactionOp().delete().forPath("/nowhere"));
            throw new AssertionError("the transaction is taken");
        } catch (KeeperException.NoNodeException e) {
            Suite.same(e.getResults().size(), 2, "results");
        }
        Suite.same(text(client.getData().forPath("/t")), "0", "data");
    }

    private static void acl(Suite.Clients clients) throws Exception {
        CuratorFramework owner = clients.started(
                clients.builder().authorization("digest", bytes("me:pw")));
        List<ACL> mine = ZooDefs.Ids.CREATOR_ALL_ACL;
        owner.create().withACL(mine).forPath("/secret", bytes("x"));
        Suite.same(owner.getACL().forPath("/secret").get(0).getId()
                .getScheme(), "digest", "scheme");
        CuratorFramework stranger = clients.one();
        stranger.sync().forPath("/secret"); // it may be at another server
        try {
            stranger.getData().forPath("/secret");
            throw new AssertionError("a stranger reads");
        } catch (KeeperException.NoAuthException expected) {
            Suite.same(text(owner.getData().forPath("/secret")), "x", "data");
        }
        owner.setACL().withACL(ZooDefs.Ids.OPEN_ACL_UNSAFE)
                .forPath("/secret");
        stranger.sync().forPath("/secret");
        Suite.same(text(stranger.getData().forPath("/secret")), "x", "open");
    }

    private static void compressed(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        byte[] large = new byte[500_000];
        client.create().compressed().forPath("/z", large);
        Suite.check(client.checkExists().forPath("/z").getDataLength() < 5000,
                "it is small there");
        Suite.same(client.getData().decompressed().forPath("/z").length,
                large.length, "length");
    }

    private static void syncAndConfig(Suite.Clients clients)
            throws Exception {
        CuratorFramework client = clients.one();
        CountDownLatch synced = new CountDownLatch(1);
        client.sync().inBackground((c, event) -> synced.countDown())
                .forPath("/");
        Suite.check(synced.await(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                "sync is answered");
        Suite.check(client.getConfig().forEnsemble() != null, "config");
    }
}
