/** The options of the local runner and what holds where they are silent. */

import { dirname, isAbsolute } from "node:path";
import type { DomainSettings } from "./domains.js";
import type { RunnerLog } from "./runner-log.js";

export interface LocalRunnerOptions {
  /** Absolute. Everything of the runner lies below it; one runner at a time. */
  readonly dataDirectory: string;
  /** Where an app reports its progress. */
  readonly progressUrl: (attemptUid: string) => string;
  /** The domains that are served, null = every domain. A `dataDirectory` (absolute) replaces the domain's own. */
  readonly domains: DomainSettings;
  /** Kubernetes quantities; what is absent is not counted. */
  readonly capacity: { readonly cpu?: string; readonly memory?: string };
  /** Both ends included; default 20000-32767. */
  readonly portRange?: readonly [number, number];
  /** Milliseconds from TERM to KILL; default 5000. */
  readonly graceMs?: number;
  /** Output kept per attempt: its start and its end; default 8 MiB. */
  readonly logLimitBytes?: number;
  /** Folders in which apps find programs, after that of node itself; default the system's usual ones. */
  readonly path?: string;
  readonly log: RunnerLog;
}

const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Fills in the defaults. Throws where the data directory is not an absolute path. */
export function withDefaults(options: LocalRunnerOptions): Required<LocalRunnerOptions> {
  if (!isAbsolute(options.dataDirectory)) {
    throw new Error(`dataDirectory: "${options.dataDirectory}" is not an absolute path`);
  }
  return {
    ...options,
    portRange: options.portRange ?? [20_000, 32_767],
    graceMs: options.graceMs ?? 5000,
    logLimitBytes: options.logLimitBytes ?? 8 * 2 ** 20,
    // So that an app's `node` is the one that the server runs on.
    path: `${dirname(process.execPath)}:${options.path ?? SYSTEM_PATH}`,
  };
}
