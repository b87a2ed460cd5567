/** What each domain has on this machine: a data folder, and where possible a user of its own. */

import { join } from "node:path";
import { makeConfiguredData, makeDomainData } from "./folders.js";
import type { Isolation } from "./isolation.js";
import type { RunnerLog } from "./runner-log.js";
import { DomainUsers, type DomainUser } from "./users.js";

/** Settings of the domains that are served; null = every domain is. */
export type DomainSettings = ReadonlyMap<string, { readonly dataDirectory?: string }> | null;

export interface DomainHome {
  /** Null where apps run as the server's own user. */
  readonly user: DomainUser | null;
  /** Absolute path of the data folder; it exists. */
  readonly data: string;
}

export class DomainHomes {
  readonly #domains: string;
  readonly #settings: DomainSettings;
  readonly #users: DomainUsers | null;
  readonly #log: RunnerLog;
  readonly #warned = new Set<string>();

  private constructor(domains: string, settings: DomainSettings, users: DomainUsers | null, log: RunnerLog) {
    this.#domains = domains;
    this.#settings = settings;
    this.#users = users;
    this.#log = log;
  }

  static async open(options: {
    readonly dataDirectory: string;
    readonly domains: string;
    readonly settings: DomainSettings;
    readonly isolation: Isolation;
    readonly log: RunnerLog;
  }): Promise<DomainHomes> {
    const file = join(options.dataDirectory, "domain-users.json");
    const users = options.isolation.hasUsers ? await DomainUsers.open(file) : null;
    return new DomainHomes(options.domains, options.settings, users, options.log);
  }

  serves(domain: string): boolean {
    return this.#settings === null || this.#settings.has(domain);
  }

  /**
   * Makes the domain's home, or finds it. Without `isolated` the app is to run as the server's own user; the folder
   * still belongs to the domain's.
   */
  async of(domain: string, isolated: boolean): Promise<DomainHome> {
    const owner = (await this.#users?.of(domain)) ?? null;
    const user = isolated ? owner : null;
    const configured = this.#settings?.get(domain)?.dataDirectory;
    if (configured === undefined) return { user, data: await makeDomainData(this.#domains, domain, owner) };
    if (!(await makeConfiguredData(configured, owner)) && owner !== null) this.#warn(domain, configured, owner);
    return { user, data: configured };
  }

  #warn(domain: string, folder: string, { uid, gid }: DomainUser): void {
    if (this.#warned.has(domain)) return;
    this.#warned.add(domain);
    this.#log.warn(
      { domain, folder },
      "the data folder of this domain does not belong to its user, so its apps may be unable to use it; " +
        `hand it over with: chown -R ${uid}:${gid} ${folder}`,
    );
  }
}
