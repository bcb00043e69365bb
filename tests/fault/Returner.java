// SPDX-License-Identifier: Apache-2.0

import java.util.concurrent.CountDownLatch;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;

/**
 * Apache's Java client, writing all the time: Returner HOSTS COUNT. Each client is a thread with a
 * session of its own; a line on stdout for each acknowledged write, "NAME BEGIN END" in seconds of
 * the monotonic clock, and "gone NAME" for a lost session. Ends when stdin does.
 */
final class Returner {
    private static final int SESSION_MS = 10000;

    private static double now() {
        return System.nanoTime() / 1e9;
    }

    private static void write(ZooKeeper client, String name) throws InterruptedException {
        byte[] data = name.getBytes();
        while (true) {
            double begin = now();
            try {
                client.setData("/returning", data, -1);
                System.out.printf("%s %.6f %.6f%n", name, begin, now());
            } catch (KeeperException.SessionExpiredException e) {
                System.out.println("gone " + name);
                return;
            } catch (KeeperException e) {
                // The next one waits for the connection.
            }
            Thread.sleep(2);
        }
    }

    private static void live(String hosts, String name) {
        CountDownLatch connected = new CountDownLatch(1);
        Watcher watcher =
                (WatchedEvent event) -> {
                    if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                        connected.countDown();
                    }
                };
        try (ZooKeeper client = new ZooKeeper(hosts, SESSION_MS, watcher)) {
            connected.await();
            write(client, name);
        } catch (java.io.IOException | InterruptedException e) {
            System.out.println("gone " + name);
        }
    }

    public static void main(String[] args) throws Exception {
        for (int i = 0; i < Integer.parseInt(args[1]); i++) {
            String name = "java" + i;
            Thread thread = new Thread(() -> live(args[0], name));
            thread.setDaemon(true);
            thread.start();
        }
        while (System.in.read() >= 0) {
            continue;
        }
        System.exit(0);
    }
}
