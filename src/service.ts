/**
 * What it is to run. Everything that runs has the same two doors: start once, stop any number of times; stop is awaited
 * and tolerates a service that never started. A loop is a ticker over one `runOnce`, so a test can call that instead.
 */

export interface Service {
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface TickerOptions {
  readonly everyMs: number;
  readonly runOnce: () => Promise<void>;
  /** A failed round is reported and the next one comes in its time. */
  readonly onFault: (error: unknown) => void;
}

/** Runs `runOnce` every so often, never twice at once. */
export class Ticker implements Service {
  readonly #options: TickerOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(options: TickerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#timer ??= setInterval(() => this.#tick(), this.#options.everyMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  #tick(): void {
    this.#running ??= this.#options
      .runOnce()
      .catch(this.#options.onFault)
      .finally(() => {
        this.#running = undefined;
      });
  }
}

/** Runs on demand: pokes during a round make one more round, however many they are. */
export class Poked {
  readonly #runOnce: () => Promise<void>;
  readonly #onFault: (error: unknown) => void;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(runOnce: () => Promise<void>, onFault: (error: unknown) => void) {
    this.#runOnce = runOnce;
    this.#onFault = onFault;
  }

  poke(): void {
    this.#again = true;
    if (this.#stopped) return;
    this.#running ??= this.#rounds();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #rounds(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      await this.#runOnce().catch(this.#onFault);
    }
    // In the same step as the last look at `again`, so no poke falls between.
    this.#running = undefined;
  }
}

/** The longest time that one timer of the platform can hold; longer ones would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Calls back after any number of milliseconds. Returns the way to call it off. */
export function after(ms: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = (left: number): void => {
    const step = Math.min(left, LONGEST_TIMER_MS);
    timer = setTimeout(() => (left > step ? arm(left - step) : callback()), step);
  };
  arm(Math.max(0, ms));
  return () => clearTimeout(timer);
}
