// SPDX-License-Identifier: Apache-2.0

import java.util.HashSet;
import java.util.Set;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;

/** Services that register, are found, and vanish with their session. */
final class Discovery {
    private Discovery() {
    }

    static void run() {
        Suite.attempt("service discovery", Discovery::services);
    }

    private static ServiceInstance<Void> instance(int port)
            throws Exception {
        return ServiceInstance.<Void>builder().name("svc").id("i" + port)
                .address("10.0.0.1").port(port).build();
    }

    private static ServiceDiscovery<Void> discovery(CuratorFramework client,
            ServiceInstance<Void> own) {
        ServiceDiscoveryBuilder<Void> builder = ServiceDiscoveryBuilder
                .builder(Void.class).client(client).basePath("/services");
        if (own != null) {
            builder.thisInstance(own);
        }
        return builder.build();
    }

    private static void services(Suite.Clients clients) throws Exception {
        CuratorFramework dying = clients.one();
        CuratorFramework third = clients.one();
        try (ServiceDiscovery<Void> one =
                discovery(clients.one(), instance(1));
                ServiceDiscovery<Void> looking =
                        discovery(third, null)) {
            one.start();
            ServiceDiscovery<Void> two = discovery(dying, instance(2));
            two.start();
            third.sync().forPath("/"); // it may be at another server
            looking.start();
            Suite.same(looking.queryForInstances("svc").size(), 2, "found");
            ServiceProvider<Void> provider = looking.serviceProviderBuilder()
                    .serviceName("svc").build();
            provider.start();
            Set<Integer> ports = new HashSet<>();
            Suite.eventually("both are given in turn", () -> {
                ServiceInstance<Void> given = provider.getInstance();
                if (given != null) {
                    ports.add(given.getPort());
                }
                return ports.size() == 2;
            });
            try (ServiceCache<Void> cache =
                    looking.serviceCacheBuilder().name("svc").build()) {
                cache.start();
                Suite.same(cache.getInstances().size(), 2, "in the cache");
                dying.close();
                Suite.eventually("the cache loses the dead one",
                        () -> cache.getInstances().size() == 1);
            }
            provider.close();
        }
    }
}
