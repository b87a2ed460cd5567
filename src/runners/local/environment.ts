/**
 * What an app is told by its process environment and its command line. The environment is made from nothing: no
 * variable of the server reaches an app. The platform's own names come last, so that no image can set them.
 */

/** Above this a platform variable is left out: the operating system refuses strings of 128 KiB. */
const PLATFORM_VALUE_BYTES = 64 * 1024;
/** Linux, MAX_ARG_STRLEN: the longest single string, its end mark included. */
const LONGEST_STRING_BYTES = 128 * 1024;

/** Values that also stand in config templates, by the names of the Kuscia Job API. */
export interface AppFacts {
  readonly TASK_ID: string;
  readonly KUSCIA_DOMAIN_ID: string;
  readonly TASK_INPUT_CONFIG: string;
  readonly TASK_CLUSTER_DEFINE: string;
  readonly ALLOCATED_PORTS: string;
}

type Pairs = readonly { readonly name: string; readonly value: string }[];

/** Variables of config templates: the image's entries by upper-cased name, and the facts, which win. */
export function templateVariables(facts: AppFacts, imageEntries: Pairs): ReadonlyMap<string, string> {
  const entries = imageEntries.map(({ name, value }): [string, string] => [name.toUpperCase(), value]);
  return new Map([...entries, ...Object.entries(facts)]);
}

/**
 * The environment of an app. `platform` are the runner's own variables (paths, the progress URL, ...); facts over
 * 64 KiB are left out, the app finds the input in TASK_INPUT_CONFIG_FILE.
 */
export function appEnvironment(parts: {
  readonly facts: AppFacts;
  readonly imageEntries: Pairs;
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  readonly platform: Readonly<Record<string, string>>;
}): Record<string, string> {
  const facts = Object.entries(parts.facts).filter(([, value]) => Buffer.byteLength(value) <= PLATFORM_VALUE_BYTES);
  // A fact that is left out must not be replaced by an entry of the image.
  const imageEntries = parts.imageEntries.filter(({ name }) => !Object.hasOwn(parts.facts, name));
  return Object.fromEntries([
    ["LANG", "C.UTF-8"],
    ...imageEntries.map(({ name, value }) => [name, value]),
    ...facts,
    ...parts.ports.map(({ name, port }) => [portVariable(name), String(port)]),
    ...Object.entries(parts.platform),
  ]);
}

function portVariable(portName: string): string {
  return `KUSCIA_PORT_${portName.toUpperCase().replaceAll("-", "_")}_NUMBER`;
}

/**
 * Expands `$(NAME)` as Kubernetes does in commands (apimachinery, third_party/forked/golang/expansion): an unknown name
 * stays as it is written, `$$` stands for one `$`. What is inserted is not expanded again.
 */
export function expandVariables(text: string, environment: Readonly<Record<string, string>>): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (written: string, name: string | undefined) => {
    if (name === undefined) return "$";
    return Object.hasOwn(environment, name) ? (environment[name] ?? written) : written;
  });
}

/** Why the operating system would refuse this environment and command line; null where it takes them. */
export function refusal(argv: readonly string[], environment: Readonly<Record<string, string>>): string | null {
  for (const [index, word] of argv.entries()) {
    const name = index === 0 ? "the command" : `argument ${index} of the command`;
    const fault = faultOf(word, "");
    if (fault !== null) return `${name} ${fault}`;
  }
  for (const [name, value] of Object.entries(environment)) {
    if (!/^[^=\0]+$/.test(name)) return `${JSON.stringify(name)} is not a name for an environment variable`;
    const fault = faultOf(value, `${name}=`);
    if (fault !== null) return `environment variable ${name} ${fault}`;
  }
  return null;
}

function faultOf(value: string, prefix: string): string | null {
  if (value.includes("\0")) return "holds a NUL character, which the operating system does not allow";
  const bytes = Buffer.byteLength(prefix) + Buffer.byteLength(value) + 1;
  if (bytes <= LONGEST_STRING_BYTES) return null;
  return `is ${bytes} bytes long, the operating system allows ${LONGEST_STRING_BYTES}`;
}
