/** What the benchmark runs on: the numbers mean nothing without it. */

import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { median } from "./statistics.js";

const PACKAGES = [
  "@bufbuild/protobuf",
  "@connectrpc/connect-node",
  "@grpc/grpc-js",
  "graphile-worker",
  "pg",
  "pg-boss",
] as const;

const FILE_SYSTEMS: Readonly<Record<number, string>> = { 0xef53: "ext", 0x01021994: "tmpfs", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x794c7630: "overlay" };

export function describeMachine(folder: string): Readonly<Record<string, unknown>> {
  const all = cpus();
  const fileSystem = statfsSync(folder).type;
  return {
    cpus: all.length,
    model: all[0]?.model ?? "unknown",
    memoryGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    kernel: `${type()} ${release()} ${arch()}`,
    node: process.version,
    v8: process.versions.v8,
    loadAtStart: loadavg(),
    data: { fileSystem: FILE_SYSTEMS[fileSystem] ?? `0x${fileSystem.toString(16)}`, flushMs: flushMs(folder) },
  };
}

export function packageVersions(): Readonly<Record<string, string>> {
  return Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name)]));
}

function versionOf(name: string): string {
  const { version }: { version: string } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return version;
}

/** The commit that is checked out, with `-dirty` where the files differ from it. */
export function gitCommit(): string {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

/** How long the disk takes to make a page durable: what no commit can be faster than. */
function flushMs(folder: string): number {
  const path = join(folder, "flush");
  const file = openSync(path, "w");
  try {
    const page = Buffer.alloc(8192, 1);
    const times = Array.from({ length: 200 }, () => {
      const begin = performance.now();
      writeSync(file, page);
      fdatasyncSync(file);
      return performance.now() - begin;
    });
    return Math.round(median(times) * 1000) / 1000;
  } finally {
    closeSync(file);
    rmSync(path);
  }
}
