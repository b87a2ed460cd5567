/**
 * The local process runner: an attempt is a process of this machine, under a supervisor process of its own that
 * outlives the server (see supervisor.mjs). This file holds what is known of the attempts while the server runs; all
 * that must outlive it lies in the attempts' folders (see folders.ts), from where `adopt` takes it up again.
 *
 * What holds: an attempt is in `#attempts` from the moment its start is asked for until its end is reported; what it
 * holds of the machine is given back when its end is reported and not before, so when no process of it is left.
 */

import { join } from "node:path";
import type { Attempt } from "../../core/job.js";
import type {
  AttemptEnd,
  AttemptLog,
  Reservation,
  ReservedInstance,
  Runner,
  RunnerObserver,
  TaskLaunch,
} from "../../runner.js";
import { DomainHomes } from "./domains.js";
import { endOf, lost, notStarted } from "./end.js";
import { asFolderName, attemptFolder, makeFolders, uidsIn } from "./folders.js";
import { Isolation } from "./isolation.js";
import { keptId } from "./kept-id.js";
import { findSupervisor, markOf, readExit, readLaunch, writeNotStarted, type ExitFile } from "./launch.js";
import { logsIn } from "./logs.js";
import { withDefaults, type LocalRunnerOptions } from "./options.js";
import { prepareAttempt, NotStartable, type Workshop } from "./prepare.js";
import { killMembers } from "./processes.mjs";
import { reserveInstances } from "./reservation.js";
import { retrying } from "./retry.mjs";
import { Room } from "./room.js";
import type { RunnerLog } from "./runner-log.js";
import { superviseAdopted, superviseNew, type Supervision, type SupervisionEvents } from "./supervision.js";
import { sweepAttempts } from "./sweep.js";

export type { LocalRunnerOptions } from "./options.js";

/** Opens the runner on its data directory. Throws where options are wrong or the directory cannot be used. */
export async function createLocalRunner(options: LocalRunnerOptions): Promise<Runner> {
  const { dataDirectory, domains: settings, log, ...rest } = withDefaults(options);
  const room = new Room(rest.capacity, rest.portRange);
  const { domains, attempts } = await makeFolders(dataDirectory);
  const isolation = await Isolation.choose({ domains, path: rest.path, log });
  const homes = await DomainHomes.open({ dataDirectory, domains, settings, isolation, log });
  log.info({ capacity: rest.capacity }, "cpu and memory are counted where declared; their use is not enforced here");
  const id = await keptId(join(dataDirectory, "runner-id"));
  return new LocalRunner(id, { ...rest, attempts, homes, isolation }, room, log);
}

/** An attempt whose end was not reported yet. */
interface Open {
  /** Undefined until there is a supervisor. */
  supervision?: Promise<Supervision>;
  stopWanted: boolean;
  stubborn?: NodeJS.Timeout;
}

class LocalRunner implements Runner {
  readonly id: string;
  readonly #workshop: Workshop;
  readonly #room: Room;
  readonly #log: RunnerLog;
  readonly #observers = new Set<RunnerObserver>();
  readonly #attempts = new Map<string, Open>();
  /** Starts and adoptions that are under way. */
  readonly #underWay = new Set<Promise<unknown>>();
  #closed = false;

  constructor(id: string, workshop: Workshop, room: Room, log: RunnerLog) {
    this.id = id;
    this.#workshop = workshop;
    this.#room = room;
    this.#log = log;
  }

  serves(domain: string): boolean {
    return this.#workshop.homes.serves(domain);
  }

  observe(observer: RunnerObserver): void {
    this.#observers.add(observer);
  }

