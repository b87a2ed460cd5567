/**
 * What the attempts of this runner hold of the machine: ports, and of the declared capacity cpu and memory. Cpu and
 * memory are only counted, so that tasks wait for each other; no process is kept from using more.
 */

import { parseQuantity } from "../../core/quantity.js";
import { PortPool } from "./ports.js";

/** What one instance holds. Cpu in thousandths of a core. */
export interface Held {
  readonly ports: readonly number[];
  readonly cpuMilli: number;
  readonly memoryBytes: number;
}

/** What one instance asks for. */
export interface Demand {
  readonly attemptUid: string;
  readonly ports: number;
  readonly cpuMilli: number;
  readonly memoryBytes: number;
}

export type Grant =
  | { readonly granted: true; readonly ports: ReadonlyMap<string, readonly number[]> }
  | { readonly granted: false; readonly message: string };

/** Infinity where a resource is not declared, so that it never runs out. */
interface Capacity {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
}

export class Room {
  readonly #capacity: Capacity;
  readonly #portRange: readonly [number, number];
  readonly #ports: PortPool;
  readonly #held = new Map<string, Held>();

  /** Quantities of `capacity` as Kubernetes writes them. Throws where one is not a quantity. */
  constructor(capacity: { readonly cpu?: string; readonly memory?: string }, portRange: readonly [number, number]) {
    this.#capacity = {
      cpuMilli: capacity.cpu === undefined ? Infinity : milli(declared("cpu", capacity.cpu)),
      memoryBytes: capacity.memory === undefined ? Infinity : declared("memory", capacity.memory),
    };
    this.#portRange = portRange;
    this.#ports = new PortPool(portRange);
  }

  /** Holds what all the demands ask for, or nothing and says what is missing. */
  async reserve(demands: readonly Demand[]): Promise<Grant> {
    const shortage =
      this.#shortage("cpu", demands, ({ cpuMilli }) => cpuMilli, formatCpu) ??
      this.#shortage("memory", demands, ({ memoryBytes }) => memoryBytes, formatMemory);
    if (shortage !== undefined) return { granted: false, message: shortage };
    // Held before ports are looked for, so that nobody else is promised the same.
    for (const demand of demands) this.#held.set(demand.attemptUid, { ...demand, ports: [] });
    const wanted = demands.reduce((sum, demand) => sum + demand.ports, 0);
    const taken = await this.#ports.take(wanted);
    if (taken === null) {
      for (const demand of demands) this.#held.delete(demand.attemptUid);
      const range = this.#portRange.join("-");
      return { granted: false, message: `needs ${wanted} free ports, ${range} has fewer on this runner` };
    }
    let next = 0;
    const ports = new Map(demands.map((one) => [one.attemptUid, taken.slice(next, (next += one.ports))]));
    for (const demand of demands) {
      this.#held.set(demand.attemptUid, { ...demand, ports: ports.get(demand.attemptUid) ?? [] });
    }
    return { granted: true, ports };
  }

  /** What an attempt holds, undefined where nothing was reserved for it or it was given back. */
  heldBy(attemptUid: string): Held | undefined {
    return this.#held.get(attemptUid);
  }

  /** Holds what an attempt of an earlier server uses, even where that is more than the capacity now. */
  hold(attemptUid: string, held: Held): void {
    this.release(attemptUid);
    this.#held.set(attemptUid, held);
    this.#ports.hold(held.ports);
  }

  release(attemptUid: string): void {
    this.#ports.release(this.#held.get(attemptUid)?.ports ?? []);
    this.#held.delete(attemptUid);
  }

  #shortage(
    name: "cpu" | "memory",
    demands: readonly Demand[],
    amountOf: (one: { readonly cpuMilli: number; readonly memoryBytes: number }) => number,
    format: (amount: number) => string,
  ): string | undefined {
    const total = amountOf(this.#capacity);
    const wanted = sum(demands.map(amountOf));
    if (wanted > total) {
      return `needs ${name} ${format(wanted)}, this runner has ${format(total)} in all: it cannot run here`;
    }
    const free = Math.max(0, total - sum([...this.#held.values()].map(amountOf)));
    // Nothing asked for always fits, also where adopted attempts hold more than there is.
    if (wanted === 0 || wanted <= free) return undefined;
    return `needs ${name} ${format(wanted)}, ${format(free)} of ${format(total)} free on this runner`;
  }
}

function declared(name: string, text: string): number {
  const value = parseQuantity(text);
  if (value === undefined || value < 0) throw new Error(`capacity.${name}: "${text}" is not a quantity`);
  return value;
}

/** Thousandths of a core, rounded up; what is below a millionth of a core is an error of floating point. */
export function milli(cores: number): number {
  return Math.ceil(Number((cores * 1000).toFixed(3)));
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}

function formatCpu(cpuMilli: number): string {
  return String(cpuMilli / 1000);
}

function formatMemory(bytes: number): string {
  const [unit, factor] =
    bytes >= 2 ** 30 ? ["Gi", 2 ** 30] : bytes >= 2 ** 20 ? ["Mi", 2 ** 20] : bytes >= 1024 ? ["Ki", 1024] : ["", 1];
  return `${Number((bytes / factor).toFixed(2))}${unit}`;
}
