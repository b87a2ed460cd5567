/** The two JSON variables that tell an app where it and its partners are (Kuscia Job API, what the app receives). */

import type { ReservedInstance, TaskLaunch } from "../../runner.js";

interface ClusterDefine {
  readonly parties: readonly {
    readonly name: string;
    readonly role: string;
    readonly services: readonly { readonly portName: string; readonly endpoints: readonly string[] }[];
  }[];
  readonly selfPartyIdx: number;
  readonly selfEndpointIdx: number;
}

/**
 * TASK_CLUSTER_DEFINE as one instance sees it. Parties stand in the order of the launch, so all instances of a task
 * see the same order. Services are the Cluster ports of every party and the Domain ports of the instance's own domain.
 */
export function clusterDefine(
  launch: TaskLaunch,
  instances: readonly ReservedInstance[],
  self: ReservedInstance,
): ClusterDefine {
  const parties = launch.parties.map(({ definition }) => instancesOf(instances, definition));
  const selfParty = parties.findIndex((party) => party.some((instance) => instance.attemptUid === self.attemptUid));
  return {
    parties: launch.parties.map(({ definition }, index) => ({
      name: definition.domain,
      role: definition.role,
      services: servicesOf(parties[index] ?? [], definition.domain === self.domain),
    })),
    selfPartyIdx: selfParty,
    selfEndpointIdx: (parties[selfParty] ?? []).findIndex((instance) => instance.attemptUid === self.attemptUid),
  };
}

function instancesOf(
  instances: readonly ReservedInstance[],
  party: { readonly domain: string; readonly role: string },
): readonly ReservedInstance[] {
  return instances
    .filter((instance) => instance.domain === party.domain && instance.role === party.role)
    .sort((a, b) => a.replica - b.replica);
}

function servicesOf(
  instances: readonly ReservedInstance[],
  sameDomain: boolean,
): { readonly portName: string; readonly endpoints: readonly string[] }[] {
  const endpoints = new Map<string, string[]>();
  for (const port of instances.flatMap((instance) => instance.ports)) {
    if (port.scope !== "Cluster" && !(port.scope === "Domain" && sameDomain)) continue;
    const known = endpoints.get(port.name);
    if (known) known.push(port.endpoint);
    else endpoints.set(port.name, [port.endpoint]);
  }
  return [...endpoints].map(([portName, list]) => ({ portName, endpoints: list }));
}

/** ALLOCATED_PORTS of one instance: all its ports, Local ones too. */
export function allocatedPorts(instance: ReservedInstance): {
  readonly ports: readonly { name: string; port: number; scope: string; protocol: string }[];
} {
  return { ports: instance.ports.map(({ name, port, scope, protocol }) => ({ name, port, scope, protocol })) };
}
