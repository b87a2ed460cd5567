/** From a task's launch to everything one instance finds when it starts: its folder, files, environment and command. */

import type { Container } from "../../core/image.js";
import type { PartyLaunch, ReservedInstance, TaskLaunch } from "../../runner.js";
import { allocatedPorts, clusterDefine } from "./cluster.js";
import { locateCommand } from "./command.js";
import type { DomainHomes } from "./domains.js";
import { appEnvironment, expandVariables, refusal, templateVariables, type AppFacts } from "./environment.js";
import { appRoot, inputFile, makeAttempt, rebase, writeAppFiles } from "./folders.js";
import type { Isolation } from "./isolation.js";
import { writeLaunch } from "./launch.js";
import { MARK_VARIABLE } from "./processes.mjs";
import type { Held } from "./room.js";
import { renderTemplate } from "./template.js";

/** An app that cannot be started; the message is a sentence for the user who made the job or the image. */
export class NotStartable extends Error {
  override readonly name = "NotStartable";
}

/** What preparing needs of the runner. */
export interface Workshop {
  readonly attempts: string;
  readonly homes: DomainHomes;
  readonly isolation: Isolation;
  /** PATH of the apps. */
  readonly path: string;
  readonly graceMs: number;
  readonly logLimitBytes: number;
  readonly progressUrl: (attemptUid: string) => string;
}

/** Makes the instance ready for its supervisor. Throws NotStartable where it cannot be started. */
export async function prepareAttempt(
  workshop: Workshop,
  launch: TaskLaunch,
  instances: readonly ReservedInstance[],
  self: ReservedInstance,
  held: Held,
): Promise<void> {
  const { attemptUid, domain } = self;
  const folder = await makeAttempt(workshop.attempts, launch.jobUid, attemptUid);
  const container = containerOf(partyOf(launch, self));
  const isolated = await workshop.isolation.reaches(launch.image.directory);
  const { user, data } = await workshop.homes.of(domain, isolated);

  const facts: AppFacts = {
    TASK_ID: launch.taskId,
    KUSCIA_DOMAIN_ID: domain,
    TASK_INPUT_CONFIG: launch.inputConfig,
    TASK_CLUSTER_DEFINE: JSON.stringify(clusterDefine(launch, instances, self)),
    ALLOCATED_PORTS: JSON.stringify(allocatedPorts(self)),
  };
  const home = rebase(folder, "/", "home");
  const temporary = rebase(folder, "/", "tmp");
  const workingFolder = rebase(folder, container.workingDir, ".");
  const environment = appEnvironment({
    facts,
    imageEntries: container.env,
    ports: self.ports,
    platform: {
      PATH: workshop.path,
      HOME: home,
      TMPDIR: temporary,
      TASK_INPUT_CONFIG_FILE: inputFile(folder),
      MUSTER_ROOT: appRoot(folder),
      MUSTER_DOMAIN_DATA: data,
      MUSTER_PROGRESS_URL: workshop.progressUrl(attemptUid),
      [MARK_VARIABLE]: attemptUid,
      ...(launch.image.directory === "" ? {} : { APP_IMAGE_DIR: launch.image.directory }),
    },
  });

  const argv = [...container.command, ...container.args].map((word) => expandVariables(word, environment));
  const [command, ...args] = argv;
  if (command === undefined || command === "") {
    throw new NotStartable(`app image "${launch.image.name}" gives no command to run for domain "${domain}"`);
  }
  const refused = refusal(argv, environment);
  if (refused !== null) throw new NotStartable(refused);

  const files = configFiles(launch, container, facts, folder);
  const folders = [home, temporary, workingFolder];
  await writeAppFiles(folder, { folders, files, input: launch.inputConfig }, user).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NotStartable(`the app's folder cannot be made: ${reason}`, { cause });
  });

  const located = await locateCommand(command, workshop.path, workingFolder);
  if (!located.found) throw new NotStartable(located.message);
  await writeLaunch(folder, {
    attemptUid,
    command,
    ...workshop.isolation.confine(attemptUid, user, located.file, args),
    workingFolder,
    environment,
    user,
    graceMs: workshop.graceMs,
    logLimitBytes: workshop.logLimitBytes,
    held: { ports: [...held.ports], cpuMilli: held.cpuMilli, memoryBytes: held.memoryBytes },
  });
}

function partyOf(launch: TaskLaunch, self: ReservedInstance): PartyLaunch {
  const party = launch.parties.find(
    ({ definition }) => definition.domain === self.domain && definition.role === self.role,
  );
  if (party === undefined) throw new NotStartable(`domain "${self.domain}" is no party of this task`);
  return party;
}

function containerOf({ template }: PartyLaunch): Container {
  const [container, ...more] = template.containers;
  if (container === undefined || more.length > 0) {
    const count = template.containers.length;
    throw new NotStartable(
      `the local runner runs one container per party; template "${template.name}" has ${count === 0 ? "none" : count}`,
    );
  }
  return container;
}

/** Rendered config files by the path where the app finds them. */
function configFiles(
  launch: TaskLaunch,
  container: Container,
  facts: AppFacts,
  folder: string,
): ReadonlyMap<string, string> {
  const variables = templateVariables(facts, container.env);
  const files = new Map<string, string>();
  for (const { mountPath, subPath } of container.configVolumeMounts) {
    const templates = launch.image.configTemplates;
    const template = Object.hasOwn(templates, subPath) ? templates[subPath] : undefined;
    if (template === undefined) {
      throw new NotStartable(`app image "${launch.image.name}" has no config template "${subPath}" for ${mountPath}`);
    }
    const path = rebase(folder, container.workingDir, mountPath);
    if (files.has(path)) throw new NotStartable(`two config files of the app image have the path ${mountPath}`);
    files.set(path, renderTemplate(template, variables));
  }
  return files;
}
