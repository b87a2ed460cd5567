/**
 * One LISTEN connection per process. A notification is a hint: whoever hears one reads rows by revision. So a lost
 * connection loses nothing: it is opened again, and `onHint` is called after every reconnect and on a slow poll.
 */

import pg from "pg";

export interface Hint {
  /** The newest revision that the hint knows of; undefined where anything may be new. */
  readonly revision?: bigint;
  /** Some runner may have something to do. */
  readonly work: boolean;
}

export interface ListenerOptions {
  readonly connectionString: string;
  /** Longest time that a lost notification may go unnoticed. */
  readonly pollMs: number;
  readonly onHint: (hint: Hint) => void | Promise<void>;
  readonly onFault: (error: unknown) => void;
}

export class Listener {
  readonly #options: ListenerOptions;
  #client: pg.Client | undefined;
  #poll: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#connect();
    if (this.#stopped) return;
    this.#poll = setInterval(() => this.#tick(), this.#options.pollMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#poll);
    clearTimeout(this.#retry);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#options.connectionString,
      application_name: "muster listen",
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      connectionTimeoutMillis: 10_000,
      query_timeout: 10_000,
    });
    client.on("notification", (message) => void this.#options.onHint(hintFrom(message.payload)));
    client.on("error", (error) => this.#lost(client, error));
    client.on("end", () => this.#lost(client, undefined));
    try {
      await client.connect();
      await client.query("listen muster");
    } catch (error) {
      void client.end().catch(() => undefined);
      throw error;
    }
    // Stopped meanwhile: nobody else knows of this client.
    if (this.#stopped) await client.end().catch(() => undefined);
    else this.#client = client;
  }

  #lost(client: pg.Client, error: unknown): void {
    if (this.#stopped || this.#client !== client) return;
    this.#client = undefined;
    if (error !== undefined) this.#options.onFault(error);
    void client.end().catch(() => undefined);
    this.#reconnect(50);
  }

  #reconnect(afterMs: number): void {
    this.#retry = setTimeout(() => {
      this.#connect().then(
        () => this.#hint(),
        (error: unknown) => {
          if (this.#stopped) return;
          this.#options.onFault(error);
          this.#reconnect(Math.min(2_000, afterMs * 2));
        },
      );
    }, afterMs);
  }

  #hint(): void {
    if (!this.#stopped) void this.#options.onHint({ work: true });
  }

  /** The slow poll: also proves the connection, so that a half-open one is noticed. */
  #tick(): void {
    void this.#options.onHint({ work: true });
    const client = this.#client;
    client?.query("select 1").catch((error: unknown) => this.#lost(client, error));
  }
}

function hintFrom(payload: string | undefined): Hint {
  try {
    const parsed: unknown = JSON.parse(payload ?? "");
    const told: { work?: unknown; revision?: unknown } = typeof parsed === "object" && parsed !== null ? parsed : {};
    return { work: told.work === true, ...(typeof told.revision === "number" && { revision: BigInt(told.revision) }) };
  } catch {
    return { work: true };
  }
}
