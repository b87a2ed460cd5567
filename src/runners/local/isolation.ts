/**
 * How far the processes of domains are kept apart here. As root every domain's apps run as a user of their own, which
 * can neither read nor signal another domain's. Without root, or where that user could not even reach node or the data,
 * all apps run as the server's user. What this machine can do is tried once at start, not guessed.
 *
 * None of this makes a plain process a wall against a hostile app: it shares the kernel, the network and /proc.
 */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { locateProgram } from "./command.js";
import type { RunnerLog } from "./runner-log.js";
import { PROBE_USER, type DomainUser } from "./users.js";

const run = promisify(execFile);

/** What is executed to run an app, and as whom. */
export interface Confined {
  readonly file: string;
  readonly args: string[];
  readonly spawnAs: { readonly uid: number; readonly gid: number } | null;
  readonly trackingGroup: number | null;
}

interface Means {
  /** Domains have users of their own. */
  readonly users: boolean;
  /** Program that takes the right to gain privileges from a process, null where there is none that can. */
  readonly setpriv: string | null;
  /** Every attempt gets a group id of its own, by which its processes are found. */
  readonly tracking: boolean;
}

export class Isolation {
  readonly #means: Means;
  readonly #log: RunnerLog;
  readonly #unreachable = new Set<string>();

  private constructor(means: Means, log: RunnerLog) {
    this.#means = means;
    this.#log = log;
  }

  /** Tries what works here, best first. `domains` is the folder that every domain's user has to reach. */
  static async choose(options: {
    readonly domains: string;
    readonly path: string;
    readonly log: RunnerLog;
  }): Promise<Isolation> {
    const { domains, path, log } = options;
    const setpriv = await locateProgram("setpriv", path);
    const withUsers: Means[] = [
      { users: true, setpriv, tracking: true },
      { users: true, setpriv, tracking: false },
      { users: true, setpriv: null, tracking: false },
    ];
    const means: Means[] = [
      ...(process.getuid?.() === 0 ? withUsers : []),
      { users: false, setpriv, tracking: false },
    ];
    let works: Means = { users: false, setpriv: null, tracking: false };
    for (const candidate of means) {
      if (candidate.setpriv === null && candidate.tracking) continue;
      if (await canReach(candidate, domains)) {
        works = candidate;
        break;
      }
    }
    announce(works, domains, log);
    return new Isolation(works, log);
  }

  /** Whether apps can run as their domain's user at all. */
  get hasUsers(): boolean {
    return this.#means.users;
  }

  /** Whether the domain's user could read the files of an image; where not its apps run as the server's user. */
  async reaches(imageFolder: string): Promise<boolean> {
    if (imageFolder === "" || (await isOpenToAll(imageFolder))) return true;
    if (!this.#unreachable.has(imageFolder)) {
      this.#unreachable.add(imageFolder);
      this.#log.warn(
        { imageFolder },
        "other users cannot read this image's folder: its apps run as the server's own user, not isolated by domain",
      );
    }
    return false;
  }

  /** The program and arguments that run `file` as `user`, null being the server's own. */
  confine(attemptUid: string, user: DomainUser | null, file: string, args: readonly string[]): Confined {
    const trackingGroup = user !== null && this.#means.tracking ? trackingGroupOf(attemptUid) : null;
    return confine(this.#means, user, trackingGroup, file, args);
  }
}

function confine(
  means: Means,
  user: DomainUser | null,
  trackingGroup: number | null,
  file: string,
  args: readonly string[],
): Confined {
  if (means.setpriv === null) return { file, args: [...args], spawnAs: user, trackingGroup };
  const options = ["--no-new-privs"];
  if (user !== null) {
    options.push(`--reuid=${user.uid}`, `--regid=${user.gid}`);
    options.push(trackingGroup === null ? "--clear-groups" : `--groups=${trackingGroup}`);
  }
  return { file: means.setpriv, args: [...options, "--", file, ...args], spawnAs: null, trackingGroup };
}

/** A number far from all that are in use, the same whenever it is asked for; that two are equal is as good as never. */
function trackingGroupOf(attemptUid: string): number {
  return 2 ** 30 + (createHash("sha256").update(attemptUid).digest().readUInt32BE() >>> 2);
}

async function canReach(means: Means, folder: string): Promise<boolean> {
  const program = "require('node:fs').accessSync(process.argv[1], 1)";
  const user = means.users ? PROBE_USER : null;
  const group = means.tracking ? trackingGroupOf("") : null;
  const { file, args, spawnAs } = confine(means, user, group, process.execPath, ["-e", program, folder]);
  return run(file, args, { cwd: "/", env: {}, ...spawnAs }).then(
    () => true,
    () => false,
  );
}

function announce(means: Means, domains: string, log: RunnerLog): void {
  if (means.setpriv === null) log.info({}, "setpriv is not here: apps may gain privileges by setuid programs");
  if (means.users) return log.info({}, "apps of each domain run as a user of their own");
  const reason =
    process.getuid?.() === 0
      ? `another user than root cannot reach ${process.execPath} or ${domains}`
      : "the server does not run as root";
  log.warn({ reason }, `domains are not isolated from each other here: ${reason}; all apps run as the server's user`);
}

/** Whether anybody may list and read a folder, and pass through all above it. */
async function isOpenToAll(folder: string): Promise<boolean> {
  try {
    let current = await realpath(folder);
    if (((await stat(current)).mode & 0o005) !== 0o005) return false;
    for (; current !== dirname(current); current = dirname(current)) {
      if (((await stat(dirname(current))).mode & 0o001) === 0) return false;
    }
    return true;
  } catch {
    return false;
  }
}
