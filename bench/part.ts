/**
 * The inside of a part: a process of its own (a load, a baseline, a server) that the benchmark starts and asks. A part is
 * a file that calls `answer` with its methods; each takes one value and gives back one. It ends when the benchmark does,
 * however that ends.
 */

// Any method of a part; their own types are checked where they are called (see parts.ts).
export type Methods = Readonly<Record<string, (argument: never) => unknown>>;

export interface Question {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string };

export function answer(methods: Methods): void {
  const send = (message: Answer): void => void process.send?.(message);
  process.on("message", ({ id, method, argument }: Question) => {
    const ask = methods[method] as ((argument: unknown) => unknown) | undefined;
    (async () => ask?.(argument))().then(
      (value) => send({ id, value }),
      (error: unknown) => send({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  process.on("disconnect", () => process.exit());
  // Ctrl-C reaches every process of the terminal; the benchmark decides what becomes of its parts.
  process.on("SIGINT", () => undefined);
}
