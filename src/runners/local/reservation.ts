/** From a task's launch to what each of its instances asks for and is given. */

import { v7 as newUid } from "uuid";
import type { Resources } from "../../core/job.js";
import { parseQuantity } from "../../core/quantity.js";
import type { Reservation, TaskLaunch } from "../../runner.js";
import { milli, type Demand, type Room } from "./room.js";

/** Gives every instance of every party its uid, ports and share of the capacity, or none of them. */
export async function reserveInstances(room: Room, launch: TaskLaunch): Promise<Reservation> {
  const planned = launch.parties.flatMap(({ definition, template }) => {
    const replicas = Math.max(1, template.replicas);
    const ports = template.containers.flatMap((container) => container.ports);
    return Array.from({ length: replicas }, (_, replica) => ({
      instance: { attemptUid: newUid(), domain: definition.domain, role: definition.role, replica },
      ports,
      share: shareOf(definition.resources, replica, replicas),
    }));
  });
  const grant = await room.reserve(
    planned.map(({ instance, ports, share }) => ({ ...share, attemptUid: instance.attemptUid, ports: ports.length })),
  );
  if (!grant.granted) return grant;
  const instances = planned.map(({ instance, ports }) => {
    const numbers = grant.ports.get(instance.attemptUid) ?? [];
    // The grant holds a number for each port that was asked for.
    const reserved = ports.flatMap(({ name, scope, protocol }, index) =>
      numbers.slice(index, index + 1).map((port) => ({ name, scope, protocol, endpoint: `127.0.0.1:${port}`, port })),
    );
    return { ...instance, ports: reserved };
  });
  return { granted: true, instances };
}

/**
 * The resources of a party are those of all its instances together (Kuscia Job API, launch rules), so each counts for
 * its share and the first also for what dividing leaves over.
 */
function shareOf(
  resources: Resources | null,
  replica: number,
  replicas: number,
): Pick<Demand, "cpuMilli" | "memoryBytes"> {
  const share = (text: string | undefined, toWhole: (value: number) => number): number => {
    const whole = toWhole(Math.max(0, parseQuantity(text ?? "") ?? 0));
    return Math.floor(whole / replicas) + (replica === 0 ? whole % replicas : 0);
  };
  return { cpuMilli: share(resources?.cpu, milli), memoryBytes: share(resources?.memory, Math.ceil) };
}