  async reserve(launch: TaskLaunch): Promise<Reservation> {
    const foreign = launch.parties.find(({ definition }) => !this.serves(definition.domain));
    if (foreign) return { granted: false, message: `domain "${foreign.definition.domain}" is not served here` };
    return reserveInstances(this.#room, launch);
  }

  async release(attemptUids: readonly string[]): Promise<void> {
    for (const uid of attemptUids) if (!this.#attempts.has(uid)) this.#room.release(uid);
  }

  async start(launch: TaskLaunch, instances: readonly ReservedInstance[]): Promise<void> {
    await Promise.all(instances.map((self) => this.#track(this.#startOne(launch, instances, self))));
  }

  async #startOne(launch: TaskLaunch, instances: readonly ReservedInstance[], self: ReservedInstance): Promise<void> {
    const uid = self.attemptUid;
    if (this.#closed || this.#attempts.has(uid)) return;
    const held = this.#room.heldBy(uid);
    if (held === undefined) return this.#end(uid, notStarted("what was reserved for the app was given back"));
    const attempt: Open = { stopWanted: false };
    this.#attempts.set(uid, attempt);
    const folder = attemptFolder(this.#workshop.attempts, launch.jobUid, uid);
    try {
      await prepareAttempt(this.#workshop, launch, instances, self, held);
      if (attempt.stopWanted) throw new NotStartable("the app was stopped before it was started");
      attempt.supervision = superviseNew(folder, this.#events(uid, folder));
      await attempt.supervision;
    } catch (error) {
      if (!(error instanceof NotStartable)) this.#log.error({ err: error, attempt: uid }, "an app cannot be started");
      const end = notStarted(error instanceof Error ? error.message : String(error));
      // So that a later server says so too, should this one end before the report is stored.
      await writeNotStarted(folder, end.message).catch(() => undefined);
      this.#end(uid, end);
    }
  }

  async stop(attemptUid: string): Promise<void> {
    if (!this.#attempts.has(attemptUid)) await this.#findAndAdopt(attemptUid);
    const attempt = this.#attempts.get(attemptUid);
    if (attempt === undefined || attempt.stopWanted) return;
    attempt.stopWanted = true;
    await this.#heedStop(attempt);
  }

  /** Does nothing while there is no supervisor yet: whoever gets one then looks again. */
  async #heedStop(attempt: Open): Promise<void> {
    const supervision = await attempt.supervision?.catch(() => undefined);
    if (supervision === undefined || attempt.stubborn !== undefined || this.#closed) return;
    // A supervisor that is itself stopped or broken must not keep the attempt running for ever.
    const { graceMs } = this.#workshop;
    const patience = graceMs + Math.max(1000, graceMs);
    const kill = (): void => {
      // Should it fail, the same again later.
      attempt.stubborn = setTimeout(kill, patience).unref();
      supervision.kill().catch((error: unknown) => this.#log.error({ err: error }, "a supervisor cannot be ended"));
    };
    attempt.stubborn = setTimeout(kill, patience).unref();
    await supervision.stop();
  }

  async #findAndAdopt(attemptUid: string): Promise<void> {
    const { attempts } = this.#workshop;
    for (const job of await retrying(() => uidsIn(attempts))) {
      const known = await retrying(() => uidsIn(join(attempts, asFolderName(job))));
      if (known.includes(attemptUid)) return this.#track(this.#adoptOne(job, attemptUid));
    }
    await this.#lose(attemptUid, null, "this runner knows nothing of it");
  }

  async adopt(attempts: readonly Attempt[]): Promise<void> {
    await Promise.all(attempts.map(({ jobUid, uid }) => this.#track(this.#adoptOne(jobUid, uid))));
  }

  async #adoptOne(jobUid: string, uid: string): Promise<void> {
    if (this.#closed || this.#attempts.has(uid)) return;
    const attempt: Open = { stopWanted: false };
    this.#attempts.set(uid, attempt);
    try {
      await this.#takeUp(attempt, jobUid, uid);
    } catch (error) {
      // So that it can be asked for again.
      this.#attempts.delete(uid);
      this.#room.release(uid);
      throw error;
    }
  }

  async #takeUp(attempt: Open, jobUid: string, uid: string): Promise<void> {
    const folder = attemptFolder(this.#workshop.attempts, jobUid, uid);
    const [launch, supervisor] = await Promise.all([readLaunch(folder), findSupervisor(folder)]);
    if (supervisor === null) {
      const exit = await readExit(folder);
      if (exit !== null) return this.#end(uid, endOf(exit));
      return this.#lose(uid, folder, launch === null ? "this runner knows nothing of it" : "it was never started");
    }
    if (launch !== null) this.#room.hold(uid, launch.held);
    attempt.supervision = superviseAdopted(folder, supervisor, this.#events(uid, folder));
    await attempt.supervision;
    if (attempt.stopWanted) await this.#heedStop(attempt);
  }

  readLog(attempt: Attempt, tailBytes: number): Promise<AttemptLog | null> {
    return logsIn(this.#workshop.attempts).readLog(attempt, tailBytes);
  }

  async sweep(present: (jobUids: readonly string[]) => Promise<ReadonlySet<string>>): Promise<void> {
    const isOpen = (attemptUid: string): boolean => this.#attempts.has(attemptUid);
    await sweepAttempts({ attempts: this.#workshop.attempts, present, isOpen, log: this.#log });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#underWay);
    for (const attempt of this.#attempts.values()) {
      clearTimeout(attempt.stubborn);
      await attempt.supervision?.then((supervision) => supervision.detach(), () => undefined);
    }
    this.#attempts.clear();
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  #events(uid: string, folder: string): SupervisionEvents {
    return {
      started: () => {
        if (!this.#closed) for (const observer of this.#observers) observer.started(uid);
      },
      ended: (exit: ExitFile | null) => {
        if (exit !== null) this.#end(uid, endOf(exit));
        // Never rejects.
        else void this.#track(this.#lose(uid, folder, "its supervisor is gone and did not say how the app ended"));
      },
    };
  }

  /** Ends in `#end` whatever happens: an attempt that is never reported keeps its job open for ever. */
  async #lose(uid: string, folder: string | null, why: string): Promise<void> {
    try {
      const mark = folder === null ? { attemptUid: uid, leader: null, trackingGroup: null } : await markOf(folder, uid);
      const left = await killMembers(mark);
      if (left.length > 0) this.#log.error({ attempt: uid, pids: left }, "processes of a lost attempt cannot be ended");
    } catch (error) {
      this.#log.error({ err: error, attempt: uid }, "processes of a lost attempt cannot be looked for");
    }
    this.#end(uid, lost(why));
  }

  #end(uid: string, end: AttemptEnd): void {
    clearTimeout(this.#attempts.get(uid)?.stubborn);
    this.#attempts.delete(uid);
    this.#room.release(uid);
    if (!this.#closed) for (const observer of this.#observers) observer.ended(uid, end);
  }
}
