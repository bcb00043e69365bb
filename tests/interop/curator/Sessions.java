// SPDX-License-Identifier: Apache-2.0

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooKeeper;

/** Sessions that outlive a server, and recipes that outlive a session. */
final class Sessions {
    private Sessions() {
    }

    static void run() {
        Suite.attempt("session over a restart", Sessions::overRestart);
        Suite.attempt("session that expires", Sessions::expiry);
        Suite.attempt("persistent node", Sessions::persistentNode);
        Suite.attempt("persistent ttl node", Sessions::persistentTtlNode);
        Suite.attempt("group member", Sessions::groupMember);
    }

    private static long id(CuratorFramework client) throws Exception {
        return client.getZookeeperClient().getZooKeeper().getSessionId();
    }

    private static void overRestart(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        List<ConnectionState> states = new CopyOnWriteArrayList<>();
        client.getConnectionStateListenable().addListener(
                (c, state) -> states.add(state));
        client.create().withMode(CreateMode.EPHEMERAL).forPath("/e");
        long before = id(client);
        Suite.restartServer();
        Suite.eventually("reconnected",
                () -> states.contains(ConnectionState.RECONNECTED));
        states.remove(ConnectionState.CONNECTED); // told late, or not at all
        // Among several servers it may move to one that is next to restart.
        Suite.same(new HashSet<>(states), Set.of(ConnectionState.SUSPENDED,
                ConnectionState.RECONNECTED), "states");
        Suite.same(id(client), before, "session");
        Suite.same(client.checkExists().forPath("/e").getEphemeralOwner(),
                before, "owner");
    }

    /** Ends the client's session as the server sees it: another connection
     * takes it over and closes it. */
    private static void expire(CuratorFramework client) throws Exception {
        ZooKeeper own = client.getZookeeperClient().getZooKeeper();
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper thief = new ZooKeeper(
                client.getZookeeperClient().getCurrentConnectionString(),
                10_000, event -> connected.countDown(), own.getSessionId(),
                own.getSessionPasswd());
        Suite.check(connected.await(Suite.WAIT_SECONDS, TimeUnit.SECONDS),
                "the session moves");
        thief.close();
    }

    private static void expiry(Suite.Clients clients) throws Exception {
        CuratorFramework client = clients.one();
        List<ConnectionState> states = new CopyOnWriteArrayList<>();
        client.getConnectionStateListenable().addListener(
                (c, state) -> states.add(state));
        long before = id(client);
        expire(client);
        Suite.eventually("lost, then reconnected", () ->
                states.contains(ConnectionState.LOST)
                && states.contains(ConnectionState.RECONNECTED));
        Suite.check(id(client) != before, "it is another session");
    }

    private static void persistentNode(Suite.Clients clients)
            throws Exception {
        CuratorFramework client = clients.one();
        CuratorFramework other = clients.one();
        try (PersistentNode node = new PersistentNode(client,
                CreateMode.EPHEMERAL, false, "/here", Nodes.bytes("x"))) {
            node.start();
            Suite.eventually("it is there",
                    () -> other.checkExists().forPath("/here") != null);
            other.delete().forPath("/here");
            Suite.eventually("it comes back",
                    () -> other.checkExists().forPath("/here") != null);
            long before = id(client);
            expire(client);
            Suite.eventually("it is there in the next session", () ->
                    other.checkExists().forPath("/here") != null
                    && other.checkExists().forPath("/here")
                            .getEphemeralOwner() == id(client)
                    && id(client) != before);
        }
        Suite.eventually("it goes when it is closed",
                () -> other.checkExists().forPath("/here") == null);
    }

    private static void persistentTtlNode(Suite.Clients clients)
            throws Exception {
        CuratorFramework client = clients.one();
        try (PersistentTtlNode node = new PersistentTtlNode(client, "/ttl",
                2000, Nodes.bytes("x"))) {
            node.start();
            Suite.eventually("it is touched again and again", () ->
                    client.checkExists().forPath("/ttl/touch") != null);
        }
    }

    private static void groupMember(Suite.Clients clients) throws Exception {
        CuratorFramework leaving = clients.one();
        GroupMember one = new GroupMember(clients.one(), "/group", "one");
        GroupMember two = new GroupMember(leaving, "/group", "two");
        one.start();
        two.start();
        Suite.eventually("both know both", () ->
                one.getCurrentMembers().size() == 2
                && two.getCurrentMembers().size() == 2);
        two.close();
        Suite.eventually("one is left",
                () -> one.getCurrentMembers().size() == 1);
        one.close();
    }
}
